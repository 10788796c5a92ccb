//! `verify`: whether fusing changed the numbers, and by how much.
//! Given a model and its fused form, or the model alone, which is then fused in memory.
//! Promises exit status 1 when any element of any output is outside the tolerance, and says which one is worst.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use onnx_swish::{OutputComparison, Tolerance, VerifyOptions, VerifyProgress, VerifyReport};
use owo_colors::OwoColorize;

use crate::args::{Feed, Running, Source};
use crate::failure::{Answer, Failure, Outcome};
use crate::term::{self, Term};
use crate::verbs::run::short;
use crate::{feed, files, report};

/// Run the original and the fused model on the same inputs and compare every output
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The fused model; without it MODEL is fused in memory
    fused: Option<PathBuf>,
    #[command(flatten)]
    feed: Feed,
    #[command(flatten)]
    running: Running,
    /// Tolerance relative to the original's value [default: what is usual for the output's element type]
    #[arg(long, value_name = "R", value_parser = parse_tolerance)]
    rtol: Option<f64>,
    /// Absolute tolerance, for outputs beyond 1 in units of their largest magnitude [default: likewise]
    #[arg(long, value_name = "A", value_parser = parse_tolerance)]
    atol: Option<f64>,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let Arguments {
        source,
        fused,
        feed,
        running,
        rtol,
        atol,
    } = arguments;
    let original = files::open(&source)?;
    let fused = match fused {
        Some(path) => Some(files::open(&Source {
            model: path,
            base_dir: source.base_dir.clone(),
        })?),
        None => None,
    };
    let options = VerifyOptions {
        inputs: feed::from_files(&original, &feed)?,
        shapes: feed::shapes(&original, &running.sizes)?,
        seed: running.seed,
        rtol,
        atol,
        threads: running.threads.into(),
        convolutions: !running.no_convolutions,
    };
    let progress = term.progress("loading");
    let report = onnx_swish::verify(&original, fused.as_ref(), &options, |step| match step {
        VerifyProgress::Running(_) => progress.say("running both"),
        _ => progress.say("loading"),
    })
    .map_err(|error| Failure::on("verify", &source.model, error))?;
    drop(progress);
    for warning in &report.warnings {
        term.warn(warning);
    }
    if term.json() {
        term.document(&report)?
    } else {
        term.result(&told(term, &report))?
    }
    Ok(if report.equal {
        Answer::Yes
    } else {
        Answer::No
    })
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 => Ok(value),
        _ => Err("a tolerance is a number that is not negative, e.g. 1e-4".to_owned()),
    }
}

fn told(term: &Term, report: &VerifyReport) -> String {
    let mut table = term.table([
        "output", "type", "shape", "largest", "max abs", "max rel", "max ulp", "outside",
    ]);
    for output in &report.outputs {
        table.add_row([
            output.name.clone(),
            output.element_type.to_owned(),
            format!("{:?}", output.shape),
            short(output.largest),
            format!("{:.1e}", output.max_abs),
            format!("{:.1e}", output.max_rel),
            output.max_ulp.to_string(),
            output.outside.to_string(),
        ]);
    }
    term::align_right(&mut table, 3..8);
    let mut text = format!("{}\n\n", table.trim_fmt());
    for output in report
        .outputs
        .iter()
        .filter(|output| !output.equal || term.verbose)
    {
        if let Some(worst) = worst(output) {
            let _ = writeln!(text, "{worst}");
        }
    }
    for output in &report.outputs {
        if let Some(agreement) = output.top1_agreement {
            let _ = writeln!(
                text,
                "`{}`: the largest class is the same in {:.0} % of rows",
                output.name,
                agreement * 100.0
            );
        }
    }
    if !report.coverage.is_empty() {
        let lowest = report
            .coverage
            .iter()
            .map(|one| one.min)
            .fold(f64::INFINITY, f64::min);
        let highest = report
            .coverage
            .iter()
            .map(|one| one.max)
            .fold(f64::NEG_INFINITY, f64::max);
        let _ = writeln!(
            text,
            "{} given values from {lowest:.1} to {highest:.1}",
            report::count(report.coverage.len(), "activation")
        );
        if term.verbose {
            for one in &report.coverage {
                let _ = writeln!(
                    text,
                    "  {} {} from {:.2} to {:.2}",
                    one.op,
                    one.node.dimmed(),
                    one.min,
                    one.max
                );
            }
        }
    }
    let answer = if report.equal {
        "Equal".green().bold().to_string()
    } else {
        "Different".red().bold().to_string()
    };
    let mut tolerances: Vec<String> = Vec::new();
    for Tolerance { rtol, atol, .. } in report.outputs.iter().map(|output| output.tolerance) {
        let tolerance = format!("rtol {rtol:e}, atol {atol:e}");
        if !tolerances.contains(&tolerance) {
            tolerances.push(tolerance);
        }
    }
    let _ = writeln!(
        text,
        "{answer} {}",
        format!("({})", tolerances.join("; ")).dimmed()
    );
    text
}

fn worst(output: &OutputComparison) -> Option<String> {
    let worst = output.worst.as_ref()?;
    Some(format!(
        "`{}` is furthest off at {:?}: {} in the original, {} in the fused model",
        output.name,
        worst.index,
        short(worst.original),
        short(worst.fused)
    ))
}
