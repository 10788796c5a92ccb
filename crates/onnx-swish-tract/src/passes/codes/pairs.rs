//! Additions, gates and pools between dequantised codes.
//!
//! Given a graph; promises one node from codes to codes for the sum of two tensors, and for the product of one and a factor for each of
//! its planes, to the same bits, where the result is quantised again; and exact sums of planes.

use onnx_swish_kernels::codes::{Linear, Pair};
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::math::{Add, Max, Mul};
use tract_core::ops::nn::{Reduce, Reducer};

use super::{dequantized, only_reader, quantized};
use crate::ops::{CodePair, CodeSums, Exact, Second};
use crate::passes::{CodeTable, Findings};

pub(super) fn take_over(model: &mut TypedModel, findings: &mut Findings) -> TractResult<()> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let patch = if let Some(op) = node.op_as::<TypedBinOp>().filter(|op| op.1.is_none()) {
            let op = Exact::behind(op);
            if op.is::<Add>() || op.is::<Mul>() {
                pair(model, node, op.is::<Add>())?
            } else {
                None
            }
        } else if let Some(op) = node.op_as::<Reduce>() {
            sums(model, node, op)?
        } else {
            None
        };
        if let Some((patch, found)) = patch {
            patch.apply(model)?;
            findings.tables.push(found);
        }
    }
    Ok(())
}

/// What goes in the place of some nodes, and what is said of it.
type Replaced = (TypedModelPatch, CodeTable);

/// What became of these nodes, the last of which names it.
fn found(model: &TypedModel, nodes: &[usize], what: &str) -> CodeTable {
    let names = nodes.iter().map(|id| model.node(*id).name.clone());
    let nodes: Vec<String> = names.collect();
    CodeTable {
        node: nodes.last().cloned().unwrap_or_default(),
        what: what.to_owned(),
        between_codes: true,
        table: false,
        left: None,
        nodes,
    }
}

/// The sum or the product of two dequantised tensors that is quantised again.
fn pair(model: &TypedModel, node: &TypedNode, is_sum: bool) -> TractResult<Option<Replaced>> {
    let &[a, b] = &*node.inputs else {
        return Ok(None);
    };
    let (Some(mut a), Some(mut b)) = (dequantized(model, a)?, dequantized(model, b)?) else {
        return Ok(None);
    };
    let shape = &node.outputs[0].fact.shape;
    let shape_of = |codes: OutletId| TractResult::Ok(&model.outlet_fact(codes)?.shape);
    let second = if is_sum {
        if shape_of(a.0)? != shape || shape_of(b.0)? != shape {
            return Ok(None);
        }
        Second::Added
    } else {
        if shape_of(a.0)? != shape {
            std::mem::swap(&mut a, &mut b);
        }
        if shape_of(a.0)? != shape || !is_one_for_each_plane(shape_of(b.0)?, shape) {
            return Ok(None);
        }
        Second::Gate
    };
    let Some((relu, quantize, to)) = end(model, node.id)? else {
        return Ok(None);
    };
    let op = CodePair {
        pair: Pair {
            a: a.1,
            b: b.1,
            to,
            relu: relu.is_some(),
        },
        second,
        to: model.outlet_fact(quantize.into())?.datum_type,
    };
    let mut patch = TypedModelPatch::new("onnx-swish codes of two tensors");
    let taps = patch.taps(model, &[a.0, b.0])?;
    let name = &*model.node(quantize).name;
    let wire = patch.wire_node(name, op, &taps)?[0];
    patch.shunt_outside(model, quantize.into(), wire)?;
    let what = match (second, &relu) {
        (Second::Added, None) => "sum of two tensors",
        (Second::Added, Some(_)) => "sum of two tensors, ReLU,",
        (Second::Gate, None) => "product of planes and their factors",
        (Second::Gate, Some(_)) => "product of planes and their factors, ReLU,",
    };
    let nodes: Vec<usize> = [node.id]
        .into_iter()
        .chain(relu)
        .chain([quantize])
        .collect();
    let found = found(model, &nodes, what);
    for node in nodes {
        patch.obliterate(node)?;
    }
    Ok(Some((patch, found)))
}

/// The rectifier behind a node, if there is one, the quantisation behind that, and its parameters.
fn end(model: &TypedModel, node: usize) -> TractResult<Option<(Option<usize>, usize, Linear)>> {
    if let Some((quantize, to)) = quantized(model, node.into())? {
        return Ok(Some((None, quantize, to)));
    }
    let Some(relu) = only_reader(model, node.into())? else {
        return Ok(None);
    };
    let Some(TypedBinOp(op, None)) = model.node(relu).op_as::<TypedBinOp>() else {
        return Ok(None);
    };
    let zero = |input: &OutletId| {
        let constant = model.outlet_fact(*input)?.konst.clone();
        let zero = constant.filter(|it| it.len() == 1 && it.datum_type() == DatumType::F32);
        TractResult::Ok(zero.is_some_and(|it| it.as_bytes() == [0; 4]))
    };
    let mut is_relu = op.is::<Max>();
    if is_relu {
        let zeros = model.node(relu).inputs.iter().map(zero);
        is_relu = zeros.collect::<TractResult<Vec<bool>>>()?.contains(&true);
    }
    if !is_relu {
        return Ok(None);
    }
    let end = quantized(model, relu.into())?;
    Ok(end.map(|(quantize, to)| (Some(relu), quantize, to)))
}

/// Whether a shape is the other with ones from some axis on. Two of one shape have planes of one element, which have no factor in common:
/// those are a region of several codes.
fn is_one_for_each_plane(gate: &ShapeFact, whole: &ShapeFact) -> bool {
    if gate.rank() != whole.rank() {
        return false;
    }
    let one = TDim::Val(1);
    let same = gate.iter().zip(whole.iter());
    let same = same.take_while(|(gate, whole)| gate == whole).count();
    same < whole.rank() && gate.iter().skip(same).all(|size| *size == one)
}

/// The sum over each plane of a dequantised tensor.
fn sums(model: &TypedModel, node: &TypedNode, op: &Reduce) -> TractResult<Option<Replaced>> {
    let mut axes = op.axes.to_vec();
    axes.sort_unstable();
    let (Some(first), &[input]) = (axes.first().copied(), &*node.inputs) else {
        return Ok(None);
    };
    let rank = model.outlet_fact(input)?.rank();
    if op.reducer != Reducer::Sum || !axes.into_iter().eq(first..rank) {
        return Ok(None);
    }
    let Some((codes, linear)) = dequantized(model, input)? else {
        return Ok(None);
    };
    let op = CodeSums { linear, first };
    let patch = TypedModelPatch::replace_single_op(model, node, &[codes], op)?;
    let found = CodeTable {
        between_codes: false,
        ..found(
            model,
            &[node.id],
            "exact sums of planes of codes, to floats",
        )
    };
    Ok(Some((patch, found)))
}
