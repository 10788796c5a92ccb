//! Pools and resizes of typical layers: elements that are read and written in a nanosecond, one thread.
//! Given: nothing, or words that a layer's name has to have.
//! Promise: the best of many runs for each instruction set; a table that says which.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use onnx_swish_conv::{Frame, Isa, Pool, Pooling, Resize, Tap, Window};
use onnx_swish_threads::Inline;

/// Runs of each layer.
const RUNS: usize = 200;

/// Channels, height, width, kernel, stride, padding.
const POOLS: [(usize, [usize; 2], usize, usize, usize); 6] = [
    (128, [20, 20], 5, 1, 2),
    (64, [147, 147], 3, 2, 0),
    (1088, [17, 17], 3, 2, 0),
    (192, [35, 35], 3, 1, 1),
    (44, [28, 28], 3, 1, 1),
    (176, [7, 7], 3, 1, 1),
];

/// Channels, height, width, times.
const RESIZES: [(usize, [usize; 2], usize); 3] =
    [(256, [20, 20], 2), (128, [40, 40], 2), (24, [20, 20], 8)];

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wanted = |name: &str| words.iter().all(|word| name.contains(word.as_str()));
    println!(
        "| layer | set | microseconds | read, a ns | written, a ns |\n|---|---|---:|---:|---:|"
    );
    for (channels, input @ [height, width], kernel, stride, pad) in POOLS {
        let window = Window::square(kernel, stride);
        let frame = Frame::padded(&window, input, [pad; 2], [pad; 2]);
        let frame = frame.expect("the windows fit");
        let mean = Pooling::Mean {
            counts_padding: false,
        };
        for (what, pooling) in [("max", Pooling::Max), ("mean", mean)] {
            let name =
                format!("{what} {kernel}x{kernel} stride {stride}, {channels} of {height}x{width}");
            let pool = Pool::new(pooling, window, frame, [pad; 2]).expect("a pool");
            if wanted(&name) {
                row(&name, channels, [input, frame.output], |isa, x, y| {
                    pool.run(isa, channels, x, y, &Inline).expect("its sizes");
                });
            }
        }
    }
    for (channels, input @ [height, width], times) in RESIZES {
        let repeated = |size: usize| (0..size * times).map(|at| Tap::One(at / times)).collect();
        let halfway = |size: usize| {
            (0..size * times)
                .map(|at| between(at, times, size))
                .collect()
        };
        let ways: [(&str, Vec<Tap>, Vec<Tap>); 2] = [
            ("nearest", repeated(height), repeated(width)),
            ("linear", halfway(height), halfway(width)),
        ];
        for (what, rows, columns) in ways {
            let name = format!("{what} by {times}, {channels} of {height}x{width}");
            let resize = Resize::new(input, rows, columns).expect("taps inside of it");
            if wanted(&name) {
                row(&name, channels, [input, resize.output()], |isa, x, y| {
                    resize.run(isa, channels, x, y, &Inline).expect("its sizes");
                });
            }
        }
    }
}

/// The taps of a linear resize by ONNX's half_pixel.
fn between(at: usize, times: usize, size: usize) -> Tap {
    let place = (at as f32 + 0.5) / times as f32 - 0.5;
    let place = place.clamp(0.0, (size - 1) as f32);
    let (first, part) = (place as usize, place.fract());
    if part == 0.0 {
        Tap::One(first)
    } else {
        Tap::Two(first, [1.0 - part, part])
    }
}

/// Prints a layer's row for each instruction set.
fn row(name: &str, planes: usize, sizes: [[usize; 2]; 2], run: impl Fn(Isa, &[f32], &mut [f32])) {
    let [read, written] = sizes.map(|[height, width]| planes * height * width);
    let x: Vec<f32> = (0..read).map(|at| (at * 7919 % 1000) as f32).collect();
    let mut y = vec![0.0; written];
    for isa in Isa::available() {
        let mut least = f64::INFINITY;
        for _ in 0..RUNS {
            let start = Instant::now();
            run(isa, &x, &mut y);
            least = least.min(start.elapsed().as_secs_f64() * 1e9);
        }
        let (read, written) = (read as f64 / least, written as f64 / least);
        println!(
            "| {name} | {isa} | {:.1} | {read:.2} | {written:.2} |",
            least / 1e3
        );
    }
}
