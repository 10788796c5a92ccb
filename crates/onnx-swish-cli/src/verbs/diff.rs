//! `diff`: how two models differ, one of which was made of the other.
//! Given two models.
//! Promises that what is called the same is the same byte for byte, and that models with nothing in common are not compared.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use onnx_swish::{Document, EntryKind, Summary, diff, document_html, document_markdown};
use owo_colors::OwoColorize;

use crate::args::Format;
use crate::failure::{Answer, Outcome};
use crate::files;
use crate::page::Page;
use crate::report::count;
use crate::term::{Term, plain};
use crate::verbs::report::open;

/// Say what a rewrite changed: the places where two models differ, node by node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish diff model.onnx model.fused.onnx
  onnx-swish diff a.onnx b.onnx -o diff.html            with pictures, in a browser
  onnx-swish diff a.onnx b.onnx --format markdown       for the summary of a pull request

`--format` also takes `markdown` and `html` here.")]
pub struct Arguments {
    /// The model as it was
    before: PathBuf,
    /// The model that was made of it
    after: PathBuf,
    #[command(flatten)]
    page: Page,
    /// Exit with 1 if the models differ
    #[arg(long)]
    check: bool,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let (before, after) = (open(&arguments.before)?, open(&arguments.after)?);
    if let Some(path) = &arguments.page.output {
        files::refuse_a_model(path, [&before, &after])?;
    }
    let document = diff(&before, &after);
    match term.format {
        Format::Json => term.document(&document)?,
        Format::Markdown => term.result(&document_markdown(&document))?,
        Format::Html => term.raw(document_html(&document).as_bytes())?,
        Format::Human if arguments.page.output.is_none() => term.result(&told(term, &document))?,
        Format::Human => {}
    }
    if let Some(path) = &arguments.page.output {
        let bytes = arguments.page.write(term, path, &document)?;
        if term.format == Format::Human && !term.quiet && !files::is_stream(path) {
            let size = files::size(bytes);
            let differ = places(&document.summary);
            term.result(&format!(
                "Wrote {} ({size}): {differ}\n",
                path.display().bold()
            ))?;
        }
    }
    let summary = &document.summary;
    let no = (arguments.check || !summary.in_common) && !summary.identical;
    Ok(if no { Answer::No } else { Answer::Yes })
}

fn places(summary: &Summary) -> String {
    match summary.changes {
        _ if !summary.in_common && !summary.identical => {
            "the models have nothing in common".to_owned()
        }
        0 => "no node differs".to_owned(),
        1 => "1 place differs".to_owned(),
        several => format!("{several} places differ"),
    }
}

/// The summary, operators whose number changed, and the changes: grouped, or with `-v` each.
fn told(term: &Term, document: &Document) -> String {
    let summary = &document.summary;
    if summary.identical {
        return "The files are the same, byte for byte\n".to_owned();
    }
    if !summary.in_common {
        return "The models have nothing in common: no node and no stored tensor of one is in the other\n".to_owned();
    }
    let mut text = String::new();
    let _ = writeln!(text, "{}", places(summary).bold());
    let nodes = format!(
        "{} kept, {} gone, {} new",
        summary.nodes_kept, summary.nodes_removed, summary.nodes_added
    );
    let _ = writeln!(text, "  nodes: {nodes}");
    let mut tensors = format!("{} kept", summary.tensors_kept);
    for (number, word) in [
        (summary.tensors_removed, "gone"),
        (summary.tensors_added, "new"),
        (summary.tensors_changed, "changed"),
    ] {
        if number > 0 {
            let _ = write!(tensors, ", {number} {word}");
        }
    }
    let _ = writeln!(text, "  stored tensors: {tensors}");
    let differing: Vec<_> = document
        .operators
        .iter()
        .filter(|count| count.before != count.after)
        .collect();
    if !differing.is_empty() {
        let _ = writeln!(text, "\n{}", "Operators".bold());
        let width = differing
            .iter()
            .map(|count| count.op.chars().count())
            .max()
            .unwrap_or(0);
        for count in differing {
            let _ = writeln!(
                text,
                "  {:width$}  {} → {}",
                count.op, count.before, count.after
            );
        }
    }
    if !document.outside.is_empty() {
        let _ = writeln!(text, "\n{}", "Besides nodes".bold());
        for sentence in &document.outside {
            let _ = writeln!(text, "  {}", plain(sentence));
        }
    }
    text.push_str(&changes(term, document));
    text
}

fn changes(term: &Term, document: &Document) -> String {
    let mut order: Vec<&str> = Vec::new();
    let mut groups: HashMap<&str, Vec<&str>> = HashMap::new();
    for entry in document
        .entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Change)
    {
        let group = groups.entry(&entry.title).or_default();
        if group.is_empty() {
            order.push(&entry.title);
        }
        group.push(&entry.output);
    }
    let mut text = String::new();
    if !order.is_empty() {
        let _ = writeln!(text, "\n{}", "Places".bold());
    }
    for title in order {
        let outputs = groups.get(title).map_or(&[][..], Vec::as_slice);
        let _ = writeln!(text, "  {}: {}", plain(title), count(outputs.len(), "time"));
        let shown = if term.verbose { outputs.len() } else { 3 };
        for output in outputs.iter().take(shown) {
            let _ = writeln!(text, "    {}", plain(output));
        }
        if outputs.len() > shown {
            let _ = writeln!(
                text,
                "    {}",
                format!("and {} more, with -v", outputs.len() - shown).dimmed()
            );
        }
    }
    text
}
