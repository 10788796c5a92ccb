//! How rows of finished sums are stored.
//! Given: a register for each row of a plane, and where they go.
//! Promise: nothing is written outside of the planes that the output has from there on, and totals count each element once.

use onnx_swish_simd::Simd;

use crate::Frame;

/// Where a vector of columns of some rows goes, in the plane that the output begins with.
pub(super) struct Place<'a, S: Simd> {
    pub frame: &'a Frame,
    /// The first row.
    pub y: usize,
    /// The first column.
    pub x: usize,
    /// Lanes to store.
    pub outputs: S::M,
    /// Lanes that no earlier vector of the row computes.
    pub fresh: S::M,
}

/// Stores the sums of rows `y..y + R`, those that the plane has, and adds them to the total.
///
/// If `whole`, as whole vectors where these fit: what they leave beyond their row is overwritten when the turn of the rows and planes
/// below comes.
// The last unrolled step moves on to nowhere.
#[allow(unused_assignments)]
#[inline(always)]
pub(super) fn store<S: Simd, const R: usize>(
    s: S,
    sums: &[S::V; R],
    output: &mut [f32],
    place: &Place<S>,
    whole: bool,
    total: Option<&mut S::V>,
) {
    let [height, width] = place.frame.output;
    let rows = R.min(height - place.y);
    let at = place.y * width + place.x;
    assert!(output.len() >= height * width);
    let whole = whole && at + (rows - 1) * width + S::LANES <= output.len();
    let mut to = output.as_mut_ptr().wrapping_add(at);
    unrolled!(r < R, {
        if r < rows {
            // SAFETY: rows `y..y + rows` exist, and `outputs` are columns of theirs; `whole` says that a whole vector
            // fits behind the start of the last of them.
            unsafe {
                if whole {
                    s.store(to, sums[r]);
                } else {
                    s.store_lanes(to, sums[r], place.outputs);
                }
            }
        }
        to = to.wrapping_add(width);
    });
    if let Some(total) = total {
        unrolled!(r < R, {
            if r < rows {
                *total = s.add(*total, s.keep(sums[r], place.fresh));
            }
        });
    }
}
