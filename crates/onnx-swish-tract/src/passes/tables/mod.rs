//! Regions between 8-bit codes as tables, and codes between floats as one activation.
//!
//! Given a decluttered graph in which such regions stand as they were written; promises the same codes and the same floats, bit for bit:
//! the entries of a table are what the region's own nodes make of the 256 codes, lowered and run as the graph itself would be.

pub(super) mod as_written;
mod entries;
mod floats;
mod left;
mod regions;
pub(super) mod several;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use onnx_swish_kernels::codes::Table;
use serde::Serialize;
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use crate::ops::{
    Dequantize, LookUp, QAverage, QGlobalAverage, QLinear, QSoftmax, Quantize, is_code,
};
use regions::Region;

/// What a quantised model computes from 8-bit codes, element by element, and how it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CodeTable {
    /// The node's name in tract's graph, which keeps the model's names.
    pub node: String,
    /// What it computes, in words: `SiLU`; `rounding` where floats become codes and floats again.
    pub what: String,
    /// Whether codes come in and go out. Else floats do: nobody reads the codes, and convolutions take the whole along.
    pub between_codes: bool,
    /// Whether a table of 256 entries is looked up. Of an activation between codes that changes none of them nothing is.
    pub table: bool,
    /// Why floats become codes in a node of their own here: a clause about them. None for what is a table or an activation.
    pub left: Option<String>,
    /// The nodes of tract's graph that went into it.
    pub nodes: Vec<String>,
}

impl CodeTable {
    /// Whether it is a SiLU, Swish or HardSwish that is looked up.
    pub fn is_quantised_swish(&self) -> bool {
        self.table && words::is_swish(&self.what)
    }

    /// On one line: `SiLU from codes to codes, table of 256`.
    pub fn description(&self) -> String {
        let what = &self.what;
        if let Some(left) = &self.left {
            format!("{what}: {left}")
        } else if self.between_codes && !self.table && words::is_swish(what) {
            format!("{what} that changes no code: nothing runs for it")
        } else if self.between_codes && self.table {
            format!("{what} from codes to codes, table of 256")
        } else if self.between_codes {
            format!("{what} from codes to codes")
        } else if !self.table && what != floats::ROUNDING {
            what.clone()
        } else if what == floats::ROUNDING {
            "rounding to codes, from floats to floats".to_owned()
        } else {
            format!("{what} through codes, from floats to floats, table of 256")
        }
    }
}

/// Replaces what it finds, and lists it.
pub(super) fn take_over(model: &mut TypedModel) -> TractResult<Vec<CodeTable>> {
    let has_codes = |node: &TypedNode| {
        let mut types = node.outputs.iter().map(|output| output.fact.datum_type);
        types.any(|dt| is_code(dt) || matches!(dt, DatumType::U16 | DatumType::I16))
    };
    if !model.nodes().iter().any(has_codes) {
        return Ok(Vec::new());
    }
    merge_equal(model)?;
    let mut found = Vec::new();
    let regions = regions::find(model)?;
    if !regions.is_empty() {
        let tables = entries::of(model, &regions)?;
        // All are described before the first is replaced: one may lie within the next.
        let described = regions.iter().map(|region| describe(model, region));
        let described = described.collect::<TractResult<Vec<_>>>()?;
        for ((region, table), table_found) in regions.iter().zip(tables).zip(described) {
            let is_made = replace(model, region, table, &table_found)?;
            if is_made || words::is_swish(&table_found.what) {
                found.push(CodeTable {
                    table: is_made,
                    ..table_found
                });
            }
        }
        // What lies within a region has no reader any more, and must not count as one.
        model.compact()?;
    }
    found.extend(model.nodes().iter().filter_map(combined));
    Ok(found)
}

/// An operator on codes that is no function of one code.
fn combined(node: &TypedNode) -> Option<CodeTable> {
    let what = if let Some(op) = node.op_as::<QLinear>() {
        let what = if op.is_sum() { "sum" } else { "product" };
        format!("{what} of two tensors")
    } else if node.op_is::<QGlobalAverage>() {
        "means of planes".to_owned()
    } else if node.op_is::<QAverage>() {
        "means of windows".to_owned()
    } else if node.op_is::<QSoftmax>() {
        "softmax".to_owned()
    } else {
        return None;
    };
    Some(CodeTable {
        node: node.name.clone(),
        what,
        between_codes: true,
        table: false,
        left: None,
        nodes: vec![node.name.clone()],
    })
}

/// Makes activations of codes that nobody reads, and lists what floats still become codes for.
pub(super) fn between_floats(
    model: &mut TypedModel,
    found: &mut Vec<CodeTable>,
) -> TractResult<()> {
    floats::take_over(model, found)?;
    model.compact()?;
    found.extend(left::of(model)?);
    Ok(())
}

/// The operator of a node, if it is of this kind.
pub(super) fn element_wise<T: ElementWiseMiniOp>(node: &TypedNode) -> Option<&T> {
    node.op_as::<ElementWiseOp>()?.0.downcast_ref::<T>()
}

/// Whether a scale is one that engines agree about: with zero, infinite or subnormal ones they do not.
pub(super) fn is_sane(scale: f32) -> bool {
    scale.is_normal() && scale > 0.0
}

/// Makes one of operators that quantise the same floats by the same parameters, or dequantise the same codes: some exporters write a
/// pair for each reader.
fn merge_equal(model: &mut TypedModel) -> TractResult<()> {
    let mut first: HashMap<OutletId, Vec<usize>> = HashMap::new();
    let outputs = model.output_outlets()?.to_vec();
    for id in model.eval_order()? {
        let node = model.node(id);
        let quantises = element_wise::<Quantize>(node).is_some();
        if !quantises && element_wise::<Dequantize>(node).is_none() {
            continue;
        }
        let &[input] = &*node.inputs else { continue };
        let equals = first.entry(input).or_default();
        let equal = equals
            .iter()
            .find(|other| model.node(**other).op.dyn_eq(&*node.op));
        match equal {
            Some(other) if !outputs.contains(&OutletId::new(id, 0)) => {
                let mut patch = TypedModelPatch::new("equal codes");
                let tap = patch.tap_model(model, OutletId::new(*other, 0))?;
                patch.shunt_outside(model, id.into(), tap)?;
                patch.obliterate(id)?;
                patch.apply(model)?;
            }
            Some(_) => {}
            None => equals.push(id),
        }
    }
    model.compact()
}

fn describe(model: &TypedModel, region: &Region) -> TractResult<CodeTable> {
    let name = |id: &usize| model.node(*id).name.clone();
    Ok(CodeTable {
        node: name(&region.end.node),
        what: words::of(model, region)?,
        between_codes: true,
        table: true,
        left: None,
        nodes: region.nodes.iter().map(name).collect(),
    })
}

/// Puts a table in the place of a region's last node, or nothing where the table would change nothing: whether there is one.
fn replace(
    model: &mut TypedModel,
    region: &Region,
    table: Table,
    found: &CodeTable,
) -> TractResult<bool> {
    let Region { root, end, .. } = region;
    let (from, to) = (
        model.outlet_fact(*root)?.datum_type,
        model.outlet_fact(*end)?.datum_type,
    );
    let is_needed = from != to || !(0..=255).eq(table) || model.output_outlets()?.contains(end);
    let mut patch = TypedModelPatch::new("onnx-swish table");
    let tap = patch.tap_model(model, *root)?;
    let wire = if !is_needed {
        tap
    } else {
        let table = Arc::new(table);
        let op = LookUp {
            table,
            from,
            to,
            what: found.what.clone(),
        };
        patch.wire_node(&*found.node, op.into_op(), &[tap])?[0]
    };
    patch.shunt_outside(model, *end, wire)?;
    patch.obliterate(end.node)?;
    patch.apply(model)?;
    Ok(is_needed)
}
