//! Cast and CastLike to int64, Shape and Size: whole numbers, where tract has sizes that may be symbols.
//!
//! At fault: tract-onnx, `ops/cast.rs`, `cast`, which makes `TDim` of int64. What follows is then computed in symbols: numbers are cut to
//! 32 bits (tract-data, `tensor.rs`, `cast_to_dt`), a remainder has the wrong sign (tract-onnx, `ops/math/rem.rs`), and CumSum, TopK,
//! NonZero, MatMul and others have no such type at all. `ops/array/shape.rs` and `mod.rs` (Size) make symbols of sizes that are known,
//! which then do the same to the data that they are added to. Only a size that data decides needs to be a symbol.

use std::ops::Range;

use tract_core::ops::cast::cast;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, builtin_op};

pub(super) fn cast_to(ctx: &ParsingContext, node: &NodeProto) -> Built {
    match node.get_attr_opt::<DatumType>("to")? {
        Some(DatumType::I64) => Ok((expand(Whole { like: None }), vec![])),
        _ => builtin_op(ctx, node, "tract::Cast"),
    }
}

pub(super) fn cast_like(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Whole { like: Some(1) }), vec![]))
}

pub(super) fn shape(_: &ParsingContext, node: &NodeProto) -> Built {
    let sizes = Sizes {
        of: Of::Axes {
            start: node.get_attr_opt("start")?.unwrap_or(0),
            end: node.get_attr_opt("end")?,
        },
    };
    Ok((expand(sizes), vec![]))
}

pub(super) fn size(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Sizes { of: Of::All }), vec![]))
}

/// A cast to int64, or to the type of one of the inputs.
#[derive(Debug, Clone)]
struct Whole {
    like: Option<usize>,
}

/// What a value of one type becomes: sizes that are no numbers yet stay what they are.
fn becomes(from: DatumType, to: DatumType) -> DatumType {
    match to {
        DatumType::I64 | DatumType::TDim if from == DatumType::TDim => from,
        DatumType::TDim => DatumType::I64,
        _ => to,
    }
}

impl Expansion for Whole {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1 + usize::from(self.like.is_some()))?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].rank, &inputs[0].rank)?;
        s.equals(&outputs[0].shape, &inputs[0].shape)?;
        let from = &inputs[0].datum_type;
        match self.like.and_then(|like| inputs.get(like)) {
            None => s.given(from, |s, from| {
                s.equals(&outputs[0].datum_type, becomes(from, DatumType::I64))
            }),
            Some(like) => s.given_2(from, &like.datum_type, |s, from, to| {
                s.equals(&outputs[0].datum_type, becomes(from, to))
            }),
        }
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a cast without an input")?;
        let like = self.like.and_then(|like| inputs.get(like));
        let to = match like {
            Some(like) => model.outlet_fact(*like)?.datum_type,
            None => DatumType::I64,
        };
        let to = becomes(model.outlet_fact(x)?.datum_type, to);
        model.wire_node(prefix, cast(to), &[x])
    }
}

/// How large a tensor is.
#[derive(Debug, Clone)]
struct Sizes {
    of: Of,
}

#[derive(Debug, Clone)]
enum Of {
    /// Of these axes each, from `start` up to `end`, counted from behind where negative.
    Axes { start: i64, end: Option<i64> },
    /// Of all together.
    All,
}

impl Sizes {
    /// The sizes of a tensor of this shape: numbers, or symbols where one of them is known by the data alone.
    fn of(&self, shape: &[TDim]) -> TractResult<Tensor> {
        let symbols = match &self.of {
            Of::All => tensor0(shape.iter().product::<TDim>()),
            Of::Axes { start, end } => tensor1(&shape[axes(*start, *end, shape.len())]),
        };
        match symbols.cast_to::<i64>() {
            Ok(numbers) => Ok(numbers.into_owned()),
            Err(_) => Ok(symbols),
        }
    }
}

/// The axes of Shape's attributes, which may lie beyond both ends.
fn axes(start: i64, end: Option<i64>, rank: usize) -> Range<usize> {
    let clamped = |axis: i64| {
        let from_front = if axis < 0 {
            axis.saturating_add_unsigned(rank as u64)
        } else {
            axis
        };
        usize::try_from(from_front).map_or(0, |axis| axis.min(rank))
    };
    let (start, end) = (clamped(start), end.map_or(rank, clamped));
    start..end.max(start)
}

impl Expansion for Sizes {
    fn name(&self) -> StaticName {
        match self.of {
            Of::Axes { .. } => "Shape".into(),
            Of::All => "Size".into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(
            &outputs[0].rank,
            i64::from(matches!(self.of, Of::Axes { .. })),
        )?;
        s.given(&inputs[0].shape, move |s, shape| {
            s.equals(&outputs[0].value, self.of(&shape)?.into_arc_tensor())
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a shape of nothing")?;
        let sizes = self.of(&model.outlet_fact(x)?.shape.to_tvec())?;
        Ok(tvec!(model.add_const(prefix, sizes)?))
    }

    /// What was told before is kept to: that a size is a symbol, though it turned out to be known.
    fn wire_with_inference_model_and_node(
        &self,
        prefix: &str,
        _source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let sizes = self.wire(prefix, target, inputs)?;
        let told = node
            .outputs
            .first()
            .and_then(|it| it.fact.datum_type.concretize());
        match told {
            Some(told) if told == DatumType::TDim => {
                target.wire_node(format!("{prefix}.symbols"), cast(told), &sizes)
            }
            _ => Ok(sizes),
        }
    }
}
