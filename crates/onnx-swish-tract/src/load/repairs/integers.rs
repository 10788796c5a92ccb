//! Mul, Pow and sums of integers: exact, and wrapping where they overflow.
//!
//! At fault: tract-core, `ops/math/mod.rs`: `declutter_mul` and `declutter_pow` make Square of x·x and x², which is computed in float32
//! and saturates for 8 bits, and is not there at all for other integers but int32; `ops/nn/reduce.rs`, which cuts sums of int64 to 32 bits
//! and has none of unsigned integers; tract-linalg, which panics where it should say that it has no kernel for unsigned and 64-bit
//! integers; and tract-onnx, `ops/math/pow.rs`, which gives a power the wider type.

use tract_core::ops::cast::cast;
use tract_core::ops::math::pow as pow_of_floats;
use tract_hir::internal::*;
use tract_hir::ops::logic::wire_with_rank_broadcast;
use tract_num_traits::{PrimInt, WrappingMul};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::contraction::Contraction;
use super::pairs::{of_pairs, shape_of_pairs, types_of};
use super::reduce::{Along, may_be_nothing, sum_of_lanes};
use super::wire::Wire;
use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain};

/// Calls `$f::<T>` for the integer type that `$dt` stands for.
macro_rules! of_integers {
    ($dt:expr, $f:ident($($argument:expr),*)) => {
        match $dt {
            DatumType::I8 => $f::<i8>($($argument),*),
            DatumType::I16 => $f::<i16>($($argument),*),
            DatumType::I32 => $f::<i32>($($argument),*),
            DatumType::I64 => $f::<i64>($($argument),*),
            DatumType::U8 => $f::<u8>($($argument),*),
            DatumType::U16 => $f::<u16>($($argument),*),
            DatumType::U32 => $f::<u32>($($argument),*),
            DatumType::U64 => $f::<u64>($($argument),*),
            other => bail!("{other:?} is no integer"),
        }
    };
}
pub(super) use of_integers;

/// Whether values are of one of ONNX's integers, not of a size that may be a symbol.
pub(super) fn is_integer(dt: DatumType) -> bool {
    dt.is_integer() && dt != DatumType::TDim && !dt.is_quantized()
}

pub(super) fn mul(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Mul", Mul)
}

pub(super) fn pow(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Pow", Pow)
}

pub(super) fn reduce_sum_square(ctx: &ParsingContext, node: &NodeProto) -> Built {
    reduction(ctx, node, Kind::SumSquare, "tract::ReduceSumSquare")
}

pub(super) fn reduce_sum(ctx: &ParsingContext, node: &NodeProto) -> Built {
    reduction(ctx, node, Kind::Sum, "tract::ReduceSum")
}

pub(super) fn reduce_mean(ctx: &ParsingContext, node: &NodeProto) -> Built {
    reduction(ctx, node, Kind::Mean, "tract::ReduceMean")
}

pub(super) fn reduce_l1(ctx: &ParsingContext, node: &NodeProto) -> Built {
    reduction(ctx, node, Kind::L1, "tract::ReduceL1")
}

fn reduction(ctx: &ParsingContext, node: &NodeProto, kind: Kind, saved: &str) -> Built {
    let along = Along::of(node)?;
    rewired(ctx, node, saved, Reduction { kind, along })
}

#[derive(Debug, Clone)]
struct Mul;

impl Rewiring for Mul {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        match *types_of(model, inputs)? {
            [a, b] if a == b && is_integer(a) => model.wire_node(prefix, Plain(Product), inputs),
            _ => own.wire(prefix, model, inputs),
        }
    }
}

/// The square of integers, and powers of one type to exponents of another; other powers are right.
#[derive(Debug, Clone)]
struct Pow;

impl Rewiring for Pow {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[x, exponent] = inputs else {
            bail!("a Pow of {} inputs", inputs.len());
        };
        let (fact, by) = (model.outlet_fact(x)?, model.outlet_fact(exponent)?);
        let two = match &by.konst {
            Some(by) if by.len() == 1 => by.cast_to_scalar::<f64>()? == 2.0,
            _ => false,
        };
        if two && is_integer(fact.datum_type) && by.rank() <= fact.rank() {
            return model.wire_node(prefix, Plain(Product), &[x, x]);
        }
        let (to, from) = (fact.datum_type, by.datum_type);
        if to == from || to.is_tdim() || from.is_tdim() {
            return own.wire(prefix, model, inputs);
        }
        // The base's type, whatever the exponent's; between them as ONNX Runtime computes it.
        let mut wires = tvec!();
        for (at, input) in inputs.iter().enumerate() {
            let name = format!("{prefix}.float64-{at}");
            wires.extend(model.wire_node(name, cast(DatumType::F64), &[*input])?);
        }
        let name = format!("{prefix}.powers");
        let powers = wire_with_rank_broadcast(name, model, pow_of_floats(), &wires)?;
        model.wire_node(prefix, cast(to), &powers)
    }
}

/// What is summed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Sum,
    /// Cut to an integer.
    Mean,
    L1,
    SumSquare,
}

/// A reduction of integers by a sum.
#[derive(Debug, Clone)]
struct Reduction {
    kind: Kind,
    along: Along,
}

impl Rewiring for Reduction {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a reduction without an input")?;
        let fact = model.outlet_fact(x)?.clone();
        let whole = is_integer(fact.datum_type);
        let axes = self.along.axes(model, inputs, fact.rank())?;
        let mut wire = Wire { prefix, model };
        if !whole {
            if !may_be_nothing(&fact, &axes) {
                return own.wire(prefix, model, inputs);
            }
            let summed = match self.kind {
                Kind::L1 => wire.op("sizes", tract_core::ops::math::abs(), &[x])?,
                Kind::SumSquare => wire.binary("squares", tract_core::ops::math::mul(), x, x)?,
                Kind::Sum | Kind::Mean => x,
            };
            let is_mean = self.kind == Kind::Mean;
            return sum_of_lanes(&mut wire, summed, (&axes, self.along.keep), is_mean);
        }
        let summed = match self.kind {
            Kind::L1 => tvec!(wire.op("sizes", tract_core::ops::math::abs(), &[x])?),
            Kind::SumSquare => tvec!(x, x),
            Kind::Sum | Kind::Mean => tvec!(x),
        };
        let all: Vec<usize> = (0..fact.rank()).collect();
        let left = all.iter().copied().filter(|axis| !axes.contains(axis));
        let sums = Contraction {
            output: left.collect(),
            terms: vec![all.clone(); summed.len()],
        };
        let mut outlet = wire.op("sums", Plain(sums), &summed)?;
        if self.kind == Kind::Mean {
            let count: TDim = axes.iter().map(|axis| fact.shape[*axis].clone()).product();
            // What nothing is the mean of is nothing too.
            let count = count.to_i64()?.max(1);
            outlet = wire.op("mean", Plain(Part(count)), &[outlet])?;
        }
        for axis in axes.iter().filter(|_| self.along.keep) {
            outlet = wire.op(&format!("axis-{axis}"), AxisOp::Add(*axis), &[outlet])?;
        }
        wire.model.rename_node(outlet.node, prefix)?;
        Ok(tvec!(outlet))
    }
}

/// The whole part of quotients by one number.
#[derive(Debug, Clone, PartialEq)]
struct Part(i64);

fn part<T: Datum + PrimInt>(x: &Tensor, by: i64) -> TractResult<Tensor> {
    let by = T::from(by).context("a mean of more elements than its type counts")?;
    Ok(x.to_plain_array_view::<T>()?.mapv(|x| x / by).into_tensor())
}

impl Function for Part {
    fn name(&self) -> &'static str {
        "Div"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("a quotient without an input")?;
        Ok(tvec!(x.datum_type.fact(x.shape.clone())))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let part = of_integers!(x.datum_type(), part(&x, self.0))?;
        Ok(tvec!(part.into_tvalue()))
    }
}

/// The products of two tensors of one integer type, broadcast against each other.
#[derive(Debug, Clone, PartialEq)]
struct Product;

fn product<T: Datum + Copy + WrappingMul>(a: &Tensor, b: &Tensor) -> TractResult<Tensor> {
    of_pairs(a, b, |a: &T, b: &T| Ok(a.wrapping_mul(b)))
}

impl Function for Product {
    fn name(&self) -> &'static str {
        "Mul"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [a, ..] = inputs else {
            bail!("a product of nothing");
        };
        Ok(tvec!(a.datum_type.fact(shape_of_pairs(inputs)?)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        let product = of_integers!(a.datum_type(), product(&a, &b))?;
        Ok(tvec!(product.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_of_bytes_wrap() {
        let x = tensor1(&[60u8, 16, 15]);
        let found = Product
            .eval(tvec!(x.clone().into_tvalue(), x.into_tvalue()))
            .unwrap()
            .remove(0);
        assert_eq!(*found, tensor1(&[16u8, 0, 225]));
    }
}
