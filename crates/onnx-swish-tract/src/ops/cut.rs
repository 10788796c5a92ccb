//! What a Slice takes of one axis.
//!
//! Given bounds and a step as the specification clamps them; promises the elements of an axis of any size, and the size of what is
//! taken as an expression of the axis's where only the data tells that: slices of one size are then known to be of one size.

use tract_core::internal::*;
use tract_core::ops::array::Slice;

use super::stride::Stride;
use crate::error::demand;

/// What is asked for of one axis. Bounds below 0 count from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cut {
    pub axis: usize,
    pub start: i64,
    pub end: i64,
    /// Not zero.
    pub step: i64,
}

/// What is taken of an axis whose size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub start: usize,
    pub step: i64,
    pub len: usize,
}

impl Taken {
    /// The run of elements from the lowest to the highest that is taken.
    pub fn range(&self) -> (usize, usize) {
        let beyond_first = (self.len.saturating_sub(1)) as u64 * self.step.unsigned_abs();
        let beyond_first = usize::try_from(beyond_first).unwrap_or(0);
        if self.len == 0 {
            (0, 0)
        } else if self.step > 0 {
            (self.start, self.start + beyond_first + 1)
        } else {
            (self.start.saturating_sub(beyond_first), self.start + 1)
        }
    }
}

/// Bounds from here on mean the end of an axis, as exporters write it for int32 and int64.
const ALL: i64 = i32::MAX as i64;

impl Cut {
    /// The specification's clamping: forwards into `[0, size]`, backwards into `[0, size - 1]` and, for the end, `[-1, size - 1]`.
    pub fn of(&self, size: i64) -> TractResult<Taken> {
        let step = self.step;
        demand!(step != 0, "its step is 0");
        let from_front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (start, end) = (from_front(self.start), from_front(self.end));
        let (start, span) = if step > 0 {
            let start = start.clamp(0, size);
            (start, end.clamp(0, size) - start)
        } else {
            let start = start.clamp(0, (size - 1).max(0));
            (start, start - end.clamp(-1, size - 1))
        };
        let stride = i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX);
        let len = if span <= 0 || size == 0 {
            0
        } else {
            (span - 1) / stride + 1
        };
        Ok(Taken {
            start: usize::try_from(start)?,
            step,
            len: usize::try_from(len)?,
        })
    }

    /// How many elements are taken of an axis of this size; `None` where no expression of the size says it.
    pub fn len(&self, size: &TDim) -> TractResult<Option<TDim>> {
        Ok(match size.as_i64() {
            Some(size) => Some(self.of(size)?.len.to_dim()),
            None => self.len_of_any(size),
        })
    }

    fn len_of_any(&self, size: &TDim) -> Option<TDim> {
        let (start, end) = (self.start.clamp(-ALL, ALL), self.end.clamp(-ALL, ALL));
        if self.step == -1 && (start == -1 || start == ALL) && end == -ALL {
            return Some(size.clone());
        }
        let step = u64::try_from(self.step).ok().filter(|step| *step > 0)?;
        // So far below 0 is before the first.
        let first = |at: i64| if at == -ALL { 0 } else { at };
        let (start, end) = (first(start), first(end));
        let most = |most: i64| TDim::Min(vec![size.clone(), most.to_dim()]).simplify();
        let some = |len: TDim| TDim::Max(vec![0.to_dim(), len]).simplify();
        let span = match (start >= 0, end >= 0) {
            _ if end == 0 => 0.to_dim(),
            (true, true) | (false, false) if start >= end => 0.to_dim(),
            (true, _) if end == ALL && start == 0 => size.clone(),
            (true, _) if end == ALL => some(size.clone() - start),
            (true, true) if start == 0 => most(end),
            (true, true) => most(end) - most(start),
            (true, false) => some(size.clone() + end - start),
            (false, _) if end == ALL => most(-start),
            (false, false) => some(size.clone() + end) - some(size.clone() + start),
            (false, true) => return None,
        };
        Some(span.div_ceil(step))
    }

    /// Whether every element is taken, in its order, whatever the size.
    pub fn is_all(&self) -> bool {
        self.step == 1 && (self.start == 0 || self.start <= -ALL) && self.end >= ALL
    }
}

/// The cut of an axis whose size the data decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CutWhileRunning {
    pub cut: Cut,
    /// An expression of the size, or a symbol.
    pub len: TDim,
}

impl Op for CutWhileRunning {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let Cut {
            axis,
            start,
            end,
            step,
        } = self.cut;
        Ok(vec![format!("axis {axis}, {start}:{end}:{step}")])
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    op_as_typed_op!();
}

impl EvalOp for CutWhileRunning {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let axis = self.cut.axis;
        let size = x.shape().get(axis).context("a slice of no axis")?;
        let taken = self.cut.of(i64::try_from(*size)?)?;
        let (first, end) = taken.range();
        let run = Slice::new(axis, first, end).eval(ctx, tvec!(x))?;
        if taken.step == 1 || taken.len < 2 {
            return Ok(run);
        }
        let step = isize::try_from(taken.step)?;
        Stride { axis, step }.eval(ctx, run)
    }
}

impl TypedOp for CutWhileRunning {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut fact = inputs
            .first()
            .context("a slice of nothing")?
            .without_value();
        let axis = self.cut.axis;
        ensure!(axis < fact.rank(), "axis {axis} of rank {}", fact.rank());
        fact.shape.set(axis, self.len.clone());
        Ok(tvec!(fact))
    }

    fn axes_mapping(
        &self,
        inputs: &[&TypedFact],
        outputs: &[&TypedFact],
    ) -> TractResult<AxesMapping> {
        // Axes but one are left alone, as by a stride.
        let axis = self.cut.axis;
        Stride { axis, step: 1 }.axes_mapping(inputs, outputs)
    }

    fn set_symbols(
        &self,
        _source: &TypedModel,
        node: &TypedNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
        subs: &HashMap<Symbol, TDim>,
    ) -> TractResult<TVec<OutletId>> {
        let len = self.len.substitute_all(subs)?;
        let inputs = node.inputs.iter().filter_map(|it| mapping.get(it).copied());
        let inputs: TVec<OutletId> = inputs.collect();
        target.wire_node(&node.name, CutWhileRunning { cut: self.cut, len }, &inputs)
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(start: i64, end: i64, step: i64) -> Cut {
        Cut {
            axis: 0,
            start,
            end,
            step,
        }
    }

    #[test]
    fn bounds_are_clamped_as_the_specification_says() {
        for (size, start, end, step, expected) in [
            (10, 0, i64::MAX, 1, (0, 10)),
            (10, -3, i64::MAX, 1, (7, 3)),
            (10, 20, 30, 1, (10, 0)),
            (10, 1, -1, 3, (1, 3)),
            (10, -1, i64::MIN, -1, (9, 10)),
            (10, 20, 0, -4, (9, 3)),
            (10, 2, 8, -1, (2, 0)),
            (0, 0, i64::MAX, 1, (0, 0)),
            (0, -1, i64::MIN, -1, (0, 0)),
        ] {
            let taken = cut(start, end, step).of(size).unwrap();
            assert_eq!(
                (taken.start, taken.len),
                expected,
                "{size}[{start}:{end}:{step}]"
            );
        }
    }

    #[test]
    fn sizes_that_are_expressions_are_those_of_every_number() {
        let scope = SymbolScope::default();
        let n = scope.sym("n");
        let bounds = [0, 1, 3, 100, -1, -3, -100, i64::MAX, i64::MIN, ALL, -ALL];
        let mut told = 0;
        for start in bounds {
            for end in bounds {
                for step in [1, 2, 5, -1, -2] {
                    let cut = cut(start, end, step);
                    let Some(len) = cut.len(&n.to_dim()).unwrap() else {
                        continue;
                    };
                    for size in 0..8 {
                        let len = len.eval(&SymbolValues::default().with(&n, size));
                        let taken = cut.of(size).unwrap().len.to_dim();
                        assert_eq!(len, taken, "{size}[{start}:{end}:{step}]");
                        told += 1;
                    }
                }
            }
        }
        assert!(told > 1000, "{told}");
    }
}
