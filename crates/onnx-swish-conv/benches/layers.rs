//! Multiply-adds per second of the layers that mobile networks are made of: `cargo bench -p onnx-swish-conv -- dense relu all`.
//! Given: nothing, or a word that the layers' names must contain, then `none`, `relu`, `silu` or `hard` for the
//! activation, then `all` for every instruction set and not just the best.
//! Promise: one thread, the best of many runs; one line per layer.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use onnx_swish_conv::{Activation, Conv2d, Frame, Isa, Operands, Residual, Spec, Window};
use onnx_swish_threads::Inline;

/// Name, kernel, stride, size, input channels, output channels (0: depthwise). Kernels and sizes are height, width.
type Layer = (&'static str, [usize; 2], usize, [usize; 2], usize, usize);

const LAYERS: &[Layer] = &[
    ("stem 224", [3; 2], 2, [224; 2], 3, 16),
    ("stem 640", [3; 2], 2, [640; 2], 3, 16),
    ("depthwise 112 k3", [3; 2], 1, [112; 2], 32, 0),
    ("depthwise 112 k3 s2", [3; 2], 2, [112; 2], 64, 0),
    ("depthwise 56 k3", [3; 2], 1, [56; 2], 72, 0),
    ("depthwise 56 k5 s2", [5; 2], 2, [56; 2], 72, 0),
    ("depthwise 28 k5", [5; 2], 1, [28; 2], 120, 0),
    ("depthwise 28 k3 s2", [3; 2], 2, [28; 2], 240, 0),
    ("depthwise 14 k3", [3; 2], 1, [14; 2], 480, 0),
    ("depthwise 14 k5", [5; 2], 1, [14; 2], 672, 0),
    ("depthwise 14 k5 s2", [5; 2], 2, [14; 2], 672, 0),
    ("depthwise 7 k5", [5; 2], 1, [7; 2], 960, 0),
    ("depthwise 7 k3", [3; 2], 1, [7; 2], 960, 0),
    ("pointwise 112", [1; 2], 1, [112; 2], 16, 16),
    ("pointwise 112", [1; 2], 1, [112; 2], 16, 64),
    ("pointwise 112", [1; 2], 1, [112; 2], 16, 96),
    ("pointwise 56", [1; 2], 1, [56; 2], 24, 144),
    ("pointwise 56", [1; 2], 1, [56; 2], 64, 24),
    ("pointwise 56", [1; 2], 1, [56; 2], 24, 72),
    ("pointwise 28", [1; 2], 1, [28; 2], 120, 40),
    ("pointwise 28", [1; 2], 1, [28; 2], 40, 240),
    ("pointwise 14", [1; 2], 1, [14; 2], 80, 480),
    ("pointwise 14", [1; 2], 1, [14; 2], 672, 112),
    ("pointwise 7", [1; 2], 1, [7; 2], 160, 960),
    ("pointwise 7", [1; 2], 1, [7; 2], 960, 160),
    ("pointwise 35", [1; 2], 1, [35; 2], 320, 32),
    ("pointwise 35", [1; 2], 1, [35; 2], 128, 320),
    ("pointwise 17", [1; 2], 1, [17; 2], 1088, 192),
    ("pointwise 17", [1; 2], 1, [17; 2], 384, 1088),
    ("pointwise 8", [1; 2], 1, [8; 2], 2080, 192),
    ("pointwise 8", [1; 2], 1, [8; 2], 448, 2080),
    ("pointwise 1", [1; 2], 1, [1; 2], 960, 240),
    ("pointwise 1", [1; 2], 1, [1; 2], 240, 960),
    ("dense 80", [3; 2], 1, [80; 2], 64, 64),
    ("dense 160", [3; 2], 1, [160; 2], 16, 16),
    ("dense 160", [3; 2], 1, [160; 2], 16, 8),
    ("dense 80", [3; 2], 1, [80; 2], 80, 80),
    ("dense 40", [3; 2], 1, [40; 2], 128, 80),
    ("dense 40", [3; 2], 1, [40; 2], 128, 128),
    ("dense 20", [3; 2], 1, [20; 2], 256, 80),
    ("dense 80 s2", [3; 2], 2, [80; 2], 128, 128),
    ("dense 80 s2", [3; 2], 2, [80; 2], 64, 64),
    ("dense 80", [3; 2], 1, [80; 2], 32, 16),
    ("dense 80", [3; 2], 1, [80; 2], 32, 32),
    ("dense 40", [3; 2], 1, [40; 2], 32, 32),
    ("dense 40", [3; 2], 1, [40; 2], 64, 48),
    ("dense 320 s2", [3; 2], 2, [320; 2], 16, 32),
    ("dense 40", [3; 2], 1, [40; 2], 64, 64),
    ("dense 20", [3; 2], 1, [20; 2], 128, 128),
    ("dense 160 s2", [3; 2], 2, [160; 2], 32, 64),
    ("line 17 1x7", [1, 7], 1, [17; 2], 128, 160),
    ("line 17 7x1", [7, 1], 1, [17; 2], 160, 192),
    ("line 17 1x7", [1, 7], 1, [17; 2], 192, 192),
    ("line 12 1x7", [1, 7], 1, [12; 2], 128, 128),
    ("line 12 7x1", [7, 1], 1, [12; 2], 128, 192),
    ("line 8 1x3", [1, 3], 1, [8; 2], 192, 224),
    ("line 8 3x1", [3, 1], 1, [8; 2], 224, 256),
    ("line 40 1x3", [1, 3], 1, [40; 2], 64, 64),
    ("line 40 3x1", [3, 1], 1, [40; 2], 64, 64),
    ("line 40 1x5", [1, 5], 1, [40; 2], 64, 64),
    ("line 40 5x1", [5, 1], 1, [40; 2], 64, 64),
    ("line 80 1x7", [1, 7], 1, [80; 2], 32, 32),
    ("line 80 7x1", [7, 1], 1, [80; 2], 32, 32),
    ("line 200 1x3", [1, 3], 1, [1, 200], 80, 144),
    ("line 200 1x5", [1, 5], 1, [1, 200], 144, 144),
    ("long 200 1x9", [1, 9], 1, [1, 200], 144, 0),
    ("long 200 1x15", [1, 15], 1, [1, 200], 144, 0),
    ("long 200 1x31", [1, 31], 1, [1, 200], 144, 0),
    ("long 200 31x1", [31, 1], 1, [200, 1], 144, 0),
    ("long 50 1x31", [1, 31], 1, [1, 50], 512, 0),
    ("long 56 1x11", [1, 11], 1, [56; 2], 64, 0),
    ("long 56 11x1", [11, 1], 1, [56; 2], 64, 0),
    ("long 14 1x21", [1, 21], 1, [14; 2], 160, 0),
    ("long 14 21x1", [21, 1], 1, [14; 2], 160, 0),
    ("long 56 k7", [7, 7], 1, [56; 2], 96, 0),
    ("long 28 k7", [7, 7], 1, [28; 2], 144, 0),
    ("long 14 k7", [7, 7], 1, [14; 2], 384, 0),
    ("long 7 k7", [7, 7], 1, [7; 2], 768, 0),
    ("long 14 k9", [9, 9], 1, [14; 2], 200, 0),
    ("long 7 k9", [9, 9], 1, [7; 2], 384, 0),
    ("long 7 k11", [11, 11], 1, [7; 2], 384, 0),
    ("long 56 k31", [31, 31], 1, [56; 2], 32, 0),
    ("long 28 k7 s2", [7, 7], 2, [28; 2], 144, 0),
    ("long 14 k9 s2", [9, 9], 2, [14; 2], 200, 0),
];

fn main() {
    // `cargo bench` adds a flag of its own.
    let words: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let activation = match word(2) {
        "none" => Activation::None,
        "relu" => Activation::Relu,
        "silu" => Activation::Silu,
        _ => Activation::HARD_SWISH,
    };
    let sets: Vec<Isa> = if word(3) == "all" {
        Isa::available().into_iter().collect()
    } else {
        vec![Isa::best()]
    };
    for (name, kernel, stride, size, ins, outs) in LAYERS
        .iter()
        .copied()
        .filter(|layer| layer.0.contains(word(1)))
    {
        let (groups, outs) = if outs == 0 { (ins, ins) } else { (1, outs) };
        let window = Window {
            kernel,
            stride: [stride; 2],
            dilation: [1; 2],
        };
        let pad = kernel.map(|taps| taps / 2);
        let Some(frame) = Frame::padded(&window, size, pad, pad) else {
            continue;
        };
        let spec = Spec {
            window,
            in_channels: ins,
            out_channels: outs,
            groups,
            activation,
            residual: Residual::None,
            line: None,
            requantize: None,
            gated: false,
            plane_sums: false,
            exact: false,
            rows: false,
        };
        let weights = vec![0.01; outs * ins / groups * window.taps()];
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let input = aligned(&mut input, ins * frame.input_area());
        let output = aligned(&mut output, outs * frame.output_area());
        let operands = Operands {
            input,
            ..Operands::default()
        };
        let macs = (output.len() * ins / groups * window.taps()) as f64;
        print!("{name:<20} {ins:>4} -> {outs:<4}");
        for isa in sets.iter().copied() {
            let Ok(conv) = Conv2d::with_isa(isa, spec, &weights, &[]) else {
                continue;
            };
            let mut best = f64::INFINITY;
            let started = Instant::now();
            while started.elapsed().as_secs_f64() < 0.15 {
                let start = Instant::now();
                if conv
                    .run(1, &frame, operands, &mut *output, &Inline)
                    .is_err()
                {
                    return;
                }
                best = best.min(start.elapsed().as_secs_f64());
            }
            print!(
                "  {:>12} {:>8.1} us {:>6.1} GMAC/s",
                format!("{isa:?}").split('(').next().unwrap_or_default(),
                best * 1e6,
                macs / best / 1e9
            );
        }
        println!();
    }
}

/// Elements that start on a cache line, as tensors do.
fn aligned(storage: &mut Vec<f32>, len: usize) -> &mut [f32] {
    storage.resize(len + 16, 0.5);
    let start = storage.as_ptr().align_offset(64);
    &mut storage[start..start + len]
}
