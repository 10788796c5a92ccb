//! A bench report as a Markdown table, for issues and pull requests.
//!
//! Given a report; promises the figures of its JSON, rounded for reading.

use std::fmt::Write;

use super::{BenchReport, Memory};

impl BenchReport {
    /// The contenders as a Markdown table, warnings below it.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "| | median | fastest | spread | of the row above | onnx-swish takes | loading MiB | running MiB | tensors MiB |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for variant in &self.variants {
            let timing = variant.timing;
            let takes = match variant.name {
                "onnx-swish" => String::new(),
                _ => format!("{:.2}x of it", variant.onnx_swish_over_this.median),
            };
            let of_previous = variant
                .over_previous
                .map(|ratio| format!("{:.2}x", ratio.median))
                .unwrap_or_default();
            let mebibytes = |bytes: usize| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
            let (loading, running) = variant
                .memory
                .map(|memory| {
                    let Memory {
                        loading_bytes,
                        running_bytes,
                        ..
                    } = memory;
                    (mebibytes(loading_bytes), mebibytes(running_bytes))
                })
                .unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.0} % | {of_previous} | {takes} | {loading} | {running} | {} |",
                variant.name,
                time(timing.median_ms),
                time(timing.min_ms),
                timing.spread * 100.0,
                mebibytes(variant.peak_activation_bytes)
            );
        }
        let plural = if self.threads == 1 {
            "thread"
        } else {
            "threads"
        };
        let _ = writeln!(
            text,
            "\n{} {plural}, {} interleaved runs, {} kernels on {}; onnx-swish {}, tract {}.",
            self.threads, self.runs, self.isa, self.processor, self.version, self.tract_version
        );
        for warning in &self.warnings {
            let _ = writeln!(text, "\n> {warning}");
        }
        text
    }
}

/// Milliseconds, in microseconds below one.
fn time(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.1} µs", ms * 1e3)
    } else {
        format!("{ms:.2} ms")
    }
}
