//! Mul, Pow, Einsum and sums of integers: exact products and sums, which wrap where they overflow.
//!
//! At fault: tract-core, `ops/math/mod.rs`: `declutter_mul` and `declutter_pow` make Square of x·x and x², which is computed in float32
//! and saturates for 8 bits, and is not there at all for other integers but int32; `ops/nn/reduce.rs`, which cuts sums of int64 to 32 bits
//! and has none of unsigned integers; tract-linalg, which panics where it should say that it has no kernel for unsigned and 64-bit
//! integers; and tract-onnx, `ops/math/pow.rs`, which gives a power the wider type.

use tract_core::broadcast::multi_broadcast;
use tract_core::ops::cast::cast;
use tract_core::ops::math::pow as pow_of_floats;
use tract_hir::internal::*;
use tract_hir::ops::logic::wire_with_rank_broadcast;
use tract_num_traits::{One, PrimInt, WrappingAdd, WrappingMul, Zero};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

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
        let types = inputs
            .iter()
            .map(|input| Ok(model.outlet_fact(*input)?.datum_type));
        let types: TVec<DatumType> = types.collect::<TractResult<_>>()?;
        match *types {
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
        let sums = Sums {
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
    let shape = multi_broadcast(&[a.shape(), b.shape()])?;
    let (a, b) = (a.to_plain_array_view::<T>()?, b.to_plain_array_view::<T>()?);
    let (a, b) = (a.broadcast(&*shape), b.broadcast(&*shape));
    let (Some(a), Some(b)) = (a, b) else {
        bail!("shapes that do not broadcast to {shape:?}");
    };
    let product = tract_ndarray::Zip::from(a)
        .and(b)
        .map_collect(|a: &T, b: &T| a.wrapping_mul(b));
    Ok(product.into_tensor())
}

impl Function for Product {
    fn name(&self) -> &'static str {
        "Mul"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [a, b] = inputs else {
            bail!("a product of {} inputs", inputs.len());
        };
        let shape = multi_broadcast(&[&*a.shape, &*b.shape])?;
        Ok(tvec!(a.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        let product = of_integers!(a.datum_type(), product(&a, &b))?;
        Ok(tvec!(product.into_tvalue()))
    }
}

/// Sums of products along axes that several tensors share: an Einsum of integers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sums<A> {
    /// What each axis of each input is called.
    pub terms: Vec<Vec<A>>,
    /// The axes that are left.
    pub output: Vec<A>,
}

/// One axis: how long it is, and how far apart its elements are in each input.
struct Axis {
    size: usize,
    strides: Vec<usize>,
}

/// The next element along some axes: its index along each, and where it is in each input.
fn step(axes: &[Axis], index: &mut [usize], places: &mut [usize]) {
    for (axis, at) in axes.iter().zip(index).rev() {
        let last = *at + 1 == axis.size;
        *at = if last { 0 } else { *at + 1 };
        for (place, stride) in places.iter_mut().zip(&axis.strides) {
            if last {
                *place -= (axis.size - 1) * stride;
            } else {
                *place += stride;
            }
        }
        if !last {
            break;
        }
    }
}

fn count(axes: &[Axis]) -> TractResult<usize> {
    let count = axes
        .iter()
        .try_fold(1usize, |count, axis| count.checked_mul(axis.size));
    count.context("more elements than can be counted")
}

impl<A: Copy + PartialEq + std::fmt::Debug> Sums<A> {
    /// The axes of the output, and those that are summed over.
    fn axes(&self, shapes: &[&[usize]]) -> TractResult<(Vec<Axis>, Vec<Axis>)> {
        let mut letters = self.output.clone();
        for letter in self.terms.iter().flatten() {
            if !letters.contains(letter) {
                letters.push(*letter);
            }
        }
        let mut axes = Vec::new();
        for letter in &letters {
            let mut axis = Axis {
                size: 1,
                strides: Vec::new(),
            };
            for (term, shape) in self.terms.iter().zip(shapes) {
                ensure!(term.len() == shape.len(), "{term:?} for {shape:?}");
                let mut stride = 0;
                let mut apart = 1;
                for (own, size) in term.iter().zip(*shape).rev() {
                    if own == letter {
                        stride += apart;
                        axis.size = *size;
                    }
                    apart *= size;
                }
                axis.strides.push(stride);
            }
            axes.push(axis);
        }
        let summed = axes.split_off(self.output.len());
        Ok((axes, summed))
    }
}

fn sums<T>(axes: &(Vec<Axis>, Vec<Axis>), inputs: &[TValue]) -> TractResult<Tensor>
where
    T: Datum + Copy + Zero + One + WrappingAdd + WrappingMul,
{
    let (left, summed) = axes;
    let mut elements = Vec::new();
    for input in inputs {
        elements.push(input.try_as_plain_ram()?.as_slice::<T>()?);
    }
    let terms = count(summed)?;
    let shape: Vec<usize> = left.iter().map(|axis| axis.size).collect();
    let mut found = Vec::new();
    let (mut index, mut bases) = (vec![0; left.len()], vec![0; inputs.len()]);
    // After the last of them comes the first again.
    let (mut summed_index, mut offsets) = (vec![0; summed.len()], vec![0; inputs.len()]);
    for _ in 0..count(left)? {
        let mut sum = T::zero();
        for _ in 0..terms {
            let mut product = T::one();
            for (elements, (base, offset)) in elements.iter().zip(bases.iter().zip(&offsets)) {
                let element = elements.get(base + offset);
                product = product.wrapping_mul(element.context("a sum beyond its input")?);
            }
            sum = sum.wrapping_add(&product);
            step(summed, &mut summed_index, &mut offsets);
        }
        found.push(sum);
        step(left, &mut index, &mut bases);
    }
    Tensor::from_shape(&shape, &found)
}

impl<A> Function for Sums<A>
where
    A: Copy + PartialEq + std::fmt::Debug + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "Einsum"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let first = inputs.first().context("sums of nothing")?;
        let mut shape = TVec::new();
        for letter in &self.output {
            let mut sizes = self.terms.iter().zip(inputs).filter_map(|(term, fact)| {
                let axis = term.iter().position(|own| own == letter)?;
                fact.shape.get(axis).cloned()
            });
            shape.push(sizes.next().context("an axis of no input")?);
        }
        Ok(tvec!(first.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape()).collect();
        let axes = self.axes(&shapes)?;
        let dt = inputs.first().context("sums of nothing")?.datum_type();
        let sums = of_integers!(dt, sums(&axes, &inputs))?;
        Ok(tvec!(sums.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_matrices_are_sums_and_wrap() {
        let terms = vec![vec!['i', 'k'], vec!['k', 'j']];
        let output = vec!['i', 'j'];
        let sums = Sums { terms, output };
        let a = tensor2(&[[1i64, 2], [3, i64::MAX]]);
        let b = tensor2(&[[5i64, 7, 0], [2, 1, 2]]);
        let found = sums
            .eval(tvec!(a.into_tvalue(), b.into_tvalue()))
            .unwrap()
            .remove(0);
        let by_hand = tensor2(&[[9i64, 9, 4], [13, 21i64.wrapping_add(i64::MAX), -2]]);
        assert_eq!(*found, by_hand);
    }

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
