//! Elements per second of every function, type and instruction set, next to other people's kernels
//! and to the memory's own limit.
//!
//!     cargo bench -p onnx-swish-kernels --bench throughput [-- --json] [name]
//!
//! A name is part of what is measured: `silu`, `f32`, `hard_swish f16`.
//!
//! All implementations run in one process, one thread, in place on the same values, in short rounds
//! that take turns, each after a fresh copy of the input. Rates are medians over the rounds. `best/`
//! is the median over the rounds of our best rate divided by this one's *in the same round*: noise
//! from other programs cancels there, and it is the number to trust. Every answer is checked first.

#[path = "../tests/oracle/mod.rs"]
mod oracle;
#[path = "../examples/output/mod.rs"]
mod output;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use half::{bf16, f16};
use onnx_swish_kernels::{
    HARD_SWISH_ALPHA, HARD_SWISH_BETA, Isa, clean_vector_registers, hard_swish_in_place_with,
    silu_in_place_with, swish_in_place_with,
};
use oracle::{Function, Oracle};
use rten_simd::SimdUnaryOp;
use rten_simd::ops::{BitOps, NumOps};
use tract_linalg::routines::Func;

const SIZES: [usize; 4] = [4096, 65_536, 1 << 20, 1 << 23];
const BETA: f64 = 1.702f32 as f64;
/// How long the rounds of one function, type and size go on.
const BUDGET: Duration = Duration::from_millis(1000);

type Run<T> = Box<dyn Fn(&mut [T])>;

/// One implementation, and how far its answers may be off (relative to `max(1, |y|)`).
struct Contender<T> {
    name: &'static str,
    run: Run<T>,
    answer: Answer,
    tolerance: f64,
}

/// What an implementation should have computed.
#[derive(Clone, Copy)]
enum Answer {
    /// The function of the row.
    Function,
    /// x times this.
    Scaled(f64),
}

const SCALE: f32 = 0.999;

/// [`SCALE`] times x in place with the same instructions as the others: the memory's limit.
struct Scale;

impl SimdUnaryOp<f32> for Scale {
    #[inline(always)]
    fn eval<I: rten_simd::Isa>(&self, isa: I, x: I::F32) -> I::F32 {
        let ops = isa.f32();
        ops.mul(x, ops.splat(SCALE))
    }
}

fn other_f32(function: &str) -> Result<Vec<Contender<f32>>, Box<dyn Error>> {
    let mut others: Vec<Contender<f32>> = Vec::new();
    let mut add = |name, answer, tolerance, run: Run<f32>| {
        others.push(Contender {
            name,
            run,
            answer,
            tolerance,
        })
    };
    let tract = match function {
        "silu" => Some(Func::Silu.ew_f32()?),
        "hard_swish" => Func::Hardswish.ew_f32().ok(),
        _ => None,
    };
    if let Some(kernel) = tract {
        let run = move |x: &mut [f32]| kernel.run(x).expect("an element-wise kernel");
        add("tract-linalg", Answer::Function, 1e-5, Box::new(run));
    }
    match function {
        "silu" => {
            let run = |x: &mut [f32]| rten_vecmath::Silu {}.map_mut(x);
            add("rten-vecmath", Answer::Function, 1e-5, Box::new(run));
        }
        "swish" => {
            let run = |x: &mut [f32]| rten_vecmath::Swish { alpha: BETA as f32 }.map_mut(x);
            add("rten-vecmath", Answer::Function, 1e-5, Box::new(run));
        }
        _ => {}
    }
    let scaled = Answer::Scaled(SCALE.into());
    let run = |x: &mut [f32]| Scale.map_mut(x);
    add("scale", scaled, 1e-6, Box::new(run));
    Ok(others)
}

fn other_f16(function: &str) -> Vec<Contender<f16>> {
    let kernel = match function {
        "silu" => Func::Silu.ew_f16().ok(),
        "hard_swish" => Func::Hardswish.ew_f16().ok(),
        _ => None,
    };
    let contender = |kernel: Box<dyn tract_linalg::element_wise::ElementWise<f16>>| Contender {
        name: "tract-linalg",
        run: Box::new(move |x: &mut [f16]| kernel.run(x).expect("an element-wise kernel"))
            as Run<_>,
        answer: Answer::Function,
        tolerance: 5e-3,
    };
    kernel.map(contender).into_iter().collect()
}

fn ours<T: Oracle>(function: &'static str, isa: Isa) -> Contender<T> {
    let run: Run<T> = match function {
        "silu" => Box::new(move |x| silu_in_place_with(isa, x)),
        "swish" => Box::new(move |x| swish_in_place_with(isa, x, T::param(BETA))),
        _ => Box::new(move |x| hard_swish_in_place_with(isa, x)),
    };
    let ulp = 2f64.powi(1 - T::PRECISION);
    Contender {
        name: isa.name(),
        run,
        answer: Answer::Function,
        tolerance: 2.0 * ulp,
    }
}

fn exact(function: &str) -> Function {
    match function {
        "silu" => Function::Swish { beta: 1.0 },
        "swish" => Function::Swish { beta: BETA },
        _ => Function::HardSwish {
            alpha: HARD_SWISH_ALPHA.into(),
            beta: HARD_SWISH_BETA.into(),
        },
    }
}

fn check<T: Oracle>(function: &str, contender: &Contender<T>, x: &[T]) -> Result<(), String> {
    let mut y = x.to_vec();
    (contender.run)(&mut y);
    for (x, y) in x.iter().zip(&y) {
        let exact = match contender.answer {
            Answer::Function => {
                let exact = x.exact(exact(function));
                oracle::scale(exact.high, exact.exponent)
            }
            Answer::Scaled(factor) => x.wide() * factor,
        };
        let off = (y.wide() - exact).abs();
        if off.is_nan() || off > contender.tolerance * exact.abs().max(1.0) {
            let (name, x, y) = (contender.name, x.wide(), y.wide());
            return Err(format!("{name}: {function}({x:e}) = {y:e}, not {exact:e}"));
        }
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure<T: Oracle>(
    function: &'static str,
    others: Vec<Contender<T>>,
    json: bool,
) -> Result<(), Box<dyn Error>> {
    for elements in SIZES {
        let input: Vec<T> = (0..elements)
            .map(|i| T::from_wide((i as f64 * 0.37).sin() * 8.0))
            .collect();
        let source = input.clone();
        let copy: Run<T> = Box::new(move |y| y.copy_from_slice(&source[..y.len()]));
        let copy = Contender {
            name: "copy",
            run: copy,
            answer: Answer::Scaled(1.0),
            tolerance: 0.0,
        };
        // That of the tests is nobody's.
        let mut isas = Isa::available();
        isas.retain(|isa| isa.name() != "imaginary");
        let ours: Vec<_> = isas.iter().map(|isa| ours(function, *isa)).collect();
        let all: Vec<&Contender<T>> = ours.iter().chain(&others).chain([&copy]).collect();
        for contender in &all {
            check(function, contender, &input[..elements.min(1 << 16)])?;
        }

        // Few enough that values which halve with every pass stay far from the subnormals.
        let passes = (65_536 / elements).clamp(1, 8);
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
        let mut buffer = input.clone();
        let start = Instant::now();
        let mut round = 0;
        while round < 9 || start.elapsed() < BUDGET {
            for turn in 0..all.len() {
                let which = (turn + round) % all.len();
                buffer.copy_from_slice(&input);
                clean_vector_registers();
                let clock = Instant::now();
                for _ in 0..passes {
                    (all[which].run)(black_box(&mut buffer));
                }
                let seconds = clock.elapsed().as_secs_f64();
                clean_vector_registers();
                rates[which].push((passes * elements) as f64 / seconds * 1e-9);
            }
            round += 1;
        }

        for (contender, own) in all.iter().zip(&rates) {
            let mut ratios: Vec<f64> = rates[0].iter().zip(own).map(|(a, b)| a / b).collect();
            let rate = median(&mut own.clone());
            let (name, ratio) = (contender.name, median(&mut ratios));
            if json {
                let row = serde_json::json!({
                    "function": function, "type": T::NAME, "implementation": name,
                    "elements": elements, "gelem_per_s": rate,
                });
                output::line(row)?;
            } else {
                let ty = T::NAME;
                output::line(format_args!(
                    "{function:<11}{ty:<6}{name:<14}{elements:>8}{rate:>9.2}{ratio:>8.2}"
                ))?;
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut json, mut wanted) = (false, String::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            // Cargo's own.
            "--bench" => {}
            option if option.starts_with('-') => {
                return Err(format!("unknown option {option}: only --json").into());
            }
            name => wanted = name.to_owned(),
        }
    }
    if !json {
        output::line("function   type  implementation elements  Gelem/s   best/")?;
    }
    for function in ["silu", "swish", "hard_swish"] {
        let asked = |ty| format!("{function} {ty}").contains(&wanted);
        if asked("f32") {
            measure::<f32>(function, other_f32(function)?, json)?;
        }
        if asked("f16") {
            measure::<f16>(function, other_f16(function), json)?;
        }
        if asked("bf16") {
            measure::<bf16>(function, Vec::new(), json)?;
        }
        if asked("f64") {
            measure::<f64>(function, Vec::new(), json)?;
        }
    }
    Ok(())
}
