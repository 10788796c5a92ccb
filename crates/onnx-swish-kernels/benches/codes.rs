//! What 8-bit codes cost: looking up, quantising, dequantising and all three, next to copying as many bytes.
//!
//!     cargo bench -p onnx-swish-kernels --bench codes
//!
//! All run in one process, one thread, from one buffer to another or in place, in short rounds that take turns. Rates are medians over
//! the rounds, in thousand millions of elements a second. `copy/` is the median over the rounds of the copy's rate divided by this
//! one's in the same round, the copy being one of bytes: for floats it says how many bytes could have been copied meanwhile.

#[path = "../examples/output/mod.rs"]
mod output;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use onnx_swish_kernels::Isa;
use onnx_swish_kernels::codes::{
    Linear, Requantize, Table, ZeroPoint, dequantize_with, look_up_with, quantize_with,
    requantize_in_place_with,
};

const SIZES: [usize; 5] = [4096, 65_536, 262_144, 1 << 20, 1 << 23];
/// How long the rounds of one size go on.
const BUDGET: Duration = Duration::from_millis(1500);

/// What everything reads and writes.
struct Buffers {
    codes: Vec<u8>,
    found: Vec<u8>,
    floats: Vec<f32>,
}

type Run = Box<dyn Fn(&mut Buffers)>;

fn contenders() -> Vec<(String, Run)> {
    let table: Table = std::array::from_fn(|i| (i as u8).wrapping_mul(167) ^ 0x5a);
    let linear = Linear {
        scale: 0.05,
        zero_point: ZeroPoint::U8(110),
    };
    let copy: Run = Box::new(|b| b.found.copy_from_slice(&b.codes));
    let mut all = vec![("copy".to_owned(), copy)];
    let mut isas = Isa::available();
    // That of the tests is nobody's.
    isas.retain(|isa| isa.name() != "imaginary");
    for isa in isas {
        let requantize = |table| Requantize::new(linear, table, linear);
        let mut add = |what: &str, run: Run| all.push((format!("{what} {isa}"), run));
        add(
            "look_up",
            Box::new(move |b| look_up_with(isa, &table, &b.codes, &mut b.found)),
        );
        add(
            "quantize",
            Box::new(move |b| quantize_with(isa, &b.floats, linear, &mut b.found)),
        );
        add(
            "dequantize",
            Box::new(move |b| dequantize_with(isa, &b.codes, linear, &mut b.floats)),
        );
        for (what, table) in [("rounding", None), ("requantize", Some(table))] {
            if let Some(by) = requantize(table) {
                add(
                    what,
                    Box::new(move |b| requantize_in_place_with(isa, &mut b.floats, &by)),
                );
            }
        }
    }
    all
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    output::line("what                    elements  Gelem/s   copy/")?;
    let all = contenders();
    for elements in SIZES {
        let mut buffers = Buffers {
            codes: (0..elements).map(|i| (i * i / 7 + i) as u8).collect(),
            found: vec![0; elements],
            floats: (0..elements)
                .map(|i| (i as f32 * 0.37).sin() * 8.0)
                .collect(),
        };
        let passes = (262_144 / elements).max(1);
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
        let start = Instant::now();
        let mut round = 0;
        while round < 9 || start.elapsed() < BUDGET {
            for turn in 0..all.len() {
                let which = (turn + round) % all.len();
                // Its own buffers in cache, as far as they fit there.
                (all[which].1)(black_box(&mut buffers));
                let clock = Instant::now();
                for _ in 0..passes {
                    (all[which].1)(black_box(&mut buffers));
                }
                let seconds = clock.elapsed().as_secs_f64();
                rates[which].push((passes * elements) as f64 / seconds * 1e-9);
            }
            round += 1;
        }
        for ((name, _), own) in all.iter().zip(&rates) {
            let mut ratios: Vec<f64> = rates[0].iter().zip(own).map(|(a, b)| a / b).collect();
            let (rate, ratio) = (median(&mut own.clone()), median(&mut ratios));
            output::line(format_args!(
                "{name:<22}{elements:>10}{rate:>9.2}{ratio:>8.2}"
            ))?;
        }
    }
    Ok(())
}
