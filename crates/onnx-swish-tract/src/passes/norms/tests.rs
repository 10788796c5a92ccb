//! Our normalisation against the pieces it stands for.
//!
//! Given graphs that spell one; promises that it is one operator with the numbers of its definition, and that what others read, and
//! what only looks like it, is left.

use tract_core::internal::*;
use tract_core::ops::math;
use tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

use super::take_over;
use crate::ops::RowNorm;

const LENGTH: usize = 24;
const SHAPE: [usize; 3] = [2, 5, LENGTH];
const EPSILON: f32 = 1e-5;

fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let x = tract_ndarray::ArrayD::from_shape_fn(shape, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 1.0
    });
    x.into_tensor()
}

/// The pieces of a normalisation.
#[derive(Clone)]
struct Pieces {
    /// What the sum of a row is multiplied by, if a mean is taken off, and whether it stands in front.
    mean: Option<(f32, bool)>,
    axis: usize,
    scale: Option<Tensor>,
    bias: Option<Tensor>,
    /// Whether the differences, or what has no scale yet, are an output, too.
    shown: Option<&'static str>,
}

impl Pieces {
    fn of_rows() -> Pieces {
        Pieces {
            mean: Some((1.0 / LENGTH as f32, false)),
            axis: 2,
            scale: Some(noise(&[1, 1, LENGTH], 3)),
            bias: Some(noise(&[1, 1, LENGTH], 4)),
            shown: None,
        }
    }

    fn model(&self) -> TypedModel {
        let mut model = TypedModel::default();
        let mut shown = HashMap::new();
        let mut at = model.add_source("x", f32::fact(SHAPE)).unwrap();
        if let Some((factor, in_front)) = self.mean {
            let sum = Reduce::new(tvec!(self.axis), Reducer::Sum);
            let sum = model.wire_node("sum", sum, &[at]).unwrap()[0];
            let factor = tensor0(factor).broadcast_into_rank(3).unwrap();
            let factor = model.add_const("factor", factor).unwrap();
            let factors = if in_front {
                [factor, sum]
            } else {
                [sum, factor]
            };
            let mean = model.wire_node("mean", math::mul(), &factors).unwrap()[0];
            at = model.wire_node("d", math::sub(), &[at, mean]).unwrap()[0];
            shown.insert("d", at);
        }
        let norm = RmsNorm {
            axis: self.axis,
            eps: tensor0(EPSILON).into_arc_tensor(),
        };
        at = model.wire_node("z", norm, &[at]).unwrap()[0];
        shown.insert("z", at);
        if let Some(scale) = &self.scale {
            let scale = model.add_const("scale", scale.clone()).unwrap();
            at = model
                .wire_node("scaled", math::mul(), &[scale, at])
                .unwrap()[0];
        }
        if let Some(bias) = &self.bias {
            let bias = model.add_const("bias", bias.clone()).unwrap();
            at = model.wire_node("biased", math::add(), &[at, bias]).unwrap()[0];
        }
        let mut outputs = vec![at];
        outputs.extend(self.shown.map(|name| shown[name]));
        model.select_output_outlets(&outputs).unwrap();
        model
    }
}

fn elements(tensor: &Tensor) -> Vec<f32> {
    let plain = tensor.try_as_plain_ram().unwrap();
    plain.as_slice::<f32>().unwrap().to_vec()
}

/// The operator that this graph's normalisation became, after a look at the numbers.
fn taken(pieces: &Pieces) -> Option<RowNorm> {
    let before = pieces.model();
    let mut after = before.clone();
    take_over(&mut after).unwrap();
    let x = noise(&SHAPE, 1);
    let run = |model: TypedModel| {
        let plan = model.into_optimized().unwrap().into_runnable().unwrap();
        plan.run(tvec!(x.clone().into_tvalue())).unwrap()
    };
    for (ours, pieces) in run(after.clone()).iter().zip(run(before)) {
        assert_eq!(ours.shape(), pieces.shape());
        for (ours, pieces) in elements(ours).iter().zip(elements(&pieces)) {
            // The pieces round a mean, and sum in one register.
            let near = (ours - pieces).abs() <= 4e-6 * (1.0 + pieces.abs());
            assert!(near, "{ours}, of the pieces {pieces}");
        }
    }
    let mut found = after
        .nodes()
        .iter()
        .filter_map(|node| node.op_as::<RowNorm>());
    let op = found.next().cloned();
    assert!(found.next().is_none(), "{after}");
    let left = after.nodes().iter().any(|node| node.op_is::<RmsNorm>());
    assert_ne!(left, op.is_some(), "{after}");
    op
}

#[test]
fn a_mean_a_scale_and_a_bias_go_along_in_either_order() {
    for in_front in [false, true] {
        let op = taken(&Pieces {
            mean: Some((1.0 / LENGTH as f32, in_front)),
            ..Pieces::of_rows()
        });
        let op = op.expect("a normalisation of rows");
        assert!(op.centred && op.scale.is_some() && op.bias.is_some());
        assert_eq!(op.epsilon, EPSILON);
    }
}

#[test]
fn without_them_it_is_the_quotient_alone() {
    let op = taken(&Pieces {
        mean: None,
        scale: None,
        bias: None,
        ..Pieces::of_rows()
    });
    let op = op.expect("a normalisation of rows");
    assert!(!op.centred && op.scale.is_none() && op.bias.is_none());
}

#[test]
fn one_number_stands_for_a_row() {
    let op = taken(&Pieces {
        scale: Some(tensor3(&[[[2.5f32]]])),
        ..Pieces::of_rows()
    });
    let op = op.expect("a normalisation of rows");
    assert_eq!(op.scale.as_deref(), Some(&[2.5; LENGTH][..]));
}

#[test]
fn what_others_read_stays() {
    let op = taken(&Pieces {
        shown: Some("d"),
        ..Pieces::of_rows()
    });
    // The differences are computed for those who want them.
    assert!(op.expect("a normalisation of rows").centred);
    let op = taken(&Pieces {
        shown: Some("z"),
        ..Pieces::of_rows()
    });
    let op = op.expect("a normalisation of rows");
    assert!(op.centred && op.scale.is_none() && op.bias.is_none());
}

#[test]
fn near_misses_are_left() {
    // Not the mean, by an ulp or two.
    let factor = f32::from_bits((1.0 / LENGTH as f32).to_bits() + 2);
    let op = taken(&Pieces {
        mean: Some((factor, false)),
        ..Pieces::of_rows()
    });
    assert!(!op.expect("an RMS normalisation of something").centred);
    // A factor for each row, not for its elements.
    let op = taken(&Pieces {
        scale: Some(noise(&[1, 5, 1], 5)),
        ..Pieces::of_rows()
    });
    let op = op.expect("a normalisation of rows");
    assert!(op.scale.is_none() && op.bias.is_none());
    // Rows that do not lie side by side.
    let along_tokens = Pieces {
        axis: 1,
        mean: Some((0.2, false)),
        scale: None,
        bias: None,
        ..Pieces::of_rows()
    };
    assert!(taken(&along_tokens).is_none());
    // A mean over another axis.
    let mut model = along_tokens.model();
    let z = model.node_by_name("z").unwrap().id;
    let norm = RmsNorm {
        axis: 2,
        eps: tensor0(EPSILON).into_arc_tensor(),
    };
    model.node_mut(z).op = Box::new(norm);
    take_over(&mut model).unwrap();
    let op = model.nodes().iter().find_map(|it| it.op_as::<RowNorm>());
    assert!(!op.expect("an RMS normalisation").centred);
}
