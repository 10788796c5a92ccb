//! Unfolding: the input elements that a panel of outputs meets, one row per tap and channel.
//! Given: one group's input channels, and the columns of the panel.
//! Promise: row `tap * channels + channel`, `PANEL_VECTORS` vectors apart, holds the elements of all columns; zeros
//! where the window leaves the input.

use std::ops::Range;

use onnx_swish_simd::{Kernel, Simd};

use super::PANEL_VECTORS;
use crate::geometry::{Frame, Window};

/// Columns of a panel that lie in one output row.
struct Run {
    y: usize,
    x: usize,
    len: usize,
    /// First column in the panel.
    at: usize,
}

/// Unfolds the planes of `input` for output columns `first..first + columns` into `panel`.
pub(super) struct Unfold<'a> {
    pub window: &'a Window,
    pub frame: &'a Frame,
    pub input: &'a [f32],
    /// Which of the panel's channels these planes are.
    pub own: Range<usize>,
    /// A factor for each of them.
    pub gate: Option<&'a [f32]>,
    /// Channels of the panel.
    pub channels: usize,
    pub first: usize,
    pub columns: usize,
    pub panel: &'a mut [f32],
}

impl Kernel for Unfold<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Unfold {
            window,
            frame,
            input,
            own,
            gate,
            channels,
            first,
            columns,
            panel,
        } = self;
        let pitch = PANEL_VECTORS * S::LANES;
        assert!(own.end <= channels && input.len() >= own.len() * frame.input_area());
        assert!(gate.is_none_or(|gate| gate.len() == own.len()));
        assert!(columns <= pitch && panel.len() >= window.taps() * channels * pitch);
        let mut at = 0;
        while at < columns {
            let [y, x] = [
                (first + at) / frame.output[1],
                (first + at) % frame.output[1],
            ];
            let len = (frame.output[1] - x).min(columns - at);
            let run = Run { y, x, len, at };
            at += len;
            for tap_y in 0..window.kernel[0] {
                let taps = window.kernel[1] * channels * pitch;
                let planes = Planes {
                    window,
                    frame,
                    input,
                    own: own.clone(),
                    gate,
                    channels,
                };
                let rows = &mut panel[tap_y * taps..][..taps];
                planes.unfold_row(s, &run, tap_y, rows);
            }
        }
    }
}

/// What a kernel of one tap and stride 1 meets: panels that follow each other, all columns of which are there.
///
/// Channel by channel through all panels, for that is how the input lies: caches fetch ahead of who reads on.
pub(super) struct CopyPanels<'a> {
    /// From the first column of the first channel on.
    pub input: &'a [f32],
    /// Elements from one channel to the next.
    pub area: usize,
    /// A factor for each channel.
    pub gate: Option<&'a [f32]>,
    pub channels: usize,
    pub panels: usize,
    /// Elements from one panel to the next.
    pub pitch: usize,
    /// `[panel][channel][PANEL_VECTORS vectors]`.
    pub unfolded: &'a mut [f32],
}

impl Kernel for CopyPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.gate {
            Some(gate) => self.copy(|channel, x| s.mul(x, s.splat(gate[channel])), s),
            None => self.copy(|_, x| x, s),
        }
    }
}

impl CopyPanels<'_> {
    #[inline(always)]
    fn copy<S: Simd>(self, each: impl Fn(usize, S::V) -> S::V, s: S) {
        let width = PANEL_VECTORS * S::LANES;
        for (channel, row) in self.input.chunks(self.area).enumerate().take(self.channels) {
            let row = row[..self.panels * width].chunks_exact(width);
            let mut at = channel * width;
            for from in row {
                let to = &mut self.unfolded[at..][..width];
                unrolled!(v < PANEL_VECTORS, {
                    // SAFETY: both have `width` elements.
                    unsafe {
                        let x = s.load(from.as_ptr().add(v * S::LANES));
                        s.store(to.as_mut_ptr().add(v * S::LANES), each(channel, x));
                    }
                });
                at += self.pitch;
            }
        }
    }
}

/// The planes to read.
struct Planes<'a> {
    window: &'a Window,
    frame: &'a Frame,
    input: &'a [f32],
    own: Range<usize>,
    gate: Option<&'a [f32]>,
    channels: usize,
}

/// Taps of one kernel row that are looked at together.
const TAPS: usize = 8;

/// What one tap reads for the vectors of a run.
#[derive(Clone, Copy)]
struct Tap<S: Simd> {
    /// Elements that are inside the input, counted from the first that the run's first output meets; with stride 2 of two
    /// vectors that follow each other.
    inside: [(S::M, S::M); PANEL_VECTORS],
    /// Columns whose element is inside: a gate must not touch the padding, which an infinite factor would turn into NaN.
    gated: [S::M; PANEL_VECTORS],
}

impl Planes<'_> {
    /// One kernel row's share of one run: `[tap][channel][PANEL_VECTORS vectors]`, from `run.at` on.
    #[inline(always)]
    fn unfold_row<S: Simd>(&self, s: S, run: &Run, tap_y: usize, rows: &mut [f32]) {
        let [stride_y, stride_x] = self.window.stride;
        let [height, width] = self.frame.input;
        let padded_y = run.y * stride_y + tap_y * self.window.dilation[0];
        let y = padded_y.wrapping_sub(self.frame.pad[0]);
        if y >= height {
            // The same for all channels, whichever are these.
            for row in rows.chunks_mut(PANEL_VECTORS * S::LANES) {
                row[run.at..run.at + run.len].fill(0.0);
            }
            return;
        }
        // May lie before the input's start; only elements that are inside are read.
        let origin = self
            .input
            .as_ptr()
            .wrapping_add(y * width + run.x * stride_x)
            .wrapping_sub(self.frame.pad[1]);
        for first in (0..self.window.kernel[1]).step_by(TAPS) {
            match stride_x {
                1 => self.copy::<S, 1>(s, run, origin, first, rows),
                2 => self.copy::<S, 2>(s, run, origin, first, rows),
                _ => self.gather(run, origin, first, rows, S::LANES),
            }
        }
    }

    /// The first and the last column of the run, one past, that tap `tap_x` finds inside the input.
    #[inline(always)]
    fn inside(&self, run: &Run, tap_x: usize) -> (usize, usize) {
        let stride = self.window.stride[1];
        let offset = run.x * stride + tap_x * self.window.dilation[1];
        let pad = self.frame.pad[1];
        let from = pad.saturating_sub(offset).div_ceil(stride).min(run.len);
        let to = (self.frame.input[1] + pad)
            .saturating_sub(offset)
            .div_ceil(stride)
            .clamp(from, run.len);
        (from, to)
    }

    /// Strides of one and two, whole vectors at a time, for the taps from `first` on.
    #[inline(always)]
    fn copy<S: Simd, const STRIDE: usize>(
        &self,
        s: S,
        run: &Run,
        origin: *const f32,
        first: usize,
        rows: &mut [f32],
    ) {
        let pitch = PANEL_VECTORS * S::LANES;
        let area = self.frame.input_area();
        let taps = TAPS.min(self.window.kernel[1] - first);
        let vectors = run.len.div_ceil(S::LANES);
        // What the unsafe code below relies on, besides the masks.
        assert!(vectors <= PANEL_VECTORS && run.at + run.len <= pitch);
        assert!(rows.len() >= (first + taps) * self.channels * pitch);
        let nothing = s.lanes(0, 0);
        let mut tap = [Tap::<S> {
            inside: [(nothing, nothing); PANEL_VECTORS],
            gated: [nothing; PANEL_VECTORS],
        }; TAPS];
        for (i, tap) in tap.iter_mut().enumerate().take(taps) {
            let (from, to) = self.inside(run, first + i);
            for (v, gated) in tap.gated.iter_mut().enumerate() {
                let skipped = v * S::LANES;
                *gated = s.lanes(from.saturating_sub(skipped), to.saturating_sub(skipped));
            }
            // Elements of the row, counted from the first that this tap meets.
            let (from, to) = (STRIDE * from, (STRIDE * to).saturating_sub(STRIDE - 1));
            for (v, inside) in tap.inside.iter_mut().enumerate() {
                let skipped = STRIDE * v * S::LANES;
                let low = s.lanes(from.saturating_sub(skipped), to.saturating_sub(skipped));
                let skipped = skipped + S::LANES;
                let high = s.lanes(from.saturating_sub(skipped), to.saturating_sub(skipped));
                *inside = (low, high);
            }
        }
        // Lanes beyond the run are overwritten by the next one, or never read; but they must not leave the row.
        let room = pitch - run.at;
        let last = s.lanes(0, room - (vectors - 1) * S::LANES);
        let whole = vectors * S::LANES <= room;
        for (i, tap) in tap.iter().enumerate().take(taps) {
            for v in 0..vectors {
                let (low, high) = tap.inside[v];
                let at = (first + i) * self.window.dilation[1] + STRIDE * v * S::LANES;
                let mut from = origin.wrapping_add(at);
                let row = (first + i) * self.channels + self.own.start;
                let at = row * pitch + run.at + v * S::LANES;
                let mut to = rows.as_mut_ptr().wrapping_add(at);
                let whole = whole || v + 1 < vectors;
                for channel in 0..self.own.len() {
                    // SAFETY: the masks choose elements of row `y` of plane `channel`; the target's row ends with `room`.
                    unsafe {
                        let mut x = s.load_lanes(from, low);
                        if STRIDE == 2 {
                            let next = s.load_lanes(from.wrapping_add(S::LANES), high);
                            x = s.deinterleave(x, next).0;
                        }
                        if let Some(gate) = self.gate {
                            x = s.keep(s.mul(x, s.splat(gate[channel])), tap.gated[v]);
                        }
                        if whole {
                            s.store(to, x);
                        } else {
                            s.store_lanes(to, x, last);
                        }
                    }
                    from = from.wrapping_add(area);
                    to = to.wrapping_add(pitch);
                }
            }
        }
    }

    /// Any stride, element by element, for the taps from `first` on.
    #[inline(always)]
    fn gather(&self, run: &Run, origin: *const f32, first: usize, rows: &mut [f32], lanes: usize) {
        let stride = self.window.stride[1];
        let area = self.frame.input_area();
        for tap in first..self.window.kernel[1].min(first + TAPS) {
            let (from, to) = self.inside(run, tap);
            let source = origin.wrapping_add(tap * self.window.dilation[1]);
            let rows = rows[tap * self.channels * PANEL_VECTORS * lanes..]
                .chunks_mut(PANEL_VECTORS * lanes)
                .skip(self.own.start)
                .take(self.own.len());
            for (channel, row) in rows.enumerate() {
                let factor = self.gate.map_or(1.0, |gate| gate[channel]);
                for (i, x) in row[run.at..run.at + run.len].iter_mut().enumerate() {
                    *x = if from <= i && i < to {
                        // SAFETY: column `i` of the run lies in row `y` of plane `channel`.
                        factor * unsafe { source.wrapping_add(channel * area + i * stride).read() }
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}
