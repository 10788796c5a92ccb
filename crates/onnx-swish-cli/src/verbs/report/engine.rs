//! `report --verify` and `--bench`: what running the model adds to its page.
//! Given the document, and both models.
//! Promises the documents of `verify` and `bench` as they are, and ranges at the curves of the activations that were run.

use std::fmt::Write as _;

use clap::Args;
use onnx_swish::{BenchOptions, Document, Model, VerifyOptions, VerifyReport};
use serde::Serialize;

use crate::args::{Running, Source};
use crate::failure::{Answer, Failure};
use crate::term::Term;
use crate::verbs::verify::text;
use crate::{feed, heap};

#[derive(Debug, Args)]
pub struct Engine {
    /// Run both models, and show how far outputs and activations are off, and what the activations were given
    #[arg(long)]
    verify: bool,
    /// Time it, and show the time of each operator beside tract's
    #[arg(long)]
    bench: bool,
    /// Timed runs of each contender
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), requires = "bench")]
    runs: u32,
    #[command(flatten)]
    running: Running,
}

impl Engine {
    /// Refuses what has no effect.
    pub fn check(&self) -> Result<(), Failure> {
        if self.verify || self.bench || self.running.sizes.shapes.is_empty() {
            return Ok(());
        }
        Err(
            Failure::new("--shape is of no use to what a file says of itself")
                .help("--verify and --bench run the model, for inputs of this shape"),
        )
    }

    /// Runs what is asked for, and enters it into the document; the answer is no where something differs. Also says it in words.
    pub fn enter(
        &self,
        term: &Term,
        source: &Source,
        model: &Model,
        fused: Option<&Model>,
        document: &mut Document,
    ) -> Result<(Answer, String), Failure> {
        let mut answer = (Answer::Yes, String::new());
        if self.verify {
            let report = self.verify(term, source, model, fused, document)?;
            let words = if report.equal { "Equal" } else { "Different" };
            let undecided = text::undecided(&report.outputs);
            let _ = writeln!(answer.1, "{words} to tract's plain operators{undecided}");
            if !report.equal {
                answer.0 = Answer::No;
            }
        }
        if self.bench {
            self.bench(term, source, model, document)?;
        }
        Ok(answer)
    }

    fn verify(
        &self,
        term: &Term,
        source: &Source,
        model: &Model,
        fused: Option<&Model>,
        document: &mut Document,
    ) -> Result<VerifyReport, Failure> {
        let options = VerifyOptions {
            shapes: feed::shapes(model, &self.running.sizes)?,
            seed: self.running.seed,
            threads: self.running.threads.into(),
            convolutions: self.running.convolutions(),
            tables: !self.running.no_tables,
            ..VerifyOptions::default()
        };
        let progress = term.progress("loading");
        let report = onnx_swish::verify(model, fused, &options, |step| progress.tell(step))
            .map_err(|error| Failure::on("verify", &source.model, error))?;
        for one in &report.coverage {
            if let Some(output) = &one.output {
                document.observe(output, one.min, one.max);
            }
        }
        document.verification = Some(value(&report)?);
        Ok(report)
    }

    fn bench(
        &self,
        term: &Term,
        source: &Source,
        model: &Model,
        document: &mut Document,
    ) -> Result<(), Failure> {
        let options = BenchOptions {
            threads: self.running.threads.into(),
            convolutions: self.running.convolutions(),
            tables: !self.running.no_tables,
            runs: self.runs as usize,
            shapes: feed::shapes(model, &self.running.sizes)?,
            seed: self.running.seed,
            profile: true,
            heap: heap::meter(),
            ..BenchOptions::default()
        };
        let progress = term.progress("timing");
        let report = onnx_swish::bench(model, &options, |step| progress.tell(step))
            .map_err(|error| Failure::on("time", &source.model, error))?;
        drop(progress);
        document.bench = Some(value(&report)?);
        Ok(())
    }
}

fn value(report: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(report)
        .map_err(|error| Failure::caused("the result cannot be written as JSON", &error))
}
