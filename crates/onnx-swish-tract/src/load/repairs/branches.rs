//! If: the branch that a known condition takes, and either where it is known only while the model runs.
//!
//! At fault: tract-onnx, `ops/logic.rs`, `If::infer_facts` and `If::to_typed`, which settle the types of both branches although
//! one of them will never run, and tract-core, `ops/logic/ite.rs`, `IfThenElse::eval`, which builds a plan for every run. A
//! branch that is not taken often has another rank: exporters test for a missing axis and add it.

use std::collections::HashMap;

use tract_hir::internal::*;
use tract_onnx::model::{ParseResult, ParsingContext};
use tract_onnx::pb::NodeProto;

use super::Built;
use super::body::Body;
use crate::error::{Error, Refused, decline, demand};

pub(super) fn if_(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let parsed = |attribute| -> TractResult<ParseResult> {
        ctx.parse_graph(node.get_attr(attribute)?)
            .with_context(|| format!("in {attribute}"))
    };
    let (then, other) = (parsed("then_branch")?, parsed("else_branch")?);
    let mut captured: Vec<String> = Vec::new();
    let mut branch = |parsed: ParseResult| {
        let mut slots = Vec::new();
        for name in &parsed.unresolved_inputs {
            let at = captured.iter().position(|known| known == name);
            let at = at.unwrap_or_else(|| {
                captured.push(name.clone());
                captured.len() - 1
            });
            // The condition is the first input.
            slots.push(at + 1);
        }
        Branch {
            body: parsed.model,
            slots,
            broken: None,
        }
    };
    let (then, other) = (branch(then), branch(other));
    demand!(
        then.body.outputs.len() == other.body.outputs.len(),
        "its branches give {} and {} outputs",
        then.body.outputs.len(),
        other.body.outputs.len()
    );
    Ok((Box::new(If { then, other }), captured))
}

#[derive(Debug, Clone)]
struct Branch {
    body: InferenceModel,
    /// Which input of the node each input of the body is.
    slots: Vec<usize>,
    /// Why it cannot be computed, as by a rule that it breaks, while nobody knows yet whether it is taken: no fault of the model, as long
    /// as it is not.
    broken: Option<String>,
}

impl Branch {
    /// What is known of its outputs from its inputs; nothing if it breaks a rule.
    fn infer_alone(&mut self, inputs: &mut [InferenceFact]) -> TractResult<bool> {
        if self.broken.is_some() {
            return Ok(false);
        }
        match self.infer(inputs, None) {
            Ok(changed) => Ok(changed),
            Err(error) => {
                self.broken = Some(broken_rule(error)?);
                Ok(true)
            }
        }
    }

    /// The graph, or the rule that it breaks.
    fn typed_or_broken(&self) -> TractResult<Result<TypedModel, String>> {
        match &self.broken {
            Some(rule) => Ok(Err(rule.clone())),
            None => self
                .typed()
                .map_or_else(|error| broken_rule(error).map(Err), |model| Ok(Ok(model))),
        }
    }

    /// Exchanges what is known about the inputs and the outputs with the body; whether something was new.
    fn infer(
        &mut self,
        inputs: &mut [InferenceFact],
        mut outputs: Option<&mut [InferenceFact]>,
    ) -> TractResult<bool> {
        let mut changed = false;
        for (at, slot) in self.slots.iter().enumerate() {
            let outer = inputs
                .get_mut(*slot)
                .context("a branch without its input")?;
            changed |= self.body.input_fact_mut(at)?.unify_with_mut(outer)?;
        }
        for (at, outer) in outputs.iter_mut().flat_map(|it| it.iter_mut()).enumerate() {
            changed |= self.body.output_fact_mut(at)?.unify_with_mut(outer)?;
        }
        changed |= self.body.analyse(false)?;
        for (at, outer) in outputs.iter_mut().flat_map(|it| it.iter_mut()).enumerate() {
            changed |= self.body.output_fact_mut(at)?.unify_with_mut(outer)?;
        }
        Ok(changed)
    }

    fn typed(&self) -> TractResult<TypedModel> {
        self.body.clone().into_typed()
    }
}

#[derive(Debug, Clone)]
struct If {
    then: Branch,
    other: Branch,
}

impl PartialEq for If {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for If {}

impl If {
    fn branch(&self, condition: &Tensor) -> TractResult<&Branch> {
        Ok(if truth(condition)? {
            &self.then
        } else {
            &self.other
        })
    }
}

fn truth(condition: &Tensor) -> TractResult<bool> {
    ensure!(
        condition.len() == 1,
        "the condition of an If has {} values",
        condition.len()
    );
    condition.nth(0)?.cast_to_scalar::<bool>()
}

/// What an error says of a node that breaks a rule of ONNX's, or is not implemented, if it is such an error.
fn broken_rule(error: TractError) -> TractResult<String> {
    if let Some(
        Error::Mismatch {
            node,
            operator,
            reason,
        }
        | Error::Unimplemented {
            node,
            operator,
            reason,
        },
    ) = error.downcast_ref()
    {
        return Ok(format!("node `{node}` ({operator}): {reason}"));
    }
    let refused = error.chain().find_map(|cause| cause.downcast_ref());
    if let Some(Refused {
        node,
        operator,
        value,
        role,
        rule,
        ..
    }) = refused
    {
        return Ok(format!(
            "node `{node}` ({operator}) takes {value} as {role}, and allows {rule}"
        ));
    }
    Err(error)
}

impl Op for If {
    fn name(&self) -> StaticName {
        "If".into()
    }

    not_a_typed_op!();
}

impl EvalOp for If {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let condition = inputs.first().context("an If without a condition")?;
        let branch = self.branch(condition)?;
        let own = branch.slots.iter().map(|slot| inputs.get(*slot).cloned());
        let own: Option<TVec<TValue>> = own.collect();
        let own = own.context("a branch without its input")?;
        Body::alone(branch.typed()?)?.plan()?.run(own)
    }
}

impl InferenceOp for If {
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
        let mut inputs: TVec<InferenceFact> = inputs.into_iter().cloned().collect();
        let mut outputs: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        let condition = inputs.first_mut().context("an If without a condition")?;
        condition
            .datum_type
            .unify_with(&bool::datum_type().into())?;
        let known = condition.value.concretize();
        let known = known.map(|condition| truth(&condition)).transpose()?;
        match known {
            Some(then) => {
                let taken = if then {
                    &mut self.then
                } else {
                    &mut self.other
                };
                while taken.infer(&mut inputs, Some(&mut outputs))? {}
            }
            None => {
                while self.then.infer_alone(&mut inputs)? | self.other.infer_alone(&mut inputs)? {}
                if let (Some(then), Some(_)) = (&self.then.broken, &self.other.broken) {
                    decline!("neither of its branches can be computed: {then}");
                }
                for (at, output) in outputs.iter_mut().enumerate() {
                    let (then, other) = match (&self.then.broken, &self.other.broken) {
                        (Some(_), _) => [self.other.body.output_fact(at)?; 2],
                        (_, Some(_)) => [self.then.body.output_fact(at)?; 2],
                        _ => [
                            self.then.body.output_fact(at)?,
                            self.other.body.output_fact(at)?,
                        ],
                    }
                    .into();
                    output.datum_type.unify_with(&then.datum_type)?;
                    output.datum_type.unify_with(&other.datum_type)?;
                    if then.shape == other.shape {
                        output.shape.unify_with(&then.shape)?;
                    }
                }
            }
        }
        let observed = observed.into_iter().cloned().collect();
        Ok((inputs, outputs, observed))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.then.body.outputs.len())
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs: Option<TVec<OutletId>> = node
            .inputs
            .iter()
            .map(|outlet| mapping.get(outlet).copied())
            .collect();
        let inputs = inputs.context("an If before its inputs")?;
        let condition = *node.inputs.first().context("an If without a condition")?;
        let known = source.outlet_fact(condition)?.value.concretize();
        if let Some(condition) = known {
            let branch = self.branch(&condition)?;
            let own = branch.slots.iter().map(|slot| inputs.get(*slot).copied());
            let own: Option<TVec<OutletId>> = own.collect();
            let own = own.context("a branch without its input")?;
            return inlined(&node.name, &branch.typed()?, &own, target);
        }
        let (then, other) = (self.then.typed_or_broken()?, self.other.typed_or_broken()?);
        let facts = either(&then, &other, target)?;
        let op = Choice {
            then: then.map(Body::new),
            other: other.map(Body::new),
            slots: [self.then.slots.clone(), self.other.slots.clone()],
            facts,
        };
        target.wire_node(&node.name, op, &inputs)
    }

    fn as_op(&self) -> &dyn Op {
        self
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self
    }
}

/// The nodes of a body in the place of the node that holds it.
pub(super) fn inlined(
    prefix: &str,
    body: &TypedModel,
    inputs: &[OutletId],
    target: &mut TypedModel,
) -> TractResult<TVec<OutletId>> {
    let mut mapping: HashMap<OutletId, OutletId> = HashMap::new();
    for (own, outer) in body.input_outlets()?.iter().zip(inputs) {
        mapping.insert(*own, *outer);
    }
    for id in body.eval_order()? {
        let node = body.node(id);
        if TypedModel::is_source(&node.op) {
            continue;
        }
        let inputs: Option<TVec<OutletId>> = node
            .inputs
            .iter()
            .map(|outlet| mapping.get(outlet).copied())
            .collect();
        let inputs = inputs.with_context(|| format!("{} before its inputs", node.name))?;
        let name = format!("{prefix}/{}", node.name);
        let outputs = target.wire_node(name, node.op.clone(), &inputs)?;
        for (slot, outlet) in outputs.into_iter().enumerate() {
            mapping.insert(OutletId::new(id, slot), outlet);
        }
    }
    let outputs = body.output_outlets()?.iter();
    let outputs: Option<TVec<OutletId>> =
        outputs.map(|outlet| mapping.get(outlet).copied()).collect();
    outputs.context("an output of a branch that nothing computes")
}

/// What is known of outputs that come from one body or the other.
fn either(
    then: &Result<TypedModel, String>,
    other: &Result<TypedModel, String>,
    target: &TypedModel,
) -> TractResult<TVec<TypedFact>> {
    // A branch that breaks a rule gives nothing.
    let (then, other) = match (then, other) {
        (Ok(then), Ok(other)) => (then, other),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => (one, one),
        (Err(rule), Err(_)) => decline!("neither of its branches can be computed: {rule}"),
    };
    let count = then.output_outlets()?.len();
    let facts = (0..count).map(|at| {
        let (then, other) = (then.output_fact(at)?, other.output_fact(at)?);
        if then.datum_type != other.datum_type {
            decline!(
                "output {} is {:?} in one branch and {:?} in the other",
                at + 1,
                then.datum_type,
                other.datum_type
            );
        }
        if then.rank() != other.rank() {
            decline!(
                "output {} has {} axes in one branch and {} in the other, and the condition is known only while the model runs",
                at + 1,
                then.rank(),
                other.rank()
            );
        }
        let dims = then.shape.iter().zip(other.shape.iter()).map(|(then, other)| {
            if then == other {
                then.clone()
            } else {
                target.symbols.new_with_prefix("if").to_dim()
            }
        });
        let dims: TVec<TDim> = dims.collect();
        Ok(then.datum_type.fact(dims))
    });
    facts.collect()
}

/// An If whose condition is computed while the model runs.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    then: Result<Body, String>,
    /// As the first: the graph, or the rule that it breaks.
    other: Result<Body, String>,
    /// Which inputs of the node those of the two are.
    slots: [Vec<usize>; 2],
    facts: TVec<TypedFact>,
}

impl Choice {
    pub(crate) fn bodies_mut(&mut self) -> impl Iterator<Item = &mut Body> {
        self.then.iter_mut().chain(&mut self.other)
    }

    /// The branches that can be computed, in the order of [`Choice::bodies_mut`], with the node's inputs that theirs are.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = (&Body, &[usize])> {
        let [then, other] = &self.slots;
        let then = self.then.iter().map(move |body| (body, &**then));
        then.chain(self.other.iter().map(move |body| (body, &**other)))
    }
}

impl PartialEq for Choice {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Choice {}

impl Op for Choice {
    fn name(&self) -> StaticName {
        "If".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Choice {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let condition = inputs.first().context("an If without a condition")?;
        let [then, other] = &self.slots;
        let (body, slots) = if truth(condition)? {
            (&self.then, then)
        } else {
            (&self.other, other)
        };
        let own = slots.iter().map(|slot| inputs.get(*slot).cloned());
        let own: Option<TVec<TValue>> = own.collect();
        let body = body.as_ref().map_err(|rule| {
            format_err!("the branch of an If that its condition takes cannot be computed: {rule}")
        })?;
        body.plan()?.run(own.context("a branch without its input")?)
    }
}

impl TypedOp for Choice {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.facts.clone())
    }

    as_op!();
}
