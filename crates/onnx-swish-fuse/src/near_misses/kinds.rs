//! Words for gates whose form is not one of what they multiply.
//! Given: a gate and its partner; what the gate is made of.
//! Promises: the most telling kind first, each said only where it is true: "another tensor" when nothing else can be.

use super::ancestry::{self, Ancestry};
use super::{Explainer, Words};
use crate::emit::target::Cannot;
use crate::forms::gates::Almost;
use crate::graph::{Node, Value};
use crate::ops::Op;
use crate::plan::Miss;

impl Explainer<'_, '_> {
    /// The gate is a function of something else than what it multiplies; of what?
    pub(super) fn another_tensor(&self) -> Words {
        let ops = self.ancestry();
        let kinds: [&dyn Fn() -> Option<Words>; 5] = [
            &|| self.power_of_itself(),
            &|| self.other_activation(),
            &|| self.unknown_numbers(&ops),
            &|| self.of_partner(&ops),
            &|| self.of_another(&ops),
        ];
        let told = kinds.into_iter().find_map(|kind| kind());
        told.unwrap_or_else(|| self.nothing_else(&ops))
    }

    /// The gate times itself, or times what it is a factor of.
    fn power_of_itself(&self) -> Option<Words> {
        let Miss { gate, partner, .. } = *self.miss;
        if self.plan.facts.numbering.same(gate, partner) {
            return Some(Words::new(
                "gate_power",
                format!(
                    "{} is the gate {} times itself",
                    self.name(self.miss.output),
                    self.name(gate)
                ),
                "nothing: a Swish multiplies a gate by what it is a function of",
            ));
        }
        if self.is_of_gate(self.miss.carried()) {
            return Some(self.powers());
        }
        // σ(x)·(1 - σ(x)), or how likely there is something times how likely it is a cat.
        let is_sigmoid = |value| {
            let curve = self.curve(value);
            curve.is_some_and(|(op, _)| matches!(op, Op::Sigmoid | Op::QLinearSigmoid))
        };
        let both = is_sigmoid(gate) && is_sigmoid(partner);
        both.then(|| self.almost(Almost::Power))
    }

    /// Activations that have a name of their own.
    fn other_activation(&self) -> Option<Words> {
        if self.is_mish() {
            Some(self.mish())
        } else if self.is_tanh_gelu() {
            Some(self.tanh_gelu())
        } else {
            None
        }
    }

    /// A number of the gate is not known before the model runs, or means something else than it would later.
    fn unknown_numbers(&self, ops: &Ancestry) -> Option<Words> {
        if let Some(value) = ops.overridable {
            return Some(Words::new(
                "overridable_constant",
                format!(
                    "{}, but {} in it is an initializer that is also a graph input, which callers may override",
                    self.product(),
                    self.name(value)
                ),
                format!(
                    "take {} out of the graph's inputs to make it a constant",
                    self.name(value)
                ),
            ));
        }
        if let Some(value) = ops.unreadable {
            return Some(Words::new(
                "unreadable_constant",
                format!(
                    "{}, but the constant {} cannot be read",
                    self.product(),
                    self.name(value)
                ),
                "put the file with the external data beside the model",
            ));
        }
        if ops.legacy_axis {
            return Some(self.cannot(Cannot::LegacyBroadcast));
        }
        self.is_integer().then(|| {
            Words::new(
                "integer",
                format!("{} in integers, where dividing truncates", self.product()),
                "nothing: Swish and HardSwish are functions of floats",
            )
        })
    }

    /// The gate is made from what it multiplies, or from what was pooled of it.
    fn of_partner(&self, ops: &Ancestry) -> Option<Words> {
        match (ops.pooled, ops.meets_partner) {
            (true, true) => Some(Words::new(
                "reduced_gate",
                format!(
                    "{}, a function of {} and of a mean, sum or maximum over several elements: neither a Swish nor squeeze-and-excitation",
                    self.product(),
                    self.name(self.miss.partner)
                ),
                "nothing: it is another function",
            )),
            (true, false) if ops.unpooled => None,
            (true, false) => Some(Words::new(
                "squeeze_gate",
                format!(
                    "{}, which is computed from pooled values: a squeeze-and-excitation gate, as it should be",
                    self.product()
                ),
                "nothing: the gate belongs to another tensor",
            )),
            (false, true) => Some(self.of_partner_alone(ops)),
            (false, false) => None,
        }
    }

    fn of_partner_alone(&self, ops: &Ancestry) -> Words {
        if let Some(value) = ops.given {
            return self.given(value, ops);
        }
        if ops.call.is_some() {
            return self.function(ops.call);
        }
        Words::new(
            "not_linear",
            format!(
                "{}, which does depend on {}, but not as σ(β·x) or a clamp of a line{}",
                self.product(),
                self.name(self.miss.partner),
                ops.through.map_or(String::new(), |node| format!(
                    ": there is {} on the way",
                    self.operator(node)
                )),
            ),
            "nothing, unless the operator on the way can be left out",
        )
    }

    /// Gates of other tensors that have a name.
    fn of_another(&self, ops: &Ancestry) -> Option<Words> {
        if self.is_recurrent() {
            return Some(Words::new(
                "recurrent_gate",
                format!(
                    "{}, a sigmoid times a tanh: a gate of a recurrent cell such as LSTM",
                    self.product()
                ),
                "nothing: the gate belongs to another tensor",
            ));
        }
        if self.same_split() {
            return Some(Words::new(
                "glu",
                format!(
                    "{}, both cut from one tensor: a gated linear unit",
                    self.product()
                ),
                "nothing: the gate belongs to another tensor",
            ));
        }
        ops.unfinished.then(|| {
            Words::new(
                "another_tensor",
                format!(
                    "{}, and {} is not among the {} values before the gate",
                    self.product(),
                    self.name(self.miss.partner),
                    ancestry::MAX_STEPS
                ),
                "nothing: the gate belongs to another tensor",
            )
        })
    }

    fn nothing_else(&self, ops: &Ancestry) -> Words {
        let of_erf = ops.through.filter(|&node| self.graph.op(node) == Op::Erf);
        Words::new(
            "another_tensor",
            format!(
                "{}, which is computed from another tensor than {}{}",
                self.product(),
                self.name(self.miss.partner),
                of_erf.map_or("", |_| ", by Erf")
            ),
            "nothing: the gate belongs to another tensor",
        )
    }

    fn is_integer(&self) -> bool {
        // Codes are integers, too, and stand for numbers.
        let op = self
            .graph
            .producer(self.miss.output)
            .map(|node| self.graph.op(node));
        self.plan.facts.element(self.miss.output).is_not_float()
            && !op.is_some_and(Op::is_quantised_arithmetic)
    }

    /// Gate and partner come from one Split or from slices of one value, each alone.
    fn same_split(&self) -> bool {
        let cut = |value| self.cut_from(value);
        let (Some(gate), Some(partner)) = (cut(self.miss.gate), cut(self.miss.partner)) else {
            return false;
        };
        // The gate may be computed before it is cut.
        let mut at = Some(gate);
        for _ in 0..ancestry::MAX_STEPS {
            match at {
                Some(value) if value == partner => return true,
                Some(value) => {
                    let before = self.before(value);
                    at = before.and_then(|(node, input)| (!self.cuts(node)).then_some(input));
                }
                None => break,
            }
        }
        false
    }

    /// A sigmoid times a tanh: how the cells of recurrent networks, unrolled, write and read their state.
    fn is_recurrent(&self) -> bool {
        let tanh = self.graph.producer(self.plain(self.miss.partner));
        tanh.is_some_and(|node| self.graph.op(node) == Op::Tanh)
    }

    fn cuts(&self, node: Node) -> bool {
        matches!(self.graph.op(node), Op::Split | Op::Slice)
    }

    /// The value that a Split or Slice cuts this one from, as long as nothing else flows into it.
    fn cut_from(&self, mut value: Value) -> Option<Value> {
        for _ in 0..ancestry::MAX_STEPS {
            let (node, input) = self.before(value)?;
            if self.cuts(node) {
                return Some(input);
            }
            value = input;
        }
        None
    }

    /// The node that makes a value, and the only thing that it makes it from.
    fn before(&self, value: Value) -> Option<(Node, Value)> {
        let node = self.graph.producer(value)?;
        let op = self.graph.op(node);
        let mut inputs = ancestry::data_inputs(self.graph, node)
            .filter(|&input| self.plan.facts.known_constant(input).is_none());
        let input = inputs.next()?;
        // A layer reads weights besides, which need not be known as constants.
        let is_alone = self.cuts(node) || op.is_layer() || inputs.next().is_none();
        is_alone.then_some((node, input))
    }
}
