//! Inlining: functions written out at their calls, for engines that have none.
//!
//! Given: a model and which functions to keep. Promises: the same computation; no recursion; a size that is known and
//! bounded before anything is written; names that cannot meet any other name of the model.

mod env;
mod expand;

use std::collections::{HashMap, HashSet};

use crate::calls::Calls;
use crate::edit::Spliced;
use crate::error::{Error, Result, display};
use crate::limits::MAX_INLINED_NODES;
use crate::model::Model;
use crate::node::NodeId;
use crate::scope::{Function, ScopeKind};
use expand::Expander;

/// Writes out every call of a function, in the main graph and in nested graphs, unless `keep` says of the function's
/// domain and name that it stays. Functions that are no longer called are taken out.
///
/// # Errors
/// Functions that call themselves, that together make more than [`MAX_INLINED_NODES`] nodes, or that are written for
/// another version of the operators they use than the model is.
///
/// ```no_run
/// # fn main() -> Result<(), onnx_swish_model::Error> {
/// # use onnx_swish_model::{Model, inline_functions};
/// let model = Model::open("model.onnx")?;
/// let flat = inline_functions(&model, |domain, _name| domain == b"onnx_swish")?.into_model()?;
/// # Ok(()) }
/// ```
pub fn inline_functions(model: &Model, keep: impl Fn(&[u8], &[u8]) -> bool) -> Result<Spliced> {
    let calls = Calls::new(model);
    let order = calls.order().map_err(|function| Error::RecursiveFunction {
        name: model
            .functions()
            .get(function)
            .map_or_else(String::new, |f| model.function_name(f)),
    })?;
    let kept = kept_functions(model, &calls, &order, keep);
    let sites = call_sites(model, &calls, &kept);
    let used = reachable(&calls, &order, &kept, &sites);
    check_size(model, &calls, &order, &kept, &sites)?;

    let mut edit = model.edit();
    for (domain, version) in missing_imports(model, &used)? {
        edit.add_opset_import_bytes(domain, version)?;
    }
    let mut expander = Expander::new(model, &calls, &kept);
    for (id, _) in &sites {
        let nodes = expander.expand(model.existing_node(*id)?.decode()?)?;
        edit.replace_node_and_all(*id, &nodes)?;
    }
    for function in (0..model.functions().len()).filter(|i| !kept.contains(i)) {
        edit.remove_function(function)?;
    }
    edit.finish()
}

/// The functions that stay: those asked for, and those that they call.
fn kept_functions(
    model: &Model,
    calls: &Calls<'_>,
    order: &[usize],
    keep: impl Fn(&[u8], &[u8]) -> bool,
) -> HashSet<usize> {
    let asked =
        |function: &Function| keep(model.text(function.domain()), model.text(function.name()));
    let functions = model.functions().iter().enumerate();
    let mut kept: HashSet<usize> = functions
        .filter(|(_, f)| asked(f))
        .map(|(i, _)| i)
        .collect();
    // Callers first, so that one pass reaches everything.
    for function in order.iter().rev() {
        if kept.contains(function) {
            kept.extend(calls.callees.get(*function).into_iter().flatten());
        }
    }
    kept
}

/// The calls to write out that are not inside another, outside functions, with the function called.
fn call_sites(model: &Model, calls: &Calls<'_>, kept: &HashSet<usize>) -> Vec<(NodeId, usize)> {
    let mut sites = Vec::new();
    let mut replaced = HashSet::new();
    let mut skipped = vec![false; model.scopes().len()];
    for (i, scope) in model.scopes().iter().enumerate() {
        let skip = match scope.kind() {
            ScopeKind::Main => false,
            ScopeKind::Function(_) => true,
            ScopeKind::Subgraph(at) => {
                skipped.get(at.parent as usize) == Some(&true)
                    || replaced.contains(&(at.parent, at.node))
            }
        };
        if let Some(slot) = skipped.get_mut(i) {
            *slot = skip;
        }
        for (j, node) in scope.nodes().iter().enumerate().filter(|_| !skip) {
            if let Some(function) = calls.callee(node).filter(|f| !kept.contains(f)) {
                let (scope, node) = (i as u32, j as u32);
                replaced.insert((scope, node));
                sites.push((NodeId { scope, node }, function));
            }
        }
    }
    sites
}

/// The functions whose bodies will be written out.
fn reachable(
    calls: &Calls<'_>,
    order: &[usize],
    kept: &HashSet<usize>,
    sites: &[(NodeId, usize)],
) -> HashSet<usize> {
    let mut used: HashSet<usize> = sites.iter().map(|&(_, function)| function).collect();
    for function in order.iter().rev() {
        if used.contains(function) {
            let callees = calls.callees.get(*function).into_iter().flatten();
            used.extend(callees.filter(|callee| !kept.contains(callee)));
        }
    }
    used
}

/// Adds up what all calls will make, callees first, before any of it is made.
fn check_size(
    model: &Model,
    calls: &Calls<'_>,
    order: &[usize],
    kept: &HashSet<usize>,
    sites: &[(NodeId, usize)],
) -> Result<()> {
    let mut own = vec![0u64; model.functions().len()];
    let mut part_of: Vec<Option<u32>> = Vec::with_capacity(model.scopes().len());
    for scope in model.scopes() {
        let function = match scope.kind() {
            ScopeKind::Main => None,
            ScopeKind::Function(function) => Some(function),
            ScopeKind::Subgraph(at) => part_of.get(at.parent as usize).copied().flatten(),
        };
        part_of.push(function);
        if let Some(size) = function.and_then(|f| own.get_mut(f as usize)) {
            *size += scope.nodes().len() as u64;
        }
    }
    // A call costs something even if the function is empty.
    let mut size = vec![1u64; own.len()];
    for &function in order {
        let callees = calls
            .callees
            .get(function)
            .into_iter()
            .flatten()
            .filter(|f| !kept.contains(f));
        let inner = callees
            .filter_map(|&callee| size.get(callee))
            .fold(0u64, |sum, &n| sum.saturating_add(n));
        let nodes = own
            .get(function)
            .copied()
            .unwrap_or(0)
            .max(1)
            .saturating_add(inner);
        if let Some(slot) = size.get_mut(function) {
            *slot = nodes;
        }
    }
    let made = sites.iter().filter_map(|&(_, function)| size.get(function));
    let total = made.fold(0u64, |sum, &n| sum.saturating_add(n));
    if total > MAX_INLINED_NODES {
        return Err(Error::InlineTooLarge);
    }
    Ok(())
}

/// The imports that bodies need and the model lacks. A version other than the model's would give nodes another meaning.
fn missing_imports<'m>(model: &'m Model, used: &HashSet<usize>) -> Result<Vec<(&'m [u8], i64)>> {
    let mut domains: HashMap<usize, HashSet<&[u8]>> = HashMap::new();
    let mut part_of: Vec<Option<usize>> = Vec::with_capacity(model.scopes().len());
    for scope in model.scopes() {
        let function = match scope.kind() {
            ScopeKind::Main => None,
            ScopeKind::Function(function) => Some(function as usize),
            ScopeKind::Subgraph(at) => part_of.get(at.parent as usize).copied().flatten(),
        };
        part_of.push(function);
        if let Some(function) = function.filter(|f| used.contains(f)) {
            let nodes = scope.nodes().iter().map(|node| model.text(node.domain()));
            domains.entry(function).or_default().extend(nodes);
        }
    }
    let mut missing: Vec<(&[u8], i64)> = Vec::new();
    for (i, function) in model.functions().iter().enumerate() {
        for &domain in domains.get(&i).into_iter().flatten() {
            let Some(version) = model.function_opset_of(function, domain) else {
                continue;
            };
            let added = missing.iter().find(|(d, _)| *d == domain).map(|&(_, v)| v);
            match model.opset_of(domain).or(added) {
                None => missing.push((domain, version)),
                Some(model_version) if model_version == version => {}
                Some(model_version) => {
                    return Err(Error::InlineOpset {
                        name: model.function_name(function),
                        domain: display(domain),
                        function: version,
                        model: model_version,
                    });
                }
            }
        }
    }
    missing.sort_unstable();
    Ok(missing)
}
