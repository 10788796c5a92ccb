//! Sums of planes.
//! Given: planes one after the other, each of as many elements.
//! Promise: each sum in one order of the instruction set's, whoever computes it; NaN and infinities as a sum has them.

use onnx_swish_simd::{Kernel, Simd};
use onnx_swish_threads::Workers;

use crate::spec::{expect_length, volume};
use crate::split::share_rows;
use crate::tuning::{POOLED_PER_NS, threads_for};
use crate::{ConvError, Isa};

/// Writes the sum of each plane of `area` elements. An error of a sum is at most `area / 16 + 8` roundings of the sum of its
/// elements' magnitudes.
///
/// # Errors
/// If the input has not as many planes as the output has sums, or sizes overflow.
pub fn sum_planes(
    isa: Isa,
    area: usize,
    input: &[f32],
    sums: &mut [f32],
    workers: &dyn Workers,
) -> Result<(), ConvError> {
    expect_length("the input", input.len(), volume(&[area, sums.len()])?)?;
    if area == 0 || sums.is_empty() {
        sums.fill(0.0);
        return Ok(());
    }
    let threads = threads_for(input.len(), POOLED_PER_NS, workers);
    share_rows(sums, 1, threads, workers, |own, sums| {
        let input = &input[own.start * area..own.end * area];
        isa.run(Sums { input, area, sums });
    });
    Ok(())
}

struct Sums<'a> {
    input: &'a [f32],
    area: usize,
    sums: &'a mut [f32],
}

/// Chains of additions that go on at the same time.
const CHAINS: usize = 4;

impl Kernel for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (plane, sum) in self.input.chunks_exact(self.area).zip(self.sums) {
            *sum = plane_sum(s, plane);
        }
    }
}

#[inline(always)]
fn plane_sum<S: Simd>(s: S, plane: &[f32]) -> f32 {
    let zero = s.splat(0.0);
    let mut all = [zero; CHAINS];
    let (groups, rest) = (
        plane.chunks_exact(CHAINS * S::LANES),
        plane.chunks_exact(CHAINS * S::LANES).remainder(),
    );
    for group in groups {
        for (i, all) in all.iter_mut().enumerate() {
            // SAFETY: so many vectors are a group.
            let x = unsafe { s.load(group.as_ptr().add(i * S::LANES)) };
            *all = s.add(*all, x);
        }
    }
    for (part, all) in rest.chunks(S::LANES).zip(&mut all) {
        // SAFETY: the part's elements.
        let x = unsafe { s.load_first(part.as_ptr(), part.len()) };
        *all = s.add(*all, x);
    }
    s.sum(s.add(s.add(all[0], all[1]), s.add(all[2], all[3])))
}
