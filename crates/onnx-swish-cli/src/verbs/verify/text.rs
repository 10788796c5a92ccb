//! What `verify` says to people.
//! Given the library's report.
//! Promises a table of the outputs, where the worst elements are, what the activations did, and the answer in the last line.

use std::fmt::Write as _;

use onnx_swish::{
    Coverage, FirstOff, JudgedBy, OffFrom, OutputComparison, Tolerance, VerifyReport,
};
use owo_colors::OwoColorize;

use crate::report;
use crate::table::Table;
use crate::term::{Term, plain};
use crate::verbs::run::short;

pub fn told(term: &Term, report: &VerifyReport, each: bool) -> String {
    let mut text = format!("{}\n\n", outputs(term, &report.outputs));
    worst(&mut text, report, term.verbose);
    large_and_equal(&mut text, &report.outputs);
    codes(&mut text, &report.outputs);
    classes(&mut text, report);
    if each && !report.coverage.is_empty() {
        let _ = writeln!(text, "{}", activations(term, &report.coverage));
    }
    summary(&mut text, term, report);
    let on_codes = report.on_codes.to_string();
    if !on_codes.is_empty() {
        let _ = writeln!(text, "{on_codes}");
    }
    if let Some(first) = &report.first_off {
        first_off(&mut text, report, first);
    }
    answer(&mut text, report);
    text
}

fn outputs(term: &Term, outputs: &[OutputComparison]) -> String {
    let mut table = Table::new([
        "output", "type", "shape", "largest", "max abs", "max rel", "max ulp", "outside",
    ])
    .numbers(3..8);
    for output in outputs {
        table.add_row([
            plain(&output.name),
            output.element_type.to_owned(),
            format!("{:?}", output.shape),
            short(output.largest),
            format!("{:.1e}", output.max_abs),
            format!("{:.1e}", output.max_rel),
            ulps(output.max_ulp),
            output.outside.to_string(),
        ]);
    }
    term.table(&table)
}

/// Distances too long to be counted in are given by their size.
fn ulps(distance: u64) -> String {
    if distance < 100_000 {
        distance.to_string()
    } else {
        format!("{:.1e}", distance as f64)
    }
}

/// More units in the last place than a reader expects beside "Equal".
const MANY_ULPS: u64 = 1000;

/// Where large figures stand beside "Equal", this says why: relative distances of elements next to zero say nothing, and units in the
/// last place are small.
fn large_and_equal(text: &mut String, outputs: &[OutputComparison]) {
    for output in outputs {
        let Tolerance { rtol, .. } = output.tolerance;
        // Of what is not decided, a warning says why.
        if !output.equal
            || !output.decided
            || output.outside > 0
            || output.judged_by != JudgedBy::Tolerance
        {
            continue;
        }
        // What the relative tolerance refuses, only the absolute one can have taken.
        if output.max_rel > rtol {
            let _ = writeln!(
                text,
                "`{}`: max rel and max ulp are of elements near zero, which are off by {:.1e} at most; atol is for them",
                plain(&output.name),
                output.max_abs
            );
        } else if output.max_ulp >= MANY_ULPS {
            // What is off by most of its own size is a small part of the output's.
            let small = 10.0 * output.max_abs < output.max_rel * output.largest;
            let why = if small {
                "near zero, where sums of products cancel"
            } else {
                "as sums of many products are rounded at every step"
            };
            let _ = writeln!(
                text,
                "`{}`: {} ulp are {:.1e} of a value {why}; no value is off by more than {:.1e}, and rtol allows {rtol:e} of each",
                plain(&output.name),
                ulps(output.max_ulp),
                output.max_rel,
                output.max_abs,
            );
        }
    }
}

/// How many codes moved, where outputs are codes or were made of codes.
fn codes(text: &mut String, outputs: &[OutputComparison]) {
    for output in outputs {
        let Some(codes) = &output.codes else {
            continue;
        };
        let what = if codes.whole { "code" } else { "element" };
        let all = report::count(codes.elements, what);
        let name = plain(&output.name);
        let _ = match codes.moved {
            0 => writeln!(text, "`{name}`: none of {all} moved"),
            moved => writeln!(
                text,
                "`{name}`: {moved} of {all} moved, by {} of {:.1e} at most",
                steps(codes.largest),
                codes.step
            ),
        };
    }
}

/// `1 step`, `2.4 steps`.
fn steps(steps: f64) -> String {
    let tenths = (steps * 10.0).round() / 10.0;
    format!("{tenths} step{}", if tenths == 1.0 { "" } else { "s" })
}

fn activations(term: &Term, coverage: &[Coverage]) -> String {
    let mut table = Table::new([
        "activation",
        "operator",
        "from",
        "to",
        "ulp",
        "max abs",
        "max rel",
        "outside",
    ])
    .numbers(2..8);
    for one in coverage {
        let value = one.against_reference.as_ref();
        let number = |what: fn(&OutputComparison) -> f64| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{:.1e}", what(value)))
        };
        table.add_row([
            value_name(one),
            one.op.clone(),
            format!("{:.2}", one.min),
            format!("{:.2}", one.max),
            format!("{:.2}", one.max_ulp),
            number(|value| value.max_abs),
            number(|value| value.max_rel),
            value.map_or_else(|| "-".to_owned(), |value| value.outside.to_string()),
        ]);
    }
    format!("{}\n", term.table(&table))
}

/// An activation's name to people: that of the value it makes.
fn value_name(one: &Coverage) -> String {
    plain(one.output.as_deref().unwrap_or(&one.node))
}

fn worst(text: &mut String, report: &VerifyReport, all: bool) {
    for output in report.outputs.iter().filter(|output| !output.equal || all) {
        if let Some(worst) = &output.worst {
            let _ = writeln!(
                text,
                "`{}` is furthest off at {:?}: {} in the {}, {} in the fused model",
                plain(&output.name),
                worst.index,
                short(worst.original),
                // Known outputs are nobody's.
                if report.reference == "file" {
                    "expected output"
                } else {
                    "original"
                },
                short(worst.fused)
            );
        }
    }
}

fn classes(text: &mut String, report: &VerifyReport) {
    for output in &report.outputs {
        // Rows in another order have their classes elsewhere.
        let ordered = output.judged_by != JudgedBy::Rows;
        if let Some(agreement) = output.top1_agreement.filter(|_| ordered) {
            let _ = writeln!(
                text,
                "`{}`: the largest class is the same in {:.0} % of rows",
                plain(&output.name),
                agreement * 100.0
            );
        }
    }
}

fn summary(text: &mut String, term: &Term, report: &VerifyReport) {
    let coverage = &report.coverage;
    let Some(first) = coverage.first() else {
        return;
    };
    let lowest = coverage.iter().fold(first.min, |low, one| low.min(one.min));
    let highest = coverage
        .iter()
        .fold(first.max, |high, one| high.max(one.max));
    let farthest = coverage.iter().fold(first, |most, one| {
        if one.max_ulp / one.allowed_ulp > most.max_ulp / most.allowed_ulp {
            one
        } else {
            most
        }
    });
    let _ = writeln!(
        text,
        "{} given values from {lowest:.1} to {highest:.1}, within {:.1} ulp of the formula ({} allowed)",
        report::count(coverage.len(), "activation"),
        farthest.max_ulp,
        farthest.allowed_ulp
    );
    if term.verbose {
        for one in coverage {
            let node = plain(&one.node);
            let node = node.dimmed();
            let _ = writeln!(
                text,
                "  {} {node} from {:.2} to {:.2}",
                one.op, one.min, one.max
            );
        }
    }
}

fn first_off(text: &mut String, report: &VerifyReport, first: &FirstOff) {
    let Some(one) = report.coverage.iter().find(|one| one.node == first.node) else {
        return;
    };
    let name = value_name(one);
    match first.from {
        OffFrom::Formula => {
            let at = one.worst.map_or_else(String::new, |worst| {
                // Nine digits tell any two float32 apart.
                format!(
                    ": of {:.8e} it makes {:.8e} instead of {:.8e}",
                    worst.x, worst.found, worst.exact
                )
            });
            let _ = writeln!(
                text,
                "`{name}` is the first activation that is off: {} is {:.1} ulp from its formula{at}",
                one.op, one.max_ulp
            );
        }
        OffFrom::Reference => {
            let why = match first.inputs_equal {
                Some(false) => {
                    "computes its formula, but was given other values than in the original"
                }
                Some(true) => {
                    "computes its formula, of what the original has there, too, but the value differs: the fused model has another \
                     activation there, or another parameter, such as beta"
                }
                None => {
                    "computes its formula, but its value differs; what it was given could not be compared"
                }
            };
            let op = &one.op;
            let _ = writeln!(
                text,
                "`{name}` is the first activation that is off: {op} {why}"
            );
            if first.inputs_equal == Some(false) {
                suspect(text, report, first);
            }
        }
    }
}

/// A difference may begin small enough to be accepted, and grow: says where that may be.
fn suspect(text: &mut String, report: &VerifyReport, first: &FirstOff) {
    /// Less than this of a tolerance is rounding in any model.
    const MUCH: f64 = 0.05;
    let much = |one: &Coverage| {
        let worst = one.against_reference.as_ref()?.worst.as_ref()?;
        (worst.used >= MUCH).then_some(worst.used)
    };
    let coverage = report.coverage.iter();
    let mut before = coverage.take_while(|one| one.node != first.node);
    let Some((one, used)) = before.find_map(|one| Some((one, much(one)?))) else {
        return;
    };
    let _ = writeln!(
        text,
        "before it, `{}` uses {:.0} % of its tolerance: what is off may begin there",
        value_name(one),
        used * 100.0
    );
}

/// What the answer does not speak of, behind it.
pub fn undecided(outputs: &[OutputComparison]) -> String {
    let open = outputs
        .iter()
        .filter(|output| output.equal && !output.decided);
    let names: Vec<String> = open.map(|it| format!("`{}`", plain(&it.name))).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(", but nothing is decided of {}", names.join(", ")),
    }
}

fn answer(text: &mut String, report: &VerifyReport) {
    let reference = match report.reference.as_str() {
        "tract" => "tract's plain operators".to_owned(),
        "file" => "the expected outputs".to_owned(),
        other => other.replace("onnxruntime", "ONNX Runtime"),
    };
    let outputs = report.outputs.iter().all(|output| output.equal);
    let answer = match (report.equal, outputs) {
        (true, _) => format!("{} to {reference}", "Equal".green().bold()),
        (false, false) => format!("{} from {reference}", "Different".red().bold()),
        (false, true) => format!(
            "{}: the outputs agree with {reference}, and an activation is off",
            "Different".red().bold()
        ),
    };
    let mut tolerances: Vec<String> = Vec::new();
    for output in &report.outputs {
        let Tolerance { rtol, atol, .. } = output.tolerance;
        let tolerance = if output.judged_by == JudgedBy::Codes {
            "codes by how many moved and how far".to_owned()
        } else if output.judged_by == JudgedBy::Layers {
            "codes layer by layer".to_owned()
        } else if !output.element_type.contains("float") {
            "whole numbers exactly".to_owned()
        } else {
            format!("rtol {rtol:e}, atol {atol:e}")
        };
        if !tolerances.contains(&tolerance) {
            tolerances.push(tolerance);
        }
    }
    let _ = writeln!(
        text,
        "{answer} {}{}",
        format!("({})", tolerances.join("; ")).dimmed(),
        undecided(&report.outputs)
    );
}
