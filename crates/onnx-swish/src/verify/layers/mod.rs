//! A quantised network layer by layer, each given the reference's own values.
//!
//! Given both models; promises whether every layer between two quantisations makes the reference's codes of the reference's codes, but
//! where a value stands so near the middle between two that the tolerance reaches across. What adds up along a deep network does not
//! come in, and so a wrong layer cannot pass for rounding.

mod cut;
mod places;
mod settle;

use std::collections::HashMap;

use onnx_swish_tract::Operators;
use serde::Serialize;

use super::OutputComparison;
use super::codes::Codes;
use super::judge::{by_codes, narrower};
use super::origin::{self, Origin};
use super::reference::Runner;
use super::tolerance::Tolerance;
use super::values::{BUDGET, Models, with_outputs};
use crate::engine::{EngineOptions, engine};
use crate::error::{Error, Result};
use crate::words::counted;
use crate::{NamedTensors, Outputs, Tensor};
use settle::Layer;

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
    /// How many of these are codes of which the reference says what it rounded.
    pub looked_at: usize,
    /// How far the farthest of those that it says was from the middle between two codes, in steps.
    pub from_middle: f64,
    /// The first layer, in the order of the file, whose values rounding does not explain: what it makes against what the reference makes.
    pub first_off: Option<OutputComparison>,
    /// Floats of which nothing is decided, as they are smaller than the tolerance.
    #[serde(skip)]
    pub(super) undecided: Vec<String>,
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
            looked_at: 0,
            from_middle: 0.0,
            first_off: None,
            undecided: Vec::new(),
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
    /// Of which code each value is a function of one code.
    tables: HashMap<&'a str, &'a str>,
}

impl<'a> Cut<'a> {
    fn run(
        models: &Models<'a>,
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
            tables: places::tables(models.original),
        })
    }

    fn judge(&self, models: &Models<'_>, layers: &mut Layers) -> Result<()> {
        let mut open = Vec::new();
        layers.compared = 0;
        let mut undecided = Vec::new();
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
            if !one.decided {
                undecided.push(name.clone());
            }
            if one.outside > 0 || !one.equal {
                open.push(Layer {
                    expected,
                    found,
                    code: self.code(name),
                    inside: None,
                    comparison: one,
                    from_middle: Vec::new(),
                });
            }
        }
        // What one set of inputs decides is decided.
        match self.set {
            0 => layers.undecided = undecided,
            _ => layers.undecided.retain(|name| undecided.contains(name)),
        }
        self.settle(models, &mut open)?;
        for from_middle in open.iter().flat_map(|layer| &layer.from_middle) {
            layers.looked_at += 1;
            layers.from_middle = layers.from_middle.max(*from_middle);
        }
        let off = open.into_iter().find(|layer| !layer.comparison.equal);
        layers.first_off = off.map(|layer| layer.comparison);
        Ok(())
    }

    /// The codes that a value is a function of, each of one.
    fn code(&self, name: &str) -> Option<&Tensor> {
        let code = self.tables.get(name)?;
        let mut given = self.expected.iter().chain(self.inputs);
        given.find(|(own, _)| own == code).map(|(_, tensor)| tensor)
    }

    /// Judges layers by the values that were rounded to codes, where the reference has them.
    fn settle(&self, models: &Models<'_>, layers: &mut [Layer<'_>]) -> Result<()> {
        let mut rest = layers;
        while !rest.is_empty() {
            let mut bytes = 0usize;
            let fits = rest.iter().take_while(|layer| {
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

    fn settle_group(&self, models: &Models<'_>, group: &mut [Layer<'_>]) -> Result<()> {
        let inside: Vec<Vec<&str>> = group
            .iter()
            .map(|layer| places::inside(models.original, &self.tables, &layer.comparison.name))
            .collect();
        let names: Vec<String> = group.iter().map(|it| it.comparison.name.clone()).collect();
        let all = names.iter().map(String::as_str);
        let all = all.chain(inside.iter().flatten().copied());
        let quantisers = origin::quantisers(models.original, all);
        for (layer, inside) in group.iter_mut().zip(&inside) {
            let inside = inside.iter().map(|name| quantisers.get(name).cloned());
            layer.inside = inside.collect();
        }
        let mut names_before: Vec<&str> = quantisers.values().map(|it| it.input.as_str()).collect();
        names_before.sort_unstable();
        let original = with_outputs(models.original, &names_before)?;
        let before = if names_before.is_empty() {
            Vec::new()
        } else {
            Runner::load(&original, models.options)?.run(self.set, self.inputs)?
        };
        let value = |name: &str| {
            let mut values = before.iter().chain(self.inputs);
            values.find(|(own, _)| own == name).map(|(_, it)| it)
        };
        for (layer, name) in group.iter_mut().zip(&names) {
            layer.settle(quantisers.get(name.as_str()), value, models);
        }
        Ok(())
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
            "given the reference's own values, each of {} between quantisations makes the same",
            counted(self.compared, "layer"),
        )?;
        if self.moved == 0 {
            return Ok(());
        }
        let elements = counted(self.elements, "element");
        write!(f, ", but for {} of {elements}", self.moved)?;
        if self.looked_at > 0 {
            let these = if self.looked_at == self.moved {
                "which were".to_owned()
            } else {
                format!("{} of which were", self.looked_at)
            };
            write!(
                f,
                ", {these} within {:.1e} of a step of the middle between two codes",
                self.from_middle
            )?;
        }
        f.write_str(": such roundings add up behind them")
    }
}

#[cfg(test)]
mod tests;
