//! Documents, from models.
//! Given: a plan and the file that became of it, or two models.
//! Promises: pure; linear in the models' nodes and in the bytes that both have.

use onnx_swish_fuse::{Options, Plan, Report, analyze};
use onnx_swish_model::{Model, display};

use crate::diff::{Diff, Known, Pair, Which};
use crate::document::{Document, EntryKind, Kind, ModelFacts, Summary};
use crate::entries::Rows;
use crate::outside;

impl Document {
    /// What a plan does to its model, and why not more; `fused` is the model that became of it.
    ///
    /// `fused` may be any model that was made of the plan's: what differs and is no fusion of the plan has rows of its own.
    pub fn report(plan: &Plan<'_>, fused: &Model) -> Self {
        let after = analyze(fused, &Options::default());
        let pair = pair(plan, &after);
        let report = plan.report();
        document(&pair, Some((plan, &report)))
    }

    /// How two models differ, one of which was made of the other.
    ///
    /// [`Summary::in_common`] says whether that is so at all.
    pub fn diff(before: &Model, after: &Model) -> Self {
        let options = Options::default();
        let (before, after) = (analyze(before, &options), analyze(after, &options));
        document(&pair(&before, &after), None)
    }

    /// Enters the range of inputs that the activation was given which makes a value.
    pub fn observe(&mut self, output: &str, min: f64, max: f64) {
        let mut entries = self.entries.iter();
        let curve = entries
            .find(|entry| entry.kind == EntryKind::Fusion && entry.output == output)
            .and_then(|entry| entry.curve);
        let curve = curve.and_then(|curve| self.curves.get_mut(curve as usize));
        if let Some(curve) = curve {
            let [low, high] = curve.range.unwrap_or([min, max]);
            curve.range = Some([low.min(min), high.max(max)]);
        }
    }
}

fn pair<'a>(before: &'a Plan<'_>, after: &'a Plan<'_>) -> Pair<'a> {
    let known = |plan: &'a Plan<'_>| Known {
        model: plan.model(),
        view: plan.view(),
    };
    Pair {
        before: known(before),
        after: known(after),
    }
}

fn document(pair: &Pair<'_>, fused: Option<(&Plan<'_>, &Report)>) -> Document {
    let diff = Diff::new(pair);
    let mut rows = Rows::new(pair, &diff);
    if let Some((plan, report)) = fused {
        rows.report(report, &plan.places(), &plan.betas());
    }
    rows.changes();
    let (entries, graph, curves) = rows.finish();
    let count = |kind: EntryKind| entries.iter().filter(|entry| entry.kind == kind).count();
    let summary = Summary {
        identical: pair.before.model.bytes() == pair.after.model.bytes(),
        in_common: diff.in_common(pair),
        nodes_kept: diff.kept.len(),
        nodes_removed: diff.removed.len(),
        nodes_added: diff.added.len(),
        tensors_kept: diff.tensors.kept,
        tensors_removed: diff.tensors.removed,
        tensors_added: diff.tensors.added,
        tensors_changed: diff.tensors.changed.len(),
        bytes_kept: diff.bytes_kept,
        fusions: count(EntryKind::Fusion) + count(EntryKind::NotFused),
        quantised: count(EntryKind::Quantised),
        already_fused: count(EntryKind::AlreadyFused),
        near_misses: count(EntryKind::NearMiss),
        changes: count(EntryKind::Change),
    };
    let report = fused.map(|(_, report)| report);
    Document {
        schema_version: 1,
        kind: if report.is_some() {
            Kind::Report
        } else {
            Kind::Diff
        },
        generator: concat!("onnx-swish ", env!("CARGO_PKG_VERSION")).to_owned(),
        before: facts(pair, &diff, Which::Before),
        after: facts(pair, &diff, Which::After),
        summary,
        emit: report.map(|report| report.emit),
        runtime: report.and_then(|report| report.runtime.clone()),
        obstacles: Vec::new(),
        operators: outside::operators(pair, &diff),
        outside: outside::sentences(pair, &diff),
        entries,
        curves,
        graph,
        verification: None,
        bench: None,
    }
}

fn facts(pair: &Pair<'_>, diff: &Diff, which: Which) -> ModelFacts {
    let model = pair.of(which).model;
    let graphs = outside::compared(pair, diff, which);
    ModelFacts {
        model: model.path().map(|path| path.display().to_string()),
        opset: model.opset(),
        ir_version: model.ir_version(),
        producer: model.producer().map(display).join(" ").trim().to_owned(),
        bytes: model.bytes().len() as u64,
        nodes: graphs.iter().map(|(_, scope)| scope.nodes().len()).sum(),
    }
}
