//! Depthwise convolution: every output channel reads one input channel.
//! Given: whole tensors in NCHW order and the filters, one after the other.
//! Promise: planes are computed independently, a band of rows at a time, in the layout that [`Layout`] chooses.

use std::sync::Mutex;

use crate::activation::Prepared;
use crate::arch::depthwise::{Planes, compute};
use crate::arch::lanes;
use crate::{Frame, Isa, Window, Workers, scratch};

/// Elements of a band's padded copy. 32 KiB stay in the first-level cache next to the output rows.
const BAND: usize = 8192;

/// Below this many multiply-adds, a microsecond or two of work, a second thread costs more than it brings: a
/// [`Pool`](crate::Pool) takes 0.7 microseconds to hand over.
const THREADING_MACS: usize = 25_000;

/// How a band of one plane lies in the scratch buffer.
///
/// The band is copied with its padding. With strides, elements that the same tap can meet are brought together:
/// padded row `u` goes to row phase `u % stride`, row `u / stride`, and columns likewise, so that every tap reads
/// consecutive elements for consecutive outputs whatever the stride.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Output rows of a band (the last band of a plane may have fewer).
    pub band: usize,
    /// Rows of a phase plane.
    pub rows: usize,
    /// Elements from one row of a phase plane to the next.
    pub pitch: usize,
    /// Where each tap finds the element for output 0.
    pub taps: Vec<usize>,
    /// Elements of all phase planes, with room for vectors that run over the end.
    pub len: usize,
}

/// Output rows that are computed together from a copy.
pub(crate) const ROWS_AT_ONCE: usize = 4;

impl Layout {
    fn new(window: &Window, frame: &Frame, lanes: usize) -> Layout {
        if window.is_common() {
            return Layout {
                band: 0,
                rows: 0,
                pitch: 0,
                taps: Vec::new(),
                len: 0,
            };
        }
        let [stride_y, stride_x] = window.stride;
        let last = |axis: usize| window.reach(axis) / window.stride[axis];
        let pitch = (frame.output[1] + last(1)).next_multiple_of(lanes);
        let phases = stride_y * stride_x;
        let rows_that_fit = BAND / (phases * pitch);
        let band = rows_that_fit
            .saturating_sub(last(0))
            .max(2 * ROWS_AT_ONCE)
            .min(frame.output[0]);
        let rows = band + last(0);
        let offset = |tap: usize| {
            let y = tap / window.kernel[1] * window.dilation[0];
            let x = tap % window.kernel[1] * window.dilation[1];
            ((y % stride_y) * stride_x + x % stride_x) * rows * pitch
                + (y / stride_y) * pitch
                + x / stride_x
        };
        Layout {
            band,
            rows,
            pitch,
            taps: (0..window.taps()).map(offset).collect(),
            len: phases * rows * pitch + ROWS_AT_ONCE * pitch + lanes + last(1),
        }
    }

    /// Elements of one phase plane.
    pub(crate) fn plane(&self) -> usize {
        self.rows * self.pitch
    }
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
        let layout = Layout::new(&self.window, frame, lanes(self.isa));
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
            scratch::with(layout.len, |scratch| {
                compute(
                    self.isa,
                    Planes {
                        conv: self,
                        frame,
                        layout: &layout,
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
