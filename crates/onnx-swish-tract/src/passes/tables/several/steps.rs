//! The steps of a region.
//!
//! Given its nodes; promises the operators that tract and our passes make of them, as they would in the graph.

use tract_core::internal::*;
use tract_core::ops::binary::{BinMiniOp, OptBinByScalar, OptBinChain, OptBinUnicast, TypedBinOp};
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::konst::Const;
use tract_core::ops::math;
use tract_core::ops::source::TypedSource;

use super::super::regions::is_single;
use crate::load::Operators;
use crate::ops::Exact;
use crate::ops::elementwise::{Arithmetic, Operand, Step, Work};
use crate::passes::{self, Wanted};

/// The elements for which operators are chosen; each of them takes any number.
const ELEMENTS: usize = 4096;

/// The steps from these floats to what `end` quantises; `None` where there are none.
pub(super) fn of(
    model: &TypedModel,
    nodes: &[usize],
    end: usize,
    floats: &[OutletId],
) -> TractResult<Option<Vec<Step>>> {
    let Some(mut graph) = small(model, nodes, end, floats)? else {
        return Ok(None);
    };
    passes::lower(&mut graph, Operators::OnnxSwish, Wanted::default())?;
    let mut reader = Reader {
        graph: &graph,
        values: HashMap::new(),
        inputs: floats.len(),
        steps: Vec::new(),
    };
    for (value, input) in graph.input_outlets()?.iter().enumerate() {
        reader.values.insert(*input, value);
    }
    for id in graph.eval_order()? {
        if !reader.add(graph.node(id))? {
            return Ok(None);
        }
    }
    let last = (reader.inputs + reader.steps.len()).checked_sub(1);
    let result = graph.output_outlets()?.first();
    let result = result.and_then(|outlet| reader.values.get(outlet).copied());
    let is_last = result.is_some() && result == last && !reader.steps.is_empty();
    Ok(is_last.then_some(reader.steps))
}

/// The region with one axis.
fn small(
    model: &TypedModel,
    nodes: &[usize],
    end: usize,
    floats: &[OutletId],
) -> TractResult<Option<TypedModel>> {
    let mut graph = TypedModel::default();
    let mut wires: HashMap<OutletId, OutletId> = HashMap::new();
    for input in floats {
        let name = graph.unique_name("floats");
        let wire = graph.add_source(name, f32::fact([ELEMENTS]))?;
        wires.insert(*input, wire);
    }
    for id in nodes {
        let node = model.node(*id);
        let mut inputs: TVec<OutletId> = tvec!();
        for input in &node.inputs {
            let fact = model.outlet_fact(*input)?;
            if let Some(wire) = wires.get(input) {
                inputs.push(*wire);
            } else if let Some(constant) = fact.konst.as_ref().filter(|_| is_single(fact)) {
                let constant = constant.clone().into_tensor().into_shape(&[1])?;
                let name = graph.unique_name("constant");
                inputs.push(graph.add_const(name, constant)?);
            } else {
                return Ok(None);
            }
        }
        let name = graph.unique_name(&*node.name);
        let made = graph.wire_node(name, node.op.clone(), &inputs)?;
        let &[wire] = &*made else { return Ok(None) };
        wires.insert(OutletId::new(*id, 0), wire);
    }
    let last = model.node(end).inputs.first();
    let Some(last) = last.and_then(|outlet| wires.get(outlet).copied()) else {
        return Ok(None);
    };
    graph.select_output_outlets(&[last])?;
    Ok(Some(graph))
}

/// A lowered graph that becomes steps.
struct Reader<'a> {
    graph: &'a TypedModel,
    values: HashMap<OutletId, usize>,
    inputs: usize,
    steps: Vec<Step>,
}

impl Reader<'_> {
    /// Adds what a node computes, if that can be a step.
    fn add(&mut self, node: &TypedNode) -> TractResult<bool> {
        if node.op_is::<TypedSource>() || node.op_is::<Const>() {
            return Ok(true);
        }
        let mut operands: TVec<Operand> = tvec!();
        for input in &node.inputs {
            let fact = self.graph.outlet_fact(*input)?;
            operands.push(match (self.values.get(input), &fact.konst) {
                (Some(value), _) => Operand::Value(*value),
                (None, Some(constant)) if is_single(fact) => Operand::Constant(constant.clone()),
                _ => return Ok(false),
            });
        }
        let facts = self.graph.node_input_facts(node.id)?;
        let single = facts.iter().all(|fact| fact.datum_type == DatumType::F32);
        let any_value = operands.iter().any(|it| matches!(it, Operand::Value(_)));
        if node.outputs.len() != 1 || !any_value {
            return Ok(false);
        }
        if let Some(ops) = single.then(|| roundings(node)).flatten()
            && operands.len() == ops.len() + 1
        {
            let mut operands = operands.into_iter();
            let mut first = operands.next();
            for (op, other) in ops.into_iter().zip(operands) {
                let Some(x) = first else { return Ok(false) };
                self.steps.push(Step {
                    work: Work::Arithmetic(op),
                    operands: tvec!(x, other),
                });
                first = Some(Operand::Value(self.last()));
            }
        } else {
            let unary = node.op_as::<ElementWiseOp>();
            let in_place = unary.filter(|op| {
                single && op.1.is_none() && op.0.output_type(DatumType::F32).is_none()
            });
            let work = match in_place {
                Some(op) => Work::InPlace(op.0.clone()),
                None => Work::Whole(node.op.clone()),
            };
            self.steps.push(Step { work, operands });
        }
        self.values.insert(node.id.into(), self.last());
        Ok(true)
    }

    fn last(&self) -> usize {
        (self.inputs + self.steps.len()).saturating_sub(1)
    }
}

/// What a node computes of its first operand and each other, one after the other, if all of that is arithmetic.
fn roundings(node: &TypedNode) -> Option<TVec<Arithmetic>> {
    if let Some(op) = node.op_as::<TypedBinOp>() {
        let plain = op.1.is_none();
        return plain
            .then(|| arithmetic(Exact::behind(op)))?
            .map(|op| tvec!(op));
    }
    if let Some(op) = node.op_as::<OptBinByScalar>() {
        return arithmetic(&*op.binop).map(|op| tvec!(op));
    }
    if let Some(op) = node.op_as::<OptBinUnicast>() {
        return arithmetic(&*op.binop).map(|op| tvec!(op));
    }
    let chain = node.op_as::<OptBinChain>()?;
    chain
        .steps
        .iter()
        .map(|step| arithmetic(&*step.binop))
        .collect()
}

/// What is rounded once by its nature.
pub(super) fn arithmetic(op: &dyn BinMiniOp) -> Option<Arithmetic> {
    Some(match () {
        () if op.is::<math::Add>() => Arithmetic::Add,
        () if op.is::<math::Sub>() => Arithmetic::Subtract,
        () if op.is::<math::SubF>() => Arithmetic::SubtractFrom,
        () if op.is::<math::Mul>() => Arithmetic::Multiply,
        () if op.is::<math::Div>() => Arithmetic::Divide,
        () => return None,
    })
}
