//! What a quantiser does: the numbers of a QuantizeLinear, a DequantizeLinear, or one end of a QLinear operator.
//! Given: the values that hold scale and zero point.
//! Promises: numbers that are true for every run, or the reason why no table of 256 entries can be made with them.

use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Source, Value};
use crate::ops::Op;
use crate::shapes::Dim;

/// How far back a code is followed in order to find its type.
const MAX_STEPS: usize = 16;

/// Entries of a table of 8-bit codes.
const TABLE: u32 = 256;

/// Codes of `TensorProto.DataType`.
pub(crate) mod code {
    pub(crate) const U8: i32 = 2;
    pub(crate) const I8: i32 = 3;
    pub(crate) const U16: i32 = 4;
    pub(crate) const I16: i32 = 5;
}

/// Why a quantiser admits no table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Flaw {
    /// The scale, this value, has more than one element.
    PerChannel(Value),
    /// The codes are of another type than 8-bit integers, or of one that nothing says.
    CodeType(Option<i32>),
    /// The scale, this value, is no finite, normal number above zero.
    Scale(Value, f64),
    /// Scale or zero point, this value, is computed at run time.
    Computed(Value),
    /// Quotients by the scale, this value, leave the range of 32-bit integers.
    Quotients(Value),
}

/// `code = clamp(round(x / scale) + zero, lo, hi)`
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantiser {
    pub(crate) scale: f64,
    pub(crate) zero: f64,
    lo: f64,
    hi: f64,
    pub(crate) code: Option<i32>,
    pub(crate) flaw: Option<Flaw>,
    /// The value that holds the scale.
    pub(crate) scale_value: Value,
}

impl Quantiser {
    /// The numbers that these values hold; `code` is the codes' type where there is no zero point.
    pub(crate) fn new(
        graph: &Graph<'_>,
        facts: &mut Facts,
        scale_value: Value,
        zero_value: Option<Value>,
        code: Option<i32>,
    ) -> Self {
        let code = match zero_value {
            Some(zero) => code_type(graph, zero),
            None => code,
        };
        let neutral = Self {
            scale: 1.0,
            zero: 0.0,
            lo: f64::NEG_INFINITY,
            hi: f64::INFINITY,
            code,
            flaw: None,
            scale_value,
        };
        let flawed = |flaw| Self {
            flaw: Some(flaw),
            ..neutral
        };
        if !is_one_element(facts, scale_value) {
            return flawed(Flaw::PerChannel(scale_value));
        }
        let Some(scale) = facts.number(graph, scale_value) else {
            return flawed(Flaw::Computed(scale_value));
        };
        if !(scale as f32).is_normal() || scale <= 0.0 {
            return flawed(Flaw::Scale(scale_value, scale));
        }
        let (bounds, flaw) = match code {
            Some(code::U8) => ((0.0, 255.0), None),
            Some(code::I8) => ((-128.0, 127.0), None),
            Some(code::U16) => ((0.0, 65_535.0), Some(Flaw::CodeType(code))),
            Some(code::I16) => ((-32_768.0, 32_767.0), Some(Flaw::CodeType(code))),
            _ => return flawed(Flaw::CodeType(code)),
        };
        let zero = match zero_value {
            Some(value) => facts.number(graph, value),
            None => Some(0.0),
        };
        // A zero point in Few or Many elements is as little a table as a scale.
        let (Some(zero), Some(zero_value)) = (zero, zero_value.or(Some(Value::ABSENT))) else {
            return flawed(Flaw::Computed(zero_value.unwrap_or(scale_value)));
        };
        if !zero_value.is_absent() && !is_one_element(facts, zero_value) {
            return flawed(Flaw::PerChannel(zero_value));
        }
        Self {
            scale,
            zero,
            lo: bounds.0,
            hi: bounds.1,
            flaw,
            ..neutral
        }
    }

    /// The numbers of a QuantizeLinear.
    pub(crate) fn of_node(graph: &Graph<'_>, facts: &mut Facts, node: Node) -> Option<Self> {
        let scale = *graph.inputs(node).get(1)?;
        let zero = graph.inputs(node).get(2).copied();
        let zero = zero.filter(|zero| !zero.is_absent());
        let code = Some(default_code(graph, node));
        Some(Self::new(graph, facts, scale, zero, code))
    }

    /// The code of a number, as ONNX defines it: divided in float32, rounded half to even, saturated.
    pub(crate) fn code(&self, number: f64) -> Option<f64> {
        let quotient = (number as f32) / (self.scale as f32);
        let code = f64::from(quotient.round_ties_even()) + self.zero;
        let usable = self
            .flaw
            .is_none_or(|flaw| matches!(flaw, Flaw::CodeType(_)));
        (usable && self.lo.is_finite() && !code.is_nan()).then(|| code.clamp(self.lo, self.hi))
    }

    /// The smallest number that a code stands for.
    pub(crate) fn lowest(&self) -> f64 {
        (self.lo - self.zero) * self.scale
    }

    /// The largest number that a code stands for.
    pub(crate) fn highest(&self) -> f64 {
        (self.hi - self.zero) * self.scale
    }

    /// The numbers that the codes stand for; none if they are unknown, or more than a table holds.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> + use<> {
        let Self {
            scale,
            zero,
            lo,
            flaw,
            ..
        } = *self;
        let count = if flaw.is_none() { TABLE } else { 0 };
        (0..count).map(move |code| (lo + f64::from(code) - zero) * scale)
    }

    /// The number that a code stands for, in float32.
    pub(crate) fn number(&self, code: f64) -> f64 {
        f64::from(((code - self.zero) as f32) * (self.scale as f32))
    }
}

/// Whether a value is known to have one element. Of unknown shape, one number counts: a scalar in all that is known.
fn is_one_element(facts: &Facts, value: Value) -> bool {
    facts
        .shapes
        .dims(facts.shape(value))
        .is_none_or(|dims| dims.iter().all(|dim| *dim == Dim::Known(1)))
}

/// The element type of a code, as `TensorProto.DataType` counts.
pub(crate) fn code_type(graph: &Graph<'_>, value: Value) -> Option<i32> {
    let mut at = value;
    for _ in 0..MAX_STEPS {
        let node = match graph.source(at) {
            Source::Initializer(_) => return graph.initializer_code(at),
            Source::Node(node) => node,
            _ => return graph.declared_code(at),
        };
        let inputs = graph.inputs(node);
        let next = match graph.op(node) {
            Op::Constant => return Some(graph.constant_attribute(node, 1)?.0),
            Op::ConstantOfShape => return graph.constant_attribute(node, 1).map(|(code, _)| code),
            Op::Cast => {
                return match graph.int(node, b"to") {
                    Attribute::Is(to) => i32::try_from(to).ok(),
                    _ => None,
                };
            }
            Op::DynamicQuantizeLinear => return Some(code::U8),
            Op::QuantizeLinear => match inputs.get(2).filter(|zero| !zero.is_absent()) {
                Some(&zero) => zero,
                None => return Some(default_code(graph, node)),
            },
            // Where the zero point of the output stands.
            Op::QLinearConv | Op::QLinearMatMul | Op::QLinearMul | Op::QLinearAdd => {
                *inputs.get(7)?
            }
            Op::QLinearSigmoid
            | Op::QLinearLeakyRelu
            | Op::QLinearAveragePool
            | Op::QLinearGlobalAveragePool
            | Op::QLinearReduceMean
            | Op::QLinearSoftmax => *inputs.get(4)?,
            Op::QLinearConcat => *inputs.get(1)?,
            Op::QLinearWhere => *inputs.get(8)?,
            Op::Unknown => return graph.declared_code(at),
            // Identity, and whatever else passes codes on: MaxPool, Reshape, Transpose, Concat.
            _ => *inputs.first()?,
        };
        if next.is_absent() {
            return None;
        }
        at = next;
    }
    None
}

/// The type of the codes that a QuantizeLinear without a zero point makes.
pub(crate) fn default_code(graph: &Graph<'_>, node: Node) -> i32 {
    match graph.int(node, b"output_dtype") {
        Attribute::Is(code) if code != 0 => i32::try_from(code).unwrap_or(i32::MAX),
        Attribute::Unknown => i32::MAX,
        _ => code::U8,
    }
}
