//! Depthwise convolution of codes: every output channel reads one input channel.
//! Given: whole tensors in NCHW order and the filters, one after the other.
//! Promise: planes are computed independently, each through a padded copy of a band of its rows.
//!
//! | module | has |
//! |---|---|
//! | `rows` | the loops: a vector of columns, whose words are neighbours in a row |

mod rows;

use std::ops::Range;

use onnx_swish_kernels::codes::look_up_in_place_with;
use onnx_swish_simd::DotIsa;
use onnx_swish_threads::Workers;

use self::rows::{Loops, compute};
use super::ending::{Call, Channels, Finish};
use super::gemm::{part, word};
use super::spec::{QBias, QSpec, QWeights};
use super::{Machine, Request};
use crate::plan::LastPlans;
use crate::scratch::{self, Scratch, bytes_for};
use crate::shared::SharedSlice;
use crate::split::{run_tasks, tasks_for};
use crate::tuning::{CODE_DEPTHWISE_MACS_PER_NS, COPIES, L1_COPY, TABLE_RUN, threads_for};
use crate::{Frame, Window};

/// A depthwise convolution of codes.
#[derive(Debug)]
pub(super) struct Depthwise {
    spec: QSpec,
    /// `[out_channels][term]`.
    words: Vec<u32>,
    terms: Vec<Term>,
    channels: Channels,
    finish: Finish,
    table: Option<Box<[u8; 256]>>,
    machine: Machine,
    plan: LastPlans<Plan>,
}

/// What one word of weights is multiplied by, counted from the first code that an output meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    row: usize,
    column: usize,
}

/// How images of one size are computed.
#[derive(Debug)]
struct Plan {
    /// Output rows of a band.
    outputs: usize,
    /// Bytes of a row of the copy.
    pitch: usize,
    /// Bytes of the copy, and of what vectors read behind its end.
    len: usize,
    /// The loops over its rows.
    loops: Loops,
    /// Planes that are copied before the first of them is computed, if a band is a whole plane. Vectors read what several narrower
    /// stores wrote, and would wait for these to reach the cache.
    together: usize,
}

impl Plan {
    /// Bytes of all copies.
    fn copies(&self) -> usize {
        self.len * self.together
    }
}

/// What one task computes: whole planes of the output.
struct Planes<'a> {
    conv: &'a Depthwise,
    frame: &'a Frame,
    plan: &'a Plan,
    call: Call,
    /// The whole tensor.
    input: &'a [u8],
    /// The number of the first plane, counted over all images.
    first: usize,
    output: &'a mut [u8],
}

/// A band of a plane, whose copy is there.
struct Band<'a> {
    planes: &'a Planes<'a>,
    channel: usize,
    copy: &'a [u8],
}

impl Depthwise {
    /// For a spec and weights that have been checked.
    pub(super) fn new(
        spec: &QSpec,
        weights: &QWeights,
        bias: &QBias,
        table: Option<&[u8; 256]>,
        machine: Machine,
    ) -> Depthwise {
        let (terms, words) = pack(spec, weights, machine.dot);
        let channels = Channels::new(spec, weights, bias, 1);
        Depthwise {
            spec: *spec,
            words,
            terms,
            finish: Finish::new(spec, bias, &channels),
            channels,
            table: table.map(|table| Box::new(*table)),
            machine,
            plan: LastPlans::none(),
        }
    }

    pub(super) fn packed_bytes(&self) -> usize {
        size_of_val(&*self.words) + self.channels.bytes()
    }

    fn plan(&self, frame: &Frame) -> Plan {
        let window = &self.spec.window;
        let pitch = (frame.output[1] - 1) * window.stride[1] + window.reach(1) + 1;
        let rows = (L1_COPY / pitch).saturating_sub(window.reach(0)) / window.stride[0];
        let outputs = rows.max(2 * rows::MOST_ROWS).min(frame.output[0]);
        let copied = (outputs - 1) * window.stride[0] + window.reach(0) + 1;
        // Rows of a tile that the plane does not have are computed too, and vectors reach beyond their rows.
        let beyond = rows::MOST_ROWS * window.stride[0] * pitch;
        let lanes = self.machine.dot.lanes();
        let len = copied * pitch + beyond + 2 * lanes * window.stride[1] + 64;
        let whole = outputs == frame.output[0];
        Plan {
            outputs,
            pitch,
            len,
            loops: Loops::new(self, frame),
            together: if whole { (COPIES / len).max(1) } else { 1 },
        }
    }

    /// Computes all planes. Lengths have been checked.
    pub(super) fn run(&self, frame: &Frame, request: Request, workers: &dyn Workers) {
        let Request {
            input,
            call,
            output,
        } = request;
        if output.is_empty() {
            return;
        }
        let plan = &*self.plan.get(frame, || self.plan(frame));
        let area = frame.output_area() * self.finish.element_bytes();
        let planes = output.len() / area;
        let macs = planes * frame.output_area() * self.spec.window.taps();
        let threads = threads_for(macs, CODE_DEPTHWISE_MACS_PER_NS, workers);
        let per_task = planes.div_ceil(tasks_for(threads).min(planes));
        let tasks = planes.div_ceil(per_task);
        let output = SharedSlice::new(output);
        let task = |i: usize| {
            let (first, end) = (i * per_task, planes.min((i + 1) * per_task));
            let share = Planes {
                conv: self,
                frame,
                plan,
                call,
                input,
                first,
                // SAFETY: planes are disjoint, and each is given out once.
                output: unsafe { output.part(first * area..end * area) },
            };
            scratch::with(bytes_for::<u8>(plan.copies()), |scratch| {
                share.compute(scratch);
            });
        };
        run_tasks(threads, tasks, &task, workers);
    }
}

impl Planes<'_> {
    fn compute(mut self, mut scratch: Scratch) {
        let (conv, frame, plan) = (self.conv, self.frame, self.plan);
        let copies = scratch.take::<u8>(plan.copies());
        // Padding columns are the same in all planes.
        copies.fill(self.call.padding ^ self.call.flip);
        let bytes = conv.finish.element_bytes();
        let output = std::mem::take(&mut self.output);
        let plane = frame.output_area() * bytes;
        // Planes without their table yet: of small ones several are worth a call, while they are in a first-level cache.
        let waiting = TABLE_RUN.div_ceil(plane);
        for (number, output) in output.chunks_mut(waiting * plane).enumerate() {
            for (run, output) in output.chunks_mut(plan.together * plane).enumerate() {
                let first = number * waiting + run * plan.together;
                if plan.outputs == frame.output[0] {
                    self.whole(first, output, copies);
                } else {
                    self.in_bands(first, output, copies);
                }
            }
            if let Some(table) = &conv.table {
                look_up_in_place_with(conv.machine.isa, table, output);
            }
        }
    }

    /// Planes of one band each, the first of which is counted from the task's first, without their table.
    fn whole(&self, first: usize, output: &mut [u8], copies: &mut [u8]) {
        let frame = self.frame;
        let plane = frame.output_area() * self.conv.finish.element_bytes();
        let count = output.len() / plane;
        for (i, copy) in (first..first + count).zip(copies.chunks_mut(self.plan.len)) {
            self.copy(self.place(i).1, 0..frame.output[0], copy);
        }
        let copies = copies.chunks(self.plan.len);
        for (i, (output, copy)) in output.chunks_exact_mut(plane).zip(copies).enumerate() {
            let band = Band {
                planes: self,
                channel: self.place(first + i).0,
                copy,
            };
            compute(&band, output);
        }
    }

    /// One plane, counted from the task's first, without its table.
    fn in_bands(&self, i: usize, output: &mut [u8], copy: &mut [u8]) {
        let row = self.frame.output[1] * self.conv.finish.element_bytes();
        let (channel, input) = self.place(i);
        for (number, rows) in output.chunks_mut(self.plan.outputs * row).enumerate() {
            let first = number * self.plan.outputs;
            self.copy(input, first..first + rows.len() / row, copy);
            let band = Band {
                planes: self,
                channel,
                copy,
            };
            compute(&band, rows);
        }
    }

    /// The channel of a plane, counted from the task's first, and the plane that it is computed from.
    fn place(&self, i: usize) -> (usize, &[u8]) {
        let spec = &self.conv.spec;
        let plane = self.first + i;
        // Divisions would take as long as a row of a small plane, and the usual planes need none.
        let image = if plane < spec.out_channels {
            0
        } else {
            plane / spec.out_channels
        };
        let channel = plane - image * spec.out_channels;
        let from = if spec.out_channels == spec.in_channels {
            plane
        } else {
            let multiplier = spec.out_channels / spec.in_channels;
            image * spec.in_channels + channel / multiplier
        };
        let area = self.frame.input_area();
        (channel, &self.input[from * area..][..area])
    }

    /// Copies what these output rows read, xored, to a copy whose padding columns are there.
    fn copy(&self, input: &[u8], outputs: Range<usize>, copy: &mut [u8]) {
        let window = &self.conv.spec.window;
        let [height, width] = self.frame.input;
        let [pad_y, pad_x] = self.frame.pad;
        let pitch = self.plan.pitch;
        let flip = self.call.flip;
        let first = outputs.start * window.stride[0];
        let last = (outputs.end - 1) * window.stride[0] + window.reach(0);
        let copied = width.min(pitch.saturating_sub(pad_x));
        // Where one copy has all rows those of padding are as the columns: the same in all planes.
        let rows_stay = self.plan.outputs == self.frame.output[0];
        let word = Word::new(copied, flip, self.call.padding);
        for (number, u) in (first..=last).enumerate() {
            let (at, y) = (number * pitch, u.wrapping_sub(pad_y));
            if y >= height {
                if !rows_stay {
                    copy[at..][..pitch].fill(self.call.padding ^ flip);
                }
            } else if copied > 0 {
                let from = &input[y * width..];
                let to = &mut copy[at + pad_x..];
                match copied {
                    17.. => copy_line(&from[..copied], &mut to[..copied], flip),
                    9.. => word.copy::<16>(&from[..from.len().min(16)], to),
                    _ => word.copy::<8>(&from[..from.len().min(8)], to),
                }
            }
        }
    }
}

/// A row of a few bytes, which is copied as one word. What is left of the word becomes padding, and may be the beginning of the next row,
/// whose turn comes, or of what is behind the last.
#[derive(Clone, Copy)]
struct Word {
    flips: u128,
    /// The bits of the row's bytes.
    kept: u128,
    /// Padding, behind them.
    rest: u128,
}

impl Word {
    /// For rows of so many bytes; of more than 16 it is not used.
    fn new(len: usize, flip: u8, padding: u8) -> Word {
        let kept = match len {
            0 => 0,
            1..16 => u128::MAX >> (8 * (16 - len)),
            _ => u128::MAX,
        };
        Word {
            flips: u128::from_le_bytes([flip; 16]),
            kept,
            rest: u128::from_le_bytes([padding ^ flip; 16]) & !kept,
        }
    }

    /// Copies a row of `B` bytes at most, behind which others may follow, xored.
    #[inline(always)]
    fn copy<const B: usize>(self, from: &[u8], to: &mut [u8]) {
        let mut word = [0; 16];
        match (from.first_chunk::<B>(), word.first_chunk_mut::<B>()) {
            (Some(from), Some(word)) => *word = *from,
            // The last row has nothing behind it.
            _ => word[..from.len()].copy_from_slice(from),
        }
        let word = (u128::from_le_bytes(word) ^ self.flips) & self.kept | self.rest;
        if let (Some(to), Some(word)) =
            (to.first_chunk_mut::<B>(), word.to_le_bytes().first_chunk())
        {
            *to = *word;
        }
    }
}

/// Copies bytes, xored. Lines are short: a loop for any length takes longer to begin than to end.
#[inline(always)]
fn copy_line(from: &[u8], to: &mut [u8], flip: u8) {
    match from.len() {
        16.. => copy_blocks::<16>(from, to, flip),
        8.. => copy_blocks::<8>(from, to, flip),
        4.. => copy_blocks::<4>(from, to, flip),
        _ => copy_blocks::<1>(from, to, flip),
    }
}

/// Copies blocks of `B` bytes, of which there is one at least. The last moves back over its neighbour.
#[inline(always)]
fn copy_blocks<const B: usize>(from: &[u8], to: &mut [u8], flip: u8) {
    let last = from.len().saturating_sub(B);
    let mut at = 0;
    loop {
        if let (Some(from), Some(to)) = (
            from[at..].first_chunk::<B>(),
            to[at..].first_chunk_mut::<B>(),
        ) {
            *to = from.map(|byte| byte ^ flip);
        }
        if at == last {
            break;
        }
        at = last.min(at + B);
    }
}

/// The terms of an output, and each channel's words for them. Neighbours share a word, unless there are gaps between them.
fn pack(spec: &QSpec, weights: &QWeights, dot: DotIsa) -> (Vec<Term>, Vec<u32>) {
    let Window {
        kernel: [height, width],
        dilation,
        ..
    } = spec.window;
    let format = dot.format();
    let [low, high] = format.weights;
    let together = if dilation[1] == 1 { format.group } else { 1 };
    let value = |channel: usize, tap: usize| {
        weights.value(channel, weights.bytes[channel * height * width + tap])
    };
    let taps = height * width;
    let pairs = (0..spec.out_channels).flat_map(|channel| (0..taps).map(move |tap| (channel, tap)));
    let done = |passes: usize| {
        let mut pairs = pairs.clone();
        pairs.all(|(channel, tap)| part(value(channel, tap), passes, low, high) == 0)
    };
    let passes = (1..3).find(|passes| done(*passes)).unwrap_or(3);
    let (mut terms, mut words) = (Vec::new(), Vec::new());
    for channel in 0..spec.out_channels {
        for pass in 0..passes {
            for row in 0..height {
                for first in (0..width).step_by(together) {
                    if channel == 0 {
                        terms.push(Term {
                            row: row * dilation[0],
                            column: first * dilation[1],
                        });
                    }
                    let fields = (first..width.min(first + together))
                        .map(|column| value(channel, row * width + column))
                        .map(|value| part(value, pass, low, high));
                    words.push(word(fields, format.group));
                }
            }
        }
    }
    (terms, words)
}
