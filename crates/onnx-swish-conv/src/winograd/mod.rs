//! Dense convolutions with fewer multiplications: Winograd's F(4x4, 3x3), and F(4, k) for kernels of one row or one column.
//! Given: filters once, which are transformed and packed; whole tensors per call.
//! Promise: outputs within [`crate::Method::WINOGRAD_ERROR`] of the exact ones, bias, residual and activation applied on the way out, and
//! the same bits for any number of workers.
//!
//! An output tile of four by four reads six by six inputs. Transformed, they meet the transformed filter in 36 products that add up over
//! the channels: 36 products of matrices, which are the register tiles of `gemm/`. A vector holds one element of as many tiles as it has
//! lanes, those of several rows of tiles where one row is shorter. With a kernel of one row a tile is four outputs beside each other, with
//! one of one column four below each other: the axis of one tap is not transformed, and all else is the same.
//!
//! | module | has |
//! |---|---|
//! | `transform` | the three linear maps |
//! | `plan` | parts of an image, whose transformed input stays in a second-level cache |
//! | `load` | padding, splitting and transforming of input |
//! | `store` | transforming of products, epilogue, output |

#[allow(unsafe_code)]
mod load;
mod plan;
#[allow(unsafe_code)]
mod store;
mod transform;

use std::ops::Range;

use onnx_swish_threads::Workers;

use self::load::Load;
use self::plan::{Part, Plan};
use self::store::Store;
use self::transform::TileSize;
use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::gemm::tile::{Spans, Start, Step, Tile, multiply_each};
use crate::gemm::{PANEL_VECTORS, tile_rows};
use crate::plan::LastPlans;
use crate::scratch::{self, Scratch};
use crate::shared::SharedSlice;
use crate::split::{piece, run_tasks, tasks_for};
use crate::tuning::{
    FILTER_LANES, WINOGRAD_LOAD, WINOGRAD_MACS_PER_NS, WINOGRAD_STORE, threads_for,
};
use crate::{Activation, Frame, Isa, Operands, Spec, Window};

/// Runs what is compiled for a kernel's outputs and inputs of a tile: outputs below each other, inputs, then those beside each other.
macro_rules! by_size {
    ($kernel:expr, $run:ident) => {
        match $kernel {
            [3, 3] => $run!(4, 6, 4, 6),
            [1, 3] => $run!(1, 1, 4, 6),
            [1, 5] => $run!(1, 1, 4, 8),
            [1, 7] => $run!(1, 1, 4, 10),
            [3, 1] => $run!(4, 6, 1, 1),
            [5, 1] => $run!(4, 8, 1, 1),
            [7, 1] => $run!(4, 10, 1, 1),
            kernel => unreachable!("`covers` does not name {kernel:?}"),
        }
    };
}

/// A convolution of stride 1 whose kernel [`covers`] names.
#[derive(Debug)]
pub(crate) struct Winograd {
    spec: Spec,
    /// `[tile of output channels][point][input channel][tile row]`.
    filters: Vec<f32>,
    bias: Vec<f32>,
    /// What products start from: the bias comes later.
    zeros: Vec<f32>,
    /// Output channels of a register tile.
    tile_rows: usize,
    tiles: usize,
    /// Products of a tile.
    points: usize,
    epilogue: Epilogue,
    isa: Isa,
    plan: LastPlans<Plan>,
}

/// Whether a convolution can be computed this way, and may be.
///
/// Not where sums end in codes: a sum next to the middle between two may fall to either side of it. Nor where so many channels meet a line
/// of seven taps, ten points, that errors were found next to the stated bound (1.1e-5 with 512).
pub(crate) fn covers(spec: &Spec) -> bool {
    let codes = spec.requantize.is_some() || matches!(spec.activation, Activation::Requantize(_));
    let Window {
        kernel,
        stride,
        dilation,
    } = spec.window;
    let kernel = match kernel {
        [3, 3] | [1, 3 | 5] | [3 | 5, 1] => true,
        [1, 7] | [7, 1] => spec.in_channels <= 256,
        _ => false,
    };
    let window = kernel && stride == [1, 1] && dilation == [1, 1];
    window && spec.groups == 1 && !spec.gated && !spec.exact && !codes
}

/// Whether it takes less time for images of this frame, by what both ways have to do, counted in products of vectors.
///
/// Filters count too, transformed: between two calls a network's other layers have taken their place in the caches.
pub(crate) fn pays(spec: &Spec, isa: Isa, frame: &Frame) -> bool {
    if frame.input_area() == 0 || frame.output_area() == 0 {
        return false;
    }
    let outs = spec
        .out_channels
        .next_multiple_of(tile_rows(isa.registers()));
    let filters = FILTER_LANES.div_ceil(isa.lanes());
    let vectors = plan::vectors(spec, isa, frame);
    let points = TileSize::of(spec.window.kernel).points();
    let transforms = WINOGRAD_LOAD * spec.in_channels + WINOGRAD_STORE * spec.out_channels;
    let products = (vectors + filters) * spec.in_channels * outs;
    let ours = points * (products + vectors * transforms);
    let columns = frame.output_area().div_ceil(isa.lanes());
    ours < (columns + filters) * spec.macs_per_output() * outs
}

impl Winograd {
    /// For a spec that [`covers`] and weights that have been checked.
    pub(crate) fn new(spec: &Spec, weights: &[f32], bias: &[f32], isa: Isa) -> Winograd {
        let rows = tile_rows(isa.registers());
        let tiles = spec.out_channels.div_ceil(rows);
        let (channels, taps) = (spec.in_channels, spec.window.taps());
        let tile = TileSize::of(spec.window.kernel);
        let points = tile.points();
        let mut filters = vec![0.0; tiles * points * channels * rows];
        for (i, taps) in weights.chunks_exact(taps).enumerate() {
            let (row, channel) = (i / channels, i % channels);
            for (point, value) in transform::filter(taps, tile).into_iter().enumerate() {
                let at = (row / rows * points + point) * channels + channel;
                filters[at * rows + row % rows] = value as f32;
            }
        }
        Winograd {
            spec: *spec,
            filters,
            bias: bias.to_vec(),
            zeros: vec![0.0; rows],
            tile_rows: rows,
            tiles,
            points,
            epilogue: Epilogue::of(spec),
            isa,
            plan: LastPlans::none(),
        }
    }

    pub(crate) fn packed_bytes(&self) -> usize {
        size_of_val(&*self.filters) + size_of_val(&*self.bias)
    }

    /// Computes all images. Lengths have been checked.
    pub(crate) fn run(
        &self,
        frame: &Frame,
        operands: &Operands,
        output: &mut [f32],
        workers: &dyn Workers,
    ) {
        if output.is_empty() {
            return;
        }
        let make = || Plan::new(&self.spec, self.isa, self.tile_rows, frame);
        let plan = &*self.plan.get(frame, make);
        let images = output.len() / (self.spec.out_channels * frame.output_area());
        let macs = output.len() * self.spec.macs_per_output();
        let threads = threads_for(macs, WINOGRAD_MACS_PER_NS, workers);
        let output = &SharedSlice::new(output);
        let share = |image| Share::new(self, plan, operands, output, [image, images]);
        let parts = plan.parts();
        let tasks = tasks_for(threads);
        if images * parts < tasks {
            // Too few parts to give each thread as much to do as the others.
            for image in 0..images {
                let share = share(image);
                (0..parts).for_each(|part| share.compute_together(part, threads, workers));
            }
            return;
        }
        let task = |i: usize| {
            let all = piece(i, tasks, images * parts);
            for image in all.start / parts..all.end.div_ceil(parts) {
                let first = image * parts;
                let own = all.start.max(first) - first..all.end.min(first + parts) - first;
                share(image).compute(own);
            }
        };
        run_tasks(threads, tasks, &task, workers);
    }

    /// The filters of a tile of output channels at one point, `[input channel][tile row]`.
    fn of_tile(&self, tile: usize, point: usize) -> &[f32] {
        let len = self.spec.in_channels * self.tile_rows;
        &self.filters[(tile * self.points + point) * len..][..len]
    }
}

/// One image, of which each task computes some parts and some output channels.
struct Share<'a> {
    conv: &'a Winograd,
    plan: &'a Plan,
    /// Of this image.
    input: Channels<'a>,
    /// The whole tensor.
    residual: Option<&'a [f32]>,
    /// The whole tensor.
    output: &'a SharedSlice<'a, f32>,
    /// The image's first output channel, counted over all images.
    first_channel: usize,
}

impl<'a> Share<'a> {
    fn new(
        conv: &'a Winograd,
        plan: &'a Plan,
        operands: &Operands<'a>,
        output: &'a SharedSlice<'a, f32>,
        [image, images]: [usize; 2],
    ) -> Share<'a> {
        let (spec, frame) = (&conv.spec, &plan.frame);
        let (channels, area) = (spec.in_channels, frame.input_area());
        let share = Share {
            conv,
            plan,
            input: Channels::of_image(operands, [image, images], channels, area),
            residual: operands.residual,
            output,
            first_channel: image * spec.out_channels,
        };
        // What `store` relies on.
        let end = (share.first_channel + spec.out_channels) * frame.output_area();
        assert!(end <= output.len());
        assert!(
            share
                .residual
                .is_none_or(|residual| residual.len() == output.len())
        );
        share
    }

    /// Computes the outputs in the given parts.
    ///
    /// Tasks that run at the same time differ in image, or have disjoint parts.
    fn compute(&self, parts: Range<usize>) {
        let (conv, plan) = (self.conv, self.plan);
        let bytes = plan.scratch_of_inputs() + plan.scratch_in().max(plan.scratch_out());
        scratch::with(bytes, |mut scratch| {
            let inputs = scratch.take::<f32>(plan.inputs());
            for part in parts {
                let part = &plan.part(part);
                let all = 0..conv.spec.in_channels;
                self.load(part, all, scratch.again(), &SharedSlice::new(inputs));
                self.outputs(part, 0..conv.tiles, inputs, scratch.again());
            }
        });
    }

    /// Computes one part with all threads: first they transform its input, each some channels, then each computes some output channels.
    fn compute_together(&self, part: usize, threads: usize, workers: &dyn Workers) {
        let (conv, plan) = (self.conv, self.plan);
        let part = &plan.part(part);
        scratch::with_shared(plan.scratch_of_inputs(), |mut scratch| {
            let inputs = scratch.take::<f32>(plan.inputs());
            let to = &SharedSlice::new(inputs);
            let channels = conv.spec.in_channels;
            let tasks = tasks_for(threads).min(channels);
            let load = |i| {
                scratch::with(plan.scratch_in(), |scratch| {
                    self.load(part, piece(i, tasks, channels), scratch, to);
                });
            };
            run_tasks(threads, tasks, &load, workers);
            let inputs = &*inputs;
            let tasks = tasks_for(threads).min(conv.tiles);
            let compute = |i| {
                scratch::with(plan.scratch_out(), |scratch| {
                    self.outputs(part, piece(i, tasks, conv.tiles), inputs, scratch);
                });
            };
            run_tasks(threads, tasks, &compute, workers);
        });
    }

    /// The way in of some channels of a part, which nobody else transforms meanwhile.
    fn load(
        &self,
        part: &Part,
        channels: Range<usize>,
        mut scratch: Scratch,
        inputs: &SharedSlice<f32>,
    ) {
        let (conv, plan, first) = (self.conv, self.plan, channels.start);
        let channels = self.input.range(channels);
        let line = scratch.take::<f32>(plan.line);
        let planes = scratch.take::<f32>(plan.tile.planes() * plan.plane);
        macro_rules! load {
            ($($size:literal),*) => {
                conv.isa.run(Load::<$($size),*> {
                    plan,
                    part,
                    channels,
                    first,
                    line,
                    planes,
                    inputs,
                })
            };
        }
        by_size!(conv.spec.window.kernel, load);
    }

    /// The outputs of a part in some tiles of output channels, which are nobody else's.
    fn outputs(&self, part: &Part, tiles: Range<usize>, inputs: &[f32], mut scratch: Scratch) {
        let products = scratch.take::<f32>(self.plan.products());
        let outputs = scratch.take::<f32>(self.plan.outputs());
        for tile in tiles {
            self.multiply(part, tile, inputs, products);
            self.store(part, tile, products, outputs);
        }
    }

    /// The products of a tile of output channels at all points.
    fn multiply(&self, part: &Part, tile: usize, inputs: &[f32], products: &mut [f32]) {
        let (conv, plan) = (self.conv, self.plan);
        let lanes = conv.isa.lanes();
        let spans = std::array::from_fn(|v| Spans::flat(lanes, v, plan.panel));
        let vectors = plan.vectors(part);
        // What the register tiles write.
        assert!(vectors * lanes <= plan.product_row);
        assert!(conv.tile_rows * plan.product_row <= plan.product_step);
        assert!(products.len() >= conv.points * plan.product_step);
        let to = products.as_mut_ptr();
        let step = |point: usize, panel: usize| Step {
            tile: Tile {
                output: to.wrapping_add(point * plan.product_step + panel * PANEL_VECTORS * lanes),
                residual: None,
                row_step: plan.product_row,
                rows: conv.tile_rows,
                start: Start::Rows(&conv.zeros),
                epilogue: None,
            },
            filters: conv.of_tile(tile, point),
            rows: &inputs[point * plan.input_step + panel * plan.panel_step..],
        };
        let whole = vectors / PANEL_VECTORS;
        let rest = vectors % PANEL_VECTORS;
        let each = PANEL_VECTORS * lanes;
        multiply_each(conv.isa, 0..conv.points, 0..whole, step, &spans, each);
        multiply_each(
            conv.isa,
            0..conv.points,
            whole..whole + 1,
            step,
            &spans,
            rest * lanes,
        );
    }

    /// The way out of a tile of output channels.
    ///
    /// `new` checked that the output and the residual have this image's channels; nobody else writes to this part of them.
    fn store(&self, part: &Part, tile: usize, products: &[f32], outputs: &mut [f32]) {
        let (conv, plan) = (self.conv, self.plan);
        let first = tile * conv.tile_rows;
        let channels = conv.tile_rows.min(conv.spec.out_channels - first);
        let bias = &conv.bias[first..][..channels];
        let at = (self.first_channel + first) * plan.frame.output_area();
        let output = self.output.start().wrapping_add(at);
        let residual = self
            .residual
            .map(|residual| residual.as_ptr().wrapping_add(at));
        let epilogue = &conv.epilogue;
        macro_rules! store {
            ($($size:literal),*) => {
                conv.isa.run(Store::<$($size),*> {
                    plan,
                    part,
                    products,
                    outputs,
                    bias,
                    output,
                    residual,
                    epilogue,
                })
            };
        }
        by_size!(conv.spec.window.kernel, store);
    }
}
