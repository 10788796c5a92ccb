//! The largest error of every function, type and instruction set of this machine, against an oracle
//! wider than the type.
//!
//!     cargo run --release -p onnx-swish-kernels --example accuracy [-- --json] [--all]
//!
//! All inputs of f16 and bf16; every 257th f32 bit pattern, or with `--all` all 2³² of them (minutes);
//! two million f64: half of them bit patterns from the whole range, half where |β·x| < 750.

#[path = "../tests/oracle/mod.rs"]
mod oracle;
mod output;

use std::error::Error;
use std::io;

use half::{bf16, f16};
use onnx_swish_kernels::{HARD_SWISH_ALPHA, HARD_SWISH_BETA, Isa};
use oracle::sweep::{Row, isas, sweep};
use oracle::{Function, Oracle};

struct Report {
    isas: Vec<Isa>,
    json: bool,
}

impl Report {
    fn rows<T: Oracle>(&self, name: &str, rows: Vec<Row<T>>) -> io::Result<()> {
        for row in rows {
            let (ty, isa, inputs) = (T::NAME, row.isa.name(), row.inputs);
            let (ulp, worst) = (row.max_ulp, row.worst_input.wide());
            let wrong = row.mismatched_specials;
            if self.json {
                let row = serde_json::json!({
                    "function": name, "type": ty, "isa": isa, "inputs": inputs, "max_ulp": ulp,
                    "worst_input": worst, "mismatched_specials": wrong,
                });
                output::line(row)?;
            } else {
                output::line(format_args!(
                    "{name:<11}{ty:<6}{isa:<10}{inputs:>11}{ulp:>9.4}  {worst:<24e}{wrong:>5}"
                ))?;
            }
        }
        Ok(())
    }

    fn function(&self, name: &str, function: Function, all: bool) -> io::Result<()> {
        let (count, stride) = if all {
            (1 << 32, 1)
        } else {
            ((1 << 32) / 257, 257)
        };
        let f32s = |i: u64| f32::from_bits((i * stride) as u32);
        self.rows(name, sweep(&self.isas, function, count, f32s))?;
        self.rows(
            name,
            sweep(&self.isas, function, 1 << 16, |i| f16::from_bits(i as u16)),
        )?;
        self.rows(
            name,
            sweep(&self.isas, function, 1 << 16, |i| bf16::from_bits(i as u16)),
        )?;
        let f64s = |i: u64| {
            // Steps of the golden ratio: evenly through the bit patterns, evenly through ±750.
            let step = (i / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let even = step as f64 / 2f64.powi(63) - 1.0;
            if i.is_multiple_of(2) {
                f64::from_bits(step)
            } else {
                even * 750.0
            }
        };
        self.rows(name, sweep(&self.isas, function, 2_000_000, f64s))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut json, mut all) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            "--all" => all = true,
            other => return Err(format!("unknown argument {other}: --json or --all").into()),
        }
    }
    let report = Report { isas: isas(), json };
    if !json {
        output::line(
            "function   type  isa            inputs  max ulp  worst input       wrong specials",
        )?;
    }
    report.function("silu", Function::Swish { beta: 1.0 }, all)?;
    report.function(
        "swish",
        Function::Swish {
            beta: 1.702f32.into(),
        },
        all,
    )?;
    let (alpha, beta) = (HARD_SWISH_ALPHA.into(), HARD_SWISH_BETA.into());
    report.function("hard_swish", Function::HardSwish { alpha, beta }, all)?;
    Ok(())
}
