//! Winograd beside exact products, in turns: `cargo bench -p onnx-swish-conv --bench winograd -- silu`.
//! Given: nothing, or `none`, `relu` or `silu` for the activation.
//! Promise: one thread; for each layer and instruction set the least time of many rounds of both, multiply-adds of the definition a
//! second, and the largest distance between the two in parts of the largest output.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use onnx_swish_conv::{Activation, Conv2d, Frame, Isa, Operands, Residual, Spec, Window};
use onnx_swish_threads::Inline;

/// Input channels, output channels, size.
const LAYERS: &[(usize, usize, usize)] = &[
    (32, 32, 80),
    (64, 64, 80),
    (64, 64, 40),
    (128, 64, 40),
    (16, 16, 160),
    (24, 24, 160),
    (48, 48, 64),
    (96, 24, 160),
    (128, 128, 20),
    (128, 128, 40),
    (256, 64, 20),
    (256, 256, 20),
    (64, 64, 56),
    (128, 128, 28),
    (256, 256, 14),
    (512, 512, 7),
    (64, 64, 13),
    (128, 128, 10),
    (96, 96, 8),
    (64, 64, 7),
    (96, 96, 4),
    (3, 32, 160),
    (8, 8, 80),
    (16, 4, 80),
    (4, 16, 80),
    (16, 16, 40),
    (16, 16, 20),
    (32, 32, 20),
];

fn main() {
    let words: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let activation = match words.get(1).map(String::as_str) {
        Some("none") => Activation::None,
        Some("relu") => Activation::Relu,
        _ => Activation::Silu,
    };
    // Portable kernels are not worth their time here.
    let sets: Vec<Isa> = Isa::available()
        .into_iter()
        .filter(|isa| !["portable", "imaginary"].contains(&isa.name()))
        .collect();
    for (ins, outs, size) in LAYERS.iter().copied() {
        for isa in sets.iter().copied() {
            layer(isa, [ins, outs], size, activation);
        }
    }
}

fn layer(isa: Isa, [ins, outs]: [usize; 2], size: usize, activation: Activation) {
    let window = Window::square(3, 1);
    let Some(frame) = Frame::padded(&window, [size; 2], [1; 2], [1; 2]) else {
        return;
    };
    let spec = Spec {
        window,
        in_channels: ins,
        out_channels: outs,
        groups: 1,
        activation,
        residual: Residual::None,
        line: None,
        requantize: None,
        gated: false,
        plane_sums: false,
        exact: false,
        rows: false,
    };
    let input = noise(ins * frame.input_area());
    let weights = noise(outs * ins * window.taps());
    let area = outs * frame.output_area();
    let macs = (area * ins * window.taps()) as f64;
    let (mut fast, mut exact) = (vec![0.0; area], vec![0.0; area]);
    let exactly = Spec {
        exact: true,
        rows: false,
        ..spec
    };
    let made = |spec| Conv2d::with_isa(isa, spec, &weights, &[]);
    let (Ok(chosen), Ok(direct)) = (made(spec), made(exactly)) else {
        return;
    };
    let run = |conv: &Conv2d, output: &mut [f32]| {
        let operands = Operands {
            input: &input,
            ..Operands::default()
        };
        let start = Instant::now();
        let repeats = (2e7 / macs).ceil() as usize;
        for _ in 0..repeats {
            if conv
                .run(1, &frame, operands, &mut *output, &Inline)
                .is_err()
            {
                return f64::NAN;
            }
        }
        start.elapsed().as_secs_f64() / repeats as f64
    };
    let mut best = [f64::INFINITY; 2];
    for _ in 0..30 {
        best[0] = best[0].min(run(&chosen, &mut fast));
        best[1] = best[1].min(run(&direct, &mut exact));
    }
    let largest = exact.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let pairs = fast.iter().zip(&exact);
    let apart = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    println!(
        "{ins:>4} -> {outs:<4} {size:>3}²  {:<8} {:>6.1} GMAC/s, exact {:>6.1}, ratio {:.2}, apart {:.1e}  ({})",
        isa.name(),
        macs / best[0] / 1e9,
        macs / best[1] / 1e9,
        best[1] / best[0],
        apart / largest,
        chosen.method(&frame),
    );
}

/// Reproducible values around zero.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
