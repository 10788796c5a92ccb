//! A document as Markdown, for the summary of a pull request.
//! Given: a document.
//! Promises: short whatever the models' size; names stand in code spans that they cannot end, and in tables whose cells they cannot end.

use std::fmt::Write as _;

use onnx_swish_model::display;

use crate::document::{Document, EntryKind, OperatorCount};

/// Rows that a table has at most.
const ROWS: usize = 50;

/// The summary.
pub fn markdown(document: &Document) -> String {
    let mut text = String::new();
    let name = |model: &Option<String>| code(model.as_deref().unwrap_or("standard input"));
    let (before, after) = (&document.before, &document.after);
    let _ = writeln!(
        text,
        "### {} → {}\n",
        name(&before.model),
        name(&after.model)
    );
    let summary = &document.summary;
    if summary.identical {
        text.push_str("The files are the same, byte for byte.\n");
        return text;
    }
    if !summary.in_common {
        text.push_str("The models have nothing in common: no node and no stored tensor of one is in the other.\n");
        return text;
    }
    text.push_str("| | before | after |\n|---|---:|---:|\n");
    let _ = writeln!(text, "| nodes | {} | {} |", before.nodes, after.nodes);
    let _ = writeln!(text, "| bytes | {} | {} |", before.bytes, after.bytes);
    for count in differing(document) {
        let OperatorCount { op, before, after } = count;
        let _ = writeln!(text, "| {} | {before} | {after} |", code(op));
    }
    let _ = writeln!(
        text,
        "\nThe same in both: {} and {}.\n",
        counted(summary.nodes_kept, "node"),
        counted(summary.tensors_kept, "stored tensor")
    );
    for sentence in &document.outside {
        let _ = writeln!(text, "- {}", display(sentence.as_bytes()));
    }
    let changes: Vec<_> = document
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::Change | EntryKind::Fusion))
        .collect();
    if !changes.is_empty() {
        let _ = writeln!(
            text,
            "\n<details><summary>Places that differ: {}</summary>\n\n| what | value | graph |\n|---|---|---|",
            changes.len()
        );
        for entry in changes.iter().take(ROWS) {
            let cells = [&entry.title, &entry.output, &entry.graph].map(|cell| code(cell));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        if changes.len() > ROWS {
            let _ = writeln!(text, "| and {} more | | |", changes.len() - ROWS);
        }
        text.push_str("\n</details>\n");
    }
    text
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Operators whose number changed.
pub(crate) fn differing(document: &Document) -> impl Iterator<Item = &OperatorCount> {
    let operators = document.operators.iter();
    operators
        .filter(|count| count.before != count.after)
        .take(ROWS)
}

/// A code span: its fence is longer than any run of backticks inside, and it has neither line ends nor column ends.
fn code(text: &str) -> String {
    let text = display(text.as_bytes()).replace('|', "\\|");
    if text.is_empty() {
        return String::new();
    }
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    if longest > 0 {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}
