//! Concatenation of f32 tensors into memory that a session keeps.
//!
//! Given tensors of known sizes that differ along one axis; promises their elements as they are, copied on all threads of the run where that is
//! worth it.

use tract_core::internal::*;

use crate::arena::{Arena, elements};
use crate::workers::in_chunks;

/// One tensor of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Join {
    axis: usize,
    /// Elements that each input has next to each other between those of the others.
    runs: TVec<usize>,
    output: TVec<usize>,
}

impl Join {
    /// Of tensors of these shapes.
    pub(crate) fn along(axis: usize, inputs: &[&[usize]], output: &[usize]) -> Option<Join> {
        let run = |shape: &&[usize]| Some(shape.get(axis..)?.iter().product());
        Some(Join {
            axis,
            runs: inputs.iter().map(run).collect::<Option<_>>()?,
            output: output.into(),
        })
    }

    /// Writes the elements of the output from this one on.
    fn write(&self, inputs: &[&[f32]], first: usize, mut output: &mut [f32]) {
        let whole: usize = self.runs.iter().sum();
        if whole == 0 {
            return;
        }
        let (mut outer, mut skipped) = (first / whole, first % whole);
        while !output.is_empty() {
            for (input, run) in inputs.iter().zip(&self.runs) {
                if skipped >= *run {
                    skipped -= run;
                    continue;
                }
                let from = input.get(outer * run + skipped..(outer + 1) * run);
                let from = from.unwrap_or_default();
                let count = from.len().min(output.len());
                let (to, rest) = output.split_at_mut(count);
                to.copy_from_slice(&from[..count]);
                (output, skipped) = (rest, 0);
            }
            outer += 1;
        }
    }
}

impl Op for Join {
    fn name(&self) -> StaticName {
        "Join".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!(
            "{} along axis {}",
            self.runs.len(),
            self.axis
        )])
    }

    op_as_typed_op!();
}

impl EvalOp for Join {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let parts: Vec<&[f32]> = inputs
            .iter()
            .map(|input| elements(input))
            .collect::<TractResult<_>>()?;
        let whole: usize = self.output.iter().product();
        let outer: usize = self.output.iter().take(self.axis).product();
        let lengths = parts.iter().map(|part| part.len());
        ensure!(
            lengths.eq(self.runs.iter().map(|run| outer * run)),
            "a concatenation to {:?} was given tensors of other sizes",
            self.output
        );
        let output = Arena::output(ctx, &self.output, |output| {
            in_chunks(output, 1, whole, |first, part| {
                self.write(&parts, first, part);
            });
            Ok(())
        })?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Join {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(DatumType::F32.fact(&*self.output)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_output_may_begin_anywhere() {
        let shapes: [&[usize]; 3] = [&[3, 2, 5], &[3, 0, 5], &[3, 4, 5]];
        let join = Join::along(1, &shapes, &[3, 6, 5]).expect("they have the axis");
        let parts: Vec<Vec<f32>> = (0..3u16)
            .map(|part| {
                let len: usize = shapes[usize::from(part)].iter().product();
                (0..len)
                    .map(|at| f32::from(part) * 100.0 + at as f32)
                    .collect()
            })
            .collect();
        let inputs: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        let expected: Vec<f32> = (0..3)
            .flat_map(|outer| {
                let first = &parts[0][outer * 10..][..10];
                first.iter().chain(&parts[2][outer * 20..][..20])
            })
            .copied()
            .collect();
        for from in 0..90 {
            for to in from..=90 {
                let mut output = vec![f32::NAN; to - from];
                join.write(&inputs, from, &mut output);
                assert_eq!(output, expected[from..to]);
            }
        }
    }
}
