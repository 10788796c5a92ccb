//! Multiply-adds per second of 8-bit layers beside float ones: `cargo bench -p onnx-swish-conv --bench codes -- pointwise all`.
//! Given: nothing, or a word that the layers' names must contain, then `all` for every set of instructions and not just the best.
//! Promise: one thread, contenders in turns, the best of many runs each; one line per layer. The first lines have what the processor
//! can do at most: sums of products in registers and nothing else.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use onnx_swish_conv::{
    Activation, CodeType, Conv2d, DotIsa, Ending, Frame, Isa, Linear, Operands, QBias, QConv2d,
    QOperands, QOutput, QSpec, QWeights, Residual, Spec, Window, ZeroPoint,
};
use onnx_swish_simd::{Dot, DotKernel, Registers, Simd};
use onnx_swish_threads::Inline;

/// Name, kernel, stride, size, input channels, output channels (0: depthwise). Those of EfficientNet-B0 and MobileNetV3.
const LAYERS: &[(&str, usize, usize, usize, usize, usize)] = &[
    ("stem 224", 3, 2, 224, 3, 32),
    ("depthwise 112 k3", 3, 1, 112, 32, 0),
    ("depthwise 112 k3 s2", 3, 2, 112, 96, 0),
    ("depthwise 56 k3", 3, 1, 56, 144, 0),
    ("depthwise 56 k5 s2", 5, 2, 56, 144, 0),
    ("depthwise 28 k5", 5, 1, 28, 240, 0),
    ("depthwise 28 k3 s2", 3, 2, 28, 240, 0),
    ("depthwise 14 k3", 3, 1, 14, 480, 0),
    ("depthwise 14 k5", 5, 1, 14, 672, 0),
    ("depthwise 14 k5 s2", 5, 2, 14, 672, 0),
    ("depthwise 7 k5", 5, 1, 7, 1152, 0),
    ("depthwise 7 k3", 3, 1, 7, 1152, 0),
    ("pointwise 112", 1, 1, 112, 32, 16),
    ("pointwise 112", 1, 1, 112, 16, 96),
    ("pointwise 56", 1, 1, 56, 96, 24),
    ("pointwise 56", 1, 1, 56, 24, 144),
    ("pointwise 56", 1, 1, 56, 144, 24),
    ("pointwise 28", 1, 1, 28, 144, 40),
    ("pointwise 28", 1, 1, 28, 40, 240),
    ("pointwise 28", 1, 1, 28, 240, 40),
    ("pointwise 14", 1, 1, 14, 240, 80),
    ("pointwise 14", 1, 1, 14, 80, 480),
    ("pointwise 14", 1, 1, 14, 480, 80),
    ("pointwise 14", 1, 1, 14, 112, 672),
    ("pointwise 14", 1, 1, 14, 672, 112),
    ("pointwise 7", 1, 1, 7, 672, 192),
    ("pointwise 7", 1, 1, 7, 192, 1152),
    ("pointwise 7", 1, 1, 7, 1152, 192),
    ("pointwise 7", 1, 1, 7, 1152, 320),
    ("pointwise 7", 1, 1, 7, 320, 1280),
    ("vector", 1, 1, 1, 1280, 1000),
    ("vector", 1, 1, 1, 1152, 48),
    ("dense 80", 3, 1, 80, 64, 64),
    ("dense 40", 3, 1, 40, 128, 128),
    ("dense 20", 3, 1, 20, 128, 128),
    ("dense 80 s2", 3, 2, 80, 64, 64),
];

/// Sums of products in registers.
struct Limit(usize);

impl DotKernel for Limit {
    type Output = usize;

    #[inline(always)]
    fn run<D: Dot>(self, d: D) -> usize {
        let s = d.simd();
        let x = s.int_splat(black_box(0x0102_0304));
        let mut sums = [s.int_splat(black_box(1)); 12];
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = s.int_add(*sum, s.int_splat(black_box(i as u32)));
        }
        for _ in 0..self.0 {
            for sum in &mut sums {
                // Weights that no two sums share, so that no product is computed once for all.
                *sum = d.dot(*sum, x, *sum);
            }
        }
        let mut total = sums[0];
        for sum in sums {
            total = s.int_add(total, sum);
        }
        black_box(s.sum(s.from_bits(total)));
        12 * D::S::LANES * D::FORMAT.group * self.0
    }
}

fn main() {
    // `cargo bench` adds a flag of its own.
    let words: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let sets: Vec<DotIsa> = if word(2) == "all" {
        DotIsa::available()
    } else {
        vec![DotIsa::of(Isa::best())]
    };
    for dot in &sets {
        let mut best = 0f64;
        for _ in 0..50 {
            let start = Instant::now();
            let macs = dot.run(Limit(20_000));
            best = best.max(macs as f64 / start.elapsed().as_secs_f64() / 1e9);
        }
        println!("at most {:>14} {best:>6.1} GMAC/s", dot.name());
    }
    for layer in LAYERS.iter().filter(|layer| layer.0.contains(word(1))) {
        measure(*layer, &sets);
    }
}

/// The best time of each contender, which take turns.
fn measure(layer: (&str, usize, usize, usize, usize, usize), sets: &[DotIsa]) {
    let (name, kernel, stride, size, ins, outs) = layer;
    let (groups, outs) = if outs == 0 { (ins, ins) } else { (1, outs) };
    let window = Window::square(kernel, stride);
    let pad = [kernel / 2; 2];
    let Some(frame) = Frame::padded(&window, [size; 2], pad, pad) else {
        return;
    };
    let weights = ins / groups * window.taps() * outs;
    let macs = (outs * frame.output_area() * ins / groups * window.taps()) as f64;
    let float = Float::new(window, [ins, outs], groups, frame, weights);
    let codes = |dot: &DotIsa| Codes::new(*dot, window, [ins, outs], groups, frame, weights);
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(float)];
    for dot in sets {
        contenders.push(Box::new(codes(dot)));
    }
    let mut best = vec![f64::INFINITY; contenders.len()];
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < 0.2 {
        for (contender, best) in contenders.iter_mut().zip(&mut best) {
            for _ in 0..2 {
                let start = Instant::now();
                contender.run();
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
    }
    print!("{name:<20} {ins:>4} -> {outs:<4}");
    for (i, best) in best.iter().enumerate() {
        let name = if i == 0 { "f32" } else { sets[i - 1].name() };
        let rate = macs / best / 1e9;
        print!("  {name} {:>7.1} us {rate:>5.1} GMAC/s", best * 1e6);
    }
    println!("  {:>4.2}x", best[0] / best[1]);
}

trait Contender {
    fn run(&mut self);
}

struct Float {
    conv: Option<Conv2d>,
    frame: Frame,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Float {
    fn new(
        window: Window,
        channels: [usize; 2],
        groups: usize,
        frame: Frame,
        weights: usize,
    ) -> Float {
        let [in_channels, out_channels] = channels;
        let spec = Spec {
            window,
            in_channels,
            out_channels,
            groups,
            activation: Activation::None,
            residual: Residual::None,
            gated: false,
            plane_sums: false,
            exact: false,
            rows: false,
            line: None,
            requantize: None,
        };
        Float {
            conv: Conv2d::new(spec, &vec![0.01; weights], &[]).ok(),
            frame,
            input: vec![0.5; in_channels * frame.input_area()],
            output: vec![0.0; out_channels * frame.output_area()],
        }
    }
}

impl Contender for Float {
    fn run(&mut self) {
        let operands = Operands {
            input: &self.input,
            ..Operands::default()
        };
        if let Some(conv) = &self.conv {
            conv.run(1, &self.frame, operands, &mut *self.output, &Inline)
                .unwrap_or_else(|error| println!("{error}"));
        }
    }
}

struct Codes {
    conv: Option<QConv2d>,
    frame: Frame,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Codes {
    fn new(
        dot: DotIsa,
        window: Window,
        channels: [usize; 2],
        groups: usize,
        frame: Frame,
        weights: usize,
    ) -> Codes {
        let [in_channels, out_channels] = channels;
        let quantization = |scale| Linear {
            scale,
            zero_point: ZeroPoint::U8(120),
        };
        let spec = QSpec {
            window,
            in_channels,
            out_channels,
            groups,
            input: quantization(0.02),
            ending: Ending::Codes(quantization(0.1), Activation::None),
        };
        let bytes = vec![3; weights];
        let weights = QWeights {
            bytes: &bytes,
            codes: CodeType::I8,
            scales: &vec![0.01; out_channels],
            zero_points: &[],
        };
        let bias = vec![100; out_channels];
        let table: [u8; 256] = std::array::from_fn(|i| 255 - i as u8);
        let table = std::env::var_os("TABLE").map(|_| &table);
        Codes {
            conv: QConv2d::with_isa(dot, spec, weights, QBias::Sums(&bias), table).ok(),
            frame,
            input: vec![130; in_channels * frame.input_area()],
            output: vec![0; out_channels * frame.output_area()],
        }
    }
}

impl Contender for Codes {
    fn run(&mut self) {
        let operands = QOperands {
            input: &self.input,
            dynamic: None,
        };
        if let Some(conv) = &self.conv {
            let output = QOutput::Codes(&mut self.output);
            conv.run(1, &self.frame, operands, output, &Inline)
                .unwrap_or_else(|error| println!("{error}"));
        }
    }
}
