//! What verifying found, for people and machines.
//!
//! Given comparisons; promises the JSON of the command line's contract, `schema_version` 1, and an answer that no line of the report
//! contradicts.

use serde::Serialize;

use super::formula::Coverage;
use super::{JudgedBy, Layers, OnCodes, OutputComparison, Tolerance};
use crate::ElementType;
use crate::words::counted;

/// Everything that was compared.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The version of this structure.
    pub schema_version: u32,
    /// Whether every output is as it should be, and every fused activation computes its formula.
    pub equal: bool,
    /// What computed the numbers to compare with: `tract`, `onnxruntime 1.32`, or `file`.
    pub reference: String,
    /// The seed of the random inputs; null when inputs were given.
    pub seed: Option<u64>,
    /// The standard deviations of the random input sets; empty when inputs were given.
    pub input_scales: Vec<f64>,
    /// Each output that was compared.
    pub outputs: Vec<OutputComparison>,
    /// Each fused activation, in the order of execution: what it was given, and how exactly it computed.
    pub coverage: Vec<Coverage>,
    /// What of the fused model ran on 8-bit codes: what no formula of floats is compared with.
    pub on_codes: OnCodes,
    /// The layers between quantisations, each given the reference's own values: compared where an output would be put down to rounding.
    pub layers: Option<Layers>,
    /// The first activation that is off, in the order of execution.
    pub first_off: Option<FirstOff>,
    /// What to know before believing the judgement.
    pub warnings: Vec<String>,
}

/// Where a model goes wrong first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FirstOff {
    /// The node of the fused activation.
    pub node: String,
    /// The value that it makes, by the file's name.
    pub output: Option<String>,
    /// What it is off from.
    pub from: OffFrom,
    /// Whether the value that it was given agrees with the reference's value of that name: then the function is another one, as with
    /// another beta. Null where it computes another formula than its own, or the reference has no such value.
    pub inputs_equal: Option<bool>,
}

/// What an activation is off from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OffFrom {
    /// Its own formula: the activation itself is wrong.
    Formula,
    /// The reference's value, though it computes its formula: what it was given is wrong already, or the file has another activation
    /// there; [`FirstOff::inputs_equal`] says which.
    Reference,
}

impl VerifyReport {
    pub(super) fn new(reference: String, seed: Option<u64>) -> VerifyReport {
        VerifyReport {
            schema_version: 1,
            equal: true,
            reference,
            seed,
            input_scales: Vec::new(),
            outputs: Vec::new(),
            coverage: Vec::new(),
            on_codes: OnCodes::default(),
            layers: None,
            first_off: None,
            warnings: Vec::new(),
        }
    }

    /// One more set of inputs.
    pub(super) fn add(&mut self, outputs: Vec<OutputComparison>) {
        for one in outputs {
            match self.outputs.iter_mut().find(|own| own.name == one.name) {
                Some(output) => output.merge(one),
                None => self.outputs.push(one),
            }
        }
    }

    /// Whether a value lies outside the tolerance behind quantised values.
    pub(super) fn has_moved_codes(&mut self) -> bool {
        self.behind_codes().next().is_some()
    }

    /// The outputs, and values of activations, that are judged by how many codes moved and how far.
    fn behind_codes(&mut self) -> impl Iterator<Item = &mut OutputComparison> {
        let activations = self.coverage.iter_mut();
        let activations = activations.filter_map(|it| it.against_reference.as_mut());
        let all = self.outputs.iter_mut().chain(activations);
        all.filter(|it| it.judged_by == JudgedBy::Codes)
    }

    /// What the layers say of what moved codes. They reach from the inputs to the outputs, and so where each is right, what adds up
    /// behind them is rounding; and where one is not, nothing is put down to it.
    pub(super) fn look_into(&mut self, layers: Result<Layers, String>) {
        match layers {
            Ok(layers) => {
                let right = layers.first_off.is_none();
                for one in self.behind_codes() {
                    one.equal = right;
                    one.decided = !right || !layers.undecided.contains(&one.name);
                    one.judged_by = JudgedBy::Layers;
                }
                self.layers = Some(layers);
            }
            Err(reason) => self.warnings.push(format!(
                "the layers between quantisations could not be compared one by one ({reason}): damage that moves an output no farther \
                 than rounding would passes for it"
            )),
        }
    }

    /// Says of how many activations' values nothing is decided.
    fn undecided_values(&self) -> Option<String> {
        let values = self.coverage.iter();
        let values = values.filter_map(|it| it.against_reference.as_ref());
        let left = values.filter(|it| is_overlooked(it)).count();
        (left > 0).then(|| {
            format!(
                "of {left} of {} the value is nowhere above the absolute tolerance, which accepts any number there: only the formula decides",
                counted(self.coverage.len(), "activation")
            )
        })
    }

    /// Comes to the answer, once everything is in.
    pub(super) fn concluded(mut self) -> VerifyReport {
        self.first_off = self
            .coverage
            .iter()
            .find(|one| !one.equal())
            .map(|one| FirstOff {
                node: one.node.clone(),
                output: one.output.clone(),
                from: if one.exact {
                    OffFrom::Reference
                } else {
                    OffFrom::Formula
                },
                inputs_equal: None,
            });
        let outputs = self.outputs.iter().all(|output| output.equal);
        self.equal = outputs && self.first_off.is_none();
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.extend(self.outputs.iter().flat_map(remarks));
        warnings.extend(self.undecided_values());
        warnings.extend(self.layers.iter().map(Layers::to_string));
        if self.coverage.is_empty() && self.on_codes.activations == 0 {
            warnings.push(
                "no fused activation was run: what was compared is the rest of the model, and says nothing of fusing"
                    .to_owned(),
            );
        }
        self.warnings = warnings;
        self
    }
}

/// Whether an output, or a value, is equal for its smallness alone.
fn is_overlooked(one: &OutputComparison) -> bool {
    one.equal && !one.decided
}

/// What to know of an output before believing the judgement.
fn remarks(output: &OutputComparison) -> Vec<String> {
    let name = &output.name;
    let mut remarks = Vec::new();
    if is_overlooked(output) {
        let (largest, floor) = (output.largest, output.tolerance.floor);
        let smaller = if largest > 0.0 {
            let usual = Tolerance::usual(ElementType::F32).atol;
            format!(
                ", or a smaller absolute tolerance, such as {:.0e}",
                usual * largest
            )
        } else {
            String::new()
        };
        remarks.push(format!(
            "nothing is decided of output `{name}`: it is nowhere above {largest:.1e}, where the absolute tolerance of {floor:.1e} accepts \
             any number, and differs by {:.1e}; give real inputs{smaller}",
            output.max_abs
        ));
    }
    if let Some(shape) = &output.fused_shape {
        remarks.push(format!(
            "output `{name}` has the shape {:?} by the reference and {shape:?} in the fused model",
            output.shape
        ));
    }
    if output.is_without_numbers() {
        remarks.push(format!(
            "output `{name}` is NaN or infinite everywhere by the reference: that both agree says nothing; give real inputs"
        ));
    }
    if let Some(codes) = &output.codes
        && [JudgedBy::Codes, JudgedBy::Layers].contains(&output.judged_by)
    {
        let decides = if output.judged_by == JudgedBy::Layers {
            "; whether that is rounding, each layer says by itself".to_owned()
        } else {
            format!(
                ", rounding may add up to {:.1} steps in {:.0} % of the elements",
                codes.allowed_steps(),
                100.0 * codes.allowed_fraction()
            )
        };
        remarks.push(format!(
            "output `{name}` comes from quantised values, which sums that round differently move: outside the tolerance are \
             {} of {}, by {:.1} steps of {:.1e} at most, and {} count as moved; behind {}{decides}",
            output.outside,
            counted(codes.elements, "element"),
            codes.largest,
            codes.step,
            codes.moved,
            counted(codes.depth, "quantisation"),
        ));
    }
    // Where another set of inputs differs after all, the excuse is none.
    if let Some(rows) = output.rows.as_ref().filter(|_| output.equal) {
        let mut found = Vec::new();
        if rows.moved > 0 {
            let come = if rows.moved == 1 { "comes" } else { "come" };
            found.push(format!(
                "{} of output `{name}` {come} in another order",
                counted(rows.moved, "row")
            ));
        }
        if rows.others > 0 {
            let are = if rows.others == 1 {
                "is another"
            } else {
                "are others"
            };
            found.push(format!(
                "{} of output `{name}` {are} on each side, left out on the other where scores tie",
                counted(rows.others, "row")
            ));
        }
        let unknown = if rows.others > 0 && !rows.others_compared {
            "; what else stands in rows that only one side has was compared with nothing"
        } else {
            ""
        };
        remarks.push(format!(
            "{}; the scores in {} are nearly equal, so its rows were compared as a set{unknown}",
            found.join(", and "),
            rows.scores
        ));
    }
    remarks
}
