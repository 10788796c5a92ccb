//! Sums of products of integers along axes that several tensors share: what Einsum, Gemm, MatMul and sums of squares are.
//!
//! Given what each axis of each tensor is called; promises exact sums, which wrap where they overflow, as ONNX Runtime's do. An axis of one
//! element goes with any size.

use tract_hir::internal::*;
use tract_num_traits::{One, WrappingAdd, WrappingMul, Zero};

use super::integers::of_integers;
use crate::ops::function::Function;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contraction<A> {
    /// What each axis of each input is called.
    pub terms: Vec<Vec<A>>,
    /// The axes that are left; the others are summed over.
    pub output: Vec<A>,
}

/// One axis: how long it is, and how far apart its elements are in each input.
struct Axis {
    size: usize,
    strides: Vec<usize>,
}

impl Axis {
    /// For each of `inputs` inputs the same element alone.
    fn single(inputs: usize) -> Axis {
        Axis {
            size: 1,
            strides: vec![0; inputs],
        }
    }
}

/// The next element along some axes: its index along each, and where it is in each input. After the last comes the first.
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

/// The size of an axis that has these in its inputs.
fn common<D: DimLike>(sizes: impl Iterator<Item = D>) -> TractResult<D> {
    let mut common = D::one();
    for size in sizes {
        if common.is_one() {
            common = size;
        } else {
            ensure!(
                size.is_one() || size == common,
                "an axis of {common} elements meets one of {size}"
            );
        }
    }
    Ok(common)
}

impl<A: Copy + PartialEq + std::fmt::Debug> Contraction<A> {
    /// The sizes of an axis in the inputs that have it.
    fn sizes<'a, D: Clone>(
        &'a self,
        letter: A,
        shapes: &'a [&'a [D]],
    ) -> impl Iterator<Item = D> + 'a {
        let axes = self.terms.iter().zip(shapes);
        let axes = axes.flat_map(|(term, shape)| term.iter().zip(*shape));
        axes.filter(move |(own, _)| **own == letter)
            .map(|(_, size)| size.clone())
    }

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
            let mut axis = Axis::single(0);
            axis.size = common(self.sizes(*letter, shapes))?;
            for (term, shape) in self.terms.iter().zip(shapes) {
                ensure!(term.len() == shape.len(), "{term:?} for {shape:?}");
                let mut stride = 0;
                let mut apart = 1;
                for (own, size) in term.iter().zip(*shape).rev() {
                    if own == letter && *size != 1 {
                        stride += apart;
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
    let shape: Vec<usize> = left.iter().map(|axis| axis.size).collect();
    let single = Axis::single(inputs.len());
    let (lane, lanes) = summed.split_last().unwrap_or((&single, &[]));
    let mut found = Vec::new();
    let (mut index, mut bases) = (vec![0; left.len()], vec![0; inputs.len()]);
    let (mut lane_index, mut offsets) = (vec![0; lanes.len()], vec![0; inputs.len()]);
    for _ in 0..count(left)? {
        let mut sum = T::zero();
        for _ in 0..count(lanes)? {
            for at in 0..lane.size {
                let mut product = T::one();
                let places = bases.iter().zip(&offsets).zip(&lane.strides);
                for (elements, ((base, offset), stride)) in elements.iter().zip(places) {
                    let element = elements.get(base + offset + at * stride);
                    product = product.wrapping_mul(element.context("a sum beyond its input")?);
                }
                sum = sum.wrapping_add(&product);
            }
            step(lanes, &mut lane_index, &mut offsets);
        }
        found.push(sum);
        step(left, &mut index, &mut bases);
    }
    Tensor::from_shape(&shape, &found)
}

impl<A> Function for Contraction<A>
where
    A: Copy + PartialEq + std::fmt::Debug + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "Einsum"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let first = inputs.first().context("sums of nothing")?;
        let shapes: Vec<&[TDim]> = inputs.iter().map(|fact| fact.shape.dims()).collect();
        // Those that are summed over have to fit as well.
        for letter in self.terms.iter().flatten() {
            common(self.sizes(*letter, &shapes))?;
        }
        let shape = self
            .output
            .iter()
            .map(|letter| common(self.sizes(*letter, &shapes)));
        let shape: TVec<TDim> = shape.collect::<TractResult<_>>()?;
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

    fn contracted(terms: [&str; 2], output: &str, a: Tensor, b: Tensor) -> TValue {
        let contraction = Contraction {
            terms: terms.iter().map(|term| term.chars().collect()).collect(),
            output: output.chars().collect(),
        };
        let inputs = tvec!(a.into_tvalue(), b.into_tvalue());
        contraction.eval(inputs).unwrap().remove(0)
    }

    #[test]
    fn products_of_matrices_are_sums_and_wrap() {
        let a = tensor2(&[[1i64, 2], [3, i64::MAX]]);
        let b = tensor2(&[[5i64, 7, 0], [2, 1, 2]]);
        let found = contracted(["ik", "kj"], "ij", a, b);
        let by_hand = tensor2(&[[9i64, 9, 4], [13, 21i64.wrapping_add(i64::MAX), -2]]);
        assert_eq!(*found, by_hand);
    }

    #[test]
    fn an_axis_of_one_goes_with_any_size() {
        let rows = tensor2(&[[1u8, 2, 3], [4, 5, 6]]);
        let found = contracted(["bk", "bk"], "b", rows, tensor2(&[[10u8, 100, 1]]));
        assert_eq!(*found, tensor1(&[213u8, 546u16 as u8]));
    }
}
