//! `run`: a model on tract with our operators, and what comes out of it.
//! Given a model, tensors from files, and shapes; inputs that no file provides are random and seeded.
//! Promises the same output for the same files and seed, whole in an `.npz` or as a summary.

use std::path::PathBuf;

use clap::Args;
use onnx_swish::{Session, Tensor};
use serde::Serialize;

use crate::args::{Feed, Limits, Precision, Running, Source};
use crate::failure::{Answer, Failure, Outcome};
use crate::feed;
use crate::table::Table;
use crate::term::{Term, plain};
use crate::{files, tensors};

/// How many leading values of an output are shown.
const SHOWN: usize = 4;

/// Run a model on tract with our operators and summarise its outputs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish run model.onnx                                  random inputs
  onnx-swish run model.onnx --input images=batch.npy -o out.npz
  onnx-swish run model.onnx --shape images=1,3,224,224 --threads 4")]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    feed: Feed,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    precision: Precision,
    #[command(flatten)]
    limits: Limits,
    /// Store the outputs
    #[arg(short, long, value_name = "OUT.npz")]
    output: Option<PathBuf>,
    /// Overwrite an existing OUT.npz
    #[arg(long, requires = "output")]
    force: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    model: String,
    outputs: Vec<Summary<'a>>,
}

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    element_type: &'static str,
    shape: &'a [usize],
    /// None where there is nothing to order: no elements, or text.
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    /// Elements that are not numbers.
    nan: usize,
    first: Vec<f64>,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let Arguments {
        source,
        feed: given,
        running,
        precision,
        limits,
        output,
        force,
    } = arguments;
    let model = files::open(&source)?;
    if let Some(path) = &output {
        files::refuse_a_model(path, [&model])?;
        files::refuse_existing(path, force, "-o names another file")?;
    }
    let failed = |error| Failure::on("run", &source.model, error);
    let mut builder = Session::builder()
        .threads(running.threads.into())
        .convolutions(running.convolutions())
        .tables(!running.no_tables)
        .codes(!running.no_codes)
        .native_half(precision.native_half);
    if let Some(nodes) = limits.max_nodes {
        builder = builder.max_nodes(nodes);
    }
    if let Some(time) = limits.max_build_time {
        builder = builder.max_build_time(time);
    }
    if term.verbose {
        let term = *term;
        builder = builder.diagnostics(move |event| term.note(&event.to_string()));
    }
    let session = builder.load(&model).map_err(failed)?;
    let inputs = feed::inputs(&session, &model, &given, &running, failed)?;
    let progress = term.progress("running");
    let outputs = session
        .run(inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)))
        .map_err(failed)?;
    drop(progress);
    if let Some(path) = &output {
        tensors::write_npz(path, force, outputs.iter())?;
        term.note(&format!("Wrote {}", path.display()));
    }
    let summaries: Vec<Summary<'_>> = outputs
        .iter()
        .map(|(name, tensor)| Summary::of(name, tensor))
        .collect();
    if term.json() {
        term.document(&Document {
            schema_version: 1,
            model: files::display(&source.model),
            outputs: summaries,
        })?;
    } else {
        term.result(&told(term, &summaries))?;
    }
    Ok(Answer::Yes)
}

impl<'a> Summary<'a> {
    fn of(name: &'a str, tensor: &'a Tensor) -> Self {
        let values = tensor.to_f64().unwrap_or_default();
        let numbers = || values.iter().copied().filter(|value| !value.is_nan());
        let count = numbers().count();
        Self {
            name,
            element_type: tensor.element_type().name(),
            shape: tensor.shape(),
            min: numbers().reduce(f64::min),
            max: numbers().reduce(f64::max),
            mean: (count > 0).then(|| numbers().sum::<f64>() / count as f64),
            nan: values.len() - count,
            first: values.iter().copied().take(SHOWN).collect(),
        }
    }
}

fn told(term: &Term, summaries: &[Summary<'_>]) -> String {
    let mut table = Table::new([
        "output",
        "type",
        "shape",
        "min",
        "mean",
        "max",
        "first values",
    ])
    .numbers(3..6)
    .words(6);
    for summary in summaries {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
        let mut first: Vec<String> = summary.first.iter().copied().map(short).collect();
        if summary.shape.iter().product::<usize>() > SHOWN {
            first.push("...".to_owned());
        }
        table.add_row([
            plain(summary.name),
            summary.element_type.to_owned(),
            format!("{:?}", summary.shape),
            number(summary.min),
            number(summary.mean),
            number(summary.max),
            first.join(" "),
        ]);
    }
    let mut text = format!("{}\n", term.table(&table));
    for summary in summaries.iter().filter(|summary| summary.nan > 0) {
        text.push_str(&format!(
            "{} of {}'s elements are not numbers (NaN)\n",
            summary.nan,
            plain(summary.name)
        ));
    }
    text
}

/// Six significant digits, without noise: 0.404112, 12, 1.5e-7.
pub fn short(value: f64) -> String {
    if value == 0.0 || (1e-4..1e7).contains(&value.abs()) {
        let digits = if value == 0.0 {
            0
        } else {
            (5 - value.abs().log10().floor() as i32).clamp(0, 9) as usize
        };
        let text = format!("{value:.digits$}");
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    } else {
        format!("{value:.5e}")
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_are_short_and_keep_six_digits() {
        let shown: Vec<String> = [
            0.0,
            1.0,
            -0.5,
            0.404_112_345,
            1_234_567.8,
            123_456_789.0,
            1.5e-7,
            f64::INFINITY,
        ]
        .map(short)
        .into();
        assert_eq!(
            shown,
            [
                "0",
                "1",
                "-0.5",
                "0.404112",
                "1234568",
                "1.23457e8",
                "1.50000e-7",
                "inf"
            ]
        );
    }
}
