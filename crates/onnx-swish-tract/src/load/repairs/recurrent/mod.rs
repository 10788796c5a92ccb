//! RNN, GRU and LSTM with everything that the standard allows them.
//!
//! At fault: tract-onnx, `ops/rec/common.rs` and its neighbours. `CommonRec::wire` runs forwards whatever `direction` says, takes
//! sequence lengths only as constants that name the whole sequence, and joins the directions of layout 1 along the wrong
//! axis; the builders of all three do not read `activations`, `clip` and `input_forget`. A sequence of
//! no steps does not load. What tract computes rightly stays with it.

mod activation;
mod cell;
mod quantized;
mod sequence;

use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};
use crate::error::{demand, reject};
use crate::ops::function::{Plain, integers};
use activation::Activation;
use cell::{Cell, Kind};
use sequence::Sequence;

pub(super) fn rnn(ctx: &ParsingContext, node: &NodeProto) -> Built {
    recurrent(ctx, node, Kind::Rnn, "tract::RNN")
}

pub(super) fn gru(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let linear = node
        .get_attr_opt::<i64>("linear_before_reset")?
        .unwrap_or(0)
        != 0;
    let kind = Kind::Gru {
        linear_before_reset: linear,
    };
    recurrent(ctx, node, kind, "tract::GRU")
}

pub(super) fn lstm(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let input_forget = node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0;
    recurrent(ctx, node, Kind::Lstm { input_forget }, "tract::LSTM")
}

fn recurrent(ctx: &ParsingContext, node: &NodeProto, kind: Kind, saved: &str) -> Built {
    let mut sequence = described(node, kind)?;
    let mut inputs = optional_inputs(node).skip(3);
    sequence.bias = inputs.next().flatten();
    sequence.lengths = inputs.next().flatten();
    sequence.initial_h = inputs.next().flatten();
    sequence.initial_c = inputs.next().flatten();
    sequence.peepholes = inputs.next().flatten();
    let usual = Activation::usual(kind);
    let standard = sequence
        .cells
        .iter()
        .all(|cell| cell.activations == usual && cell.clip.is_none() && !cell.forgets_by_input());
    let both = sequence.cells.len() == 2;
    let backwards = !both && sequence.cells.iter().any(|cell| cell.reverse);
    let op = Recurrent {
        tract_can: standard && !backwards && !(sequence.batch_first && both),
        sequence,
    };
    rewired(ctx, node, saved, op)
}

pub(super) fn dynamic_quantize_lstm(_: &ParsingContext, node: &NodeProto) -> Built {
    let input_forget = node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0;
    let mut sequence = described(node, Kind::Lstm { input_forget })?;
    sequence.quantized = true;
    let mut inputs = optional_inputs(node);
    let slots: Vec<Option<usize>> = inputs.by_ref().take(12).collect();
    Ok((
        expand(quantized::DynamicQuantizeLstm { sequence, slots }),
        vec![],
    ))
}

/// What the attributes and the outputs of a node say.
fn described(node: &NodeProto, kind: Kind) -> TractResult<Sequence> {
    let directions: &[bool] = match node.get_attr_opt("direction")?.unwrap_or("forward") {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => reject!("there is no direction `{other}`"),
    };
    let clip = node.get_attr_opt::<f32>("clip")?.map(f64::from);
    let usual = Activation::usual(kind);
    let named = Activation::named(node)?;
    demand!(
        named.is_empty() || named.len() == usual.len() * directions.len(),
        "it names {} activations for {} directions of {}",
        named.len(),
        directions.len(),
        node.op_type
    );
    let cells = directions.iter().enumerate().map(|(index, reverse)| {
        let own = named.chunks(usual.len()).nth(index);
        Cell {
            kind,
            activations: own.unwrap_or(&usual).to_vec(),
            clip,
            reverse: *reverse,
        }
    });
    let mut outputs = optional_outputs(node);
    let mut output = || outputs.next().flatten();
    Ok(Sequence {
        batch_first: node.get_attr_opt::<i64>("layout")?.unwrap_or(0) != 0,
        bias: None,
        lengths: None,
        initial_h: None,
        initial_c: None,
        peepholes: None,
        y: output(),
        y_h: output(),
        y_c: output(),
        quantized: false,
        cells: cells.collect(),
    })
}

#[derive(Debug, Clone)]
struct Recurrent {
    /// Whether tract computes this rightly as long as every sequence is whole.
    tract_can: bool,
    sequence: Sequence,
}

impl Recurrent {
    fn whole(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<bool> {
        let Some(lengths) = self.sequence.lengths.and_then(|slot| inputs.get(slot)) else {
            return Ok(true);
        };
        let steps = inputs.first().context("no input")?;
        let steps = model
            .outlet_fact(*steps)?
            .shape
            .get(usize::from(self.sequence.batch_first));
        let steps = steps.and_then(|dim| dim.as_i64());
        Ok(match (&model.outlet_fact(*lengths)?.konst, steps) {
            (Some(lengths), Some(steps)) => {
                integers(lengths)?.iter().all(|length| *length == steps)
            }
            _ => false,
        })
    }
}

impl Rewiring for Recurrent {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("no input")?;
        let fact = model.outlet_fact(x)?;
        let f32 = fact.datum_type == DatumType::F32;
        let one = fact
            .shape
            .get(usize::from(!self.sequence.batch_first))
            .is_some_and(|batch| batch.is_one());
        // Two states that begin at zero are one constant to tract, which then gives them one axis of batches between them.
        let (h, c) = (self.sequence.initial_h, self.sequence.initial_c);
        let lstm = matches!(
            self.sequence.cells.first(),
            Some(Cell {
                kind: Kind::Lstm { .. },
                ..
            })
        );
        let shared = lstm && h.is_none() && c.is_none() && !one;
        let is_empty = fact.shape.iter().any(|dim| *dim == 0.to_dim());
        if f32 && !is_empty && self.tract_can && !shared && self.whole(model, inputs)? {
            return own.wire(prefix, model, inputs);
        }
        model.wire_node(prefix, Plain(self.sequence.clone()), inputs)
    }
}
