//! What the engine makes of a model's convolutions, in words.
//! Given the convolutions of a session; used by inspect.
//! Promises that every convolution is in exactly one group, with its share of the work.

use std::fmt::Write as _;

use onnx_swish::Convolution;
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
        let label = |one: &&Convolution| match (&one.kind, &one.left) {
            (Some(kind), _) => kind.clone(),
            (None, why) => format!("{}: {}", one.op, why.as_deref().unwrap_or_default()),
        };
        for (label, members) in grouped(members, label) {
            let number = members.len();
            let _ = writeln!(
                text,
                "  {:>4} {} {label}",
                number.green().bold(),
                "x".dimmed()
            );
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
