//! The value that each fused activation makes against the reference's value of that name.
//!
//! Given both models; promises that each value of the original's main graph which a fused activation makes is compared on every set of
//! inputs, in the kernels that really run, and that only as many are kept at a time as fit into a budget.
//!
//! Both models get these values as additional outputs, in memory: the file tower's edit adds them and leaves everything else as
//! it is. A convolution still takes its activation along, since the value behind the activation is the one that is asked for.

use std::collections::HashSet;

use onnx_swish_model::schema::ValueInfoProto;
use onnx_swish_tract::Operators;

use super::formula::Coverage;
use super::judge::narrower;
use super::reference::Runner;
use super::tolerance::Tolerance;
use super::{OutputComparison, Progress, VerifyOptions};
use crate::engine::{EngineOptions, engine};
use crate::error::{Error, Result};
use crate::{ElementType, Model, NamedTensors};

/// Bytes of values that are kept at once, on each side.
const BUDGET: usize = 256 << 20;

/// What is compared: two models, and the inputs.
pub(super) struct Models<'a> {
    pub original: &'a Model,
    pub fused: &'a Model,
    pub inputs: &'a [NamedTensors],
    pub options: &'a VerifyOptions,
    /// The narrowest float type that the original is stored in.
    pub narrowest: Option<ElementType>,
}

/// Compares every activation's value and notes it there. Returns how many have no value to compare with.
pub(super) fn compare(
    models: &Models<'_>,
    coverage: &mut [Coverage],
    progress: &mut dyn FnMut(Progress),
) -> Result<usize> {
    let known = values_of(models.original);
    let comparable = |one: &Coverage| {
        one.output
            .as_ref()
            .is_some_and(|name| known.contains(name.as_str()))
    };
    let of = coverage.iter().filter(|one| comparable(one)).count();
    let mut done = 0;
    let mut open: Vec<&mut Coverage> = coverage.iter_mut().filter(|one| comparable(one)).collect();
    let mut rest = open.as_mut_slice();
    while !rest.is_empty() {
        let (group, after) = rest.split_at_mut(fitting(rest, models.inputs.len()));
        progress(Progress::Values { done, of });
        compare_group(models, group)?;
        done += group.len();
        rest = after;
    }
    Ok(coverage.len() - of)
}

/// The names that nodes of the main graph make.
fn values_of(model: &Model) -> HashSet<&str> {
    let nodes = model.scopes().first().map(|main| main.nodes());
    let nodes = nodes.unwrap_or_default().iter();
    let names = nodes.flat_map(|node| model.node_ref(node).outputs());
    names
        .filter_map(|name| std::str::from_utf8(name).ok())
        .collect()
}

/// How many of the next activations fit into the budget; one at least.
fn fitting(open: &[&mut Coverage], sets: usize) -> usize {
    let mut bytes = 0usize;
    let fits = open.iter().take_while(|one| {
        // Elements were counted over all sets; f64 copies are made to compare.
        bytes = bytes.saturating_add(one.elements / sets.max(1) * size_of::<f64>());
        bytes <= BUDGET
    });
    fits.count().max(1)
}

fn compare_group(models: &Models<'_>, group: &mut [&mut Coverage]) -> Result<()> {
    let names: Vec<&str> = group
        .iter()
        .filter_map(|one| one.output.as_deref())
        .collect();
    let fused = with_outputs(models.fused, &names)?;
    let fused = engine(
        &fused,
        &EngineOptions::of(models.options, Operators::OnnxSwish),
    )?;
    let mut reference = Runner::load(&with_outputs(models.original, &names)?, models.options)?;
    for (set, inputs) in models.inputs.iter().enumerate() {
        let found = fused.run(inputs.iter().map(|(name, tensor)| (name, tensor)))?;
        let expected = reference.run(set, inputs)?;
        for one in &mut *group {
            let Some(name) = &one.output else { continue };
            let Some((_, expected)) = expected.iter().find(|(own, _)| own == name) else {
                continue;
            };
            let found = found.get(name)?;
            let element_type = narrower(found.element_type(), Some(expected.element_type()));
            let tolerance = Tolerance::chosen(models.options, element_type, models.narrowest);
            let comparison = OutputComparison::of(name, expected, found, tolerance, set)
                .map_err(Error::NotComparable)?;
            match &mut one.against_reference {
                Some(before) => before.merge(comparison),
                None => one.against_reference = Some(comparison),
            }
        }
    }
    Ok(())
}

/// The model with these values of its main graph as outputs, behind its own.
fn with_outputs(model: &Model, names: &[&str]) -> Result<Model> {
    let outputs = model
        .scopes()
        .first()
        .map(|main| main.outputs())
        .unwrap_or_default();
    let own: HashSet<&[u8]> = outputs
        .iter()
        .map(|output| model.text(output.name()))
        .collect();
    let mut edit = model.edit();
    for name in names.iter().filter(|name| !own.contains(name.as_bytes())) {
        // Without a type: every reader of a model infers those of its values.
        let output = ValueInfoProto {
            name: Some(name.as_bytes().to_vec().into()),
            ..ValueInfoProto::default()
        };
        edit.add_graph_output(0, &output)?;
    }
    Ok(edit.finish()?.into_model()?)
}
