//! Unfolding: the input elements that a panel of outputs meets, one row per tap and channel.
//! Given: one group's input channels, and the columns of the panel.
//! Promise: row `tap * channels + channel`, `PANEL_VECTORS` vectors apart, holds the elements of all columns; zeros
//! where the window leaves the input.

use super::{Kernel, Simd};
use crate::geometry::{Frame, Window};
use crate::product::PANEL_VECTORS;

/// Columns of a panel that lie in one output row.
struct Run {
    y: usize,
    x: usize,
    len: usize,
    /// First column in the panel.
    at: usize,
}

/// Unfolds `channels` planes of `input` for output columns `first..first + columns` into `panel`.
pub(super) struct Unfold<'a> {
    pub window: &'a Window,
    pub frame: &'a Frame,
    pub input: &'a [f32],
    /// Empty, or a factor for each channel.
    pub gate: &'a [f32],
    pub channels: usize,
    pub first: usize,
    pub columns: usize,
    pub panel: &'a mut [f32],
}

impl Kernel for Unfold<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Unfold {
            window,
            frame,
            input,
            gate,
            channels,
            first,
            columns,
            panel,
        } = self;
        let pitch = PANEL_VECTORS * S::LANES;
        assert!(input.len() >= channels * frame.input_area());
        assert!(gate.is_empty() || gate.len() == channels);
        assert!(columns <= pitch && panel.len() >= window.taps() * channels * pitch);
        let mut at = 0;
        while at < columns {
            let (y, x) = (
                (first + at) / frame.output[1],
                (first + at) % frame.output[1],
            );
            let run = Run {
                y,
                x,
                len: (frame.output[1] - x).min(columns - at),
                at,
            };
            at += run.len;
            for tap in 0..window.taps() {
                let rows = &mut panel[tap * channels * pitch..];
                unfold_run(s, window, frame, input, gate, channels, &run, tap, rows);
            }
        }
    }
}

/// One tap's rows for one run of columns.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn unfold_run<S: Simd>(
    s: S,
    window: &Window,
    frame: &Frame,
    input: &[f32],
    gate: &[f32],
    channels: usize,
    run: &Run,
    tap: usize,
    rows: &mut [f32],
) {
    let pitch = PANEL_VECTORS * S::LANES;
    let area = frame.input_area();
    let [height, width] = frame.input;
    let [tap_y, tap_x] = [tap / window.kernel[1], tap % window.kernel[1]];
    let padded_y = run.y * window.stride[0] + tap_y * window.dilation[0];
    let y = padded_y.wrapping_sub(frame.pad[0]);
    if y >= height {
        for row in rows.chunks_mut(pitch).take(channels) {
            row[run.at..run.at + run.len].fill(0.0);
        }
        return;
    }
    // Output `i` of the run reads column `i * stride + offset - pad`: inside for `from <= i < to`.
    let stride = window.stride[1];
    let offset = run.x * stride + tap_x * window.dilation[1];
    let pad = frame.pad[1];
    let from = pad.saturating_sub(offset).div_ceil(stride).min(run.len);
    let to = (width + pad)
        .saturating_sub(offset)
        .div_ceil(stride)
        .clamp(from, run.len);
    // May lie before the input's start; only lanes that are inside are read.
    let origin = input
        .as_ptr()
        .wrapping_add(y * width + offset)
        .wrapping_sub(pad);
    let target = rows.as_mut_ptr();
    assert!(rows.len() >= (channels - 1) * pitch + run.at + run.len);
    let gated = |v: S::V, channel: usize| match gate.get(channel) {
        Some(factor) => s.mul(v, s.splat(*factor)),
        None => v,
    };
    let mut x = 0;
    while x < run.len {
        let place = s.lanes(0, run.len - x);
        let (low, high) = (from.saturating_sub(x), to.saturating_sub(x));
        match stride {
            1 => {
                let inside = s.lanes(low, high);
                for channel in 0..channels {
                    // SAFETY: lanes `low..high` are columns of row `y` of plane `channel`; `place` ends with the run,
                    // which fits the panel row as asserted.
                    unsafe {
                        let v = s.load_lanes(origin.wrapping_add(channel * area + x), inside);
                        let to = target.add(channel * pitch + run.at + x);
                        s.store_lanes(to, gated(v, channel), place);
                    }
                }
            }
            2 => {
                let (low, high) = (2 * low, (2 * high).saturating_sub(1).max(2 * low));
                let first = s.lanes(low, high);
                let second = s.lanes(low.saturating_sub(S::LANES), high.saturating_sub(S::LANES));
                for channel in 0..channels {
                    // SAFETY: elements `low..high` are columns of row `y` of plane `channel`; `place` as above.
                    unsafe {
                        let from = origin.wrapping_add(channel * area + 2 * x);
                        let a = s.load_lanes(from, first);
                        let b = s.load_lanes(from.wrapping_add(S::LANES), second);
                        let v = s.deinterleave(a, b).0;
                        let to = target.add(channel * pitch + run.at + x);
                        s.store_lanes(to, gated(v, channel), place);
                    }
                }
            }
            _ => {
                for channel in 0..channels {
                    let factor = gate.get(channel).copied().unwrap_or(1.0);
                    for i in x..run.len.min(x + S::LANES) {
                        let inside = from <= i && i < to;
                        // SAFETY: read only if column `i` of the run lies in row `y` of plane `channel`; the
                        // target as above.
                        unsafe {
                            let v = if inside {
                                origin.wrapping_add(channel * area + i * stride).read()
                            } else {
                                0.0
                            };
                            target.add(channel * pitch + run.at + i).write(v * factor);
                        }
                    }
                }
            }
        }
        x += S::LANES;
    }
}
