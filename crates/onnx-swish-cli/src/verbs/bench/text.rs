//! What `bench` measured, in words and tables.
//! Given the library's report.
//! Promises that every figure stands beside what it is to be compared with.

use std::fmt::Write as _;

use onnx_swish::{BenchReport, Memory, NodeProfile, OpTime, Variant};
use owo_colors::OwoColorize;

use crate::files;
use crate::table::Table;
use crate::term::{Term, plain};

pub fn told(term: &Term, report: &BenchReport) -> String {
    let mut text = times(term, &report.variants);
    let _ = write!(text, "\n{}", memory(term, &report.variants));
    let profiles = [
        (
            "tract+vzeroupper",
            &report.tract_profile,
            &report.tract_profile_nodes,
        ),
        ("onnx-swish", &report.profile, &report.profile_nodes),
    ];
    for (name, operators, nodes) in profiles {
        if let Some(operators) = operators {
            let heading = format!("{name} by operator");
            let _ = write!(
                text,
                "\n{}\n{}",
                heading.bold(),
                by_operator(term, operators)
            );
        }
        if let Some(nodes) = nodes.as_deref().filter(|_| term.verbose) {
            let heading = format!("{name} by node");
            let _ = write!(text, "\n{}\n{}", heading.bold(), by_node(term, nodes));
        }
    }
    let threads = if report.threads == 1 {
        "1 thread".to_owned()
    } else {
        format!("{} threads", report.threads)
    };
    let summary = format!(
        "{threads}, {} interleaved runs, {} kernels on {}; onnx-swish {}, tract {}",
        report.runs, report.isa, report.processor, report.version, report.tract_version
    );
    let _ = writeln!(text, "\n{}", summary.dimmed());
    text
}

fn times(term: &Term, variants: &[Variant]) -> String {
    let mut table = Table::new([
        "",
        "median",
        "fastest",
        "spread",
        "of the row above",
        "onnx-swish takes",
    ])
    .numbers(1..6);
    for variant in variants {
        let timing = &variant.timing;
        let of_previous = variant
            .over_previous
            .map(|ratio| format!("{:.2}x", ratio.median))
            .unwrap_or_default();
        let takes = if variant.name == "onnx-swish" {
            String::new()
        } else {
            format!("{:.2}x of it", variant.onnx_swish_over_this.median)
        };
        table.add_row([
            variant.name.to_owned(),
            milliseconds(timing.median_ms),
            milliseconds(timing.min_ms),
            format!("{:.0} %", timing.spread * 100.0),
            of_previous,
            takes,
        ]);
    }
    format!("{}\n", term.table(&table))
}

fn memory(term: &Term, variants: &[Variant]) -> String {
    let mut table =
        Table::new(["peak memory", "loading", "running", "tensors in between"]).numbers(1..4);
    for variant in variants {
        let bytes = |of: fn(&Memory) -> usize| match &variant.memory {
            Some(memory) => files::size(of(memory) as u64),
            None => "-".to_owned(),
        };
        table.add_row([
            variant.name.to_owned(),
            bytes(|memory| memory.loading_bytes),
            bytes(|memory| memory.running_bytes),
            files::size(variant.peak_activation_bytes as u64),
        ]);
    }
    let how = if variants.iter().any(|variant| variant.memory.is_some()) {
        "as asked of the allocator, with weights and what is fused in memory, without mapped files, code and stacks"
    } else {
        "the allocator of this process does not count; that of the command that cargo installs does"
    };
    format!("{}\n{}\n", term.table(&table), how.dimmed())
}

fn by_operator(term: &Term, operators: &[OpTime]) -> String {
    let total: f64 = operators.iter().map(|op| op.ms).sum();
    let mut table = Table::new(["operator", "nodes", "time", "share", "GMAC/s"]).numbers(1..5);
    for op in operators {
        table.add_row([
            op.op.clone(),
            op.count.to_string(),
            milliseconds(op.ms),
            share(op.ms, total),
            rate(op.macs, op.ms),
        ]);
    }
    format!("{}\n", term.table(&table))
}

fn by_node(term: &Term, nodes: &[NodeProfile]) -> String {
    let total: f64 = nodes.iter().map(|node| node.ms).sum();
    let mut table = Table::new([
        "time",
        "share",
        "GMAC/s",
        "operator",
        "node",
        "what it does",
    ])
    .numbers(0..3)
    .words(5);
    for node in nodes {
        table.add_row([
            milliseconds(node.ms),
            share(node.ms, total),
            rate(node.macs, node.ms),
            node.op.clone(),
            plain(&node.node),
            plain(&node.info),
        ]);
    }
    format!("{}\n", term.table(&table))
}

fn share(ms: f64, total: f64) -> String {
    format!("{:.1} %", 100.0 * ms / total)
}

/// 10^9 multiply-accumulates a second.
fn rate(macs: Option<u64>, ms: f64) -> String {
    macs.map(|macs| format!("{:.1}", macs as f64 / ms / 1e6))
        .unwrap_or_default()
}

fn milliseconds(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.1} µs", ms * 1e3)
    } else {
        format!("{ms:.2} ms")
    }
}
