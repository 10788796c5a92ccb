//! One step of a recurrent operator.
//!
//! Given what a step's input and the state before it come to; promises the state after it. Formulas: the ONNX operator
//! specification, "RNN", "GRU" and "LSTM"; gates lie in its order, z r h and i o f c.

use tract_hir::internal::tract_ndarray::{
    Array1, Array2, ArrayView1, ArrayView2, Axis, LinalgScalar, Zip, s,
};
use tract_hir::internal::*;
use tract_num_traits::Float;

use super::activation::Activation;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rnn,
    Gru { linear_before_reset: bool },
    Lstm { input_forget: bool },
}

impl Kind {
    /// How many gates a cell has.
    pub fn gates(self) -> usize {
        match self {
            Kind::Rnn => 1,
            Kind::Gru { .. } => 3,
            Kind::Lstm { .. } => 4,
        }
    }
}

/// The operator in one direction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub kind: Kind,
    pub activations: Vec<Activation>,
    /// Bound of what activations are given.
    pub clip: Option<f64>,
    pub reverse: bool,
}

/// The weights of one direction.
pub(super) struct Weights<'a, T> {
    /// `[gates * hidden, hidden]`.
    pub recurrent: ArrayView2<'a, T>,
    /// `[gates * hidden]`; the recurrent half only, the other one is part of the input's product.
    pub recurrent_bias: Array1<T>,
    /// `[3 * hidden]`, in the order i, o, f.
    pub peepholes: Option<ArrayView1<'a, T>>,
}

/// `[batch, hidden]` each.
pub(super) struct State<T> {
    pub h: Array2<T>,
    pub c: Array2<T>,
}

impl Cell {
    pub fn forgets_by_input(&self) -> bool {
        self.kind == Kind::Lstm { input_forget: true }
    }

    fn activation(&self, which: usize) -> Activation {
        let own = self.activations.get(which).copied();
        own.unwrap_or(Activation::Tanh)
    }

    fn apply<T: Float>(&self, which: usize, x: T) -> T {
        let x = match self.clip.and_then(T::from) {
            Some(bound) => x.max(-bound).min(bound),
            None => x,
        };
        self.activation(which).of(x)
    }

    /// `from_input` is `[batch, gates * hidden]`: the step's input by its weights, with their bias.
    pub fn step<T: Float + LinalgScalar>(
        &self,
        from_input: ArrayView2<'_, T>,
        weights: &Weights<'_, T>,
        state: &State<T>,
    ) -> TractResult<State<T>> {
        let hidden = state.h.ncols();
        let gate = |of: ArrayView2<'_, T>, gate: usize| {
            of.slice_move(s![.., gate * hidden..(gate + 1) * hidden])
                .to_owned()
        };
        let gates = state.h.dot(&weights.recurrent.t()) + &weights.recurrent_bias;
        match self.kind {
            Kind::Rnn => {
                let h = (gates + from_input).mapv_into(|x| self.apply(0, x));
                Ok(State {
                    h,
                    c: state.c.clone(),
                })
            }
            Kind::Gru {
                linear_before_reset,
            } => {
                let sum = &gates + &from_input;
                let z = gate(sum.view(), 0).mapv_into(|x| self.apply(0, x));
                let r = gate(sum.view(), 1).mapv_into(|x| self.apply(0, x));
                let input = gate(from_input, 2);
                let candidate = if linear_before_reset {
                    input + &r * &gate(gates.view(), 2)
                } else {
                    let rows = weights.recurrent.slice(s![2 * hidden.., ..]);
                    let bias = weights.recurrent_bias.slice(s![2 * hidden..]);
                    input + (&r * &state.h).dot(&rows.t()) + bias
                };
                let candidate = candidate.mapv_into(|x| self.apply(1, x));
                let mut h = candidate;
                Zip::from(&mut h)
                    .and(&z)
                    .and(&state.h)
                    .for_each(|h, z, before| {
                        *h = (T::one() - *z) * *h + *z * *before;
                    });
                Ok(State {
                    h,
                    c: state.c.clone(),
                })
            }
            Kind::Lstm { input_forget } => {
                let gates = gates + from_input;
                let peep = |which: usize, mut gate: Array2<T>, c: &Array2<T>| {
                    if let Some(peepholes) = &weights.peepholes {
                        let own = peepholes.slice(s![which * hidden..(which + 1) * hidden]);
                        gate = gate + c * &own.insert_axis(Axis(0));
                    }
                    gate
                };
                let activated = |gate: Array2<T>, which| gate.mapv_into(|x| self.apply(which, x));
                let i = activated(peep(0, gate(gates.view(), 0), &state.c), 0);
                let f = if input_forget {
                    i.mapv(|i| T::one() - i)
                } else {
                    activated(peep(2, gate(gates.view(), 2), &state.c), 0)
                };
                let candidate = activated(gate(gates.view(), 3), 1);
                let c = f * &state.c + i * candidate;
                let o = activated(peep(1, gate(gates.view(), 1), &c), 0);
                let h = o * c.mapv(|c| self.activation(2).of(c));
                Ok(State { h, c })
            }
        }
    }
}
