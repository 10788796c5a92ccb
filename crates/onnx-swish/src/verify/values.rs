//! The value that each fused activation makes against the reference's value of that name.
//!
//! Given both models; promises that each value of the original's main graph which a fused activation makes is compared on every set of
//! inputs, in the kernels that really run, and that only as many are kept at a time as fit into a budget.
//!
//! Both models get these values as additional outputs, in memory: the file tower's edit adds them and leaves everything else as
//! it is. A convolution still takes its activation along, since the value behind the activation is the one that is asked for.

use std::collections::HashSet;

use onnx_swish_model::schema::ValueInfoProto;
use onnx_swish_tract::{Operators, Session as Engine};

use super::formula::Coverage;
use super::judge::{by_codes, narrower};
use super::origin;
use super::reference::Runner;
use super::tolerance::Tolerance;
use super::{FirstOff, OffFrom, OutputComparison, VerifyOptions};
use crate::engine::{EngineOptions, engine};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::{ElementType, Model, NamedTensors, Outputs};

/// Bytes of values that are kept at once, on each side.
pub(super) const BUDGET: usize = 256 << 20;

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
        progress(Progress::Compared { done, of });
        compare_group(models, group)?;
        done += group.len();
        rest = after;
    }
    Ok(coverage.len() - of)
}

/// Finds out whether an activation that is off was given the reference's values. A load of its own: with the activation's input as an
/// output, a convolution does not take the activation along.
pub(super) fn look_at_inputs(models: &Models<'_>, first: &mut FirstOff) -> Result<()> {
    if first.from != OffFrom::Reference {
        return Ok(());
    }
    let input = first.output.as_deref();
    let Some(input) = input.and_then(|output| input_of(models.fused, output)) else {
        return Ok(());
    };
    if is_input(models.original, &input) {
        first.inputs_equal = Some(true);
        return Ok(());
    }
    if !values_of(models.original).contains(input.as_str()) {
        return Ok(());
    }
    let mut equal = None;
    Both::load(models, &[&input])?.compare(models, &[&input], |_, comparison| {
        equal = Some(equal.unwrap_or(true) && comparison.equal);
    })?;
    first.inputs_equal = equal;
    Ok(())
}

/// What the node of the main graph that makes this value takes as its first input.
fn input_of(model: &Model, output: &str) -> Option<String> {
    let main = model.scopes().first()?;
    let mut nodes = main.nodes().iter().map(|node| model.node_ref(node));
    let node = nodes.find(|node| node.outputs().any(|name| name == output.as_bytes()))?;
    String::from_utf8(node.inputs().next()?.to_vec()).ok()
}

fn is_input(model: &Model, name: &str) -> bool {
    let main = model.scopes().first().map(|main| main.inputs());
    let mut names = main.unwrap_or_default().iter().map(|it| it.name());
    names.any(|own| model.text(own) == name.as_bytes())
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
    let names = group.iter().filter_map(|one| one.output.clone());
    let names: Vec<String> = names.collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Both::load(models, &names)?.compare(models, &names, |name, comparison| {
        let mut group = group.iter_mut();
        let Some(one) = group.find(|one| one.output.as_deref() == Some(name)) else {
            return;
        };
        match &mut one.against_reference {
            Some(before) => before.merge(comparison),
            None => one.against_reference = Some(comparison),
        }
    })
}

/// Both models, with more outputs.
pub(super) struct Both<'a> {
    fused: Engine,
    reference: Runner<'a>,
}

impl<'a> Both<'a> {
    pub fn load(models: &Models<'a>, names: &[&str]) -> Result<Both<'a>> {
        let fused = with_outputs(models.fused, names)?;
        let options = EngineOptions::of(models.options, Operators::OnnxSwish);
        Ok(Both {
            fused: engine(&fused, &options)?,
            reference: Runner::load(&with_outputs(models.original, names)?, models.options)?,
        })
    }

    /// Compares these values, as far as the reference has them, on every set of inputs.
    fn compare(
        mut self,
        models: &Models<'_>,
        names: &[&str],
        mut see: impl FnMut(&str, OutputComparison),
    ) -> Result<()> {
        let bytes = names.iter().map(|name| name.as_bytes());
        let origins = origin::of_values(models.original, bytes);
        for (set, inputs) in models.inputs.iter().enumerate() {
            let (expected, found) = self.run(set, inputs)?;
            for &name in names {
                let Some((_, expected)) = expected.iter().find(|(own, _)| own == name) else {
                    continue;
                };
                let found = found.get(name)?;
                let element_type = narrower(found.element_type(), Some(expected.element_type()));
                let tolerance = Tolerance::chosen(models.options, element_type, models.narrowest);
                let comparison = OutputComparison::of(name, expected, found, tolerance, set);
                let mut comparison = comparison.map_err(Error::NotComparable)?;
                let origin = origins.get(name).copied().unwrap_or_default();
                by_codes(&mut comparison, origin, expected, found);
                see(name, comparison);
            }
        }
        Ok(())
    }

    pub fn run(&mut self, set: usize, inputs: &NamedTensors) -> Result<(NamedTensors, Outputs)> {
        let found = self
            .fused
            .run(inputs.iter().map(|(name, tensor)| (name, tensor)))?;
        Ok((self.reference.run(set, inputs)?, found))
    }
}

/// The model with these values of its main graph as outputs, behind its own.
pub(super) fn with_outputs(model: &Model, names: &[&str]) -> Result<Model> {
    let outputs = model
        .scopes()
        .first()
        .map(|main| main.outputs())
        .unwrap_or_default();
    let inputs = model
        .scopes()
        .first()
        .map(|main| main.inputs())
        .unwrap_or_default();
    // What comes in need not go out as well.
    let mut own: HashSet<&[u8]> = outputs
        .iter()
        .chain(inputs)
        .map(|value| model.text(value.name()))
        .collect();
    let mut edit = model.edit();
    for name in names {
        if !own.insert(name.as_bytes()) {
            continue;
        }
        // Without a type: every reader of a model infers those of its values.
        let output = ValueInfoProto {
            name: Some(name.as_bytes().to_vec().into()),
            ..ValueInfoProto::default()
        };
        edit.add_graph_output(0, &output)?;
    }
    Ok(edit.finish()?.into_model()?)
}
