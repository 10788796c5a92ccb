//! What the engine makes of a model's convolutions, and of its 8-bit codes, in words.
//! Given the convolutions and the tables of a session; used by inspect.
//! Promises that every convolution is in exactly one group, with its share of the work.

use std::fmt::Write as _;

use onnx_swish::{CodeTable, Convolution};
use owo_colors::OwoColorize;

use crate::report::grouped;
use crate::term::Term;

/// `17 x pointwise, HardSwish`, then what is left to tract, with the share of the work.
pub fn convolutions(term: &Term, convolutions: &[Convolution]) -> String {
    let work = |of: &[&Convolution]| of.iter().filter_map(|one| one.macs).sum::<u64>();
    let all: Vec<&Convolution> = convolutions.iter().collect();
    let (ours, tracts): (Vec<&Convolution>, Vec<&Convolution>) =
        all.iter().partition(|one| one.ours);
    let mut text = String::new();
    for (title, members) in [
        ("Convolutions on our kernels", ours),
        ("Left to tract", tracts),
    ] {
        if members.is_empty() {
            continue;
        }
        let share = 100.0 * work(&members) as f64 / work(&all).max(1) as f64;
        let title = format!(
            "{title}: {} ({:.2} million multiply-accumulates, {share:.1} %)",
            members.len(),
            work(&members) as f64 / 1e6
        );
        let _ = write!(text, "\n{}\n", title.bold());
        let label = |one: &&Convolution| {
            let left = one.left.as_deref();
            let mut text = match &one.kind {
                Some(kind) => kind.clone(),
                None => format!("{}: {}", one.op, left.unwrap_or_default()),
            };
            let floats = one.floats.as_deref().filter(|why| Some(*why) != left);
            text.extend(floats.map(|why| format!("; with floats: {why}")));
            text
        };
        for (label, members) in grouped(members, label) {
            text += &group(members.len(), &label);
            if term.verbose {
                for one in members {
                    let info = one.info.as_deref().unwrap_or_default();
                    let nodes = one.nodes.join(" ");
                    let line = format!("{} {}", one.node, format!("{info} [{nodes}]").dimmed());
                    let _ = writeln!(text, "         {line}");
                }
            }
        }
    }
    if convolutions.is_empty() {
        text.push_str("\nNo convolutions\n");
    }
    text
}

/// `49 x SiLU from codes to codes, table of 256`, then floats that become codes in a node of their own; nothing where there are none.
pub fn tables(term: &Term, tables: &[CodeTable]) -> String {
    let (left, made): (Vec<&CodeTable>, Vec<&CodeTable>) =
        tables.iter().partition(|one| one.left.is_some());
    let mut text = String::new();
    for (title, members) in [
        ("Through 8-bit codes", made),
        ("Floats that become codes", left),
    ] {
        if members.is_empty() {
            continue;
        }
        let title = format!("{title}: {}", members.len());
        let _ = write!(text, "\n{}\n", title.bold());
        for (label, members) in grouped(members, |one| one.description()) {
            text += &group(members.len(), &label);
            if term.verbose {
                for one in members {
                    let nodes = format!("[{}]", one.nodes.join(" "));
                    let _ = writeln!(text, "         {} {}", one.node, nodes.dimmed());
                }
            }
        }
    }
    text
}

/// `  17 x pointwise`.
fn group(number: usize, label: &str) -> String {
    format!("  {:>4} {} {label}\n", number.green().bold(), "x".dimmed())
}
