//! From the readings of a product to a fusion, or to the reason why there is none.
//! Given: attempts, each a gate, its partner and what they would be.
//! Promises: the reading that leaves no factor, if guards let it pass; else the next best.

use std::collections::VecDeque;

use super::analysis::{Analysis, Attempt, MAX_TAIL};
use super::guards::{self, Block};
use super::{Already, Fusion, Miss, Spelling, Why};
use crate::constants::Oddities;
use crate::element::Element;
use crate::emit::target::{Cannot, Target, Wanted, choose, is_standard_slope};
use crate::forms::Core;
use crate::forms::products::{Activation, Beta, Mismatch};
use crate::graph::{Node, Source, Value};
use crate::ops::Op;
use crate::pattern::{Pattern, walk};

/// An attempt with the end of its chain of constant factors.
#[derive(Debug, Clone, Copy)]
struct Ended {
    attempt: Attempt,
    end: Value,
    k: f64,
    /// Lower is better: no factor, no factor after the tail, a factor stays.
    class: u8,
}

impl Analysis<'_> {
    /// Takes the best attempt that nothing forbids, or explains the first.
    pub(super) fn decide(&mut self, output: Value, attempts: &[Attempt]) {
        let element = self.facts.element(output);
        let mut ended: Vec<Ended> = attempts
            .iter()
            .map(|&attempt| self.end(output, attempt, element))
            .collect();
        ended.sort_by_key(|ended| ended.class);
        let mut blocked = None;
        let mut shared: Vec<Fusion> = Vec::new();
        let results: Vec<_> = ended
            .iter()
            .map(|ended| self.fusion(output, ended))
            .collect();
        // What stands there as it would be written stays, also if another reading could take in more: fused files must
        // come out as they went in.
        if results.iter().any(|result| matches!(result, Ok(None))) {
            return self.already_as_pair(output);
        }
        for (ended, result) in ended.iter().zip(results) {
            match result {
                Ok(Some(fusion)) if guards::is_shared(&self.graph, &fusion.pattern, fusion.end) => {
                    shared.push(fusion);
                }
                Ok(Some(fusion)) => return self.accept(output, fusion),
                Ok(None) => {}
                Err(why) => {
                    blocked.get_or_insert((why, ended.attempt));
                }
            }
        }
        // Who reads a value in between may itself be replaced: only `settle` knows which of these can stand.
        let mut shared = shared.into_iter();
        if let Some(first) = shared.next() {
            let end = first.end;
            let others: VecDeque<Fusion> = shared.filter(|other| other.end == end).collect();
            if !others.is_empty() {
                self.instead.insert(end, others);
            }
            self.accept(output, first);
        } else if let Some((why, Attempt { gate, partner, .. })) = blocked {
            self.misses.push(Miss {
                output,
                gate,
                partner,
                why,
            });
        }
    }

    fn accept(&mut self, output: Value, fusion: Fusion) {
        self.carried.end(output);
        if fusion.end == output {
            self.forms.set_core(output, Core::Activation);
        } else {
            self.ends.insert(fusion.end);
        }
        self.fusions.push(fusion);
    }

    fn already_as_pair(&mut self, output: Value) {
        self.carried.end(output);
        self.forms.set_core(output, Core::Activation);
        if let Some(node) = self.graph.producer(output) {
            self.already.push(Already {
                node,
                as_pair: true,
            });
        }
    }

    /// Follows constant factors behind a product, until they have made its own factor 1 or there are no more.
    fn end(&mut self, output: Value, attempt: Attempt, element: Element) -> Ended {
        let mut k = attempt.reading.k;
        if element.same(k, 1.0) {
            return Ended {
                attempt,
                end: output,
                k: 1.0,
                class: 0,
            };
        }
        let mut end = output;
        for _ in 0..MAX_TAIL {
            let Some((next, factor)) = self.scaled(end) else {
                break;
            };
            end = next;
            k *= factor;
            if element.same(k, 1.0) {
                return Ended {
                    attempt,
                    end,
                    k: 1.0,
                    class: 1,
                };
            }
        }
        Ended {
            attempt,
            end,
            k,
            class: 2,
        }
    }

    /// The value that is `value` times a constant, if nothing else reads `value`.
    fn scaled(&mut self, value: Value) -> Option<(Value, f64)> {
        let graph = &self.graph;
        if graph.is_output(value)
            || graph.is_captured(value)
            || graph.is_annotated(value)
            || graph.is_trained(value)
        {
            return None;
        }
        let [consumer] = graph.consumers(value) else {
            return None;
        };
        let node = graph.node(*consumer)?;
        if node.node().has_unknown_fields()
            || node.node().has_device_configurations()
            || graph.is_legacy_axis(*consumer)
        {
            return None;
        }
        let (inputs, next) = (graph.inputs(*consumer), *graph.outputs(*consumer).first()?);
        if next.is_absent() || graph.is_ambiguous(next) {
            return None;
        }
        let factor = match (graph.op(*consumer), inputs) {
            (Op::Neg, _) => -1.0,
            (Op::Mul, &[a, b]) => self.facts.number(graph, if a == value { b } else { a })?,
            (Op::Div, &[a, b]) if a == value => 1.0 / self.facts.number(graph, b)?,
            _ => return None,
        };
        (factor.is_finite() && factor != 0.0).then_some((next, factor))
    }

    /// The fusion, if nothing forbids it; `None` if the nodes are what would be written.
    fn fusion(&self, output: Value, ended: &Ended) -> Result<Option<Fusion>, Why> {
        let Ended {
            attempt, end, k, ..
        } = *ended;
        let root = attempt.reading.root;
        let tensor = match attempt.reading.activation {
            Activation::Swish(Beta::Times(_, tensor) | Beta::Over(_, tensor)) => Some(tensor),
            _ => None,
        };
        let also: Vec<Value> = tensor.into_iter().chain(attempt.other).collect();
        let pattern = walk(&self.graph, &self.facts, end, root, &also).map_err(Why::Broken)?;
        let blocked = |block| Why::Blocked(block);
        let element =
            guards::element(&self.graph, &self.facts, &pattern, end, root).map_err(blocked)?;
        guards::standing(&self.graph, &pattern, end).map_err(blocked)?;
        if !also.is_empty() {
            guards::unmoved(&self.graph, &self.facts, &pattern).map_err(blocked)?;
        }
        // With a further factor the output has its shape, too; what is replaced ends at the gate and its partner.
        if attempt.other.is_some() {
            guards::shape(&self.facts, attempt.gate, root).map_err(blocked)?;
            guards::shape(&self.facts, attempt.partner, root).map_err(blocked)?;
            guards::shape(&self.facts, end, output).map_err(blocked)?;
        } else {
            guards::shape(&self.facts, end, root).map_err(blocked)?;
        }
        if let Activation::Swish(beta) = attempt.reading.activation
            && let Some(tensor) = tensor
            && self.is_full_rank(tensor, root)
        {
            return Err(Why::Blocked(Block::FullRankBeta(beta)));
        }
        if let Some(mismatch) = self.strange_beta(attempt.reading.activation) {
            return Err(Why::Mismatch(mismatch));
        }
        let activation = settled(attempt.reading.activation, element);
        let node = pattern.nodes.first().copied().unwrap_or(Node(0));
        let wanted = Wanted {
            activation,
            element,
            opset: self.graph.opset(node),
            has_hard_sigmoid: pattern
                .nodes
                .iter()
                .any(|&node| self.graph.op(node) == Op::HardSigmoid),
        };
        // The numbers as they were: those that vanish by rounding are not those that are zero.
        if !fits(attempt.reading.activation, element) || !fits_number(k, element) {
            return Err(Why::Blocked(Block::Target(Cannot::Precision)));
        }
        if wanted.opset < 7 && attempt.other.is_some() {
            return Err(Why::Blocked(Block::Target(Cannot::LegacyBroadcast)));
        }
        let target = choose(self.options.emit, &wanted)
            .map_err(|cannot| Why::Blocked(Block::Target(self.for_runtime(cannot))))?;
        if let Some(runtime) = self.options.runtime
            && !(runtime.write.is_some() && runtime.takes(target.op()))
        {
            return Err(Why::Blocked(Block::Target(Cannot::Runtime(runtime.name))));
        }
        if self.graph.is_redefined(target.op()) {
            return Err(Why::Blocked(Block::Target(Cannot::NameTaken(
                target.op().name(),
            ))));
        }
        let k = if element.same(k, 1.0) {
            1.0
        } else {
            element.round(k)
        };
        let fusion = Fusion {
            end,
            root,
            activation,
            target,
            k,
            other: attempt.other,
            element,
            spelling: self.spelling(&pattern),
            pattern,
        };
        if self.is_written_already(&fusion) {
            return Ok(None);
        }
        self.affordable(&fusion).map_err(blocked)?;
        if self.moves_a_factor(&fusion) {
            return Err(Why::Blocked(Block::NoGain));
        }
        Ok(Some(fusion))
    }

    /// Whether it would take the factor of an activation in front of it only to write another one behind itself. That factor may be
    /// one that stayed when the activation was fused, and what cannot be fused before must not be fused afterwards.
    fn moves_a_factor(&self, fusion: &Fusion) -> bool {
        let [reader] = self.graph.consumers(fusion.root) else {
            return false;
        };
        fusion.k != 1.0
            && self.graph.op(*reader) == Op::Mul
            && self.forms.core(fusion.root) == Core::Activation
            && fusion.pattern.nodes.contains(reader)
    }

    /// Why it is not written for the runtime that was named: another opset helps only where the runtime takes what that one has.
    fn for_runtime(&self, cannot: Cannot) -> Cannot {
        let Some(runtime) = self.options.runtime else {
            return cannot;
        };
        let helps = match cannot {
            Cannot::Opset("Swish", _) => runtime.loads.swish,
            Cannot::Opset("HardSwish", _) => runtime.loads.hard_swish,
            _ => true,
        };
        if runtime.write.is_some() && helps {
            cannot
        } else {
            Cannot::Runtime(runtime.name)
        }
    }

    /// A computed tensor of the size of x is no parameter of x: `x · σ(x · y)` gates by two tensors.
    fn is_full_rank(&self, tensor: Value, root: Value) -> bool {
        let computed = matches!(
            self.graph.source(tensor),
            Source::Node(_) | Source::Input | Source::Nowhere
        );
        let scalar = self.facts.shapes.rank(self.facts.shape(tensor)) == Some(0);
        computed
            && !scalar
            && self.facts.known_constant(tensor).is_none()
            && self.facts.same_shape(tensor, root)
    }

    /// A stored beta of which an element is no number that a Swish can have.
    fn strange_beta(&self, activation: Activation) -> Option<Mismatch> {
        let Activation::Swish(beta) = activation else {
            return None;
        };
        let (tensor, is_divisor) = match beta {
            Beta::Number(_) => return None,
            Beta::Times(_, tensor) => (tensor, false),
            Beta::Over(_, tensor) => (tensor, true),
        };
        let Oddities { not_finite, zero } = self.facts.known_constant(tensor)?.oddities;
        let element = if is_divisor {
            // Divided by infinity it is zero, a beta as good as any.
            let infinite = zero.then_some(f64::INFINITY);
            not_finite.filter(|element| element.is_nan()).or(infinite)
        } else {
            not_finite
        };
        Some(Mismatch::NotFiniteIn(beta, element?))
    }

    fn spelling(&self, pattern: &Pattern) -> Spelling {
        let has = |op| pattern.nodes.iter().any(|&node| self.graph.op(node) == op);
        if has(Op::Exp) {
            Spelling::Exponential
        } else if has(Op::Tanh) || (has(Op::Sigmoid) && (has(Op::Sub) || has(Op::Add))) {
            Spelling::Cancels
        } else {
            Spelling::Plain
        }
    }

    /// HardSigmoid and Mul, where that is what would be written.
    fn is_written_already(&self, fusion: &Fusion) -> bool {
        matches!(fusion.target, Target::HardSigmoidMul { .. })
            && fusion.k == 1.0
            && fusion.other.is_none()
            && fusion.pattern.nodes.len() == 2
            && fusion
                .pattern
                .nodes
                .iter()
                .any(|&node| self.graph.op(node) == Op::HardSigmoid)
    }

    /// What is written must be less than what was there, and its constants must have a type.
    fn affordable(&self, fusion: &Fusion) -> Result<(), Block> {
        let mut nodes = if matches!(fusion.target, Target::HardSigmoidMul { .. }) {
            2
        } else {
            1
        };
        nodes += usize::from(fusion.k != 1.0) + usize::from(fusion.other.is_some());
        let mut constants = Vec::new();
        if fusion.k != 1.0 {
            constants.push(fusion.k);
        }
        match fusion.target {
            Target::FusedSwish(Beta::Number(number)) => constants.push(number),
            Target::FusedSwish(Beta::Times(scale, _)) if scale != 1.0 => {
                nodes += 1;
                constants.push(scale);
            }
            Target::FusedSwish(Beta::Over(scale, _)) => {
                nodes += 1;
                constants.push(scale);
            }
            _ => {}
        }
        if nodes >= fusion.pattern.nodes.len() {
            return Err(Block::NoGain);
        }
        let unknown = fusion.element.code().is_none();
        if unknown
            && constants.iter().any(|&number| {
                self.facts
                    .scalar_among(&fusion.pattern.constants, number, fusion.element)
                    .is_none()
            })
        {
            return Err(Block::Target(Cannot::UnknownElement));
        }
        Ok(())
    }
}

/// The numbers of an activation as a tensor of this type has them.
fn settled(activation: Activation, element: Element) -> Activation {
    let one = |number: f64| {
        if element.same(number, 1.0) {
            1.0
        } else {
            element.round(number)
        }
    };
    match activation {
        Activation::Swish(Beta::Number(number)) => Activation::Swish(Beta::Number(one(number))),
        Activation::Swish(Beta::Times(scale, tensor)) => {
            Activation::Swish(Beta::Times(one(scale), tensor))
        }
        Activation::Swish(Beta::Over(scale, tensor)) => {
            Activation::Swish(Beta::Over(one(scale), tensor))
        }
        Activation::HardSwish { alpha, beta } if is_standard_slope(element, alpha, beta) => {
            Activation::HardSwish {
                alpha: 1.0 / 6.0,
                beta: 0.5,
            }
        }
        // Attributes are float32, whatever the tensor is.
        Activation::HardSwish { alpha, beta } => Activation::HardSwish { alpha, beta },
    }
}

/// Whether a constant is still a number, and not zero, in the tensor's element type.
fn fits_number(number: f64, element: Element) -> bool {
    let rounded = element.round(number);
    rounded.is_finite() && rounded != 0.0
}

/// Whether all constants of an activation are.
fn fits(activation: Activation, element: Element) -> bool {
    match activation {
        // x·σ(0·x): what a graph says so.
        Activation::Swish(Beta::Number(0.0)) => true,
        Activation::Swish(
            Beta::Number(number) | Beta::Times(number, _) | Beta::Over(number, _),
        ) => fits_number(number, element),
        Activation::HardSwish { alpha, .. } => fits_number(alpha, Element::F32),
    }
}
