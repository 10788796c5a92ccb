//! A recurrent operator over whole sequences, of lengths that may differ.
//!
//! Given the standard's inputs; promises that what lies beyond a sequence's length is zero in Y and never reaches its last state.

use tract_hir::internal::tract_ndarray::{
    Array2, Array3, Array4, ArrayView3, Axis, Ix2, Ix3, LinalgScalar, s,
};
use tract_hir::internal::*;
use tract_num_traits::Float;

use super::cell::{Cell, Kind, State, Weights};
use super::quantized::round_to_8_bits;
use crate::ops::function::{Function, integers};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sequence {
    pub batch_first: bool,
    pub bias: Option<usize>,
    pub lengths: Option<usize>,
    pub initial_h: Option<usize>,
    pub initial_c: Option<usize>,
    pub peepholes: Option<usize>,
    pub y: Option<usize>,
    pub y_h: Option<usize>,
    pub y_c: Option<usize>,
    /// Whether inputs and states are rounded to 8 bits before they meet the weights.
    pub quantized: bool,
    /// One for each direction.
    pub cells: Vec<Cell>,
}

impl Sequence {
    fn kind(&self) -> Kind {
        self.cells.first().map_or(Kind::Rnn, |cell| cell.kind)
    }

    fn eval_in<T>(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>>
    where
        T: Datum + Float + LinalgScalar,
    {
        let owned = |slot: Option<usize>| -> TractResult<Option<Tensor>> {
            let tensor = slot.and_then(|slot| inputs.get(slot));
            tensor
                .map(|it| Ok(it.cast_to::<T>()?.into_owned()))
                .transpose()
        };
        let required = |slot: usize| owned(Some(slot))?.context("an input is missing");
        // Steps first, batch second.
        let steps_first = |x: Tensor| {
            if self.batch_first {
                x.move_axis(0, 1)
            } else {
                Ok(x)
            }
        };
        let x = steps_first(required(0)?)?;
        let x = x.to_plain_array_view::<T>()?.into_dimensionality::<Ix3>()?;
        let (w, r) = (required(1)?, required(2)?);
        let w = w.to_plain_array_view::<T>()?.into_dimensionality::<Ix3>()?;
        let r = r.to_plain_array_view::<T>()?.into_dimensionality::<Ix3>()?;
        let (steps, batch, _) = x.dim();
        let hidden = r.dim().2;
        let lengths = match self.lengths.and_then(|slot| inputs.get(slot)) {
            None => vec![steps; batch],
            Some(lengths) => {
                let lengths = integers(lengths)?;
                let lengths = lengths.iter().map(|length| {
                    let length = usize::try_from(*length)
                        .ok()
                        .filter(|length| *length <= steps);
                    length.with_context(|| {
                        format!("a sequence is longer than the {steps} steps given, or negative")
                    })
                });
                lengths.collect::<TractResult<Vec<_>>>()?
            }
        };
        ensure!(
            lengths.len() == batch,
            "{} lengths for {batch} sequences",
            lengths.len()
        );
        let gates = self.kind().gates() * hidden;
        for (d, _) in self.cells.iter().enumerate() {
            ensure!(
                d < w.dim().0
                    && d < r.dim().0
                    && w.dim().1 == gates
                    && r.dim().1 == gates
                    && w.dim().2 == x.dim().2,
                "weights of shapes {:?} and {:?} for a hidden size of {hidden}",
                w.shape(),
                r.shape()
            );
        }
        let bias = owned(self.bias)?;
        let bias = bias
            .as_ref()
            .map(|it| it.to_plain_array_view::<T>())
            .transpose()?;
        let bias = bias.map(|it| it.into_dimensionality::<Ix2>()).transpose()?;
        let peepholes = owned(self.peepholes)?;
        let peepholes = peepholes
            .as_ref()
            .map(|it| it.to_plain_array_view::<T>())
            .transpose()?;
        let peepholes = peepholes
            .map(|it| it.into_dimensionality::<Ix2>())
            .transpose()?;
        let initial = |slot| -> TractResult<Array3<T>> {
            let Some(given) = owned(slot)? else {
                return Ok(Array3::zeros((self.cells.len(), batch, hidden)));
            };
            let given = steps_first(given)?;
            let given = given
                .to_plain_array_view::<T>()?
                .into_dimensionality::<Ix3>()?;
            ensure!(
                given.dim() == (self.cells.len(), batch, hidden),
                "an initial state of shape {:?}",
                given.shape()
            );
            Ok(given.to_owned())
        };
        let (mut h, mut c) = (initial(self.initial_h)?, initial(self.initial_c)?);
        let mut y = Array4::<T>::zeros((steps, self.cells.len(), batch, hidden));
        for (d, cell) in self.cells.iter().enumerate() {
            let half = |which: usize| match &bias {
                Some(bias) => bias
                    .slice(s![d, which * gates..(which + 1) * gates])
                    .to_owned(),
                None => tract_ndarray::Array1::zeros(gates),
            };
            let weights = Weights {
                recurrent: r.index_axis(Axis(0), d),
                recurrent_bias: half(1),
                peepholes: peepholes.as_ref().map(|it| it.index_axis(Axis(0), d)),
            };
            let mut rows = x.to_shape((steps * batch, x.dim().2))?.to_owned();
            if self.quantized {
                round_to_8_bits(rows.view_mut());
            }
            let from_input = rows.dot(&w.index_axis(Axis(0), d).t()) + &half(0);
            let from_input = from_input.to_shape((steps, batch, gates))?;
            let mut state = State {
                h: h.index_axis(Axis(0), d).to_owned(),
                c: c.index_axis(Axis(0), d).to_owned(),
            };
            for step in 0..steps {
                let at = positions(&lengths, step, cell.reverse);
                let input = gathered(from_input.view(), &at, gates);
                let next = if self.quantized {
                    let mut rounded = state.h.clone();
                    round_to_8_bits(rounded.view_mut());
                    let c = state.c.clone();
                    cell.step(input.view(), &weights, &State { h: rounded, c })?
                } else {
                    cell.step(input.view(), &weights, &state)?
                };
                for (b, at) in at.iter().enumerate() {
                    let Some(at) = *at else { continue };
                    state.h.row_mut(b).assign(&next.h.row(b));
                    state.c.row_mut(b).assign(&next.c.row(b));
                    y.slice_mut(s![at, d, b, ..]).assign(&next.h.row(b));
                }
            }
            h.index_axis_mut(Axis(0), d).assign(&state.h);
            c.index_axis_mut(Axis(0), d).assign(&state.c);
        }
        let state = |state: Array3<T>| {
            let state = state.into_tensor();
            if self.batch_first {
                state.move_axis(0, 1)
            } else {
                Ok(state)
            }
        };
        let y = y.into_tensor();
        let y = if self.batch_first {
            y.move_axis(2, 0)?
        } else {
            y
        };
        let named = [(self.y, y), (self.y_h, state(h)?), (self.y_c, state(c)?)];
        let mut named: Vec<_> = named
            .into_iter()
            .filter_map(|(slot, it)| Some((slot?, it)))
            .collect();
        named.sort_by_key(|(slot, _)| *slot);
        Ok(named.into_iter().map(|(_, tensor)| tensor).collect())
    }
}

/// Where each sequence of a batch is at a step; `None` where it is over.
fn positions(lengths: &[usize], step: usize, reverse: bool) -> Vec<Option<usize>> {
    let at = lengths.iter().map(|&length| match reverse {
        _ if step >= length => None,
        false => Some(step),
        true => Some(length - 1 - step),
    });
    at.collect()
}

fn gathered<T: Float>(from: ArrayView3<'_, T>, at: &[Option<usize>], width: usize) -> Array2<T> {
    let mut rows = Array2::zeros((at.len(), width));
    for (b, at) in at.iter().enumerate() {
        if let Some(at) = at {
            rows.row_mut(b).assign(&from.slice(s![*at, b, ..]));
        }
    }
    rows
}

impl Function for Sequence {
    fn name(&self) -> &'static str {
        match self.kind() {
            Kind::Rnn => "RNN",
            Kind::Gru { .. } => "GRU",
            Kind::Lstm { .. } => "LSTM",
        }
    }

    fn outputs(&self) -> usize {
        [self.y, self.y_h, self.y_c].iter().flatten().count()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (Some(x), Some(r)) = (inputs.first(), inputs.get(2)) else {
            bail!("a recurrent operator without input or weights");
        };
        ensure!(
            x.rank() == 3 && r.rank() == 3,
            "an input or weights that are not of rank 3"
        );
        let (steps, batch) = (
            &x.shape[usize::from(self.batch_first)],
            &x.shape[usize::from(!self.batch_first)],
        );
        let (directions, hidden) = (self.cells.len().to_dim(), r.shape[2].clone());
        let (steps, batch) = (steps.clone(), batch.clone());
        let state: [TDim; 3];
        let y: [TDim; 4];
        if self.batch_first {
            y = [batch.clone(), steps, directions.clone(), hidden.clone()];
            state = [batch, directions, hidden];
        } else {
            y = [steps, directions.clone(), batch.clone(), hidden.clone()];
            state = [directions, batch, hidden];
        }
        let mut named = vec![
            (self.y, x.datum_type.fact(&y)),
            (self.y_h, x.datum_type.fact(&state)),
            (self.y_c, x.datum_type.fact(&state)),
        ];
        named.sort_by_key(|(slot, _)| *slot);
        Ok(named
            .into_iter()
            .filter(|(slot, _)| slot.is_some())
            .map(|(_, fact)| fact)
            .collect())
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let dt = inputs.first().context("no input")?.datum_type();
        let outputs = if dt == DatumType::F64 {
            self.eval_in::<f64>(&inputs)?
        } else {
            self.eval_in::<f32>(&inputs)?
        };
        let outputs = outputs
            .into_iter()
            .map(|it| Ok(it.cast_to_dt(dt)?.into_owned().into_tvalue()));
        outputs.collect()
    }
}
