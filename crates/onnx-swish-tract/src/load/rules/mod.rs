//! What ONNX demands of nodes, checked before tract sees them: it panics at what breaks these rules, or runs and gives something.
//!
//! Given a node and what is known of its inputs; promises an error in words for each rule that is broken as soon as it can be known:
//! when the file is read, when shapes and constants are known, and for indices and divisors while the model runs.

mod attributes;
mod axes;
mod codes;
mod operands;
mod ranks;
mod shapes;

pub(crate) use attributes::check as check_attributes;
pub(super) use codes::{GATE, GATED, GATES};

use std::sync::Arc;

use tract_hir::internal::*;
use tract_onnx::model::{OnnxOpRegister, ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::attribute_proto::AttributeType;

use super::limits;
use super::repairs::Built;
use crate::arena::room_for;
use crate::error::{Error, Refusal};
use crate::ops::function::integers;
use crate::ops::operand::{Guard, Operand};

/// Under this and its own name an operator's builder stays reachable.
const BARE: &str = "bare::";

/// Puts every operator's builder behind the rules.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    let builders = std::mem::take(&mut operators.0);
    for operator in super::qlinear::operators() {
        let name = format!("{GATE}{operator}");
        operators.0.insert(name, codes::gate);
    }
    for (name, builder) in builders {
        if name.contains(':') {
            operators.0.insert(name, builder);
        } else {
            operators.0.insert(format!("{BARE}{name}"), builder);
            operators.0.insert(name, checked);
        }
    }
}

fn checked(ctx: &ParsingContext, node: &NodeProto) -> Built {
    limits::check()?;
    let build = ctx
        .framework
        .op_register
        .0
        .get(&format!("{BARE}{}", node.op_type));
    let build = build.with_context(|| format!("there is no operator {}", node.op_type))?;
    let (own, captured) = build(ctx, node)
        .map_err(|error| Node::of(node).named(error))
        .with_context(|| format!("Building node {} ({})", display_name(node), node.op_type))?;
    // tract looks for constants by their type.
    if own
        .as_op()
        .downcast_ref::<tract_core::ops::konst::Const>()
        .is_some()
    {
        return Ok((own, captured));
    }
    let op = Checked {
        own,
        node: Arc::new(Node::of(node)),
    };
    Ok((Box::new(op), captured))
}

/// What the rules need to know of a node.
#[derive(Debug, Default)]
struct Node {
    name: String,
    operator: String,
    /// Names and places of its inputs; tract skips those that are left out.
    inputs: Vec<Option<(String, usize)>>,
    attributes: Vec<(String, Vec<i64>)>,
    axes: Vec<axes::Axes>,
    operands: Vec<operands::Slot>,
    window: Option<shapes::Window>,
}

impl Node {
    fn of(node: &NodeProto) -> Node {
        let attributes = node
            .attribute
            .iter()
            .filter_map(|attribute| Some((attribute.name.clone(), values(node, &attribute.name)?)));
        Node {
            name: display_name(node),
            operator: node.op_type.clone(),
            inputs: Node::inputs_of(node),
            attributes: attributes.collect(),
            axes: axes::of(node),
            operands: operands::of(node),
            window: shapes::window(node),
        }
    }

    fn inputs_of(node: &NodeProto) -> Vec<Option<(String, usize)>> {
        let names = node.input.iter().cloned();
        let places = optional_inputs(node);
        names
            .zip(places)
            .map(|(name, place)| Some((name, place?)))
            .collect()
    }

    fn attribute(&self, name: &str) -> Option<&[i64]> {
        let found = self.attributes.iter().find(|(own, _)| own == name);
        found.map(|(_, values)| values.as_slice())
    }

    fn input_name(&self, slot: usize) -> &str {
        self.inputs
            .get(slot)
            .and_then(Option::as_ref)
            .map_or("", |(name, _)| name)
    }

    fn operand(&self, slot: &operands::Slot) -> Operand {
        Operand {
            role: slot.role,
            node: self.name.clone(),
            operator: self.operator.clone(),
            name: self.input_name(slot.operand).to_owned(),
            data: self.input_name(slot.data).to_owned(),
        }
    }

    /// Where tract has the input that the standard calls by this number.
    fn place(&self, slot: usize) -> Option<usize> {
        Some(self.inputs.get(slot)?.as_ref()?.1)
    }

    fn mismatch(&self, reason: String) -> Error {
        Error::Mismatch {
            node: self.name.clone(),
            operator: self.operator.clone(),
            reason,
        }
    }

    /// A refusal by a part that does not know the node's name, as an error that does.
    fn named(&self, error: TractError) -> TractError {
        let refusal = error.chain().find_map(|cause| cause.downcast_ref());
        match refusal {
            Some(Refusal::Broken(reason)) => self.mismatch(reason.clone()).into(),
            Some(Refusal::Unimplemented(reason)) => Error::Unimplemented {
                node: self.name.clone(),
                operator: self.operator.clone(),
                reason: reason.clone(),
            }
            .into(),
            None => error,
        }
    }

    fn check(&self, known: &Known<'_>) -> TractResult<()> {
        if let Some(reason) = codes::broken(self, known) {
            return Err(self.mismatch(reason).into());
        }
        axes::check(self, known)?;
        for slot in &self.operands {
            let values = known.value(slot.operand).and_then(numbers);
            if let (Some(values), Some(shape)) = (values, known.shape(slot.data)) {
                self.operand(slot).checked(values, &shape)?;
            }
        }
        shapes::check(self, known)?;
        if let Some(reason) = ranks::broken(self, known) {
            return Err(self.mismatch(reason).into());
        }
        Ok(())
    }
}

/// What is known of a node's inputs, by the standard's numbers.
struct Known<'a> {
    node: &'a Node,
    facts: &'a [&'a InferenceFact],
}

impl Known<'_> {
    fn fact(&self, slot: usize) -> Option<&InferenceFact> {
        self.facts.get(self.node.place(slot)?).copied()
    }

    fn rank(&self, slot: usize) -> Option<usize> {
        let rank = self.fact(slot)?.shape.rank().concretize()?;
        usize::try_from(rank).ok()
    }

    /// The sizes, each if it is known.
    fn dims(&self, slot: usize) -> Option<Vec<Option<usize>>> {
        let rank = self.rank(slot)?;
        let known = self.fact(slot)?.shape.dims();
        let mut dims: Vec<Option<usize>> = known
            .map(|dim| usize::try_from(dim.concretize()?.as_i64()?).ok())
            .collect();
        dims.resize(rank, None);
        Some(dims)
    }

    /// The sizes, if all are known.
    fn shape(&self, slot: usize) -> Option<Vec<usize>> {
        self.dims(slot)?.into_iter().collect()
    }

    fn value(&self, slot: usize) -> Option<Arc<Tensor>> {
        self.fact(slot)?.value.concretize()
    }

    fn integers(&self, slot: usize) -> Option<Vec<i64>> {
        // A size that is no number yet is not known.
        integers(self.value(slot)?.as_ref()).ok()
    }
}

/// An operator whose rules are checked before it does what it does.
#[derive(Debug, Clone)]
struct Checked {
    own: Box<dyn InferenceOp>,
    node: Arc<Node>,
}

impl PartialEq for Checked {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Checked {}

impl Op for Checked {
    fn name(&self) -> StaticName {
        self.own.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Checked {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let mut inputs = inputs;
        for slot in &self.node.operands {
            let places = (self.node.place(slot.operand), self.node.place(slot.data));
            let (Some(operand), Some(data)) = places else {
                continue;
            };
            let (Some(values), Some(data)) = (inputs.get(operand), inputs.get(data)) else {
                continue;
            };
            // Sizes that are no numbers yet are tract's own.
            if values.datum_type() == DatumType::TDim {
                continue;
            }
            let checked = self
                .node
                .operand(slot)
                .checked(values.clone(), data.shape())?;
            if let Some(values) = inputs.get_mut(operand) {
                *values = checked;
            }
        }
        self.own.eval_out_of_plan(inputs)
    }

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.own.eval(context, inputs)
    }
}

impl InferenceOp for Checked {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(
        TVec<InferenceFact>,
        TVec<InferenceFact>,
        TVec<InferenceFact>,
    )> {
        limits::check()?;
        let known = Known {
            node: &self.node,
            facts: &inputs,
        };
        self.node.check(&known)?;
        let constant = inputs.iter().all(|input| input.value.is_concrete());
        let inferred = self
            .own
            .infer_facts(inputs, outputs, observed)
            .map_err(|error| self.node.named(error))?;
        for output in &inferred.1 {
            room_for_output(output, constant)?;
        }
        Ok(inferred)
    }

    fn observe_outlets(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Vec<OutletId>> {
        self.own.observe_outlets(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.own.nboutputs()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        limits::check()?;
        let facts = node.inputs.iter().map(|input| source.outlet_fact(*input));
        let facts: Vec<&InferenceFact> = facts.collect::<TractResult<_>>()?;
        let known = Known {
            node: &self.node,
            facts: &facts,
        };
        self.node.check(&known)?;
        let named = |error| self.node.named(error);
        if self.node.operands.is_empty() {
            let typed = self.own.to_typed(source, node, target, mapping);
            return typed.map_err(named);
        }
        let inputs = node
            .inputs
            .iter()
            .filter_map(|input| Some((*input, *mapping.get(input)?)));
        let mut inputs: HashMap<OutletId, OutletId> = inputs.collect();
        for slot in &self.node.operands {
            self.guard(slot, node, target, &mut inputs)?;
        }
        self.own
            .to_typed(source, node, target, &inputs)
            .map_err(named)
    }

    fn as_op(&self) -> &dyn Op {
        self
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self
    }
}

impl Checked {
    /// Puts a check between an operand and the operator; what is constant is checked now.
    fn guard(
        &self,
        slot: &operands::Slot,
        node: &InferenceNode,
        target: &mut TypedModel,
        inputs: &mut HashMap<OutletId, OutletId>,
    ) -> TractResult<()> {
        let outlet = |slot| node.inputs.get(self.node.place(slot)?).copied();
        let (Some(values), Some(data)) = (outlet(slot.operand), outlet(slot.data)) else {
            return Ok(());
        };
        let (Some(&wire), Some(&data_wire)) = (inputs.get(&values), inputs.get(&data)) else {
            return Ok(());
        };
        // Behind a check the other input would be what the operand is counted as.
        if !slot.role.is_checked_at_run() || (values == data && slot.operand != slot.data) {
            return Ok(());
        }
        let operand = self.node.operand(slot);
        let fact = target.outlet_fact(wire)?;
        let shape = target
            .outlet_fact(data_wire)?
            .shape
            .as_concrete()
            .map(TVec::from);
        // Sizes that are no numbers yet are tract's own.
        if fact.datum_type == DatumType::TDim || !slot.role.concerns(fact.datum_type) {
            return Ok(());
        }
        let name = format!("{}.operand-{}", node.name, slot.operand);
        let checked = match (&fact.konst, &shape) {
            (Some(constant), Some(shape)) => {
                let constant = constant.clone();
                let found = operand.checked(constant.clone().into_tvalue(), shape)?;
                let found = found.into_arc_tensor();
                if Arc::ptr_eq(&found, &constant) {
                    return Ok(());
                }
                target.add_const(name, found)?
            }
            _ => {
                let guard_inputs: TVec<OutletId> = match &shape {
                    Some(_) => tvec!(wire),
                    None => tvec!(wire, data_wire),
                };
                let guard = Guard { operand, shape };
                target.wire_node(name, guard, &guard_inputs)?[0]
            }
        };
        inputs.insert(values, checked);
        Ok(())
    }
}

/// Refuses an output of more bytes than can be counted, and one that is about to be computed and would not fit.
fn room_for_output(output: &InferenceFact, computed: bool) -> TractResult<()> {
    let (Some(dt), Some(shape)) = (output.datum_type.concretize(), output.shape.concretize())
    else {
        return Ok(());
    };
    let sizes: Option<Vec<usize>> = shape
        .iter()
        .map(|dim| usize::try_from(dim.as_i64()?).ok())
        .collect();
    match sizes {
        Some(sizes) if computed || crate::arena::bytes_of(dt, &sizes).is_none() => {
            room_for(dt, &sizes)
        }
        _ => Ok(()),
    }
}

/// Values as numbers; `None` for sizes that are none yet.
fn numbers(values: Arc<Tensor>) -> Option<TValue> {
    if values.datum_type() == DatumType::TDim {
        let numbers = values.cast_to::<i64>().ok()?.into_owned();
        return Some(numbers.into_tvalue());
    }
    Some(values.into_tvalue())
}

/// A node's name, or its first output where it has none.
pub(crate) fn display_name(node: &NodeProto) -> String {
    let named = Some(&node.name).filter(|name| !name.is_empty());
    named.or(node.output.first()).cloned().unwrap_or_default()
}

/// The integers of an attribute.
fn values(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    let attribute = node
        .attribute
        .iter()
        .find(|attribute| attribute.name == name)?;
    match AttributeType::try_from(attribute.r#type).ok()? {
        AttributeType::Int => Some(vec![attribute.i]),
        AttributeType::Ints => Some(attribute.ints.clone()),
        // Before types were written down.
        AttributeType::Undefined if !attribute.ints.is_empty() => Some(attribute.ints.clone()),
        _ => None,
    }
}

/// As people write values: one by itself, several in brackets.
fn listed(values: &[i64]) -> String {
    const MOST: usize = 16;
    match values {
        [one] => one.to_string(),
        all => {
            let shown: Vec<String> = all.iter().take(MOST).map(i64::to_string).collect();
            let more = if all.len() > MOST { ", ..." } else { "" };
            format!("[{}{more}]", shown.join(", "))
        }
    }
}
