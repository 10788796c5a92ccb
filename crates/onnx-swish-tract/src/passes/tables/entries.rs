//! The entries of tables.
//!
//! Given regions; promises what their own nodes make of the 256 codes when they are lowered and run as the graph's are, in one run of
//! all regions: nothing is computed in a second way that could differ from the first.

use onnx_swish_kernels::codes::Table;
use tract_core::internal::*;

use super::regions::Region;
use crate::load::Operators;
use crate::passes::{self, Wanted};

/// Codes of a byte.
const CODES: usize = 256;

/// A table for each region.
pub(super) fn of(model: &TypedModel, regions: &[Region]) -> TractResult<Vec<Table>> {
    let mut small = Small::default();
    let mut outputs = Vec::new();
    for region in regions {
        small.add_root(model, region.root)?;
        for id in &region.nodes {
            small.add_node(model, *id)?;
        }
        outputs.push(small.wire(region.end)?);
    }
    let Small {
        graph: mut model,
        codes,
        ..
    } = small;
    model.select_output_outlets(&outputs)?;
    passes::lower(&mut model, Operators::OnnxSwish, Wanted::default())?;
    let results = TypedSimplePlan::new(model)?.run(codes)?;
    results.iter().map(|result| table(result)).collect()
}

fn table(result: &Tensor) -> TractResult<Table> {
    let bytes: Vec<u8> = match result.datum_type() {
        DatumType::I8 => {
            let plain = result.try_as_plain_ram()?;
            plain.as_slice::<i8>()?.iter().map(|x| *x as u8).collect()
        }
        _ => result.try_as_plain_ram()?.as_slice::<u8>()?.to_vec(),
    };
    let found = bytes.len();
    bytes
        .try_into()
        .map_err(|_| format_err!("{found} entries for {CODES} codes"))
}

/// The graph of all regions, each root an input of as many elements as there are codes.
#[derive(Default)]
struct Small {
    graph: TypedModel,
    /// What is what in it.
    wires: HashMap<OutletId, OutletId>,
    /// For its inputs.
    codes: TVec<TValue>,
}

impl Small {
    fn wire(&self, outlet: OutletId) -> TractResult<OutletId> {
        let wire = self.wires.get(&outlet).copied();
        wire.with_context(|| format!("{outlet:?} is in no region"))
    }

    /// Its rank is the root's, so that operands fit as they are, and codes lie along the last axis that may have several elements:
    /// which axes have one decides about roundings of ONNX Runtime's sums.
    fn add_root(&mut self, model: &TypedModel, root: OutletId) -> TractResult<()> {
        if self.wires.contains_key(&root) {
            return Ok(());
        }
        let fact = model.outlet_fact(root)?;
        let mut shape: TVec<usize> = tvec!(1; fact.rank());
        let several = fact.shape.iter().rposition(|size| *size != 1.to_dim());
        let axis = several.or(fact.rank().checked_sub(1));
        let size = axis.and_then(|axis| shape.get_mut(axis));
        *size.context("a code without axes")? = CODES;
        let codes = match fact.datum_type {
            DatumType::I8 => {
                let all: Vec<i8> = (0..=255u8).map(u8::cast_signed).collect();
                Tensor::from_shape(&shape, &all)?
            }
            _ => {
                let all: Vec<u8> = (0..=255).collect();
                Tensor::from_shape(&shape, &all)?
            }
        };
        let name = self.graph.unique_name("codes");
        let wire = self.graph.add_source(name, fact.datum_type.fact(&*shape))?;
        self.wires.insert(root, wire);
        self.codes.push(codes.into_tvalue());
        Ok(())
    }

    fn add_node(&mut self, model: &TypedModel, id: usize) -> TractResult<()> {
        let outlet = OutletId::new(id, 0);
        if self.wires.contains_key(&outlet) {
            return Ok(());
        }
        let node = model.node(id);
        let mut inputs: TVec<OutletId> = tvec!();
        for input in &node.inputs {
            inputs.push(match &model.outlet_fact(*input)?.konst {
                Some(constant) => {
                    let name = self.graph.unique_name("constant");
                    self.graph.add_const(name, constant.clone())?
                }
                None => self.wire(*input)?,
            });
        }
        let name = self.graph.unique_name(&*node.name);
        let wires = self.graph.wire_node(name, node.op.clone(), &inputs)?;
        let wire = *wires.first().context("a node without an output")?;
        self.wires.insert(outlet, wire);
        Ok(())
    }
}
