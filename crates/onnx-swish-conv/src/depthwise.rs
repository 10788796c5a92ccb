//! Depthwise convolution: every output channel reads one input channel.
//! Given: whole tensors in NCHW order and the filters, one after the other.
//! Promise: planes are computed independently, a band of rows at a time, in the layout of [`Layout`].

use std::sync::Mutex;

use onnx_swish_threads::Workers;

use crate::activation::Prepared;
use crate::arch::depthwise::{Planes, compute};
use crate::arch::lanes;
use crate::band::{Layout, beyond};
use crate::{Frame, Isa, Window, scratch};

/// Elements of a band's padded copy. 32 KiB stay in the first-level cache next to the output rows.
const BAND: usize = 8192;

/// Below this many multiply-adds, a microsecond or two of work, a second thread costs more than it brings: a
/// [`Pool`](onnx_swish_threads::Pool) takes 0.7 microseconds to hand over.
const THREADING_MACS: usize = 25_000;

/// Output rows that are computed together from a copy.
pub(crate) const ROWS_AT_ONCE: usize = 4;

/// The layout of a band and the elements of scratch it takes.
fn layout(window: &Window, frame: &Frame, lanes: usize) -> (Layout, usize) {
    let pitch = (frame.output[1] + beyond(window, 1)).next_multiple_of(lanes);
    let rows_that_fit = BAND / (window.stride[0] * window.stride[1] * pitch);
    let rows = rows_that_fit
        .saturating_sub(beyond(window, 0))
        .max(2 * ROWS_AT_ONCE)
        .min(frame.output[0]);
    let layout = Layout::new(window, frame, pitch, rows);
    // Room for rows and vectors that run over the end.
    let len = layout.len + ROWS_AT_ONCE * pitch + lanes + beyond(window, 1);
    (layout, len)
}

/// What a depthwise convolution needs besides the tensors.
#[derive(Debug)]
pub(crate) struct Depthwise {
    pub window: Window,
    pub in_channels: usize,
    pub out_channels: usize,
    /// `[out_channels][kernel height][kernel width]`.
    pub weights: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
    pub activation: Prepared,
    pub isa: Isa,
}

/// One task's share: planes of the output and their sums.
type Share<'a> = Mutex<Option<(&'a mut [f32], &'a mut [f32])>>;

impl Depthwise {
    /// Computes all planes; `sums`, empty or one per plane, receives each plane's total after the activation.
    pub(crate) fn run(
        &self,
        frame: &Frame,
        input: &[f32],
        output: &mut [f32],
        sums: &mut [f32],
        workers: &dyn Workers,
    ) {
        let area = frame.output_area();
        if area == 0 || output.is_empty() {
            sums.fill(0.0);
            return;
        }
        // Common windows read the input as it lies.
        let copied = !self.window.is_common();
        let layout = copied.then(|| layout(&self.window, frame, lanes(self.isa)));
        let scratch_len = layout.as_ref().map_or(0, |(_, len)| *len);
        let planes = output.len() / area;
        let threaded = workers.count() > 1 && output.len() * self.window.taps() >= THREADING_MACS;
        // A few tasks per worker even out what the machine does besides.
        let tasks = if threaded {
            (4 * workers.count()).min(planes)
        } else {
            1
        };
        let per_task = planes.div_ceil(tasks);
        let mut sums = sums.chunks_mut(per_task);
        let shares: Vec<Share> = output
            .chunks_mut(per_task * area)
            .map(|planes| Mutex::new(Some((planes, sums.next().unwrap_or_default()))))
            .collect();
        let task = |i: usize| {
            let share = shares[i].lock().ok().and_then(|mut share| share.take());
            let Some((output, sums)) = share else { return };
            scratch::with(scratch_len, |scratch| {
                compute(
                    self.isa,
                    Planes {
                        conv: self,
                        frame,
                        layout: layout.as_ref().map(|(layout, _)| layout),
                        input,
                        first: i * per_task,
                        output,
                        sums,
                        scratch,
                    },
                );
            });
        };
        if shares.len() == 1 {
            task(0)
        } else {
            workers.run(shares.len(), &task)
        }
    }
}
