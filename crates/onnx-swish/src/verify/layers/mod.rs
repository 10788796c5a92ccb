//! A quantised network layer by layer, each given the reference's own values.
//!
//! Given both models; promises whether every layer between two quantisations makes the reference's codes of the reference's codes, but
//! where a value stands so near the middle between two that the tolerance reaches across. What adds up along a deep network does not
//! come in, and so a wrong layer cannot pass for rounding.

mod cut;
mod places;

use std::collections::HashMap;

use onnx_swish_tract::Operators;
use serde::Serialize;

use super::OutputComparison;
use super::codes::Codes;
use super::judge::{by_codes, narrower};
use super::origin::{self, Origin, Quantiser};
use super::reference::Runner;
use super::tolerance::Tolerance;
use super::values::{BUDGET, Models, with_outputs};
use crate::engine::{EngineOptions, engine};
use crate::error::{Error, Result};
use crate::words::counted;
use crate::{NamedTensors, Outputs, Tensor};

/// Layers of a quantised network, each given the reference's values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Layers {
    /// How many were compared.
    pub compared: usize,
    /// How many elements they make, over all sets of inputs.
    pub elements: usize,
    /// How many of these are others than the reference's: for codes any, for floats those outside the tolerance.
    pub moved: usize,
    /// The first layer, in the order of the file, whose values rounding does not explain: what it makes against what the reference makes.
    pub first_off: Option<OutputComparison>,
}

/// Compares the layers on every set of inputs. `Err` says why they cannot be.
pub(super) fn compare(models: &Models<'_>) -> Result<Layers, String> {
    // Where the fused model has a function, the codes behind it are the same.
    let made = places::made(models.fused);
    let names: Vec<&str> = places::of(models.original)
        .into_iter()
        .filter(|name| made.contains(name.as_bytes()))
        .collect();
    if names.is_empty() {
        return Err("both models' main graphs have no quantised value in common".to_owned());
    }
    let look = || {
        let mut found = Layers {
            compared: 0,
            elements: 0,
            moved: 0,
            first_off: None,
        };
        for (set, inputs) in models.inputs.iter().enumerate() {
            let cut = Cut::run(models, &names, set, inputs)?;
            cut.judge(models, &mut found)?;
            if found.first_off.is_some() {
                break;
            }
        }
        Ok(found)
    };
    look().map_err(|error: Error| error.to_string())
}

/// One set of inputs.
struct Cut<'a> {
    set: usize,
    inputs: &'a NamedTensors,
    /// The reference's values, those to cut at first.
    expected: NamedTensors,
    /// What the fused model makes of them.
    found: Outputs,
    origins: HashMap<String, Origin>,
}

impl<'a> Cut<'a> {
    fn run(
        models: &Models<'_>,
        names: &[&str],
        set: usize,
        inputs: &'a NamedTensors,
    ) -> Result<Cut<'a>> {
        let with_values = with_outputs(models.original, names)?;
        let all = Runner::load(&with_values, models.options)?.run(set, inputs)?;
        let (expected, own): (NamedTensors, NamedTensors) = all
            .into_iter()
            .partition(|(name, _)| names.contains(&name.as_str()));
        let mut options = EngineOptions::of(models.options, Operators::OnnxSwish);
        // Where the values are of one shape, free dimensions are settled.
        let shapes = inputs
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()));
        options.shapes = shapes.collect();
        let fused = engine(&cut::cut(models.fused, &expected)?, &options)?;
        let given = inputs.iter().chain(&expected);
        let found = fused.run(given.map(|(name, tensor)| (name, tensor)))?;
        let original = cut::cut(models.original, &expected)?;
        let computed: Vec<String> = names.iter().map(|name| cut::computed(name)).collect();
        let all = computed.iter().chain(own.iter().map(|(name, _)| name));
        let origins = origin::of_values(&original, all.map(|name| name.as_bytes()));
        Ok(Cut {
            set,
            inputs,
            expected: expected.into_iter().chain(own).collect(),
            found,
            origins,
        })
    }

    fn judge(&self, models: &Models<'_>, layers: &mut Layers) -> Result<()> {
        let mut open = Vec::new();
        layers.compared = 0;
        for (name, expected) in &self.expected {
            let computed = cut::computed(name);
            let own = self.found.get(&computed);
            let (computed, found) = match own {
                Ok(found) => (computed.as_str(), found),
                Err(_) => (name.as_str(), self.found.get(name)?),
            };
            let origin = self.origins.get(computed).copied().unwrap_or_default();
            let element_type = narrower(found.element_type(), Some(expected.element_type()));
            let tolerance = Tolerance::chosen(models.options, element_type, models.narrowest);
            let one = OutputComparison::of(name, expected, found, tolerance, self.set);
            let mut one = one.map_err(Error::NotComparable)?;
            layers.compared += 1;
            layers.elements += one.elements;
            layers.moved += one.outside;
            by_codes(&mut one, origin, expected, found);
            if one.outside > 0 {
                open.push(Layer {
                    expected,
                    found,
                    comparison: one,
                });
            }
        }
        self.settle(models, &mut open)?;
        let off = open.into_iter().find(|layer| !layer.comparison.equal);
        layers.first_off = off.map(|layer| layer.comparison);
        Ok(())
    }

    /// Judges codes by the values that they were rounded from, where the reference has them.
    fn settle(&self, models: &Models<'_>, layers: &mut [Layer<'_>]) -> Result<()> {
        let names = layers.iter().map(|layer| layer.comparison.name.clone());
        let names: Vec<String> = names.collect();
        let quantisers = origin::quantisers(models.original, names.iter().map(String::as_str));
        let mut open: Vec<(&mut Layer<'_>, &Quantiser)> = layers
            .iter_mut()
            .filter_map(|layer| {
                let quantiser = quantisers.get(layer.comparison.name.as_str())?;
                Some((layer, quantiser))
            })
            .collect();
        let mut rest = open.as_mut_slice();
        while !rest.is_empty() {
            let mut bytes = 0usize;
            let fits = rest.iter().take_while(|(layer, _)| {
                bytes = bytes.saturating_add(layer.expected.len() * size_of::<f64>());
                bytes <= BUDGET
            });
            let fits = fits.count().max(1);
            let (group, after) = rest.split_at_mut(fits);
            self.settle_group(models, group)?;
            rest = after;
        }
        Ok(())
    }

    fn settle_group(
        &self,
        models: &Models<'_>,
        group: &mut [(&mut Layer<'_>, &Quantiser)],
    ) -> Result<()> {
        let names: Vec<&str> = group.iter().map(|(_, it)| it.input.as_str()).collect();
        let original = with_outputs(models.original, &names)?;
        let before = Runner::load(&original, models.options)?.run(self.set, self.inputs)?;
        for (layer, quantiser) in group {
            let mut values = before.iter().chain(self.inputs);
            let Some((_, before)) = values.find(|(name, _)| *name == quantiser.input) else {
                continue;
            };
            layer.settle(quantiser, before, models);
        }
        Ok(())
    }
}

/// A layer that makes other values than the reference.
struct Layer<'a> {
    expected: &'a Tensor,
    found: &'a Tensor,
    comparison: OutputComparison,
}

impl Layer<'_> {
    /// Whether the codes are those of values within the tolerance of what the reference rounded.
    fn settle(&mut self, quantiser: &Quantiser, before: &Tensor, models: &Models<'_>) {
        let values = (before.to_f64(), self.expected.to_f64(), self.found.to_f64());
        let (Some(before_codes), Some(expected), Some(found)) = values else {
            return;
        };
        if before_codes.len() != expected.len() || found.len() != expected.len() {
            return;
        }
        let tolerance = Tolerance::chosen(models.options, before.element_type(), models.narrowest);
        let finite = before_codes.iter().filter(|value| value.is_finite());
        let largest = finite.fold(0.0, |most: f64, value| most.max(value.abs()));
        let near = |(x, (a, b)): (&f64, (&f64, &f64))| {
            let steps = tolerance.allowed(*x, largest) / quantiser.scale;
            let at = x / quantiser.scale + quantiser.zero;
            // From the value to the nearer end of those that the code stands for; the code that the reference made stands for it.
            a == b || (at - b).abs() <= 0.5 + steps
        };
        let explained = before_codes
            .iter()
            .zip(expected.iter().zip(&found))
            .all(near);
        let depth = self.comparison.codes.map_or(0, |codes| codes.depth);
        // Where other quantisations are inside, what they round comes in.
        self.comparison.equal = explained || (depth > 1 && self.comparison.equal);
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(off) = &self.first_off {
            let steps = |codes: &Codes| format!(", by {:.1} steps at most", codes.largest);
            return write!(
                f,
                "given the reference's own values, the layer that makes `{}` makes {} of {} otherwise{}: no rounding does that",
                off.name,
                off.outside,
                counted(off.elements, "element"),
                off.codes.as_ref().map(steps).unwrap_or_default()
            );
        }
        write!(
            f,
            "given the reference's own values, each of {} between quantisations makes the same, but for {} of {} next to the middle between \
             two codes: such roundings add up behind them",
            counted(self.compared, "layer"),
            self.moved,
            counted(self.elements, "element")
        )
    }
}

#[cfg(test)]
mod tests;
