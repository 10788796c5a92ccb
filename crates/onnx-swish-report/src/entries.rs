//! The rows of a document.
//! Given: a plan and its report, or two models; and how the models differ.
//! Promises: every entry of the report has a row, and every place that differs is in one.

use std::collections::{HashMap, HashSet};

use onnx_swish_fuse::{Betas, NearMiss, Place, Places, Report};
use onnx_swish_model::NodeId;

use crate::curves::{Curves, Function};
use crate::diff::{Diff, Group, Pair, Which};
use crate::document::{Entry, EntryKind, Side};
use crate::neighbourhood::{leading_to, side, way};
use crate::tables::{Filler, operator};

/// Makes rows.
pub(crate) struct Rows<'a, 'm> {
    pair: &'a Pair<'m>,
    diff: &'a Diff,
    filler: Filler<'a, 'm>,
    curves: Curves,
    entries: Vec<Entry>,
    /// Groups that rows have shown.
    shown: HashSet<usize>,
}

impl<'a, 'm> Rows<'a, 'm> {
    pub(crate) fn new(pair: &'a Pair<'m>, diff: &'a Diff) -> Self {
        Self {
            pair,
            diff,
            filler: Filler::new(pair, diff),
            curves: Curves::default(),
            entries: Vec::new(),
            shown: HashSet::new(),
        }
    }

    /// Rows for all that a report says.
    pub(crate) fn report(&mut self, report: &Report, places: &Places, betas: &[Option<Betas>]) {
        let groups = groups_by_node(&self.diff.groups);
        let known = places.fusions.iter().zip(betas);
        for (fusion, (place, &betas)) in report.fusions.iter().zip(known) {
            let after = self.after(&groups, place, &fusion.output);
            let function = Function::new(fusion, betas);
            let entry = Entry {
                kind: if after.is_some() {
                    EntryKind::Fusion
                } else {
                    EntryKind::NotFused
                },
                title: function.title(),
                input: Some(fusion.input.clone()),
                op: Some(fusion.op.clone()),
                element_type: fusion.element_type.clone(),
                message: fusion.rounding.clone(),
                curve: self.curves.add(&function),
                after,
                ..self.entry(&fusion.output, &fusion.graph, &place.nodes)
            };
            self.entries.push(entry);
        }
        for (region, place) in report.quantised.iter().zip(&places.quantised) {
            let function = Function::from(region);
            let entry = Entry {
                kind: EntryKind::Quantised,
                title: function.title(),
                input: Some(region.input.clone()),
                curve: self.curves.add(&function),
                ..self.entry(&region.output, &region.graph, &place.nodes)
            };
            self.entries.push(entry);
        }
        for (already, place) in report.already_fused.iter().zip(&places.already_fused) {
            let entry = Entry {
                kind: EntryKind::AlreadyFused,
                title: already.op.clone(),
                message: report
                    .runtime
                    .as_deref()
                    .filter(|_| report.not_loaded.contains(already))
                    .map(not_loaded),
                ..self.entry(&already.output, &already.graph, &place.nodes)
            };
            self.entries.push(entry);
        }
        for (miss, place) in report.near_misses.iter().zip(&places.near_misses) {
            self.near_miss(miss, place);
        }
    }

    fn near_miss(&mut self, miss: &NearMiss, place: &Place) {
        let view = &self.pair.before.view;
        let nodes = match (place.end, place.nodes.as_slice()) {
            (Some(product), &[a, b]) => way(view, product, if a == product { b } else { a }),
            _ => place.nodes.clone(),
        };
        let entry = Entry {
            kind: EntryKind::NearMiss,
            title: miss.reason.replace(['_', '-'], " "),
            input: Some(miss.gate.clone()),
            reason: Some(miss.reason.clone()),
            message: Some(miss.message.clone()),
            change: Some(miss.change.clone()),
            ..self.entry(&miss.output, &miss.graph, &nodes)
        };
        self.entries.push(entry);
    }

    /// Rows for places that differ and that no row has shown.
    pub(crate) fn changes(&mut self) {
        for (index, group) in self.diff.groups.iter().enumerate() {
            if self.shown.contains(&index) {
                continue;
            }
            let (which, end) = match (group.removed.last(), group.added.last()) {
                (_, Some(&end)) => (Which::After, end),
                (Some(&end), None) => (Which::Before, end),
                (None, None) => continue,
            };
            let known = self.pair.of(which);
            let output = known.view.outputs(end).into_iter().flatten().next();
            let output = output.map(|output| known.view.name(output));
            let graph = known.model.describe_scope(end.scope as usize);
            let entry = Entry {
                kind: EntryKind::Change,
                title: self.title(group),
                after: Some(side(
                    self.pair,
                    &mut self.filler,
                    Which::After,
                    &group.added,
                )),
                ..self.entry(&output.unwrap_or_default(), &graph, &group.removed)
            };
            self.entries.push(entry);
        }
    }

    /// The table's rows, the nodes and values that they refer to, and the curves.
    pub(crate) fn finish(
        self,
    ) -> (
        Vec<Entry>,
        crate::document::Tables,
        Vec<crate::document::Curve>,
    ) {
        (self.entries, self.filler.finish(), self.curves.finish())
    }

    /// An entry about these nodes of the first model, with nothing else said.
    fn entry(&mut self, output: &str, graph: &str, nodes: &[NodeId]) -> Entry {
        Entry {
            kind: EntryKind::Change,
            title: String::new(),
            output: output.to_owned(),
            input: None,
            graph: graph.to_owned(),
            op: None,
            element_type: None,
            reason: None,
            message: None,
            change: None,
            curve: None,
            before: side(self.pair, &mut self.filler, Which::Before, nodes),
            after: None,
        }
    }

    /// What stands in the second model in the place of a fusion's nodes.
    fn after(
        &mut self,
        groups: &HashMap<NodeId, usize>,
        place: &Place,
        output: &str,
    ) -> Option<Side> {
        let &index = groups.get(&place.end?)?;
        let group = self.diff.groups.get(index)?;
        let nodes = leading_to(self.pair, &group.added, output);
        if nodes.is_empty() {
            return None;
        }
        self.shown.insert(index);
        Some(side(self.pair, &mut self.filler, Which::After, &nodes))
    }

    /// "Sigmoid, Mul → onnx_swish::FusedSilu"
    fn title(&self, group: &Group) -> String {
        let names = |which: Which, nodes: &[NodeId]| {
            let model = self.pair.of(which).model;
            let known = nodes.iter().filter_map(|&node| model.node(node));
            let mut counted: Vec<(String, usize)> = Vec::new();
            for op in known.map(operator) {
                if let Some((_, count)) = counted.iter_mut().find(|(known, _)| *known == op) {
                    *count += 1;
                } else if counted.len() < NAMED {
                    counted.push((op, 1));
                }
            }
            let named: usize = counted.iter().map(|(_, count)| count).sum();
            let mut words: Vec<String> = counted
                .into_iter()
                .map(|(op, count)| {
                    if count > 1 {
                        format!("{count} × {op}")
                    } else {
                        op
                    }
                })
                .collect();
            if named < nodes.len() {
                words.push(format!("{} more", nodes.len() - named));
            }
            if words.is_empty() {
                "nothing".to_owned()
            } else {
                words.join(", ")
            }
        };
        let before = names(Which::Before, &group.removed);
        format!("{before} → {}", names(Which::After, &group.added))
    }
}

fn not_loaded(runtime: &str) -> String {
    format!(
        "{runtime} does not load this operator; `onnx-swish fuse --for {runtime}` takes it apart where that can be done"
    )
}

/// Operators that a title names.
const NAMED: usize = 6;

fn groups_by_node(groups: &[Group]) -> HashMap<NodeId, usize> {
    let mut by_node = HashMap::new();
    for (index, group) in groups.iter().enumerate() {
        by_node.extend(group.removed.iter().map(|&node| (node, index)));
    }
    by_node
}
