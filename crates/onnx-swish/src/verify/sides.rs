//! Both models on the same inputs, set after set.
//!
//! Given the reference and the fused model, loaded; promises a judgement of every set, inputs of a size that reaches the tails and the
//! bend of every activation, and an error where nothing could be compared.

use std::collections::HashMap;

use onnx_swish_tract::{Port, Session as Engine};

use super::cuts;
use super::formula::Watcher;
use super::judge::{Judge, Judged, narrower};
use super::on_codes::OnCodes;
use super::origin::{self, Origin};
use super::reference::Runner;
use super::values::Models;
use super::{OutputComparison, Tolerance, VerifyOptions, VerifyReport};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::{ElementType, Model, NamedTensors, inputs};

/// The magnitude that inputs of activations should reach: there SiLU is flat to within f32, and HardSwish long straight.
const TAILS: f64 = 12.0;
/// Larger factors would overflow half precision in the first layers rather than visit more of an activation.
const LARGEST_SCALE: f64 = 64.0;

/// The two models, loaded.
pub(super) struct Sides<'a> {
    reference: Runner<'a>,
    engine: Engine,
    seen: Seen<'a>,
    /// Known outputs that are none of the model's.
    unknown: Vec<String>,
}

/// What has been seen of them.
pub(super) struct Seen<'a> {
    options: &'a VerifyOptions,
    origins: HashMap<String, Origin>,
    /// The narrowest float type that the original is stored in.
    pub narrowest: Option<ElementType>,
    pub watcher: Watcher,
    /// What the first set of inputs ran on codes.
    pub on_codes: OnCodes,
    judged: Vec<Judged>,
}

impl<'a> Sides<'a> {
    pub fn new(
        reference: Runner<'a>,
        engine: Engine,
        original: &Model,
        options: &'a VerifyOptions,
    ) -> Sides<'a> {
        Sides {
            reference,
            engine,
            seen: Seen {
                options,
                origins: origin::of_outputs(original),
                narrowest: origin::narrowest_float(original),
                watcher: Watcher::default(),
                on_codes: OnCodes::default(),
                judged: Vec::new(),
            },
            unknown: Vec::new(),
        }
    }

    /// Runs on all sets of inputs, given ones or random ones, and returns them.
    pub fn run_all(
        &mut self,
        report: &mut VerifyReport,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<NamedTensors>> {
        let options = self.seen.options;
        if !options.inputs.is_empty() {
            for (set, inputs) in options.inputs.iter().enumerate() {
                self.run(set, inputs, progress)?;
            }
            return Ok(options.inputs.clone());
        }
        let mut sets = Vec::new();
        let mut scale = Some(1.0);
        while let Some(now) = scale {
            let inputs = inputs::random(self.ports(), &options.shapes, options.seed, now)?;
            self.run(sets.len(), &inputs, progress)?;
            sets.push(inputs);
            report.input_scales.push(now);
            scale = if sets.len() == 1 {
                self.reaching_scale()
            } else {
                None
            };
        }
        Ok(sets)
    }

    fn run(
        &mut self,
        set: usize,
        inputs: &NamedTensors,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        progress(Progress::Running(set));
        let named = || inputs.iter().map(|(name, tensor)| (name, tensor));
        let found = self.engine.run(named())?;
        if set == 0 {
            self.seen.on_codes = OnCodes::of(&self.engine, inputs)?;
        }
        let mut expected = self.reference.run(set, inputs)?;
        if !self.reference.has_values() {
            let outputs = self.engine.outputs();
            let known = |name: &String| outputs.iter().any(|port| port.name == *name);
            let extra = expected.iter().map(|(name, _)| name);
            self.unknown
                .extend(extra.filter(|name| !known(name)).cloned());
            expected.retain(|(name, _)| known(name));
        }
        // A run of its own: what is watched is not what is fast.
        let watcher = &mut self.seen.watcher;
        self.engine
            .run_watched(named(), |watched| watcher.see(&watched))?;
        let judged = self
            .seen
            .with_judge(|judge| judge.judge(expected, found, set))?;
        if judged.outputs.is_empty() {
            return Err(Error::NotComparable(format!(
                "set {set} of the expected outputs holds none of the model's, {}; give them by these names",
                listed(self.engine.outputs().iter())
            )));
        }
        self.seen.judged.push(judged);
        Ok(())
    }

    /// The original's inputs: where the two models differ, those of the fused one are wrong.
    fn ports(&self) -> &[Port] {
        self.reference.inputs().unwrap_or(self.engine.inputs())
    }

    /// The standard deviation of inputs that would drive the median activation to its tails; `None` where scaling brings nothing
    /// (no float inputs, no activations, tails reached already).
    fn reaching_scale(&self) -> Option<f64> {
        use ElementType::{BF16, F16, F32, F64};
        let scalable = |port: &Port| matches!(port.element_type, Some(BF16 | F16 | F32 | F64));
        if !self.ports().iter().any(scalable) {
            return None;
        }
        let seen = self.seen.watcher.seen.iter();
        let mut reached: Vec<f64> = seen.map(|one| one.max.abs().max(one.min.abs())).collect();
        reached.sort_by(f64::total_cmp);
        let median = *reached.get(reached.len() / 2)?;
        let scale = (TAILS / median).min(LARGEST_SCALE);
        (scale > 1.5).then_some(scale)
    }

    /// Says which known outputs are none of the model's.
    pub fn unknown(&mut self) -> Option<String> {
        self.unknown.sort();
        self.unknown.dedup();
        let names: Vec<String> = self
            .unknown
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "the model has no output {}: left out of what was expected",
                names.join(", ")
            )
        })
    }

    /// Says which outputs the reference did not give for every set.
    pub fn not_compared(&self) -> Option<String> {
        let compared = |port: &&Port| {
            let mut sets = self.seen.judged.iter();
            sets.all(|set| set.outputs.iter().any(|output| output.name == port.name))
        };
        let outputs = self.engine.outputs().iter();
        let left = listed(outputs.filter(|port| !compared(port)));
        (!left.is_empty())
            .then(|| format!("nothing to compare with was given for {left}: not compared"))
    }

    /// What has been seen; the models' memory is free again.
    pub fn unloaded(self) -> Seen<'a> {
        self.seen
    }
}

/// ``output `a` ``, ``outputs `a`, `b` ``; nothing where there are none.
fn listed<'p>(ports: impl Iterator<Item = &'p Port>) -> String {
    let names: Vec<String> = ports.map(|port| format!("`{}`", port.name)).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("output {one}"),
        several => format!("outputs {}", several.join(", ")),
    }
}

impl Seen<'_> {
    /// The judgement of each set of inputs; what differs behind a ranking is looked into, with what there is to say of it.
    pub fn settled(
        &mut self,
        models: &Models<'_>,
        warnings: &mut Vec<String>,
    ) -> Vec<Vec<OutputComparison>> {
        let mut judged = std::mem::take(&mut self.judged);
        let rankings = origin::rankings(models.original);
        if !rankings.is_empty() && judged.iter().any(|one| one.unsettled.is_some()) {
            let settled =
                self.with_judge(|judge| cuts::settle(models, &rankings, judge, &mut judged));
            match settled {
                Ok(said) => warnings.extend(said),
                Err(error) => warnings.push(format!(
                    "whether nearly equal scores explain what a ranking keeps could not be found out: {error}"
                )),
            }
        }
        judged.into_iter().map(|one| one.outputs).collect()
    }

    fn with_judge<T>(&self, judge: impl FnOnce(&Judge<'_>) -> T) -> T {
        let computed = self.computed_in();
        let tolerance = |output| {
            let narrowest = Some(narrower(output, computed));
            Tolerance::chosen(self.options, output, self.narrowest.or(narrowest))
        };
        judge(&Judge {
            origins: &self.origins,
            tolerance: &tolerance,
        })
    }

    /// The narrowest float type that an activation computed in.
    fn computed_in(&self) -> Option<ElementType> {
        let halves = [ElementType::BF16, ElementType::F16];
        let seen = &self.watcher.seen;
        let computed = |half: &ElementType| seen.iter().any(|one| one.element_type == half.name());
        halves.into_iter().find(computed)
    }
}
