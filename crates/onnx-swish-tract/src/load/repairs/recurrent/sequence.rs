//! A recurrent operator over whole sequences, of lengths that may differ.
//!
//! Given the standard's inputs; promises that what lies beyond a sequence's length is zero in Y and never reaches its last state, which
//! is zero where the length is.

use tract_hir::internal::tract_ndarray::{
    Array, Array1, Array2, Array3, Array4, ArrayView3, ArrayViewMut3, Axis, Dimension, Ix3,
    LinalgScalar, s,
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
        let mut given = Given::<T>::read(self, inputs)?;
        let (steps, batch, _) = given.x.dim();
        let mut y = Array4::<T>::zeros((steps, self.cells.len(), batch, given.hidden()));
        for (d, cell) in self.cells.iter().enumerate() {
            self.run(d, cell, &mut given, y.index_axis_mut(Axis(1), d))?;
        }
        let batch_to = |to: usize, tensor: Tensor, from: usize| match self.batch_first {
            true => tensor.move_axis(from, to),
            false => Ok(tensor),
        };
        let y = batch_to(0, y.into_tensor(), 2)?;
        let h = batch_to(0, given.h.into_tensor(), 1)?;
        let c = batch_to(0, given.c.into_tensor(), 1)?;
        let named = [(self.y, y), (self.y_h, h), (self.y_c, c)];
        let mut named: Vec<_> = named
            .into_iter()
            .filter_map(|(slot, it)| Some((slot?, it)))
            .collect();
        named.sort_by_key(|(slot, _)| *slot);
        Ok(named.into_iter().map(|(_, tensor)| tensor).collect())
    }

    /// One direction over all steps: fills its part of Y, `[steps, batch, hidden]`, and leaves the last state where the first one was.
    fn run<T>(
        &self,
        d: usize,
        cell: &Cell,
        given: &mut Given<T>,
        mut y: ArrayViewMut3<'_, T>,
    ) -> TractResult<()>
    where
        T: Datum + Float + LinalgScalar,
    {
        let weights = Weights {
            recurrent: given.r.index_axis(Axis(0), d),
            recurrent_bias: given.bias(d, 1),
            peepholes: given.peepholes.as_ref().map(|it| it.index_axis(Axis(0), d)),
        };
        let from_input = given.of_input(d, self.quantized)?;
        let mut state = State {
            h: given.h.index_axis(Axis(0), d).to_owned(),
            c: given.c.index_axis(Axis(0), d).to_owned(),
        };
        for step in 0..given.x.dim().0 {
            let at = positions(&given.lengths, step, cell.reverse);
            let input = gathered(from_input.view(), &at);
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
                y.slice_mut(s![at, b, ..]).assign(&next.h.row(b));
            }
        }
        // A sequence without a step has no last state: zeros, as ONNX Runtime gives, whatever it began with.
        for (b, _) in given.lengths.iter().enumerate().filter(|it| *it.1 == 0) {
            if given.x.dim().0 > 0 {
                state.h.row_mut(b).fill(T::zero());
                state.c.row_mut(b).fill(T::zero());
            }
        }
        given.h.index_axis_mut(Axis(0), d).assign(&state.h);
        given.c.index_axis_mut(Axis(0), d).assign(&state.c);
        Ok(())
    }
}

/// What an operator is given, steps before batches, and of sizes that go together.
struct Given<T> {
    /// `[steps, batch, input]`.
    x: Array3<T>,
    /// `[directions, gates * hidden, input]`.
    w: Array3<T>,
    /// `[directions, gates * hidden, hidden]`.
    r: Array3<T>,
    /// `[directions, 2 * gates * hidden]`.
    bias: Option<Array2<T>>,
    /// `[directions, 3 * hidden]`.
    peepholes: Option<Array2<T>>,
    /// For each sequence of the batch.
    lengths: Vec<usize>,
    /// `[directions, batch, hidden]`, as `c`.
    h: Array3<T>,
    c: Array3<T>,
}

impl<T: Datum + Float + LinalgScalar> Given<T> {
    fn read(op: &Sequence, inputs: &[TValue]) -> TractResult<Given<T>> {
        let at = |slot: Option<usize>| slot.and_then(|slot| inputs.get(slot));
        let required = |slot: usize| {
            let tensor = inputs.get(slot).context("an input is missing")?;
            array::<T, Ix3>(tensor)
        };
        let steps_first = |mut x: Array3<T>| {
            if op.batch_first {
                x.swap_axes(0, 1);
            }
            x.as_standard_layout().into_owned()
        };
        let (x, w, r) = (steps_first(required(0)?), required(1)?, required(2)?);
        let (steps, batch, _) = x.dim();
        let (directions, hidden) = (op.cells.len(), r.dim().2);
        let initial = |slot: Option<usize>| -> TractResult<Array3<T>> {
            Ok(match at(slot) {
                Some(state) => steps_first(array(state)?),
                None => Array3::zeros((directions, batch, hidden)),
            })
        };
        let given = Given {
            lengths: match at(op.lengths) {
                Some(lengths) => lengths_of(lengths, steps)?,
                None => vec![steps; batch],
            },
            bias: at(op.bias).map(|it| array(it)).transpose()?,
            peepholes: at(op.peepholes).map(|it| array(it)).transpose()?,
            h: initial(op.initial_h)?,
            c: initial(op.initial_c)?,
            x,
            w,
            r,
        };
        given.check(directions, op.kind().gates() * hidden)?;
        Ok(given)
    }

    fn check(&self, directions: usize, gates: usize) -> TractResult<()> {
        let (_, batch, input) = self.x.dim();
        let hidden = self.hidden();
        ensure!(
            self.lengths.len() == batch,
            "{} lengths for {batch} sequences",
            self.lengths.len()
        );
        ensure!(
            self.w.dim() == (directions, gates, input)
                && self.r.dim() == (directions, gates, hidden),
            "weights of shapes {:?} and {:?} for a hidden size of {hidden}",
            self.w.shape(),
            self.r.shape()
        );
        for state in [&self.h, &self.c] {
            ensure!(
                state.dim() == (directions, batch, hidden),
                "an initial state of shape {:?}",
                state.shape()
            );
        }
        for (what, given, width) in [
            ("a bias", &self.bias, gates.checked_mul(2)),
            ("peepholes", &self.peepholes, hidden.checked_mul(3)),
        ] {
            let Some(given) = given else { continue };
            ensure!(
                Some(given.dim()) == width.map(|width| (directions, width)),
                "{what} of shape {:?} for a hidden size of {hidden}",
                given.shape()
            );
        }
        Ok(())
    }

    fn hidden(&self) -> usize {
        self.r.dim().2
    }

    /// The input's half of a direction's bias, or the state's.
    fn bias(&self, d: usize, half: usize) -> Array1<T> {
        let gates = self.r.dim().1;
        match &self.bias {
            Some(bias) => {
                let half = half * gates..(half + 1) * gates;
                bias.slice(s![d, half]).to_owned()
            }
            None => Array1::zeros(gates),
        }
    }

    /// `[steps, batch, gates * hidden]`: the input by a direction's weights, with their half of the bias.
    fn of_input(&self, d: usize, quantized: bool) -> TractResult<Array3<T>> {
        let (steps, batch, input) = self.x.dim();
        let mut rows = self.x.to_shape((steps * batch, input))?.into_owned();
        if quantized {
            round_to_8_bits(rows.view_mut());
        }
        let sums = rows.dot(&self.w.index_axis(Axis(0), d).t()) + &self.bias(d, 0);
        let gates = self.r.dim().1;
        Ok(sums.to_shape((steps, batch, gates))?.into_owned())
    }
}

/// A tensor's elements as `T`, if it has the dimensions of `D`.
fn array<T: Datum, D: Dimension>(tensor: &Tensor) -> TractResult<Array<T, D>> {
    let tensor = tensor.cast_to::<T>()?;
    let array = tensor.to_plain_array_view::<T>()?;
    Ok(array.into_dimensionality::<D>()?.to_owned())
}

/// How many of `steps` each sequence has.
fn lengths_of(lengths: &Tensor, steps: usize) -> TractResult<Vec<usize>> {
    let lengths = integers(lengths)?;
    let lengths = lengths.iter().map(|length| {
        let length = usize::try_from(*length)
            .ok()
            .filter(|length| *length <= steps);
        length.with_context(|| {
            format!("a sequence is longer than the {steps} steps given, or negative")
        })
    });
    lengths.collect()
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

fn gathered<T: Float>(from: ArrayView3<'_, T>, at: &[Option<usize>]) -> Array2<T> {
    let mut rows = Array2::zeros((at.len(), from.dim().2));
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
