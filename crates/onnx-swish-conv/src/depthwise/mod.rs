//! Depthwise convolution: every output channel reads one input channel.
//! Given: whole tensors in NCHW order and the filters, one after the other.
//! Promise: planes are computed independently; each output is one chain of multiply-adds over the taps in a fixed order, then
//! the activation.
//!
//! | module | has |
//! |---|---|
//! | `direct` | the usual windows, straight from the input, on sets with masked loads |
//! | `paired` | the same with few registers: whole loads, two vectors of columns for each weight |
//! | `padded` | all others, through a padded copy of a band of rows |
//! | `long` | what `padded` does with kernels of any size that are not dilated |
//! | `rows` | how the first two store what they computed |

#[allow(unsafe_code)]
mod direct;
#[allow(unsafe_code)]
mod long;
#[allow(unsafe_code)]
mod padded;
#[allow(unsafe_code)]
mod paired;
#[allow(unsafe_code)]
mod rows;

use onnx_swish_threads::Workers;

use self::padded::Bands;
use crate::epilogue::Epilogue;
use crate::plan::LastPlans;
use crate::scratch::{self, Scratch};
use crate::shared::SharedSlice;
use crate::split::{run_tasks, tasks_for};
use crate::tuning::{DEPTHWISE_MACS_PER_NS, threads_for};
use crate::{Frame, Isa, Outputs, Spec, Window};

/// What a depthwise convolution needs besides the tensors.
#[derive(Debug)]
pub(crate) struct Depthwise {
    window: Window,
    in_channels: usize,
    out_channels: usize,
    /// `[out_channels][kernel height][kernel width]`.
    weights: Vec<f32>,
    /// One per output channel.
    bias: Vec<f32>,
    epilogue: Epilogue,
    isa: Isa,
    plan: LastPlans<Plan>,
}

/// How images of one size are computed.
#[derive(Debug)]
struct Plan {
    window: Window,
    frame: Frame,
    way: Way,
    /// Bytes that a task needs.
    scratch: usize,
}

#[derive(Debug)]
enum Way {
    Direct,
    Paired,
    Padded(Bands),
}

/// What one task computes: whole planes of the output.
struct Planes<'a> {
    conv: &'a Depthwise,
    /// Of the plan.
    window: &'a Window,
    /// Of the plan.
    frame: &'a Frame,
    /// The whole tensor.
    input: &'a [f32],
    /// The number of the first plane, counted over all images.
    first: usize,
    output: &'a mut [f32],
    /// One total per plane.
    sums: Option<&'a mut [f32]>,
}

impl Depthwise {
    /// For a spec and weights that have been checked.
    pub(crate) fn new(spec: &Spec, weights: &[f32], bias: &[f32], isa: Isa) -> Depthwise {
        Depthwise {
            window: spec.window,
            in_channels: spec.in_channels,
            out_channels: spec.out_channels,
            weights: weights.to_vec(),
            bias: bias.to_vec(),
            epilogue: Epilogue::of(spec),
            isa,
            plan: LastPlans::none(),
        }
    }

    pub(crate) fn packed_bytes(&self) -> usize {
        size_of_val(&*self.weights) + size_of_val(&*self.bias)
    }

    fn plan(&self, frame: &Frame) -> Plan {
        let (window, frame) = turned(&self.window, frame);
        let (scratch, way) = if !direct::is_covered(&window) || !self.isa.masked() {
            let bands = Bands::new(self.isa, &window, &frame);
            (bands.scratch(), Way::Padded(bands))
        } else if paired::is_better(self.isa, &window, &frame) {
            (paired::scratch(self.isa, &frame), Way::Paired)
        } else {
            (direct::scratch(self.isa, &window, &frame), Way::Direct)
        };
        Plan {
            window,
            frame,
            way,
            scratch,
        }
    }

    /// Computes all planes. Lengths have been checked.
    pub(crate) fn run(
        &self,
        frame: &Frame,
        input: &[f32],
        outputs: Outputs,
        workers: &dyn Workers,
    ) {
        let Outputs { output, plane_sums } = outputs;
        let area = frame.output_area();
        if output.is_empty() {
            plane_sums.unwrap_or_default().fill(0.0);
            return;
        }
        let plan = &*self.plan.get(frame, || self.plan(frame));
        let planes = output.len() / area;
        let macs = output.len() * self.window.taps();
        let threads = threads_for(macs, DEPTHWISE_MACS_PER_NS, workers);
        let per_task = planes.div_ceil(tasks_for(threads).min(planes));
        let tasks = planes.div_ceil(per_task);
        let output = SharedSlice::new(output);
        let sums = plane_sums.map(SharedSlice::new);
        let task = |i: usize| {
            let (first, end) = (i * per_task, planes.min((i + 1) * per_task));
            let share = self.planes(plan, input, &output, sums.as_ref(), first..end);
            scratch::with(plan.scratch, |scratch| share.compute(plan, scratch));
        };
        run_tasks(threads, tasks, &task, workers);
    }

    /// The task that computes these planes. Each is computed by one task.
    #[allow(unsafe_code)]
    fn planes<'a>(
        &'a self,
        plan: &'a Plan,
        input: &'a [f32],
        output: &SharedSlice<'a, f32>,
        sums: Option<&SharedSlice<'a, f32>>,
        planes: std::ops::Range<usize>,
    ) -> Planes<'a> {
        let Plan { window, frame, .. } = plan;
        let area = frame.output_area();
        Planes {
            conv: self,
            window,
            frame,
            input,
            first: planes.start,
            // SAFETY: planes are disjoint in both tensors, and only `run` gives them out, each once.
            output: unsafe { output.part(planes.start * area..planes.end * area) },
            // SAFETY: as above.
            sums: sums.map(|sums| unsafe { sums.part(planes) }),
        }
    }
}

/// Images of one column as images of one row, which are the same in memory, weights too.
fn turned(window: &Window, frame: &Frame) -> (Window, Frame) {
    let columns = [window.kernel[1], frame.input[1], frame.output[1]];
    if columns != [1; 3] || frame.pad[1] != 0 {
        return (*window, *frame);
    }
    let turn = |[height, width]: [usize; 2]| [width, height];
    let window = Window {
        kernel: turn(window.kernel),
        stride: turn(window.stride),
        dilation: turn(window.dilation),
    };
    let frame = Frame {
        input: turn(frame.input),
        output: turn(frame.output),
        pad: turn(frame.pad),
    };
    (window, frame)
}

impl Planes<'_> {
    fn compute(self, plan: &Plan, scratch: Scratch) {
        let conv = self.conv;
        let area = self.frame.output_area();
        let planes = self.output.len() / area;
        let images = (self.first + planes).div_ceil(conv.out_channels);
        // What the unsafe code of both ways relies on.
        assert_eq!(self.output.len(), planes * area);
        assert!(self.sums.as_ref().is_none_or(|sums| sums.len() == planes));
        assert!(self.input.len() >= images * conv.in_channels * self.frame.input_area());
        assert_eq!(conv.out_channels % conv.in_channels, 0);
        assert_eq!(conv.weights.len(), conv.out_channels * conv.window.taps());
        assert_eq!(conv.bias.len(), conv.out_channels);
        match &plan.way {
            Way::Direct => direct::compute(self, scratch),
            Way::Paired => paired::compute(self, scratch),
            Way::Padded(bands) => padded::compute(self, bands, scratch),
        }
    }

    /// The input of output plane `i` of the task, its filter and its bias.
    #[inline(always)]
    fn of_plane(&self, i: usize) -> (&[f32], &[f32], f32) {
        let conv = self.conv;
        let (image, channel) = (
            (self.first + i) / conv.out_channels,
            (self.first + i) % conv.out_channels,
        );
        let multiplier = conv.out_channels / conv.in_channels;
        let area = self.frame.input_area();
        let from = (image * conv.in_channels + channel / multiplier) * area;
        let taps = conv.window.taps();
        (
            &self.input[from..from + area],
            &conv.weights[channel * taps..][..taps],
            conv.bias[channel],
        )
    }
}
