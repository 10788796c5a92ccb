//! A bench report as a Markdown table, for issues and pull requests.
//!
//! Given a report; promises the figures of its JSON, rounded for reading.

use std::fmt::Write;

use super::BenchReport;

impl BenchReport {
    /// The contenders as a Markdown table, warnings below it.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "| | median ms | min ms | spread | peak MB | onnx-swish takes |\n|---|---|---|---|---|---|\n",
        );
        for variant in &self.variants {
            let timing = variant.timing;
            let takes = match variant.name {
                "onnx-swish" => String::new(),
                _ => format!("{:.2}x of it", variant.onnx_swish_over_this.median),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {:.2} | {:.2} | {:.0} % | {:.1} | {takes} |",
                variant.name,
                timing.median_ms,
                timing.min_ms,
                timing.spread * 100.0,
                variant.peak_activation_bytes as f64 / 1e6
            );
        }
        let plural = if self.threads == 1 {
            "thread"
        } else {
            "threads"
        };
        let _ = writeln!(
            text,
            "\n{} {plural}, {} interleaved runs, {}.",
            self.threads, self.runs, self.isa
        );
        for warning in &self.warnings {
            let _ = writeln!(text, "\n> {warning}");
        }
        text
    }
}
