//! ONNX Runtime's QLinearAdd and QLinearMul: codes of two tensors that broadcast against each other.
//!
//! Given tensors of codes; promises ONNX Runtime's codes to the bit. Where it adds a tensor to single elements of another, it rounds in the
//! other order than where it adds these to the tensor, and so what is broadcast along the last axes decides.

use bytemuck::cast_slice_mut;
use onnx_swish_kernels::codes::{self as kernels, Linear, Operator, Second};
use tract_core::broadcast::multi_broadcast;
use tract_core::internal::*;

use super::codes::{self, bytes};
use crate::arena::Arena;
use crate::error::demand;
use crate::workers::in_chunks;

/// One of the two, with constant parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QLinear {
    pub by: kernels::QLinear,
    /// Whether scalar code computes it, for the reference of `verify`.
    pub plain: bool,
}

// A NaN scale only makes two operators look different.
impl Eq for QLinear {}

impl QLinear {
    /// Whether it is a sum.
    pub(crate) fn is_sum(&self) -> bool {
        self.by.operator() == Operator::Add
    }

    fn codes(&self) -> DatumType {
        match self.by.to().zero_point {
            kernels::ZeroPoint::U8(_) => DatumType::U8,
            kernels::ZeroPoint::I8(_) => DatumType::I8,
        }
    }

    fn run(&self, ctx: &EvalContext, a: &Tensor, b: &Tensor) -> TractResult<Tensor> {
        let (shape, spans) = spans(a.shape(), b.shape())?;
        for codes in [a, b] {
            ensure!(codes.datum_type() == self.codes(), "codes of two types");
        }
        let in_ones = end_in_ones(a.shape(), b.shape());
        let (a, b) = (bytes(a)?, bytes(b)?);
        let write = |codes: &mut [u8]| match (spans.kind, b) {
            (Kind::First, _) => self.write(&self.by.swapped(), &spans.swapped(), [b, a], codes),
            (Kind::Second, [b]) if in_ones => self.look_up(*b, a, codes),
            _ => self.write(&self.by, &spans, [a, b], codes),
        };
        if self.codes() == DatumType::I8 {
            Arena::output(ctx, &shape, |codes: &mut [i8]| {
                write(cast_slice_mut(codes));
                Ok(())
            })
        } else {
            Arena::output(ctx, &shape, |codes: &mut [u8]| {
                write(codes);
                Ok(())
            })
        }
    }

    /// Single elements are those of the second operand here.
    fn write(&self, by: &kernels::QLinear, spans: &Spans, [a, b]: [&[u8]; 2], codes: &mut [u8]) {
        let total = codes.len();
        let single = spans.kind != Kind::Each;
        // Planes are a group of their own, each of which has an element: together they are one call.
        let planes = spans.outer.first().filter(|group| single && group.both);
        let (planes, outer) = match planes {
            Some(group) => (group.size, spans.outer.get(1..).unwrap_or_default()),
            None => (1, &*spans.outer),
        };
        if total == 0 {
            return;
        }
        if outer.is_empty() {
            let row = if single { spans.len } else { 1 };
            if single && planes == 1 {
                return in_chunks(codes, 1, total, |first, codes| {
                    let a = &a[first..][..codes.len()];
                    self.combine(by, a, Second::Planes(&b[..1]), codes);
                });
            }
            return in_chunks(codes, row, total, |first, codes| {
                let (at, len) = (first * row, codes.len());
                let b = if single {
                    Second::Planes(&b[first..][..len / row])
                } else {
                    Second::Each(&b[at..][..len])
                };
                self.combine(by, &a[at..][..len], b, codes);
            });
        }
        let row = spans.len * planes;
        in_chunks(codes, row, total, |first, codes| {
            for (i, codes) in codes.chunks_exact_mut(row).enumerate() {
                let (at_a, at_b) = spans.place(outer, first + i);
                let b = if single {
                    Second::Planes(&b[at_b..][..planes])
                } else {
                    Second::Each(&b[at_b..][..row])
                };
                self.combine(by, &a[at_a..][..row], b, codes);
            }
        });
    }

    /// Of one element of the second operand, as if it were the first.
    fn look_up(&self, b: u8, a: &[u8], codes: &mut [u8]) {
        let every: kernels::Table = std::array::from_fn(|code| code as u8);
        let mut table = every;
        let each = Second::Each(&every);
        self.combine(&self.by.swapped(), &[b; 256], each, &mut table);
        let total = codes.len();
        in_chunks(codes, 1, total, |first, codes| {
            kernels::look_up(&table, &a[first..][..codes.len()], codes);
        });
    }

    fn combine(&self, by: &kernels::QLinear, a: &[u8], b: Second<'_>, codes: &mut [u8]) {
        if self.plain {
            kernels::combine_one_by_one(by, a, b, codes);
        } else {
            kernels::combine(by, a, b, codes);
        }
    }
}

impl Op for QLinear {
    fn name(&self) -> StaticName {
        if self.is_sum() { "QAdd" } else { "QMul" }.into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec!["from codes to codes, as ONNX Runtime".to_owned()])
    }

    op_as_typed_op!();
}

impl EvalOp for QLinear {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [a, b] = &*inputs else {
            bail!("{} takes two inputs", self.name());
        };
        Ok(tvec!(self.run(ctx, a, b)?.into_tvalue()))
    }
}

impl TypedOp for QLinear {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [a, b] = inputs else {
            bail!("{} takes two inputs", self.name());
        };
        let shape = multi_broadcast(&[&*a.shape, &*b.shape])?;
        Ok(tvec!(self.codes().fact(shape)))
    }

    as_op!();
}

/// One of the two, whose parameters the model computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QLinearBy {
    pub operator: Operator,
    /// Where each of the node's eight inputs is, if it is given.
    pub at: [Option<usize>; 8],
    pub plain: bool,
}

impl QLinearBy {
    /// With the parameters that `value` gives, if it gives all.
    pub(crate) fn fixed(
        &self,
        codes: DatumType,
        value: impl Fn(usize) -> TractResult<Option<Arc<Tensor>>>,
    ) -> TractResult<Option<QLinear>> {
        let linear = |scale: usize, zero_point: usize| {
            let Some(scale) = self.at[scale] else {
                bail!("a scale is missing");
            };
            let Some(scale) = value(scale)? else {
                return Ok(None);
            };
            let zero_point = match self.at[zero_point] {
                None => None,
                Some(at) => match value(at)? {
                    None => return Ok(None),
                    given => given,
                },
            };
            linear(&scale, zero_point.as_deref(), codes).map(Some)
        };
        let (Some(a), Some(b), Some(to)) = (linear(1, 2)?, linear(4, 5)?, linear(6, 7)?) else {
            return Ok(None);
        };
        let by = kernels::QLinear::new(self.operator, a, b, to).context("codes of two types")?;
        Ok(Some(QLinear {
            by,
            plain: self.plain,
        }))
    }
}

/// What codes stand for, by these parameters; the zero point that is not given is 0.
pub(super) fn linear(
    scale: &Tensor,
    zero_point: Option<&Tensor>,
    codes: DatumType,
) -> TractResult<Linear> {
    let zero_point = match zero_point {
        None => 0,
        Some(zero_point) => {
            demand!(
                zero_point.datum_type() == codes,
                "its codes and zero points are of two types"
            );
            one::<i32>(zero_point)?
        }
    };
    codes::linear(one::<f32>(scale)?, zero_point, codes).context("its codes are not of 8 bits")
}

/// What a node of the file has in one of its places, where `at` says for each which of the inputs that is.
pub(crate) fn input<'a, T>(
    at: &[Option<usize>],
    inputs: &'a [T],
    place: usize,
) -> TractResult<&'a T> {
    let at = at.get(place).copied().flatten();
    at.and_then(|at| inputs.get(at)).context("no such input")
}

/// The only element of a parameter.
fn one<T: Datum + Copy>(tensor: &Tensor) -> TractResult<T> {
    demand!(
        tensor.len() == 1,
        "it has a scale or zero point of {} elements",
        tensor.len()
    );
    let cast = tensor.cast_to::<T>()?;
    let first = cast.try_as_plain_ram()?.as_slice::<T>()?.first().copied();
    first.context("an empty parameter")
}

impl Op for QLinearBy {
    fn name(&self) -> StaticName {
        match self.operator {
            Operator::Add => "QAddBy",
            Operator::Mul => "QMulBy",
        }
        .into()
    }

    op_as_typed_op!();
}

impl EvalOp for QLinearBy {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = (input(&self.at, &inputs, 0)?, input(&self.at, &inputs, 3)?);
        let value = |at: usize| {
            let tensor = inputs.get(at).context("no such input")?;
            Ok(Some(tensor.clone().into_arc_tensor()))
        };
        let fixed = self.fixed(a.datum_type(), value)?;
        let fixed = fixed.context("a parameter is missing")?;
        Ok(tvec!(fixed.run(ctx, a, b)?.into_tvalue()))
    }
}

impl TypedOp for QLinearBy {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (a, b) = (input(&self.at, inputs, 0)?, input(&self.at, inputs, 3)?);
        let shape = multi_broadcast(&[&*a.shape, &*b.shape])?;
        Ok(tvec!(a.datum_type.fact(shape)))
    }

    as_op!();
}

/// Which operand has a single element for the last axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Each,
    First,
    Second,
}

/// Neighbouring axes along which each operand moves, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    size: usize,
    /// From one element to the next, in elements of the operands.
    steps: [usize; 2],
    both: bool,
}

/// The elements of a result in stretches, as ONNX Runtime has them: the last axes along which it is the same operand that is broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spans {
    len: usize,
    kind: Kind,
    /// The other axes, the last of them first.
    outer: Vec<Group>,
}

impl Spans {
    fn swapped(&self) -> Spans {
        let swap = |group: &Group| Group {
            steps: [group.steps[1], group.steps[0]],
            ..*group
        };
        Spans {
            outer: self.outer.iter().map(swap).collect(),
            ..self.clone()
        }
    }

    /// Where the operands' elements for a stretch start.
    fn place(&self, outer: &[Group], mut number: usize) -> (usize, usize) {
        let (mut a, mut b) = (0, 0);
        for group in outer {
            let i = number % group.size.max(1);
            number /= group.size.max(1);
            a += i * group.steps[0];
            b += i * group.steps[1];
        }
        (a, b)
    }
}

/// Whether both have one element along each of the last axes, as many as either has. The first then counts as broadcast, whichever is.
fn end_in_ones(a: &[usize], b: &[usize]) -> bool {
    let common = a.len().min(b.len()).max(1);
    let both = [a, b].into_iter();
    both.flat_map(|shape| shape.iter().rev().take(common))
        .all(|size| *size == 1)
}

fn spans(a: &[usize], b: &[usize]) -> TractResult<(TVec<usize>, Spans)> {
    let shape = multi_broadcast(&[a, b])?;
    let mut groups: Vec<([bool; 2], Group)> = Vec::new();
    let mut elements = [1, 1];
    let from_back = |shape: &[usize], i: usize| {
        let at = shape.len().checked_sub(i + 1);
        at.and_then(|at| shape.get(at)).copied().unwrap_or(1)
    };
    for (i, size) in shape.iter().rev().enumerate() {
        let moves = [from_back(a, i) != 1, from_back(b, i) != 1];
        if *size == 1 {
            continue;
        }
        match groups.last_mut() {
            Some((own, group)) if *own == moves => group.size *= size,
            _ => {
                let steps = [0, 1].map(|at| if moves[at] { elements[at] } else { 0 });
                let group = Group {
                    size: *size,
                    steps,
                    both: moves == [true, true],
                };
                groups.push((moves, group));
            }
        }
        for (elements, moves) in elements.iter_mut().zip(moves) {
            *elements *= if moves { *size } else { 1 };
        }
    }
    let mut groups = groups.into_iter();
    // Where both have one element only, it is the first that counts as broadcast.
    let (len, kind) = match groups.next() {
        None => (1, Kind::First),
        Some(([true, true], group)) => (group.size, Kind::Each),
        Some(([false, _], group)) => (group.size, Kind::First),
        Some(([true, false], group)) => (group.size, Kind::Second),
    };
    let outer = groups.map(|(_, group)| group).collect();
    Ok((shape, Spans { len, kind, outer }))
}

/// What the operator makes of numbers, for who tells people: the code's number, by what it stands for.
pub(crate) fn number(linear: Linear, code: f64) -> f64 {
    (code - f64::from(linear.zero_point.value())) * f64::from(linear.scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_swish_kernels::codes::ZeroPoint;

    fn linear(scale: f32, zero_point: u8) -> Linear {
        let zero_point = ZeroPoint::U8(zero_point);
        Linear { scale, zero_point }
    }

    fn noise(shape: &[usize], seed: u32) -> Tensor {
        let len: usize = shape.iter().product();
        let mut word = seed;
        let codes = (0..len).map(|_| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (word >> 24) as u8
        });
        Tensor::from_shape(shape, &codes.collect::<Vec<u8>>()).unwrap()
    }

    /// Each element by itself, in the order that its stretch has.
    fn expected(by: &kernels::QLinear, a: &Tensor, b: &Tensor, first: bool) -> Vec<u8> {
        let shape = multi_broadcast(&[a.shape(), b.shape()]).unwrap();
        let wide = |codes: &Tensor| {
            let wide = codes.broadcast_to_shape(&shape).unwrap();
            wide.to_plain_array_view::<u8>()
                .unwrap()
                .iter()
                .copied()
                .collect()
        };
        let (a, b): (Vec<u8>, Vec<u8>) = (wide(a), wide(b));
        let pairs = a.iter().zip(&b).map(|(a, b)| {
            if first {
                by.swapped().code(*b, *a)
            } else {
                by.code(*a, *b)
            }
        });
        pairs.collect()
    }

    #[test]
    fn every_way_to_broadcast_gives_each_pair() {
        let shapes: &[(&[usize], &[usize], bool)] = &[
            (&[300], &[300], false),
            (&[1], &[300], true),
            (&[300], &[1], false),
            (&[2, 8, 5, 5], &[2, 8, 1, 1], false),
            (&[2, 8, 1, 1], &[2, 8, 5, 5], true),
            (&[2, 8, 5, 5], &[1, 8, 1, 1], false),
            (&[2, 3, 4, 8], &[8], false),
            (&[30, 1], &[1, 40], true),
            (&[1, 40], &[30, 1], false),
            (&[5, 2, 4, 1], &[1, 2, 1, 1], false),
            (&[4, 1, 6], &[4, 5, 6], false),
            (&[3, 1, 4, 1], &[3, 5, 1, 7], true),
            (&[3, 5, 1, 7], &[3, 1, 4, 1], false),
            (&[1, 1], &[1], true),
            (&[], &[], true),
            (&[40, 5, 1], &[], true),
            (&[40, 5, 1], &[1], true),
            (&[40, 5, 1], &[1, 1], false),
            (&[2, 40, 1, 1], &[1, 1], true),
            (&[40, 5], &[], false),
            (&[0, 3], &[3], false),
        ];
        for operator in [Operator::Add, Operator::Mul] {
            let parts = [linear(0.06, 117), linear(0.02, 3), linear(0.04, 131)];
            let by = kernels::QLinear::new(operator, parts[0], parts[1], parts[2]).unwrap();
            for (a, b, first) in shapes {
                let (a, b) = (noise(a, 1), noise(b, 2));
                let expected = expected(&by, &a, &b, *first);
                for plain in [false, true] {
                    let op = QLinear { by, plain };
                    let inputs = tvec!(a.clone().into_tvalue(), b.clone().into_tvalue());
                    let found = op.eval_out_of_plan(inputs).unwrap().unwrap();
                    let found = found[0].to_plain_array_view::<u8>().unwrap();
                    let found: Vec<u8> = found.iter().copied().collect();
                    assert_eq!(found, expected, "{a:?} {b:?}");
                }
            }
        }
    }
}
