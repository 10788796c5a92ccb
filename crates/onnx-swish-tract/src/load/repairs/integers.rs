//! Mul, Pow, ReduceSumSquare and Einsum of integers: exact products and sums that wrap where they overflow, as ONNX Runtime's do.
//!
//! At fault: tract-core, `ops/math/mod.rs`: `declutter_mul` and `declutter_pow` make Square of x·x and x², which is computed in float32
//! and saturates for 8 bits, and is not there at all for other integers but int32; and tract-linalg, which panics where it should
//! say that it has no kernel for unsigned and 64-bit integers.

use tract_core::broadcast::multi_broadcast;
use tract_hir::internal::*;
use tract_num_traits::{One, WrappingAdd, WrappingMul, Zero};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::reduce::Along;
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
    let along = Along::of(node)?;
    rewired(ctx, node, "tract::ReduceSumSquare", SumSquare { along })
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

/// The square of integers; other powers are right.
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
        own.wire(prefix, model, inputs)
    }
}

#[derive(Debug, Clone)]
struct SumSquare {
    along: Along,
}

impl Rewiring for SumSquare {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a reduction without an input")?;
        let fact = model.outlet_fact(x)?;
        if !is_integer(fact.datum_type) {
            return own.wire(prefix, model, inputs);
        }
        let rank = fact.rank();
        let axes = self.along.axes(model, inputs, rank)?;
        let all: Vec<usize> = (0..rank).collect();
        let left = all.iter().copied().filter(|axis| !axes.contains(axis));
        let sums = Sums {
            output: left.collect(),
            terms: vec![all.clone(), all],
        };
        let kept = axes.iter().filter(|_| self.along.keep);
        let mut wires = model.wire_node(format!("{prefix}.sums"), Plain(sums), &[x, x])?;
        for axis in kept {
            let name = format!("{prefix}.axis-{axis}");
            wires = model.wire_node(name, AxisOp::Add(*axis), &wires)?;
        }
        let last = wires.first().context("a sum without an output")?.node;
        model.rename_node(last, prefix)?;
        Ok(wires)
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

/// Where in each input the `number`th element along these axes is.
fn places(axes: &[Axis], number: usize, inputs: usize) -> Vec<usize> {
    let mut places = vec![0; inputs];
    let mut left = number;
    for axis in axes.iter().rev() {
        let at = left % axis.size;
        left /= axis.size;
        for (place, stride) in places.iter_mut().zip(&axis.strides) {
            *place += at * stride;
        }
    }
    places
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
    for number in 0..count(left)? {
        let bases = places(left, number, inputs.len());
        let mut sum = T::zero();
        for term in 0..terms {
            let mut product = T::one();
            let offsets = places(summed, term, inputs.len());
            for (elements, (base, offset)) in elements.iter().zip(bases.iter().zip(offsets)) {
                let element = elements.get(base + offset);
                product = product.wrapping_mul(element.context("a sum beyond its input")?);
            }
            sum = sum.wrapping_add(&product);
        }
        found.push(sum);
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
