//! What was found in a model, in words: grouped so that a thousand nodes fit a screen, whole with `--verbose`.
//! Given the library's report; used by inspect, fuse and expand.
//! Promises that every count adds up: each fusion, quantised region, finished operator and near miss is in exactly one group.

use std::fmt::Write as _;

use onnx_swish::{ActivationKind, AlreadyFused, BetaValue, FusionEntry, QuantisedEntry, Report};
use owo_colors::OwoColorize;

use crate::term::{Term, plain};

/// How many members of a group of near misses stand for the rest.
const EXAMPLES: usize = 3;

/// `18 x HardSwish`, each group with its formula.
pub fn fusions(term: &Term, report: &Report) -> String {
    let mut text = String::new();
    for (title, members) in grouped(&report.fusions, title) {
        let _ = writeln!(
            text,
            "  {:>4} {} {title}",
            members.len().green().bold(),
            "x".dimmed()
        );
        if term.verbose {
            for fusion in members {
                let _ = writeln!(text, "         {}", line(fusion));
            }
        }
    }
    let notes = grouped(
        report
            .fusions
            .iter()
            .filter_map(|fusion| fusion.rounding.as_ref()),
        |note| (*note).clone(),
    );
    for (note, members) in notes {
        let _ = writeln!(
            text,
            "  {} in {} of them {note}",
            "note:".cyan().bold(),
            members.len()
        );
    }
    text
}

/// `49 x quantised SiLU`, each group with its formula.
pub fn quantised<'r>(term: &Term, regions: impl IntoIterator<Item = &'r QuantisedEntry>) -> String {
    let mut text = String::new();
    for (title, members) in grouped(regions, quantised_title) {
        let _ = writeln!(
            text,
            "  {:>4} {} {title}",
            members.len().cyan().bold(),
            "x".dimmed()
        );
        if term.verbose {
            for region in members {
                let nodes = format!("[{}]", plain(&region.nodes.join(" ")));
                let _ = writeln!(
                    text,
                    "         {} -> {}{} {}",
                    plain(&region.input),
                    plain(&region.output),
                    place(&region.graph),
                    nodes.dimmed()
                );
            }
        }
    }
    text
}

/// How many quantised activations the file keeps, and why where functions were asked for.
pub fn kept(report: &Report) -> String {
    let mut text = String::new();
    let regions = report.quantised.iter().filter(|one| one.op.is_none());
    let why = |region: &&QuantisedEntry| match &region.stays {
        Some(why) => plain(why),
        None => "each is a table of 256 codes".to_owned(),
    };
    for (why, members) in grouped(regions, why) {
        let count = count(members.len(), "quantised activation");
        let _ = writeln!(text, "{count} kept: {why}");
    }
    text
}

/// `9 x reason` with examples of the sentences, or all of them, and what would have to change.
pub fn near_misses(term: &Term, report: &Report) -> String {
    let mut text = String::new();
    for group in report.near_miss_groups() {
        let count = group.members.len();
        let _ = writeln!(
            text,
            "  {:>4} {} {}",
            count.yellow().bold(),
            "x".dimmed(),
            group.reason.bold()
        );
        let shown = if term.verbose || count <= EXAMPLES {
            count
        } else {
            EXAMPLES
        };
        for miss in group.members.iter().take(shown) {
            let _ = writeln!(
                text,
                "         {}{}",
                plain(&miss.message),
                place(&miss.graph)
            );
        }
        if shown < count {
            let rest = format!("... and {} more like these (-v lists all)", count - shown);
            let _ = writeln!(text, "         {}", rest.dimmed());
        }
        let _ = writeln!(text, "         {}", advice(group.change).dimmed());
    }
    text
}

/// What would have to change, or why nothing can.
fn advice(change: &str) -> String {
    match change.strip_prefix("nothing: ") {
        Some(why) => format!("({why})"),
        None => format!("to fuse it: {change}"),
    }
}

/// `3 x HardSwish`.
pub fn already_fused(term: &Term, already: &[&AlreadyFused]) -> String {
    let mut text = String::new();
    for (op, members) in grouped(already, |one| one.op.clone()) {
        let _ = writeln!(
            text,
            "  {:>4} {} {op}",
            members.len().cyan().bold(),
            "x".dimmed()
        );
        if term.verbose {
            for one in members {
                let _ = writeln!(text, "         {}{}", plain(&one.output), place(&one.graph));
            }
        }
    }
    text
}

/// `12 nodes`, and how many of them are in functions.
pub fn nodes(report: &Report) -> String {
    let nodes = count(report.nodes - report.function_nodes, "node");
    match report.function_nodes {
        0 => nodes,
        more => format!("{nodes} and {more} in functions"),
    }
}

/// `1 gate`, `2 gates`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

/// The largest group first, equal ones in the order of the file.
pub fn grouped<T>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
) -> Vec<(String, Vec<T>)> {
    let mut groups: Vec<(String, Vec<T>)> = Vec::new();
    for item in items {
        let key = key(&item);
        // Few groups: formulas and kinds, not values.
        match groups.iter_mut().find(|(own, _)| *own == key) {
            Some((_, members)) => members.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    groups
}

/// What a fusion computes, with its parameters.
fn title(fusion: &&FusionEntry) -> String {
    let beta = fusion.beta.as_ref().and_then(|beta| match beta {
        BetaValue::Number(beta) => Some(*beta),
        BetaValue::Tensor(_) => None,
    });
    let name = fusion.activation.name();
    let formula = formula(fusion.activation, beta, fusion.alpha, fusion.offset);
    let factor = fusion
        .factor
        .map(|factor| format!(", times {factor} in a Mul of its own"))
        .unwrap_or_default();
    format!("{name:<10} {}{}", formula.dimmed(), factor.dimmed())
}

/// What a quantised region computes.
fn quantised_title(region: &&QuantisedEntry) -> String {
    let name = region.activation.name();
    let formula = formula(region.activation, region.beta, region.alpha, region.offset);
    let factor = region
        .factor
        .map(|factor| format!(", times {factor}"))
        .unwrap_or_default();
    let form = match region.op {
        Some(_) => "as a function of the file",
        None => "a table of 256 codes; the file keeps its nodes",
    };
    format!(
        "quantised {name:<10} {}{}, {form}",
        formula.dimmed(),
        factor.dimmed()
    )
}

/// An activation's formula. A Swish without a number has a tensor as beta.
fn formula(
    activation: ActivationKind,
    beta: Option<f64>,
    alpha: Option<f64>,
    offset: Option<f64>,
) -> String {
    match (activation, beta) {
        (ActivationKind::Silu, _) => "x * sigmoid(x)".to_owned(),
        (ActivationKind::Swish, Some(beta)) => format!("x * sigmoid({beta} x)"),
        (ActivationKind::Swish, None) => "x * sigmoid(beta x), beta a tensor".to_owned(),
        (ActivationKind::HardSwish, _) => {
            let slope = alpha.map_or_else(|| "?".to_owned(), fraction);
            let offset = offset.map_or_else(|| "?".to_owned(), fraction);
            format!("x * clamp({slope} x + {offset}, 0, 1)")
        }
    }
}

/// The two constants of the definition as people write them.
fn fraction(value: f64) -> String {
    if value == 1.0 / 6.0 {
        "1/6".to_owned()
    } else if value == 0.5 {
        "1/2".to_owned()
    } else {
        value.to_string()
    }
}

fn line(fusion: &FusionEntry) -> String {
    let beta = match &fusion.beta {
        Some(BetaValue::Tensor(name)) => format!(", beta {}", plain(name)),
        _ => String::new(),
    };
    format!(
        "{} -> {}{beta}{} {}",
        plain(&fusion.input),
        plain(&fusion.output),
        place(&fusion.graph),
        format!("[{}]", plain(&fusion.nodes.join(" "))).dimmed()
    )
}

/// Where it stands, when that is not the main graph.
fn place(graph: &str) -> String {
    if graph == "main" {
        String::new()
    } else {
        format!(" (in {})", plain(graph))
    }
}
