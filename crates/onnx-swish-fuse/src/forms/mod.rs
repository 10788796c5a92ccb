//! What each value is as a function of one earlier value: the heart of recognition.
//! Given: the graph and the facts (constants, element types, shapes) of what comes before.
//! Promises: one small record per value, made once in topological order, in constant time per operator.
//!
//! A value has two views. `Linear` says `v = p·r + q` for its *root* `r`: the nearest earlier value that is not
//! an affine function of something. `Core` says which nonlinear operator made a root. Every form of interest
//! is a linear function of a core of a linear function: `k·σ(b·r + d)` is Linear of Sigmoid of Linear.

pub(crate) mod gates;
pub(crate) mod moves;
pub(crate) mod products;
mod through;
pub(crate) mod transfer;

use std::collections::HashMap;

use crate::graph::Value;

/// `p · root + q`. A root is the affine function `1 · itself + 0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Linear {
    /// The value that this one is an affine function of.
    pub(crate) root: Value,
    /// Factor.
    pub(crate) p: f64,
    /// Offset.
    pub(crate) q: f64,
}

impl Linear {
    /// A value as a function of itself.
    pub(crate) fn root(value: Value) -> Self {
        Self {
            root: value,
            p: 1.0,
            q: 0.0,
        }
    }

    /// `factor · self + offset`; nothing if that would be a constant, not finite, or lost in rounding.
    pub(crate) fn then(self, factor: f64, offset: f64) -> Option<Self> {
        let (p, scaled) = (self.p * factor, self.q * factor);
        let q = scaled + offset;
        // (x + 1e8) - 1e8 is x on paper and something else in a tensor.
        let cancels = scaled != 0.0
            && offset != 0.0
            && q.abs() < scaled.abs().max(offset.abs()) * CANCELLATION;
        (p != 0.0 && p.is_finite() && q.is_finite() && !cancels).then_some(Self {
            root: self.root,
            p,
            q,
        })
    }
}

/// How much of two added constants must remain for the sum to count as one constant: `1 - 0.95` passes (people write
/// such things), `1e8 - 1e8` does not.
const CANCELLATION: f64 = 1.0 / 64.0;

/// The operator that made a root.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Core {
    /// Anything else: the start of every chain of reasoning.
    Opaque,
    /// `1 / (1 + e^-z)`
    Sigmoid(Value),
    /// `tanh(z)`
    Tanh(Value),
    /// `erf(z)`, known only in order to say "GELU".
    Erf(Value),
    /// `e^z`
    Exp(Value),
    /// `c / z` with a constant c.
    Reciprocal(Value, u32),
    /// `c · z` with a constant c that makes no line of it: zero, infinite or not a number.
    Degenerate(Value, u32),
    /// `z^c` with a constant c, known only in order to say so of a gate.
    Raised(Value),
    /// `ln(1 + e^z)`
    Softplus(Value),
    /// A clamp of z whose numbers make none: zero, infinite, not a number, or the lower bound not below the upper one.
    Closed(Value),
    /// `clamp(p·z + q, lo, hi)`; the numbers are `Forms::bounds(..)`.
    Clamp(Value, u32),
    /// `a · b`, neither a uniform constant.
    Mul(Value, Value),
    /// `a / b`, neither a uniform constant.
    Div(Value, Value),
    /// The same numbers in another order of dimensions, by a permutation.
    Transpose(Value),
    /// A change of element type on the way.
    Cast(Value),
    /// A quantisation on the way.
    Quantized(Value),
    /// A quantisation read as what it stands for: the nearest of a few equidistant numbers. Which ones says
    /// `Forms::quantisation(..)`. Only where forms are read through quantisation (see the module `quantised`).
    Code(Value, u32),
    /// A Dropout that is not known to be the identity.
    Dropout(Value),
    /// A Swish or HardSwish, fused or about to be: opaque, and the end of a match.
    Activation,
}

/// The numbers of a `Core::Clamp`: `clamp(p·z + q, lo, hi)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// Factor before clamping; 1 but for HardSigmoid.
    pub(crate) p: f64,
    /// Offset before clamping; 0 but for HardSigmoid.
    pub(crate) q: f64,
    /// Lower bound.
    pub(crate) lo: f64,
    /// Upper bound.
    pub(crate) hi: f64,
}

/// The numbers that a `Core::Code` can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantisation {
    /// The smallest.
    pub(crate) lo: f64,
    /// The largest.
    pub(crate) hi: f64,
    /// From one to the next.
    pub(crate) step: f64,
}

/// The forms of all values.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    linear: Vec<Linear>,
    core: Vec<Core>,
    bounds: Vec<Bounds>,
    numerators: Vec<f64>,
    quantisations: Vec<Quantisation>,
    /// Values that no name in the file stands for, each with one that has its shape.
    shaped: HashMap<Value, Value>,
    /// Values behind permutations.
    pub(crate) moves: moves::Moves,
    /// Whether a reshape is the value that it reshapes.
    pub(crate) through_reshapes: bool,
}

impl Forms {
    /// Room for `values` values, each its own opaque root. A reshaped value is a function of what was reshaped: the same
    /// numbers in the same order. Whether they also have the same shape is for the guards to ask; as operators with
    /// constants and broadcasts never lose elements, equal shapes at both ends prove equal elements in between.
    pub(crate) fn through_reshapes(values: usize) -> Self {
        Self {
            through_reshapes: true,
            ..Self::new(values)
        }
    }

    /// Room for `values` values, each its own opaque root.
    pub(crate) fn new(values: usize) -> Self {
        Self {
            linear: (0..values as u32).map(|v| Linear::root(Value(v))).collect(),
            core: vec![Core::Opaque; values],
            bounds: Vec::new(),
            numerators: Vec::new(),
            quantisations: Vec::new(),
            shaped: HashMap::new(),
            moves: moves::Moves::new(values),
            through_reshapes: false,
        }
    }

    /// A value that no name in the file stands for: a step inside of an operator that takes several.
    pub(crate) fn fresh(&mut self) -> Value {
        let value = Value(self.linear.len() as u32);
        self.linear.push(Linear::root(value));
        self.core.push(Core::Opaque);
        value
    }

    /// The same, of the shape of another value.
    pub(crate) fn fresh_like(&mut self, shaped: Value) -> Value {
        let value = self.fresh();
        self.shaped.insert(value, shaped);
        value
    }

    /// `value` as an affine function of its root.
    pub(crate) fn linear(&self, value: Value) -> Linear {
        self.linear
            .get(value.index())
            .copied()
            .unwrap_or(Linear::root(value))
    }

    /// What made `value`, if `value` is a root.
    pub(crate) fn core(&self, value: Value) -> Core {
        self.core
            .get(value.index())
            .copied()
            .unwrap_or(Core::Opaque)
    }

    /// Whether a value is a line of something that no operator of ours has made: neither a gate nor anything like one.
    pub(crate) fn is_nothing_known(&self, value: Value) -> bool {
        let core = self.core(self.linear(value).root);
        matches!(core, Core::Opaque | Core::Activation)
    }

    /// The numbers of a `Core::Clamp`.
    pub(crate) fn bounds(&self, index: u32) -> Option<Bounds> {
        self.bounds.get(index as usize).copied()
    }

    /// The numbers of a `Core::Code`.
    pub(crate) fn quantisation(&self, index: u32) -> Option<Quantisation> {
        self.quantisations.get(index as usize).copied()
    }

    /// The numerator of a `Core::Reciprocal`, or the factor of a `Core::Degenerate`.
    pub(crate) fn numerator(&self, index: u32) -> f64 {
        self.numerators.get(index as usize).copied().unwrap_or(1.0)
    }

    /// Records that `value` is an affine function of an earlier root.
    pub(crate) fn set_linear(&mut self, value: Value, linear: Linear) {
        if let Some(slot) = self.linear.get_mut(value.index()) {
            *slot = linear;
        }
    }

    /// Records what made `value`, which becomes a root.
    pub(crate) fn set_core(&mut self, value: Value, core: Core) {
        self.set_linear(value, Linear::root(value));
        if let Some(slot) = self.core.get_mut(value.index()) {
            *slot = core;
        }
    }

    /// Records `value = clamp(p·of + q, lo, hi)`.
    pub(crate) fn set_clamp(&mut self, value: Value, of: Value, bounds: Bounds) {
        let index = self.bounds.len() as u32;
        self.bounds.push(bounds);
        self.set_core(value, Core::Clamp(of, index));
    }

    /// Records `value = factor · of`, which is no line.
    pub(crate) fn set_degenerate(&mut self, value: Value, of: Value, factor: f64) {
        let index = self.numerators.len() as u32;
        self.numerators.push(factor);
        self.set_core(value, Core::Degenerate(of, index));
    }

    /// Records that `value` is `of` behind a quantisation.
    pub(crate) fn set_code(&mut self, value: Value, of: Value, quantisation: Quantisation) {
        let index = self.quantisations.len() as u32;
        self.quantisations.push(quantisation);
        self.set_core(value, Core::Code(of, index));
    }

    /// Records `value = numerator / of`.
    pub(crate) fn set_reciprocal(&mut self, value: Value, of: Value, numerator: f64) {
        let index = self.numerators.len() as u32;
        self.numerators.push(numerator);
        self.set_core(value, Core::Reciprocal(of, index));
    }
}
