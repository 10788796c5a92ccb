//! NaN kept by maximum, minimum and tanh.
//!
//! Given a graph that tract has lowered to its machine's operators; promises that those which stand alone keep NaN
//! ([`crate::ops`]'s `bounds` says which code of tract's does not), and that products of matrices keep the ones they took along.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::binary::{BinMiniOp, OptBinByScalar, OptBinChain, OptBinUnicast, TypedBinOp};
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math;

use crate::ops::{Clamp, Extremum, Tanh};

pub(super) fn repair(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<TypedBinOp>("binary", |_, model, node, _, op| {
            // One that casts its result is quantised.
            if op.1.is_some() {
                Ok(None)
            } else {
                single(model, node, &*op.0)
            }
        })
        .with_rule_for::<OptBinByScalar>("by scalar", |_, model, node, _, op| {
            single(model, node, &*op.binop)
        })
        .with_rule_for::<OptBinUnicast>("unicast", |_, model, node, _, op| {
            single(model, node, &*op.binop)
        })
        .with_rule_for::<OptBinChain>("chain", |_, model, node, _, op| chain(model, node, op))
        .with_rule_for::<ElementWiseOp>("tanh", |_, model, node, _, op| {
            if !op.0.is::<math::Tanh>() || !is_float(model, node)? {
                return Ok(None);
            }
            TypedModelPatch::replace_single_op(model, node, &node.inputs, Tanh.into_op()).map(Some)
        })
        .rewrite(&(), model)
}

fn is_float(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let facts = model.node_input_facts(node.id)?;
    Ok(facts.iter().all(|fact| {
        matches!(
            fact.datum_type,
            DatumType::F16 | DatumType::F32 | DatumType::F64
        )
    }))
}

fn single(
    model: &TypedModel,
    node: &TypedNode,
    op: &dyn BinMiniOp,
) -> TractResult<Option<TypedModelPatch>> {
    let Some(extremum) = Extremum::of(op) else {
        return Ok(None);
    };
    if !is_float(model, node)? {
        return Ok(None);
    }
    let [a, b] = *node.inputs else {
        return Ok(None);
    };
    for (value, bound) in [(a, b), (b, a)] {
        let keeps_shape = model.outlet_fact(value)?.shape == node.outputs[0].fact.shape;
        if let Some(bound) = number(model, bound)?.filter(|_| keeps_shape)
            && let Some(clamp) = Clamp::NONE.then(extremum, bound)
        {
            return TypedModelPatch::replace_single_op(model, node, &[value], clamp.into_op())
                .map(Some);
        }
    }
    let ours = TypedBinOp(Box::new(extremum), None);
    TypedModelPatch::replace_single_op(model, node, &node.inputs, ours).map(Some)
}

/// A constant that is the same everywhere.
fn number(model: &TypedModel, outlet: OutletId) -> TractResult<Option<f64>> {
    let fact = model.outlet_fact(outlet)?;
    let constant = fact.konst.as_ref().filter(|constant| constant.len() == 1);
    constant
        .map(|constant| {
            constant
                .cast_to::<f64>()?
                .try_as_plain_ram()?
                .as_slice::<f64>()?
                .first()
                .copied()
                .context("no element")
        })
        .transpose()
}

/// A chain is taken apart at each maximum and minimum; bounds that follow one another become one clamp.
fn chain(
    model: &TypedModel,
    node: &TypedNode,
    op: &OptBinChain,
) -> TractResult<Option<TypedModelPatch>> {
    if !op
        .steps
        .iter()
        .any(|step| Extremum::of(&*step.binop).is_some())
        || !is_float(model, node)?
    {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::new("NaN through bounds");
    let taps = patch.taps(model, &node.inputs)?;
    let (Some(first), Some(operands)) = (taps.first(), taps.get(1..)) else {
        return Ok(None);
    };
    let mut links = Links {
        patch,
        name: &node.name,
        wire: *first,
        pending: Clamp::NONE,
        others: OptBinChain { steps: tvec!() },
        operands: tvec!(),
        count: 0,
    };
    for ((step, operand), inlet) in op.steps.iter().zip(operands).zip(&node.inputs[1..]) {
        match (Extremum::of(&*step.binop), number(model, *inlet)?) {
            (Some(extremum), Some(bound)) if !bound.is_nan() => links.bound(extremum, bound)?,
            (Some(extremum), _) => {
                links.flush()?;
                links.push(TypedBinOp(Box::new(extremum), None), &[*operand])?;
            }
            (None, _) => {
                links.flush_bounds()?;
                links.others.steps.push(step.clone());
                links.operands.push(*operand);
            }
        }
    }
    links.flush()?;
    let Links {
        mut patch, wire, ..
    } = links;
    patch.shunt_outside(model, node.id.into(), wire)?;
    Ok(Some(patch))
}

/// The nodes that a chain becomes.
struct Links<'a> {
    patch: TypedModelPatch,
    name: &'a str,
    wire: OutletId,
    /// Bounds that no node has yet.
    pending: Clamp,
    /// Other steps that no node has yet. One of the two is empty.
    others: OptBinChain,
    operands: TVec<OutletId>,
    count: usize,
}

impl Links<'_> {
    fn bound(&mut self, extremum: Extremum, bound: f64) -> TractResult<()> {
        self.flush_others()?;
        self.pending = match self.pending.then(extremum, bound) {
            Some(clamp) => clamp,
            None => {
                self.flush_bounds()?;
                Clamp::NONE
                    .then(extremum, bound)
                    .context("a bound that is no number")?
            }
        };
        Ok(())
    }

    fn flush(&mut self) -> TractResult<()> {
        self.flush_others()?;
        self.flush_bounds()
    }

    fn flush_others(&mut self) -> TractResult<()> {
        if self.others.steps.is_empty() {
            return Ok(());
        }
        let others = std::mem::replace(&mut self.others, OptBinChain { steps: tvec!() });
        let operands = std::mem::take(&mut self.operands);
        self.push(others, &operands)
    }

    fn flush_bounds(&mut self) -> TractResult<()> {
        if self.pending == Clamp::NONE {
            return Ok(());
        }
        let clamp = std::mem::replace(&mut self.pending, Clamp::NONE);
        self.push(clamp.into_op(), &[])
    }

    fn push(&mut self, op: impl Into<Box<dyn TypedOp>>, operands: &[OutletId]) -> TractResult<()> {
        self.count += 1;
        let inputs: TVec<OutletId> = std::iter::once(self.wire)
            .chain(operands.iter().copied())
            .collect();
        let name = format!("{}.{}", self.name, self.count);
        self.wire = *self
            .patch
            .wire_node(name, op, &inputs)?
            .first()
            .context("no output")?;
        Ok(())
    }
}
