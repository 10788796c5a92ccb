//! `inspect`: what would be fused, what is one operator already, and what nearly matched; and what the engine makes of convolutions.
//! Given a model, which is only read.
//! Promises that every gate which multiplies something is named, or counted in a group that `-v` lists.

use std::fmt::Write as _;

use clap::Args;
use onnx_swish::{AlreadyFused, Obstacles, Report};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::args::{Emission, Source, Sources, runtimes_that};
use crate::failure::{Answer, Outcome};
use crate::loads;
use crate::many::{self, Told};
use crate::term::Term;
use crate::{files, report};

const EMIT: &str = "What fused activations would be written as: says what could not be, and why";
const FOR: &str = "The runtime that is to load the model: says what it does not load, and what would be fused for it";

/// Say what would be fused, what already is, and what nearly matched and why not
#[derive(Debug, Args)]
#[command(mut_arg("emit", |arg| arg.help(EMIT).long_help(EMIT)))]
#[command(mut_arg("runtime", |arg| arg.help(FOR).long_help(runtimes_that(FOR))))]
#[command(after_help = "\
Examples:
  onnx-swish inspect model.onnx
  onnx-swish inspect -v *.onnx                  every node, of several models
  onnx-swish inspect --emit standard m.onnx     what ONNX's own operators cannot say
  onnx-swish inspect --for openvino m.onnx      what OpenVINO does not load
  onnx-swish inspect --format json m.onnx | jq '.near_misses[].message'")]
pub struct Arguments {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    emit: Emission,
    #[cfg(feature = "engine")]
    #[command(flatten)]
    loading: loading::Loading,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    report: Report,
    #[cfg(feature = "engine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    convolutions: Option<Vec<onnx_swish::Convolution>>,
    #[cfg(feature = "engine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<onnx_swish::CodeTable>>,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    #[cfg(feature = "engine")]
    arguments.loading.check()?;
    let options = arguments.emit.options();
    let several = arguments.sources.are_several();
    many::each(term, &arguments.sources, |source| {
        let model = files::open(source)?;
        let report = onnx_swish::inspect(&model, &options);
        #[cfg(feature = "engine")]
        let loaded = arguments.loading.loaded(&model, &source.model)?;
        let mut text = String::new();
        if !term.json() {
            text += &told(term, source, several, &report, arguments.emit.runtime());
            #[cfg(feature = "engine")]
            if let Some((convolutions, tables)) = &loaded {
                text += &crate::engine::convolutions(term, convolutions);
                text += &crate::engine::tables(term, tables);
            }
        }
        #[cfg(feature = "engine")]
        let (convolutions, tables) = loaded.unzip();
        Ok(Told {
            answer: Answer::Yes,
            text,
            document: Document {
                report,
                #[cfg(feature = "engine")]
                convolutions,
                #[cfg(feature = "engine")]
                tables,
            },
        })
    })
}

/// `--engine`.
#[cfg(feature = "engine")]
mod loading {
    use std::path::Path;

    use clap::Args;
    use onnx_swish::{CodeTable, Convolution, Model, Session};

    use crate::args::{Sizes, Who};
    use crate::failure::Failure;
    use crate::feed;

    #[derive(Debug, Args)]
    pub struct Loading {
        /// Also load the model, and say which convolutions our kernels compute, what runs on 8-bit codes, and why the rest does not
        #[arg(long)]
        engine: bool,
        #[command(flatten)]
        sizes: Sizes,
        #[command(flatten)]
        who: Who,
    }

    /// What the engine says of both.
    type Loaded = (Vec<Convolution>, Vec<CodeTable>);

    impl Loading {
        /// Refuses what has no effect.
        pub fn check(&self) -> Result<(), Failure> {
            let (given, help) = if self.engine {
                return Ok(());
            } else if !self.sizes.shapes.is_empty() {
                (
                    "--shape",
                    "--engine loads the model, for inputs of this shape",
                )
            } else if self.who.is_given() {
                (
                    "--convolutions",
                    "--engine loads the model, and says who computes its convolutions",
                )
            } else {
                return Ok(());
            };
            let problem = format!("{given} is of no use to what a file says of itself");
            Err(Failure::new(problem).help(help))
        }

        /// What the engine makes of a model's convolutions and of its 8-bit codes, if that is asked for.
        pub fn loaded(&self, model: &Model, path: &Path) -> Result<Option<Loaded>, Failure> {
            if !self.engine {
                return Ok(None);
            }
            let failed = |error| Failure::on("load", path, error);
            let builder = Session::builder().convolutions(self.who.convolutions());
            let session = builder.load(model).map_err(failed)?;
            let shapes = feed::shapes(model, &self.sizes)?;
            let convolutions = session.convolutions(&shapes).map_err(failed)?;
            let tables = session.tables(&shapes).map_err(failed)?;
            Ok(Some((convolutions, tables)))
        }
    }
}

/// Of several models the source is named on every line, and not here.
fn told(
    term: &Term,
    source: &Source,
    several: bool,
    report: &Report,
    runtime: Option<&str>,
) -> String {
    let opset = report
        .opset
        .map_or_else(|| "no opset".to_owned(), |opset| format!("opset {opset}"));
    let whom = runtime.map_or_else(String::new, |runtime| format!("; for {runtime}"));
    let facts = format!(
        "{opset}, IR {}, {}{whom}",
        report.ir_version,
        report::nodes(report)
    );
    let not_loaded = match runtime {
        Some(runtime) if report.too_new.is_empty() && report.functions_not_loaded.is_empty() => {
            let model = files::quoted(&source.model);
            format!(
                "Not loaded by {runtime}; `onnx-swish fuse --for {runtime} {model}` takes them apart"
            )
        }
        // The file as a whole is refused, and no command of ours mends that.
        Some(runtime) => format!("Not loaded by {runtime}"),
        None => String::new(),
    };
    let mut text = if several {
        format!("{facts}\n")
    } else {
        format!("{} ({facts})\n", files::display(&source.model).bold())
    };
    if let Some(runtime) = runtime {
        let functions = &report.functions_not_loaded;
        text += &loads::lines(&Obstacles::new(runtime, &report.too_new, functions, []));
    }
    let (pairs, operators): (Vec<&AlreadyFused>, Vec<&AlreadyFused>) = report
        .already_fused
        .iter()
        .partition(|one| one.op.contains('+'));
    let sections = [
        (
            "Would be fused",
            report.fusions.len(),
            report::fusions(term, report),
        ),
        (
            "Quantised, from one 8-bit code to another",
            report.quantised.len(),
            report::quantised(term, &report.quantised),
        ),
        (
            "One operator already",
            operators.len(),
            report::already_fused(term, &operators),
        ),
        (
            "Two operators, as they would be written",
            pairs.len(),
            report::already_fused(term, &pairs),
        ),
        (
            not_loaded.as_str(),
            report.not_loaded.len(),
            report::already_fused(term, &report.not_loaded.iter().collect::<Vec<_>>()),
        ),
        (
            "Nearly matched, left as it is",
            report.near_misses.len(),
            report::near_misses(term, report),
        ),
    ];
    if sections.iter().all(|(_, count, _)| *count == 0) {
        text.push_str("No Swish, SiLU or HardSwish, and no gate that comes near one\n");
    }
    for (title, count, groups) in sections.iter().filter(|(_, count, _)| *count > 0) {
        let _ = write!(text, "\n{}\n{groups}", format!("{title}: {count}").bold());
    }
    text
}
