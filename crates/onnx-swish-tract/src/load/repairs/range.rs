//! Range of floats, of nothing, downwards, and between numbers in vectors of one element.
//!
//! At fault: tract-hir, `ops/array/range.rs`, `Range::rules`, which takes scalars only, where ONNX Runtime takes both, and counts
//! the numbers with whole ones, whatever the type: a step of a half divides by zero. `Range::wire` does so too where a limit is a size.

use tract_core::ops::array::Range as TractRange;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, builtin};
use crate::error::{NoRoom, demand};

pub(super) fn range(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let own = builtin(ctx, node, "tract::Range")?;
    Ok((expand(Range { own }), vec![]))
}

#[derive(Debug, Clone)]
struct Range {
    own: Delegate,
}

/// The one number of a value; `None` for a size that is no number yet.
fn number(value: &Tensor) -> Option<f64> {
    let one = value.nth(0).ok()?;
    if one.datum_type().is_tdim() {
        return Some(one.cast_to_scalar::<i64>().ok()? as f64);
    }
    one.cast_to_scalar::<f64>().ok()
}

/// How many numbers there are, where that can be told: not of sizes that are no numbers yet.
fn length(values: &[Arc<Tensor>]) -> Option<i64> {
    let [start, limit, step] = values else {
        return None;
    };
    let length = ((number(limit)? - number(start)?) / number(step)?).ceil();
    // Rust's `as` gives the nearest number, and 0 for NaN.
    Some(length.max(0.0) as i64)
}

/// The type of what comes out: sizes become int64.
fn element_type(types: &[DatumType]) -> TractResult<DatumType> {
    let dt = DatumType::super_type_for(types.iter().copied());
    let dt = dt.context("its inputs are of element types that have none in common")?;
    Ok(if dt.is_tdim() { DatumType::I64 } else { dt })
}

/// The numbers, each the one before it and a step, as ONNX Runtime has them.
fn numbers<T>(values: &[Arc<Tensor>], length: usize) -> TractResult<Tensor>
where
    T: Datum + Copy + tract_num_traits::Num,
{
    let [start, _, step] = values else {
        bail!("a range of {} inputs", values.len());
    };
    let mut number = start.cast_to_scalar::<T>()?;
    let step = step.cast_to_scalar::<T>()?;
    let mut numbers = Vec::new();
    if numbers.try_reserve_exact(length).is_err() {
        let bytes = length as u128 * size_of::<T>() as u128;
        return Err(NoRoom {
            what: "the numbers of a range".to_owned(),
            bytes: Some(bytes),
        }
        .into());
    }
    for at in 0..length {
        numbers.push(number);
        // Beyond the last there may be no number.
        if at + 1 < length {
            number = number + step;
        }
    }
    Ok(tensor1(&numbers))
}

/// Whether it is a whole number, above `over`.
fn is_whole(value: Option<&Arc<Tensor>>, over: f64) -> bool {
    let number = value.and_then(|value| number(value));
    number.is_some_and(|number| number.fract() == 0.0 && number > over)
}

impl Expansion for Range {
    fn name(&self) -> StaticName {
        self.own.as_ref().name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].rank, 1)?;
        let types = inputs.iter().map(|input| &input.datum_type);
        s.given_all(types, move |s, types| {
            s.equals(&outputs[0].datum_type, element_type(&types)?)
        })?;
        let ranks = inputs.iter().map(|input| &input.rank);
        s.given_all(ranks, move |s, ranks| {
            demand!(
                ranks.iter().all(|rank| (0..2).contains(rank)),
                "it takes three numbers, and one of its inputs has several axes"
            );
            let values = inputs.iter().map(|input| &input.value);
            s.given_all(values, move |s, values| match length(&values) {
                Some(length) => s.equals(&outputs[0].shape[0], length.to_dim()),
                None => Ok(()),
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut scalars: TVec<OutletId> = inputs.into();
        let mut types: TVec<DatumType> = tvec!();
        let mut values: TVec<Option<Arc<Tensor>>> = tvec!();
        for (at, scalar) in scalars.iter_mut().enumerate() {
            let fact = model.outlet_fact(*scalar)?;
            types.push(fact.datum_type);
            demand!(
                fact.shape.volume().is_one(),
                "it takes three numbers, and one of its inputs has {} elements",
                fact.shape.volume()
            );
            let constant = fact.konst.clone();
            if fact.rank() > 0 {
                let name = format!("{prefix}.number-{at}");
                *scalar = match constant.clone() {
                    Some(constant) => {
                        model.add_const(name, constant.into_tensor().into_shape(&[])?)?
                    }
                    None => model.wire_node(name, AxisOp::Rm(0), &[*scalar])?[0],
                };
            }
            values.push(model.outlet_fact(*scalar)?.konst.clone());
        }
        let dt = element_type(&types)?;
        let known: Option<Vec<Arc<Tensor>>> = values.iter().cloned().collect();
        if let Some(known) = known
            && let Some(length) = length(&known)
        {
            let length = usize::try_from(length)?;
            let numbers = dispatch_numbers!(numbers(dt)(&known, length))?;
            return Ok(tvec!(model.add_const(prefix, numbers)?));
        }
        let whole = is_whole(values.first().and_then(Option::as_ref), f64::NEG_INFINITY)
            && is_whole(values.get(2).and_then(Option::as_ref), 0.0);
        if dt.is_float() && !whole {
            // How many there are is known when the model runs, and is no whole quotient of sizes.
            let length = model.symbols.new_with_prefix("range").to_dim();
            return model.wire_node(prefix, TractRange::new(length), &scalars);
        }
        self.own.wire(prefix, model, &scalars)
    }
}
