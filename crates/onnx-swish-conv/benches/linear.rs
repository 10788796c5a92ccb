//! Multiply-adds per second of linear layers: `cargo bench -p onnx-swish-conv --bench linear -- all`.
//! Given: nothing, or `all` for every instruction set and not just the best.
//! Promise: one thread, the best of many runs in turns; one line per layer, as a linear layer and, for few rows, as a convolution of
//! one-pixel images.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use onnx_swish_conv::{Activation, Conv2d, Frame, Isa, Operands, Residual, Spec, Window};
use onnx_swish_threads::Inline;

/// Rows, input channels, output channels.
const LAYERS: &[[usize; 3]] = &[
    [1, 256, 683],
    [1, 512, 2048],
    [1, 2048, 512],
    [1, 4096, 4096],
    [2, 512, 2048],
    [3, 512, 2048],
    [4, 512, 2048],
    [8, 512, 2048],
    [16, 256, 683],
    [77, 128, 512],
    [128, 256, 683],
    [128, 683, 256],
    [200, 144, 576],
    [200, 576, 144],
    [256, 64, 192],
    [1024, 48, 96],
    [1024, 1024, 1024],
];

const PIXEL: Frame = Frame {
    input: [1, 1],
    output: [1, 1],
    pad: [0, 0],
};

fn main() {
    let all = std::env::args().any(|word| word == "all");
    let sets: Vec<Isa> = if all {
        Isa::available().into_iter().collect()
    } else {
        vec![Isa::best()]
    };
    for [rows, ins, outs] in LAYERS.iter().copied() {
        print!("{rows:>5} rows {ins:>5} -> {outs:<5}");
        let (input, weights) = (vec![0.5; rows * ins], vec![0.01; ins * outs]);
        let mut output = vec![0.0; rows * outs];
        for isa in sets.iter().copied() {
            let of_rows = [true, false].map(|of_rows| {
                let spec = spec(ins, outs, of_rows);
                Conv2d::with_isa(isa, spec, &weights, &[])
            });
            let mut best = [f64::INFINITY; 2];
            let started = Instant::now();
            while started.elapsed().as_secs_f64() < 0.3 {
                for (conv, best) in of_rows.iter().zip(&mut best) {
                    let Ok(conv) = conv else { return };
                    if !conv.spec().rows && rows > 4 {
                        continue;
                    }
                    let operands = Operands {
                        input: &input,
                        ..Operands::default()
                    };
                    let start = Instant::now();
                    let result = conv.run(rows, &PIXEL, operands, &mut *output, &Inline);
                    *best = best.min(start.elapsed().as_secs_f64());
                    if result.is_err() {
                        return;
                    }
                }
            }
            let macs = (rows * ins * outs) as f64 / 1e9;
            print!(
                "  {:>9} {:>8.1} us {:>6.1} GMAC/s, as images {:>6.1}",
                isa.name(),
                best[0] * 1e6,
                macs / best[0],
                macs / best[1]
            );
        }
        println!();
    }
}

fn spec(in_channels: usize, out_channels: usize, rows: bool) -> Spec {
    Spec {
        window: Window::square(1, 1),
        in_channels,
        out_channels,
        groups: 1,
        activation: Activation::None,
        residual: Residual::None,
        line: None,
        requantize: None,
        gated: false,
        plane_sums: false,
        exact: false,
        rows,
    }
}
