//! Codes that nobody reads: floats that are quantised, perhaps looked up in a table, and dequantised.
//!
//! Given a graph whose tables are made; promises one activation in the place of each such run of nodes, to the same bits.

use onnx_swish_kernels::codes;
use tract_core::internal::*;

use super::{CodeTable, element_wise, is_sane};
use crate::ops::{Dequantize, LookUp, Quantize, Requantize};

/// What a table is called that is none.
pub(super) const ROUNDING: &str = "rounding";

/// A run of nodes.
struct Run<'a> {
    floats: OutletId,
    by: codes::Requantize,
    table: Option<&'a TypedNode>,
    what: Option<String>,
    /// All of them compute the same.
    ends: Vec<usize>,
    nodes: Vec<usize>,
}

pub(super) fn take_over(model: &mut TypedModel, found: &mut Vec<CodeTable>) -> TractResult<()> {
    for id in model.eval_order()? {
        let Some(run) = Run::from(model, model.node(id))? else {
            continue;
        };
        let names = run.nodes.iter().map(|id| model.node(*id).name.clone());
        let mut nodes: Vec<String> = names.collect();
        let name = model.node(run.ends[0]).name.clone();
        let table = run.table.map(|node| &node.name);
        if let Some(at) = found.iter().position(|found| Some(&found.node) == table) {
            nodes.extend(found.remove(at).nodes);
        }
        found.push(CodeTable {
            node: name.clone(),
            what: run.what.clone().unwrap_or_else(|| ROUNDING.to_owned()),
            between_codes: false,
            table: run.table.is_some(),
            left: None,
            nodes,
        });
        let op = Requantize {
            by: run.by,
            what: run.what,
        };
        let mut patch = TypedModelPatch::new("onnx-swish codes between floats");
        let tap = patch.tap_model(model, run.floats)?;
        let wire = patch.wire_node(name, op.into_op(), &[tap])?[0];
        for end in &run.ends {
            patch.shunt_outside(model, OutletId::new(*end, 0), wire)?;
        }
        for id in run.nodes {
            patch.obliterate(id)?;
        }
        patch.apply(model)?;
    }
    Ok(())
}

impl<'a> Run<'a> {
    /// That begins here, if one does.
    fn from(model: &'a TypedModel, first: &'a TypedNode) -> TractResult<Option<Run<'a>>> {
        let Some(quantize) = element_wise::<Quantize>(first).filter(|op| is_sane(op.scale)) else {
            return Ok(None);
        };
        let (Some(quantize), &[floats]) = (quantize.linear(), &*first.inputs) else {
            return Ok(None);
        };
        let fact = model.outlet_fact(floats)?;
        if fact.datum_type != DatumType::F32 || !fact.is_plain() {
            return Ok(None);
        }
        let outputs = model.output_outlets()?;
        let mut last = first;
        let mut nodes = vec![first.id];
        let readers = |node: &TypedNode| -> Vec<usize> {
            let successors = node.outputs.iter().flat_map(|output| &output.successors);
            successors.map(|inlet| inlet.node).collect()
        };
        let mut look_up = None;
        if let [only] = *readers(first)
            && !outputs.contains(&first.id.into())
            && let Some(op) = element_wise::<LookUp>(model.node(only))
        {
            last = model.node(only);
            nodes.push(only);
            look_up = Some(op);
        }
        let ends = readers(last);
        let Some(dequantize) = ends
            .first()
            .and_then(|end| element_wise::<Dequantize>(model.node(*end)))
            .filter(|op| is_sane(op.scale) && op.to == DatumType::F32)
        else {
            return Ok(None);
        };
        let alike = ends
            .iter()
            .all(|end| element_wise::<Dequantize>(model.node(*end)) == Some(dequantize));
        if !alike || outputs.contains(&last.id.into()) {
            return Ok(None);
        }
        let Some(dequantize) = dequantize.linear(last.outputs[0].fact.datum_type) else {
            return Ok(None);
        };
        let table = look_up.map(|op| *op.table);
        let Some(by) = codes::Requantize::new(quantize, table, dequantize) else {
            return Ok(None);
        };
        nodes.extend(&ends);
        Ok(Some(Run {
            floats,
            by,
            table: look_up.map(|_| last),
            what: look_up.map(|op| op.what.clone()),
            ends,
            nodes,
        }))
    }
}
