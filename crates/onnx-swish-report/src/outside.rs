//! What differs between two files besides nodes, and which stored tensors do.
//! Given: two models, and which of their graphs correspond.
//! Promises: one sentence for each difference, with the file's own names.

use std::collections::{BTreeMap, HashMap, HashSet};

use onnx_swish_model::{Model, Scope, ScopeKind, ValueInfo, display};

use crate::diff::{Diff, Pair, Which};
use crate::document::OperatorCount;
use crate::tables::operator;

/// As many changed tensors are named; a model that was trained on has changed all of them.
const MOST_NAMED: usize = 20;

/// Sentences about versions, operator sets, functions, inputs, outputs, and stored tensors of another content.
pub(crate) fn sentences(pair: &Pair<'_>, diff: &Diff) -> Vec<String> {
    let (before, after) = (pair.before.model, pair.after.model);
    let mut said = Vec::new();
    let (a, b) = (before.ir_version(), after.ir_version());
    if a != b {
        said.push(format!(
            "The version of the file format went from {a} to {b}"
        ));
    }
    opsets(before, after, &mut said);
    functions(before, after, &mut said);
    let mut ports = |what: &str, of: fn(&Scope) -> &[ValueInfo]| {
        let names = |model: &Model| -> Vec<String> {
            let main = model.scopes().first().map_or(&[][..], of);
            main.iter()
                .map(|info| display(model.text(info.name())))
                .collect()
        };
        listed(what, &names(before), &names(after), &mut said);
    };
    ports("graph input", Scope::inputs);
    ports("graph output", Scope::outputs);
    let changed = &diff.tensors.changed;
    let named = changed.iter().take(MOST_NAMED);
    said.extend(named.map(|name| format!("The stored tensor `{name}` has another content")));
    if let Some(more) = changed.len().checked_sub(MOST_NAMED + 1) {
        said.push(format!(
            "And so have {} more stored tensors",
            more.saturating_add(1)
        ));
    }
    said
}

fn opsets(before: &Model, after: &Model, said: &mut Vec<String>) {
    let imports = |model: &Model| -> BTreeMap<String, i64> {
        let imports = model.opset_imports().iter();
        imports
            .map(|import| (display(model.text(import.domain())), import.version()))
            .collect()
    };
    let (a, b) = (imports(before), imports(after));
    let name = |domain: &str| match domain {
        "" | "ai.onnx" => "ONNX's operators".to_owned(),
        domain => format!("the operators of `{domain}`"),
    };
    for (domain, version) in &b {
        match a.get(domain) {
            None => said.push(format!("Imports {}, version {version}", name(domain))),
            Some(old) if old != version => {
                said.push(format!(
                    "Imports {} in version {version}, was {old}",
                    name(domain)
                ));
            }
            Some(_) => {}
        }
    }
    for domain in a.keys().filter(|domain| !b.contains_key(*domain)) {
        said.push(format!("Imports {} no longer", name(domain)));
    }
}

fn functions(before: &Model, after: &Model, said: &mut Vec<String>) {
    let names = |model: &Model| -> Vec<String> {
        let functions = model.functions().iter();
        functions
            .map(|function| model.function_name(function))
            .collect()
    };
    listed("model-local function", &names(before), &names(after), said);
}

/// What one list has that the other has not.
fn listed(what: &str, before: &[String], after: &[String], said: &mut Vec<String>) {
    for (from, to, verb) in [(before, after, "New"), (after, before, "Gone")] {
        let known: HashSet<&str> = from.iter().map(String::as_str).collect();
        let news: Vec<String> = to
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .map(|name| format!("`{name}`"))
            .collect();
        match news.as_slice() {
            [] => {}
            [one] => said.push(format!("{verb} {what}: {one}")),
            several => said.push(format!("{verb} {what}s: {}", several.join(", "))),
        }
    }
}

/// Nodes by operator in graphs and in functions that both files have: what a function's body has is no change where it is new.
pub(crate) fn operators(pair: &Pair<'_>, diff: &Diff) -> Vec<OperatorCount> {
    let mut counts: HashMap<String, [usize; 2]> = HashMap::new();
    for (position, which) in [Which::Before, Which::After].into_iter().enumerate() {
        let model = pair.of(which).model;
        for (_, scope) in compared(pair, diff, which) {
            for node in scope.nodes() {
                let count = counts.entry(operator(model.node_ref(node))).or_default();
                if let Some(count) = count.get_mut(position) {
                    *count += 1;
                }
            }
        }
    }
    let mut counts: Vec<OperatorCount> = counts
        .into_iter()
        .map(|(op, [before, after])| OperatorCount { op, before, after })
        .collect();
    counts.sort_by(|a, b| {
        let most = |count: &OperatorCount| count.before.max(count.after);
        most(b).cmp(&most(a)).then_with(|| a.op.cmp(&b.op))
    });
    counts
}

/// Graphs that are compared: all but the bodies of functions that only one file has, and what hangs in these.
pub(crate) fn compared<'m>(pair: &Pair<'m>, diff: &Diff, which: Which) -> Vec<(u32, &'m Scope)> {
    let matched: HashSet<u32> = diff
        .scopes
        .iter()
        .map(|&(a, b)| if which == Which::Before { a } else { b })
        .collect();
    let mut left_out = HashSet::new();
    let mut compared = Vec::new();
    for (index, scope) in pair.of(which).model.scopes().iter().enumerate() {
        let index = index as u32;
        let is_out = match scope.kind() {
            ScopeKind::Main => false,
            ScopeKind::Function(_) => !matched.contains(&index),
            ScopeKind::Subgraph(subgraph) => left_out.contains(&subgraph.parent),
        };
        if is_out {
            left_out.insert(index);
        } else {
            compared.push((index, scope));
        }
    }
    compared
}
