//! Which outputs share which block, settled before the first run.
//!
//! Given a plan's order of evaluation; promises that tenants of one block are never alive together, and that blocks are dropped
//! from the layout until the whole needs no more memory than [`SURCHARGE`] allows.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use tract_core::internal::*;
use tract_core::ops::change_axes::AxisOp;

use crate::conv::FusedConv;

/// Elements below which the allocator keeps memory by itself.
const WORTH_KEEPING: usize = 1 << 13;

/// How many times its size a block must take in over a run. One with fewer tenants saves little and is there all the time: on
/// PP-OCR's detector, the most memory that the process ever had grows by a quarter without this and by about a tenth with it.
const WORTH_A_BLOCK: usize = 3;

/// By which share of what the tensors of a run need at the least, each for itself and never longer than it is read, blocks may
/// need more. The allocator needs about as much more, for what lies unused between tensors: with a half, the most memory that
/// the process ever had is the same on PP-Layout and two YOLOs. With a quarter, YOLO's large outputs find no room.
const SURCHARGE: f64 = 0.5;

/// The blocks, and who lives in which.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The f32 elements of each.
    pub blocks: Vec<usize>,
    /// By the node whose output it is.
    pub block_of: HashMap<usize, usize>,
}

/// An output of ours that could live in a block.
#[derive(Debug, Clone, Copy)]
struct Tenant {
    node: usize,
    elements: usize,
    /// The steps at which it is alive: written in the first, read for the last time in the last.
    first: usize,
    last: usize,
    /// The last step of its own readers: what works in place after them counts as another tensor.
    last_read: usize,
    /// Whether tract's operators see it: they take the block's size for the tensor's.
    exact: bool,
}

impl Tenant {
    /// Changes what is alive at each step by this tensor's bytes.
    fn change(&self, alive: &mut [usize], by: fn(usize, usize) -> usize) {
        for bytes in &mut alive[self.first..=self.last_read] {
            *bytes = by(*bytes, self.elements * size_of::<f32>());
        }
    }
}

#[derive(Debug, Default)]
struct Block {
    elements: usize,
    tenants: Vec<Tenant>,
}

impl Block {
    fn admits(&self, tenant: &Tenant) -> bool {
        let fits = if tenant.exact {
            self.elements == tenant.elements
        } else {
            self.elements >= tenant.elements
        };
        let apart = |other: &Tenant| other.last < tenant.first || tenant.last < other.first;
        fits && self.tenants.iter().all(apart)
    }
}

impl Layout {
    pub(crate) fn of(plan: &TypedSimplePlan) -> Layout {
        let lives = Lives::of(plan);
        let mut tenants = lives.tenants.clone();
        // Large ones first make the blocks, in which smaller ones then find room.
        tenants.sort_by_key(|it| (Reverse(it.elements), !it.exact, it.first));
        let mut blocks: Vec<Block> = Vec::new();
        for tenant in tenants {
            let admitting = blocks.iter_mut().filter(|block| block.admits(&tenant));
            match admitting.min_by_key(|block| block.elements) {
                Some(block) => block.tenants.push(tenant),
                None => blocks.push(Block {
                    elements: tenant.elements,
                    tenants: vec![tenant],
                }),
            }
        }
        lives.drop_the_dearest(&mut blocks);
        let mut layout = Layout::default();
        for (i, block) in blocks.iter().enumerate() {
            layout.blocks.push(block.elements);
            let nodes = block.tenants.iter().map(|tenant| (tenant.node, i));
            layout.block_of.extend(nodes);
        }
        layout
    }
}

/// What is alive when.
struct Lives {
    tenants: Vec<Tenant>,
    /// Bytes alive at each step without blocks.
    bytes: Vec<usize>,
}

/// How the memory of a node's outputs goes on after it.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// The last step at which somebody may use it, be it under another name; `None` if it leaves the plan.
    step: Option<usize>,
    /// Whether an operator of tract's sees it.
    seen: bool,
    /// Whether an operator may see it that is slow on memory other than tract's own.
    moved: bool,
}

impl Lives {
    fn of(plan: &TypedSimplePlan) -> Lives {
        let (model, order) = (plan.model(), plan.order_without_consts());
        let mut step_of: Vec<Option<usize>> = vec![None; model.nodes().len()];
        for (step, node) in order.iter().enumerate() {
            step_of[*node] = Some(step);
        }
        let outputs = model.output_outlets().unwrap_or_default();
        let outputs: HashSet<usize> = outputs.iter().map(|outlet| outlet.node).collect();
        let mut ends: Vec<End> = vec![End::default(); model.nodes().len()];
        let mut lives = Lives {
            tenants: Vec::new(),
            bytes: vec![0; order.len()],
        };
        for (step, id) in order.iter().copied().enumerate().rev() {
            let node = model.node(id);
            let mut end = End {
                step: (!outputs.contains(&id)).then_some(step),
                ..End::default()
            };
            let ours = node.op_is::<FusedConv>();
            let mut last_read = step;
            for (slot, outlet) in node.outputs.iter().enumerate() {
                let bytes = size(&outlet.fact);
                for reader in &outlet.successors {
                    let Some(read) = step_of[reader.node] else {
                        continue;
                    };
                    last_read = last_read.max(read);
                    let by = model.node(reader.node);
                    if ours && slot > 0 || by.op_is::<FusedConv>() {
                        // A convolution's sums are small and have memory of their own.
                        end.step = end.step.map(|step| step.max(read));
                        continue;
                    }
                    end.seen = true;
                    end.moved |= by.op_is::<AxisOp>();
                    end.step = end.step.map(|step| step.max(read));
                    // It may work in place: then its output is this memory still.
                    let may_be_ours =
                        |out: &Outlet<TypedFact>| bytes.is_none() || size(&out.fact) == bytes;
                    if by.outputs.iter().any(may_be_ours) {
                        let after = ends[reader.node];
                        end.step = end.step.zip(after.step).map(|(a, b)| a.max(b));
                        end.moved |= after.moved;
                    }
                }
            }
            ends[id] = end;
            if outputs.contains(&id) {
                last_read = order.len() - 1;
            }
            let sizes = node.outputs.iter().map(|out| size(&out.fact));
            let bytes = sizes.clone().flatten().fold(0, usize::saturating_add);
            for alive in &mut lives.bytes[step..=last_read] {
                *alive = alive.saturating_add(bytes);
            }
            let elements = sizes.clone().next().flatten().unwrap_or(0) / size_of::<f32>();
            if let Some(last) = end.step
                && ours
                && !end.moved
                && elements >= WORTH_KEEPING
            {
                lives.tenants.push(Tenant {
                    node: id,
                    elements,
                    first: step,
                    last,
                    last_read,
                    exact: end.seen,
                });
            }
        }
        lives
    }

    /// Takes away blocks that are little used, and then the least used first, until the rest is worth its memory.
    fn drop_the_dearest(&self, blocks: &mut Vec<Block>) {
        let most = self.bytes.iter().max().copied().unwrap_or(0);
        let allowed = most + (most as f64 * SURCHARGE) as usize;
        let used = |block: &Block| {
            let tenants = block.tenants.iter().map(|it| it.elements).sum::<usize>();
            // In hundredths of the block.
            tenants.saturating_mul(100) / block.elements.max(1)
        };
        blocks.retain(|block| used(block) >= 100 * WORTH_A_BLOCK);
        blocks.sort_by_key(|block| Reverse(used(block)));
        let mut outside = self.bytes.clone();
        for tenant in blocks.iter().flat_map(|block| &block.tenants) {
            tenant.change(&mut outside, usize::saturating_sub);
        }
        loop {
            let inside: usize = blocks.iter().map(|it| it.elements * size_of::<f32>()).sum();
            if inside + outside.iter().max().copied().unwrap_or(0) <= allowed {
                return;
            }
            let Some(block) = blocks.pop() else { return };
            for tenant in &block.tenants {
                tenant.change(&mut outside, usize::saturating_add);
            }
        }
    }
}

/// Bytes of a value, if its shape is known.
fn size(fact: &TypedFact) -> Option<usize> {
    let shape = fact.shape.as_concrete()?;
    let mut dims = shape.iter();
    dims.try_fold(fact.datum_type.size_of(), |size, dim| {
        size.checked_mul(*dim)
    })
}
