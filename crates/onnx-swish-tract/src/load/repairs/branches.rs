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
use crate::error::{Error, Refused};

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
        }
    };
    let (then, other) = (branch(then), branch(other));
    ensure!(
        then.body.outputs.len() == other.body.outputs.len(),
        "the branches of an If give {} and {} outputs",
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
}

impl Branch {
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

/// A rule that is broken in a branch, while nobody knows yet whether it is taken: no fault of the model. Loaded for the values of
/// its inputs the model may run.
fn undecided(error: TractError) -> TractError {
    let reason = if let Some(Error::Mismatch {
        node,
        operator,
        reason,
    }) = error.downcast_ref()
    {
        Some(format!("node `{node}` ({operator}): {reason}"))
    } else {
        let mut causes = error.chain();
        let refused = causes.find_map(|cause| cause.downcast_ref::<Refused>());
        refused.map(|refused| {
            let Refused {
                node,
                operator,
                value,
                role,
                rule,
                ..
            } = refused;
            format!("node `{node}` ({operator}) takes {value} as {role}, and allows {rule}")
        })
    };
    match reason {
        Some(reason) => format_err!(
            "a branch of an If cannot be computed, and the condition is known only while the model runs: {reason}"
        ),
        None => error,
    }
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
        branch.body.clone().into_runnable()?.run(own)
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
                while self.then.infer(&mut inputs, None).map_err(undecided)?
                    | self.other.infer(&mut inputs, None).map_err(undecided)?
                {}
                for (at, output) in outputs.iter_mut().enumerate() {
                    let (then, other) = (
                        self.then.body.output_fact(at)?,
                        self.other.body.output_fact(at)?,
                    );
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
        let (then, other) = (
            self.then.typed().map_err(undecided)?,
            self.other.typed().map_err(undecided)?,
        );
        let facts = either(&then, &other, target)?;
        let op = Choice {
            then: Arc::new(Body::of(then, &self.then.slots)?),
            other: Arc::new(Body::of(other, &self.other.slots)?),
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
    then: &TypedModel,
    other: &TypedModel,
    target: &TypedModel,
) -> TractResult<TVec<TypedFact>> {
    let count = then.output_outlets()?.len();
    let facts = (0..count).map(|at| {
        let (then, other) = (then.output_fact(at)?, other.output_fact(at)?);
        ensure!(
            then.datum_type == other.datum_type,
            "output {} of an If is {:?} in one branch and {:?} in the other",
            at + 1,
            then.datum_type,
            other.datum_type
        );
        ensure!(
            then.rank() == other.rank(),
            "output {} of an If has {} axes in one branch and {} in the other, and the condition is known only while the model runs",
            at + 1,
            then.rank(),
            other.rank()
        );
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

/// A branch as it runs.
#[derive(Debug)]
struct Body {
    plan: Arc<TypedSimplePlan>,
    slots: Vec<usize>,
}

impl Body {
    fn of(model: TypedModel, slots: &[usize]) -> TractResult<Body> {
        Ok(Body {
            plan: TypedSimplePlan::new(model.into_optimized()?)?,
            slots: slots.to_vec(),
        })
    }
}

/// An If whose condition is computed while the model runs.
#[derive(Debug, Clone)]
struct Choice {
    then: Arc<Body>,
    other: Arc<Body>,
    facts: TVec<TypedFact>,
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.then, &other.then) && Arc::ptr_eq(&self.other, &other.other)
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
        let body = if truth(condition)? {
            &self.then
        } else {
            &self.other
        };
        let own = body.slots.iter().map(|slot| inputs.get(*slot).cloned());
        let own: Option<TVec<TValue>> = own.collect();
        body.plan.run(own.context("a branch without its input")?)
    }
}

impl TypedOp for Choice {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.facts.clone())
    }

    as_op!();
}
