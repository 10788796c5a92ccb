//! Which products deserve a word though nothing is fused.
//! Given: a product with its operands, after fusing was tried.
//! Promises: each gate that multiplies, and each value into which a gate flows, is one miss with its reason; nothing else is.

use super::analysis::{Analysis, MAX_TAIL};
use super::carried;
use super::guards::Block;
use super::{Miss, Why};
use crate::emit::target::Cannot;
use crate::forms::gates::{Almost, Gate};
use crate::forms::products::Mismatch;
use crate::graph::{Node, Value};
use crate::ops::Op;
use crate::quantised::Meaning;

/// Most values behind a Where that are looked at.
const MAX_BEHIND: usize = 24;

impl Analysis<'_> {
    /// A call whose function multiplies the gate that it is given.
    pub(super) fn multiplied_inside(&mut self, node: Node, gate: Value) {
        let others = self.graph.inputs(node).iter().copied();
        let mut partner = others.filter(|&input| input != gate && !input.is_absent());
        let partner = partner.next_back().unwrap_or(gate);
        if let Some(&output) = self.graph.outputs(node).first() {
            self.misses.push(Miss {
                output,
                gate,
                partner,
                why: Why::InFunction,
            });
        }
    }

    /// A product of codes in one operator: the file has nothing in between that could be fused.
    pub(super) fn explain_quantised(&mut self, output: Value, meaning: Option<Meaning>) {
        let (gate, partner, why) = match meaning {
            Some(Meaning::Mismatch(why, (gate, partner))) => (gate, partner, Why::Mismatch(why)),
            Some(Meaning::Almost(almost, (gate, partner))) => (gate, partner, Why::Almost(almost)),
            Some(_) => return,
            None => match self.carried_code(output) {
                Some(found) => found,
                None => return,
            },
        };
        self.misses.push(Miss {
            output,
            gate,
            partner,
            why,
        });
    }

    /// A product of codes, into one of which a gate flows through operators in between.
    fn carried_code(&self, output: Value) -> Option<(Value, Value, Why)> {
        let node = self.graph.producer(output)?;
        if self.graph.op(node) != Op::QLinearMul {
            return None;
        }
        let inputs = self.graph.inputs(node);
        let (a, b) = (*inputs.first()?, *inputs.get(3)?);
        [(a, b), (b, a)].into_iter().find_map(|(gate, partner)| {
            let why = self.carried_gate(gate, false, partner)?;
            Some((gate, partner, why))
        })
    }

    /// A product whose operands are aligned by an `axis` has no form, either.
    pub(super) fn legacy_product(&mut self, node: Node, output: Value) {
        if let &[a, b] = self.graph.inputs(node)
            && let Some(gate) = [b, a].into_iter().find(|&input| self.is_gate_like(input))
        {
            self.misses.push(Miss {
                output,
                gate,
                partner: if gate == a { b } else { a },
                why: Why::Blocked(Block::Target(Cannot::LegacyBroadcast)),
            });
        }
    }

    /// `x · clip(x + 3, 0, 6) / 6` in integers has no form, and deserves a word all the same.
    pub(super) fn integers(&mut self, node: Node, output: Value) {
        let clipped = |value: Value| {
            let at = |value| {
                self.graph
                    .producer(value)
                    .map(|node| (node, self.graph.op(node)))
            };
            match at(value) {
                Some((node, Op::Div | Op::Mul)) => self
                    .graph
                    .inputs(node)
                    .iter()
                    .any(|&input| at(input).is_some_and(|(_, op)| op == Op::Clip)),
                Some((_, op)) => op == Op::Clip,
                None => false,
            }
        };
        if let &[a, b] = self.graph.inputs(node)
            && let Some(gate) = [a, b].into_iter().find(|&input| clipped(input))
        {
            let partner = if gate == a { b } else { a };
            let why = Why::Blocked(Block::ElementType);
            self.misses.push(Miss {
                output,
                gate,
                partner,
                why,
            });
        }
    }

    /// What to say of a product that is no activation, if one of its operands is a gate or looks like one: the gate, its partner, and
    /// why they are none.
    pub(super) fn reason(
        &mut self,
        tries: &[(Value, bool, Value)],
        mismatch: Option<(Value, Value, Mismatch)>,
    ) -> Option<(Value, Value, Why)> {
        if let Some((gate, partner, why)) = mismatch {
            let overflows = self.forms.is_overflowing_product(partner, gate);
            let why = match why {
                Mismatch::AnotherTensor if overflows => Why::Almost(Almost::Overflowing),
                why => Why::Mismatch(why),
            };
            return Some((gate, partner, why));
        }
        for &(gate, inverted, partner) in tries {
            let why = if inverted {
                let is_gate = self.forms.is_power_denominator(gate)
                    && carried::varies(&self.graph, &self.facts, partner);
                is_gate.then_some(Why::Opaque)
            } else {
                match self.forms.almost_gate(gate) {
                    Some(almost) => Some(match self.permuted(gate, partner) {
                        Some(origin) => Why::Carried(origin),
                        None => Why::Almost(almost),
                    }),
                    None if self.is_opaque_gate(gate) => Some(Why::Opaque),
                    None if self.forms.is_power_of_gates(gate) => Some(Why::Almost(Almost::Power)),
                    None if self.is_picked(gate, partner) => Some(Why::Almost(Almost::Where)),
                    None => None,
                }
            };
            if let Some(why) = why {
                return Some((gate, partner, why));
            }
        }
        let carried = tries.iter().find_map(|&(gate, inverted, partner)| {
            let why = self.carried_gate(gate, inverted, partner)?;
            Some((gate, partner, why))
        });
        carried.or_else(|| {
            tries.iter().find_map(|&(sum, _, partner)| {
                let gate = self.carried.mixed(self.forms.linear(sum).root)?;
                let is_of_partner = self.forms.is_gate_of(gate, partner);
                is_of_partner.then_some((sum, partner, Why::Carried(gate)))
            })
        })
    }

    /// What a gate was before its dimensions were permuted, if those of its partner were not.
    fn permuted(&self, gate: Value, partner: Value) -> Option<Value> {
        let moves = &self.forms.moves;
        let root = self.forms.linear(gate).root;
        let only_gate = moves.is_moved(root) && !moves.is_moved(self.forms.linear(partner).root);
        if !only_gate {
            return None;
        }
        let last = self.graph.producer(gate);
        let last = last.filter(|&node| self.graph.op(node) == Op::Transpose);
        let before = last.and_then(|node| self.graph.inputs(node).first().copied());
        Some(before.unwrap_or_else(|| moves.origin(root)))
    }

    /// What to say of a factor that is no gate, if a gate flows into it and the other factor is no constant.
    fn carried_gate(&self, value: Value, inverted: bool, partner: Value) -> Option<Why> {
        let gate = self.carried.gate(value)?;
        let is_denominator = self.forms.reciprocal_gate(gate).is_some();
        if !carried::varies(&self.graph, &self.facts, partner) || is_denominator && !inverted {
            return None;
        }
        let producer = self.graph.producer(gate);
        let is_call = producer.is_some_and(|node| self.graph.callee(node).is_some());
        Some(if is_call {
            Why::InFunction
        } else if producer.is_some_and(|node| self.graph.bodies(node).next().is_some()) {
            Why::Inside
        } else if self.carried.gate(partner).is_some() && !inverted {
            Why::Almost(Almost::Power)
        } else {
            Why::Carried(gate)
        })
    }

    pub(super) fn is_gate_like(&self, value: Value) -> bool {
        let gate = self.forms.gate(value);
        gate.is_some_and(|gate| self.forms.is_worth_explaining(gate))
            || self.forms.almost_gate(value).is_some()
            || self.is_opaque_gate(value)
    }

    /// Whether a factor beside a gate of `partner` is a gate itself. Clamps of several operators are, if they are of `partner`.
    pub(super) fn is_second_gate(&self, value: Value, partner: Value) -> bool {
        let root = self.forms.linear(partner).root;
        match self.forms.gate(value) {
            Some(Gate::Clamp(clamp)) if clamp.lo.is_infinite() || clamp.hi.is_infinite() => {
                let mut clamps = self.forms.clamps(clamp);
                self.forms.two_sided(clamp).is_some()
                    && clamps.any(|clamp| clamp.argument.root == root)
            }
            _ => self.is_gate_like(value),
        }
    }

    pub(super) fn deserves_a_word(&self, gate: Value, why: Mismatch) -> bool {
        match (self.forms.gate(gate), why) {
            // A line of x that is bounded on one side and multiplies x.
            (Some(Gate::Clamp(_)), Mismatch::HalfOpen) => true,
            (Some(gate), _) => self.forms.is_worth_explaining(gate),
            // Divided by, or behind a permutation.
            (None, _) => true,
        }
    }

    /// A Where that picks the gate of `partner` from constants and functions of it.
    fn is_picked(&mut self, gate: Value, partner: Value) -> bool {
        let root = self.forms.linear(gate).root;
        let is_where = |node: &Node| self.graph.op(*node) == Op::Where;
        let Some(node) = self.graph.producer(root).filter(is_where) else {
            return false;
        };
        let branches = self.graph.inputs(node).get(1..).unwrap_or_default();
        let mut is_bound = |value: &Value| self.facts.number(&self.graph, *value).is_some();
        let bounded = branches.iter().any(&mut is_bound);
        // A mask is a choice between constants, too; a gate of x depends on x.
        bounded && self.depends_on(node, self.forms.linear(partner).root) || self.is_piecewise(node)
    }

    /// Whether a Where, with those in its branches, picks between two constants and a line, by where on the line it is.
    fn is_piecewise(&mut self, node: Node) -> bool {
        let (mut bounds, mut compared, mut line) = (0, Vec::new(), None);
        let mut at = Some(node);
        while let Some(node) = at.take().filter(|_| bounds < MAX_TAIL) {
            let inputs = self.graph.inputs(node).to_vec();
            let condition = inputs.first().and_then(|&value| self.graph.producer(value));
            let operands = condition.map_or(&[][..], |node| self.graph.inputs(node));
            compared.extend(operands.iter().map(|&value| self.forms.linear(value).root));
            for &branch in inputs.get(1..).unwrap_or_default() {
                if self.facts.number(&self.graph, branch).is_some() {
                    bounds += 1;
                    continue;
                }
                let inner = self.graph.producer(branch);
                match inner.filter(|&node| self.graph.op(node) == Op::Where) {
                    Some(inner) => at = Some(inner),
                    None => line = Some(self.forms.linear(branch).root),
                }
            }
        }
        bounds == 2 && line.is_some_and(|line| compared.contains(&line))
    }

    /// Whether a node's output is made from `x`, as far back as gates reach.
    fn depends_on(&self, node: Node, x: Value) -> bool {
        let mut seen = self.graph.inputs(node).to_vec();
        let mut next = 0;
        while let Some(&value) = seen.get(next) {
            next += 1;
            if value == x || self.forms.linear(value).root == x {
                return true;
            }
            let inputs = self
                .graph
                .producer(value)
                .map(|node| self.graph.inputs(node));
            for &input in inputs.unwrap_or_default() {
                if seen.len() < MAX_BEHIND && !input.is_absent() && !seen.contains(&input) {
                    seen.push(input);
                }
            }
        }
        false
    }

    /// An operator that makes gates, of which too little is known here or whose numbers make none.
    fn is_opaque_gate(&self, value: Value) -> bool {
        let root = self.forms.linear(value).root;
        self.forms.gate(value).is_none()
            && self.graph.producer(root).is_some_and(|node| {
                self.graph.op(node).makes_gates() || self.graph.absorbs_gate(node)
            })
    }
}
