//! Which outputs share which block, settled before the first run.
//!
//! Given a plan's order of evaluation; promises that the tensors of one block are never alive together, and that blocks are
//! evicted until the whole needs no more memory than [`SURCHARGE`] allows. All sizes are in bytes.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use tract_core::internal::*;
use tract_core::ops::change_axes::AxisOp;

use super::room::bytes_of;
use crate::conv::is_ours;

/// Bytes below which the allocator keeps memory by itself.
const WORTH_KEEPING: usize = 1 << 15;

/// How many times its size a block must take in over a run. One with fewer tensors saves little and is there all the time: on
/// PP-OCR's detector, the most memory that the process ever had grows by a quarter without this and by about a tenth with it.
const WORTH_A_BLOCK: usize = 3;

/// By which share of what the tensors of a run need at the least, each for itself and never longer than it is read, blocks may
/// need more. The allocator needs about as much more, for what lies unused between tensors: with a half, the most memory that
/// the process ever had is the same on PP-Layout and two YOLOs. With a quarter, YOLO's large outputs find no room.
const SURCHARGE: f64 = 0.5;

/// The blocks, and which outputs are placed in which.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ArenaPlan {
    /// The bytes of each.
    pub blocks: Vec<usize>,
    /// By the node whose output it is.
    pub block_of: HashMap<usize, usize>,
    /// The most bytes of intermediate tensors that one run has at once, each tensor for itself.
    pub most_bytes: usize,
}

/// The time from the writing of an output of ours to its last reading, and the memory that it needs meanwhile.
#[derive(Debug, Clone, Copy)]
struct Interval {
    node: usize,
    bytes: usize,
    /// The steps at which it is alive: written in the first, read for the last time in the last.
    first: usize,
    last: usize,
    /// The last step of its own readers: what works in place after them counts as another tensor.
    last_read: usize,
    /// Whether tract's operators see it: they take the block's size for the tensor's.
    exact: bool,
}

impl Interval {
    /// Changes what is alive at each step by this tensor's bytes.
    fn change(&self, alive: &mut [usize], by: fn(usize, usize) -> usize) {
        for bytes in &mut alive[self.first..=self.last_read] {
            *bytes = by(*bytes, self.bytes);
        }
    }
}

#[derive(Debug, Default)]
struct Block {
    bytes: usize,
    intervals: Vec<Interval>,
}

impl Block {
    fn admits(&self, interval: &Interval) -> bool {
        let fits = if interval.exact {
            self.bytes == interval.bytes
        } else {
            self.bytes >= interval.bytes
        };
        let apart = |other: &Interval| other.last < interval.first || interval.last < other.first;
        fits && self.intervals.iter().all(apart)
    }
}

impl ArenaPlan {
    pub(crate) fn of(plan: &TypedSimplePlan) -> ArenaPlan {
        let liveness = Liveness::of(plan);
        let mut intervals = liveness.intervals.clone();
        // Large ones first make the blocks, in which smaller ones then find room.
        intervals.sort_by_key(|it| (Reverse(it.bytes), !it.exact, it.first));
        let mut blocks: Vec<Block> = Vec::new();
        for interval in intervals {
            let admitting = blocks.iter_mut().filter(|block| block.admits(&interval));
            match admitting.min_by_key(|block| block.bytes) {
                Some(block) => block.intervals.push(interval),
                None => blocks.push(Block {
                    bytes: interval.bytes,
                    intervals: vec![interval],
                }),
            }
        }
        liveness.evict(&mut blocks);
        let mut arena = ArenaPlan {
            most_bytes: liveness.most(),
            ..ArenaPlan::default()
        };
        for (i, block) in blocks.iter().enumerate() {
            arena.blocks.push(block.bytes);
            let nodes = block.intervals.iter().map(|interval| (interval.node, i));
            arena.block_of.extend(nodes);
        }
        arena
    }
}

/// What is alive when.
struct Liveness {
    intervals: Vec<Interval>,
    /// Bytes alive at each step without blocks.
    bytes: Vec<usize>,
}

/// How the memory of a node's outputs goes on after it.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// The last step at which somebody may use it, be it under another name; `None` if it leaves the plan.
    step: Option<usize>,
    /// The last step of its own readers.
    last_read: usize,
    /// Whether an operator of tract's sees it.
    seen: bool,
    /// Whether an operator may see it that is slow on memory other than tract's own.
    moved: bool,
}

impl Liveness {
    fn of(plan: &TypedSimplePlan) -> Liveness {
        let (model, order) = (plan.model(), plan.order_without_consts());
        let mut step_of: Vec<Option<usize>> = vec![None; model.nodes().len()];
        for (step, node) in order.iter().enumerate() {
            step_of[*node] = Some(step);
        }
        let outputs = model.output_outlets().unwrap_or_default();
        let outputs: HashSet<usize> = outputs.iter().map(|outlet| outlet.node).collect();
        let mut ends: Vec<End> = vec![End::default(); model.nodes().len()];
        let mut liveness = Liveness {
            intervals: Vec::new(),
            bytes: vec![0; order.len()],
        };
        for (step, id) in order.iter().copied().enumerate().rev() {
            let node = model.node(id);
            let mut end = end(model, node, step, &step_of, &ends);
            if outputs.contains(&id) {
                end.step = None;
                end.last_read = order.len() - 1;
            }
            ends[id] = end;
            liveness.add(node, step, &end);
        }
        liveness
    }

    fn add(&mut self, node: &TypedNode, step: usize, end: &End) {
        let sizes = node.outputs.iter().map(|out| size(&out.fact));
        let bytes = sizes.clone().flatten().fold(0, usize::saturating_add);
        for alive in &mut self.bytes[step..=end.last_read] {
            *alive = alive.saturating_add(bytes);
        }
        let bytes = sizes.clone().next().flatten().unwrap_or(0);
        if let Some(last) = end.step
            && is_ours(node)
            && !end.moved
            && bytes >= WORTH_KEEPING
        {
            self.intervals.push(Interval {
                node: node.id,
                bytes,
                first: step,
                last,
                last_read: end.last_read,
                exact: end.seen,
            });
        }
    }

    fn most(&self) -> usize {
        self.bytes.iter().max().copied().unwrap_or(0)
    }

    /// Takes away blocks that are little used, and then the least used first, until the rest is worth its memory.
    fn evict(&self, blocks: &mut Vec<Block>) {
        let most = self.most();
        let allowed = most + (most as f64 * SURCHARGE) as usize;
        let used = |block: &Block| {
            let bytes = block.intervals.iter().map(|it| it.bytes).sum::<usize>();
            // In hundredths of the block.
            bytes.saturating_mul(100) / block.bytes.max(1)
        };
        blocks.retain(|block| used(block) >= 100 * WORTH_A_BLOCK);
        blocks.sort_by_key(|block| Reverse(used(block)));
        let mut outside = self.bytes.clone();
        for interval in blocks.iter().flat_map(|block| &block.intervals) {
            interval.change(&mut outside, usize::saturating_sub);
        }
        loop {
            let inside: usize = blocks.iter().map(|it| it.bytes).sum();
            if inside + outside.iter().max().copied().unwrap_or(0) <= allowed {
                return;
            }
            let Some(block) = blocks.pop() else { return };
            for interval in &block.intervals {
                interval.change(&mut outside, usize::saturating_add);
            }
        }
    }
}

/// How the memory of the outputs of `node`, written in `step`, goes on; `ends` has that of all later nodes.
fn end(
    model: &TypedModel,
    node: &TypedNode,
    step: usize,
    step_of: &[Option<usize>],
    ends: &[End],
) -> End {
    let mut end = End {
        step: Some(step),
        last_read: step,
        ..End::default()
    };
    let ours = is_ours(node);
    for (slot, outlet) in node.outputs.iter().enumerate() {
        let bytes = size(&outlet.fact);
        for reader in &outlet.successors {
            let Some(read) = step_of[reader.node] else {
                continue;
            };
            end.last_read = end.last_read.max(read);
            end.step = end.step.map(|step| step.max(read));
            let by = model.node(reader.node);
            if ours && slot > 0 || is_ours(by) {
                // A convolution's sums are small and have memory of their own.
                continue;
            }
            end.seen = true;
            end.moved |= by.op_is::<AxisOp>();
            // It may work in place: then its output is this memory still.
            let may_be_ours = |out: &Outlet<TypedFact>| bytes.is_none() || size(&out.fact) == bytes;
            if by.outputs.iter().any(may_be_ours) {
                let after = ends[reader.node];
                end.step = end.step.zip(after.step).map(|(a, b)| a.max(b));
                end.moved |= after.moved;
            }
        }
    }
    end
}

/// Bytes of a value, if its shape is known and they can be counted.
fn size(fact: &TypedFact) -> Option<usize> {
    bytes_of(fact.datum_type, fact.shape.as_concrete()?)
}
