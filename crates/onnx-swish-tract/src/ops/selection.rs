//! Operators that pick elements by comparing them, where some are NaN or infinite: MaxPool, maxima, minima, and TopK.
//!
//! Given tract's own operator; promises NaN wherever one is among the elements, infinities where there is nothing else, and NaN as
//! the greatest of all numbers for TopK, which is ONNX Runtime's order. ONNX Runtime's MaxPool keeps NaN in some places of a window
//! only, and in others for other element types; PyTorch's and ONNX's own reference keep it in all, as here.
//!
//! At fault: tract-core, `ops/cnn/maxpool.rs` (`eval_t`, `try_row_spans`, `maxpool_2x2_f32`) and `ops/nn/reduce.rs` (`max_t`,
//! `min_t`), which begin at the least finite number and prefer numbers to NaN; `ops/array/topk.rs`, `Topk::inner_loop_t`, which sorts
//! by an order in which NaN is less than everything, and everything less than NaN.

use std::cmp::Ordering;

use tract_core::internal::*;
use tract_core::ops::array::Topk;
use tract_core::ops::cnn::{MaxPool, OptMaxPool};
use tract_core::ops::nn::{Reduce, Reducer};
use tract_num_traits::Float;

/// The maximum or the minimum over windows or axes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Selection {
    Pool(Box<OptMaxPool>),
    /// Over images whose sizes are known only while the model runs.
    OpenPool(Box<MaxPool>),
    Reduce(Reduce),
}

impl Selection {
    fn own(&self) -> &dyn TypedOp {
        match self {
            Selection::Pool(pool) => pool.as_ref(),
            Selection::OpenPool(pool) => pool.as_ref(),
            Selection::Reduce(reduce) => reduce,
        }
    }

    fn is_minimum(&self) -> bool {
        matches!(self, Selection::Reduce(reduce) if reduce.reducer == Reducer::Min)
    }

    /// Where the elements are special: `best` for NaN, `-best` for the infinity that every number beats, zero elsewhere. Nothing where
    /// none is, which is the rule.
    fn marks<T: Datum + Float>(&self, x: &Tensor, best: T) -> TractResult<Option<Tensor>> {
        let worst = if self.is_minimum() {
            T::infinity()
        } else {
            T::neg_infinity()
        };
        let plain = x.try_as_plain_ram()?;
        let xs = plain.as_slice::<T>()?;
        // Without a way out of the loop, for the compiler to vectorise.
        let any = xs
            .iter()
            .fold(0u32, |any, x| any | u32::from(x.is_nan() | (*x == worst)));
        if any == 0 {
            return Ok(None);
        }
        let mark = |x: &T| {
            if x.is_nan() {
                best
            } else if *x == worst {
                -best
            } else {
                T::zero()
            }
        };
        let marks: Vec<T> = xs.iter().map(mark).collect();
        Tensor::from_shape(x.shape(), &marks).map(Some)
    }

    /// What tract finds of the elements, corrected by what it finds of their marks: these are compared as numbers are.
    fn eval_in<T: Datum + Float>(
        &self,
        context: &EvalContext,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let best = if self.is_minimum() {
            -T::one()
        } else {
            T::one()
        };
        let x = inputs.first().context("a selection of nothing")?;
        let marks = self.marks::<T>(x, best)?;
        let found = self.own().eval(context, inputs)?;
        let Some(marks) = marks else {
            return Ok(found);
        };
        let marked = self.own().eval(context, tvec!(marks.into_tvalue()))?;
        let mut found = found.into_iter().map(TValue::into_tensor);
        let mut marked = marked.into_iter().map(TValue::into_tensor);
        let (mut values, marks) = (
            found.next().context("a selection without an output")?,
            marked.next().context("a selection without an output")?,
        );
        let marks = marks.try_as_plain_ram()?;
        let marks = marks.as_slice::<T>()?;
        put(&mut values, marks, best)?;
        let mut outputs = tvec!(values.into_tvalue());
        // Where the elements are, if that is asked for.
        if let (Some(found), Some(marked)) = (found.next(), marked.next()) {
            outputs.push(places(found, marked, marks)?.into_tvalue());
        }
        Ok(outputs)
    }
}

/// NaN for the best mark, the infinity for the worst.
fn put<T: Datum + Float>(values: &mut Tensor, marks: &[T], best: T) -> TractResult<()> {
    let mut values = values.try_as_plain_ram_mut()?;
    for (value, mark) in values.as_slice_mut::<T>()?.iter_mut().zip(marks) {
        if *mark == best {
            *value = T::nan();
        } else if *mark == -best {
            // The infinity of the mark's own sign: the least for a maximum.
            *value = *mark * T::infinity();
        }
    }
    Ok(())
}

fn places<T: Datum + Float>(found: Tensor, marked: Tensor, marks: &[T]) -> TractResult<Tensor> {
    let dt = found.datum_type();
    let mut found = found.cast_to::<i64>()?.into_owned();
    let marked = marked.cast_to::<i64>()?;
    {
        let mut found = found.try_as_plain_ram_mut()?;
        let marked = marked.try_as_plain_ram()?;
        let both = found.as_slice_mut::<i64>()?.iter_mut();
        let both = both.zip(marked.as_slice::<i64>()?);
        for ((found, marked), mark) in both.zip(marks) {
            if !mark.is_zero() {
                *found = *marked;
            }
        }
    }
    Ok(found.cast_to_dt(dt)?.into_owned())
}

impl Op for Selection {
    fn name(&self) -> StaticName {
        self.own().name()
    }

    op_as_typed_op!();
}

impl EvalOp for Selection {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        match inputs.first().map(|x| x.datum_type()) {
            Some(DatumType::F16) => self.eval_in::<f16>(context, inputs),
            Some(DatumType::F32) => self.eval_in::<f32>(context, inputs),
            Some(DatumType::F64) => self.eval_in::<f64>(context, inputs),
            _ => self.own().eval(context, inputs),
        }
    }
}

impl TypedOp for Selection {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.own().output_facts(inputs)
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        self.own().cost(inputs)
    }

    as_op!();
}

/// TopK of floats.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ranking(pub Topk);

/// Numbers by their size, and beyond them NaN.
fn by_size<T: Float>(a: &T, b: &T) -> Ordering {
    let nan = || a.is_nan().cmp(&b.is_nan());
    a.partial_cmp(b).unwrap_or_else(nan)
}

impl Ranking {
    fn eval_in<T: Datum + Float>(&self, x: &Tensor, k: usize) -> TractResult<TVec<TValue>> {
        let Topk { axis, largest, .. } = self.0;
        let size = *x.shape().get(axis).context("a TopK beyond the axes")?;
        ensure!(k <= size, "a TopK of {k} elements among {size}");
        let lane = tract_core::ndarray::Axis(axis);
        let mut shape: TVec<usize> = x.shape().into();
        shape[axis] = k;
        let mut values = tract_core::ndarray::ArrayD::<T>::zeros(&*shape);
        let mut indices = tract_core::ndarray::ArrayD::<i64>::zeros(&*shape);
        let x = x.to_plain_array_view::<T>()?;
        let rows = x.lanes(lane).into_iter();
        let into = values.lanes_mut(lane).into_iter();
        for ((row, mut values), mut indices) in rows.zip(into).zip(indices.lanes_mut(lane)) {
            let mut all: Vec<(usize, T)> = row.iter().copied().enumerate().collect();
            // Of equal ones the first.
            let order = |a: &(usize, T), b: &(usize, T)| {
                let by_size = by_size(&a.1, &b.1);
                let by_size = if largest { by_size.reverse() } else { by_size };
                by_size.then(a.0.cmp(&b.0))
            };
            if k < all.len() && k > 0 {
                all.select_nth_unstable_by(k - 1, order);
            }
            all.truncate(k);
            all.sort_unstable_by(order);
            let slots = values.iter_mut().zip(indices.iter_mut());
            for ((value, index), (at, x)) in slots.zip(all) {
                (*value, *index) = (x, i64::try_from(at)?);
            }
        }
        Ok(tvec!(
            values.into_tensor().into_tvalue(),
            indices.into_tensor().into_tvalue()
        ))
    }
}

impl Op for Ranking {
    fn mints_runtime_symbols(&self) -> bool {
        self.0.mints_runtime_symbols()
    }

    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Ranking {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [x, k] = &*inputs else {
            bail!("a TopK of {} inputs", inputs.len());
        };
        let count = || TractResult::Ok(usize::try_from(k.cast_to_scalar::<i64>()?)?);
        match x.datum_type() {
            DatumType::F16 => self.eval_in::<f16>(x, count()?),
            DatumType::F32 => self.eval_in::<f32>(x, count()?),
            DatumType::F64 => self.eval_in::<f64>(x, count()?),
            _ => self.0.eval(context, inputs),
        }
    }
}

impl TypedOp for Ranking {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
