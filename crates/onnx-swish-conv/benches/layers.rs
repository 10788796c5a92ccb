//! Multiply-adds per second of the layers that mobile networks are made of: `cargo bench -p onnx-swish-conv -- dense relu all`.
//! Given: nothing, or a word that the layers' names must contain, then `none`, `relu`, `silu` or `hard` for the
//! activation, then `all` for every instruction set and not just the best.
//! Promise: one thread, the best of many runs; one line per layer.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use onnx_swish_conv::{Activation, Conv2d, Frame, Isa, Operands, Residual, Spec, Window};
use onnx_swish_threads::Inline;

/// Name, kernel, stride, size, input channels, output channels (0: depthwise).
const LAYERS: &[(&str, usize, usize, usize, usize, usize)] = &[
    ("stem 224", 3, 2, 224, 3, 16),
    ("stem 640", 3, 2, 640, 3, 16),
    ("depthwise 112 k3", 3, 1, 112, 32, 0),
    ("depthwise 112 k3 s2", 3, 2, 112, 64, 0),
    ("depthwise 56 k3", 3, 1, 56, 72, 0),
    ("depthwise 56 k5 s2", 5, 2, 56, 72, 0),
    ("depthwise 28 k5", 5, 1, 28, 120, 0),
    ("depthwise 28 k3 s2", 3, 2, 28, 240, 0),
    ("depthwise 14 k3", 3, 1, 14, 480, 0),
    ("depthwise 14 k5", 5, 1, 14, 672, 0),
    ("depthwise 14 k5 s2", 5, 2, 14, 672, 0),
    ("depthwise 7 k5", 5, 1, 7, 960, 0),
    ("depthwise 7 k3", 3, 1, 7, 960, 0),
    ("pointwise 112", 1, 1, 112, 16, 16),
    ("pointwise 112", 1, 1, 112, 16, 64),
    ("pointwise 112", 1, 1, 112, 16, 96),
    ("pointwise 56", 1, 1, 56, 24, 144),
    ("pointwise 56", 1, 1, 56, 64, 24),
    ("pointwise 56", 1, 1, 56, 24, 72),
    ("pointwise 28", 1, 1, 28, 120, 40),
    ("pointwise 28", 1, 1, 28, 40, 240),
    ("pointwise 14", 1, 1, 14, 80, 480),
    ("pointwise 14", 1, 1, 14, 672, 112),
    ("pointwise 7", 1, 1, 7, 160, 960),
    ("pointwise 7", 1, 1, 7, 960, 160),
    ("pointwise 35", 1, 1, 35, 320, 32),
    ("pointwise 35", 1, 1, 35, 128, 320),
    ("pointwise 17", 1, 1, 17, 1088, 192),
    ("pointwise 17", 1, 1, 17, 384, 1088),
    ("pointwise 8", 1, 1, 8, 2080, 192),
    ("pointwise 8", 1, 1, 8, 448, 2080),
    ("pointwise 1", 1, 1, 1, 960, 240),
    ("pointwise 1", 1, 1, 1, 240, 960),
    ("dense 80", 3, 1, 80, 64, 64),
    ("dense 160", 3, 1, 160, 16, 16),
    ("dense 160", 3, 1, 160, 16, 8),
    ("dense 80", 3, 1, 80, 80, 80),
    ("dense 40", 3, 1, 40, 128, 80),
    ("dense 40", 3, 1, 40, 128, 128),
    ("dense 20", 3, 1, 20, 256, 80),
    ("dense 80 s2", 3, 2, 80, 128, 128),
    ("dense 80 s2", 3, 2, 80, 64, 64),
    ("dense 80", 3, 1, 80, 32, 16),
    ("dense 80", 3, 1, 80, 32, 32),
    ("dense 40", 3, 1, 40, 32, 32),
    ("dense 40", 3, 1, 40, 64, 48),
    ("dense 320 s2", 3, 2, 320, 16, 32),
    ("dense 40", 3, 1, 40, 64, 64),
    ("dense 20", 3, 1, 20, 128, 128),
    ("dense 160 s2", 3, 2, 160, 32, 64),
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
        let window = Window::square(kernel, stride);
        let pad = [kernel / 2; 2];
        let Some(frame) = Frame::padded(&window, [size; 2], pad, pad) else {
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
