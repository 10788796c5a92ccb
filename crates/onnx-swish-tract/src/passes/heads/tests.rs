//! Products over several axes against tract's.
//!
//! Given products of a tensor, or of what another product makes, and a constant; promises one axis to sum over, nothing moved behind a
//! product, and the same numbers to rounding.

use tract_core::internal::*;
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::einsum::EinSum;

use super::merge;
use crate::conv::Convolutions;
use crate::conv::tests::{elements, noise};

fn einsum(axes: &str) -> EinSum {
    EinSum::new(axes.parse().unwrap(), DatumType::F32)
}

/// The ranks of what is multiplied by a constant, and how many axes are moved, once merged; after a look at the numbers.
fn check(model: &TypedModel, inputs: &[&[usize]]) -> (Vec<usize>, usize) {
    let mut ours = model.clone();
    merge(&mut ours, Convolutions::Ours).unwrap();
    let mut left = model.clone();
    merge(&mut left, Convolutions::Tract).unwrap();
    assert_eq!(left.nodes().len(), model.nodes().len());
    let run = |model: &TypedModel| {
        let plan = model
            .clone()
            .into_optimized()
            .unwrap()
            .into_runnable()
            .unwrap();
        let inputs = inputs.iter().enumerate();
        let inputs = inputs.map(|(i, shape)| noise(shape, i as u32 + 1).into_tvalue());
        plan.run(inputs.collect()).unwrap().remove(0).into_tensor()
    };
    let (ours_run, theirs) = (run(&ours), run(model));
    assert_eq!(ours_run.shape(), theirs.shape());
    for (ours, theirs) in elements(&ours_run).iter().zip(elements(&theirs)) {
        assert!(
            (ours - theirs).abs() <= 1e-4 * (1.0 + theirs.abs()),
            "{ours}, tract {theirs}"
        );
    }
    let nodes = ours.nodes();
    let constants = nodes
        .iter()
        .filter(|node| node.op_is::<EinSum>())
        .filter_map(|node| {
            let facts = ours.node_input_facts(node.id).unwrap();
            facts
                .iter()
                .find_map(|fact| Some(fact.konst.as_ref()?.rank()))
        });
    let moves = nodes
        .iter()
        .filter(|it| matches!(it.op_as(), Some(AxisOp::Move(..))));
    (constants.collect(), moves.count())
}

/// One product with a constant.
fn layer(axes: &str, data: &[usize], kernel: &[usize]) -> TypedModel {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact(data)).unwrap();
    let kernel = model.add_const("kernel", noise(kernel, 9)).unwrap();
    let y = model
        .wire_node("layer", einsum(axes), &[x, kernel])
        .unwrap();
    model.select_output_outlets(&y).unwrap();
    model
}

/// Attention's last two products, the second of what the first makes; both are outputs if it is `shown`.
fn attention(first: &str, second: &str, kernel: &[usize], shown: bool) -> TypedModel {
    let mut model = TypedModel::default();
    let scores = model.add_source("scores", f32::fact([2, 3, 7, 7])).unwrap();
    let values = model.add_source("values", f32::fact([2, 3, 7, 5])).unwrap();
    let weighted = model
        .wire_node("weighted", einsum(first), &[scores, values])
        .unwrap()[0];
    let kernel = model.add_const("kernel", noise(kernel, 9)).unwrap();
    let y = model
        .wire_node("layer", einsum(second), &[weighted, kernel])
        .unwrap()[0];
    let outputs: &[OutletId] = if shown { &[y, weighted] } else { &[y] };
    model.select_output_outlets(outputs).unwrap();
    model
}

const ATTENTION: [&[usize]; 2] = [&[2, 3, 7, 7], &[2, 3, 7, 5]];

#[test]
fn behind_a_product_nothing_is_moved() {
    for (first, second) in [
        ("bhnm,bhmd->bhnd", "bhnd,hdo->bno"),
        ("bhnm,bhmd->bnhd", "bnhd,hdo->bno"),
        ("bhnm,bhmd->dbhn", "dbhn,hdo->bon"),
    ] {
        let model = attention(first, second, &[3, 5, 11], false);
        assert_eq!(check(&model, &ATTENTION), (vec![2], 0), "{first} {second}");
    }
}

#[test]
fn what_others_read_is_moved_for_the_layer() {
    let model = attention("bhnm,bhmd->bhnd", "bhnd,hdo->bno", &[3, 5, 11], true);
    assert_eq!(check(&model, &ATTENTION), (vec![2], 1));
}

#[test]
fn axes_are_merged_in_the_order_of_the_weights() {
    for (axes, data, kernel, moves) in [
        ("nhd,hdo->no", &[4usize, 3, 5][..], &[3usize, 5, 6][..], 0),
        ("ndh,hdo->no", &[4, 5, 3], &[3, 5, 6], 1),
        ("hdn,ohd->no", &[3, 5, 4], &[6, 3, 5], 1),
        ("nhd,hod->on", &[4, 3, 5], &[3, 6, 5], 0),
        ("ahbdc,hdco->abo", &[2, 3, 4, 5, 2], &[3, 5, 2, 6], 1),
    ] {
        let (ranks, moved) = check(&layer(axes, data, kernel), &[data]);
        assert_eq!((ranks, moved), (vec![2], moves), "{axes}");
    }
}

#[test]
fn near_misses_are_left() {
    for (axes, data, kernel) in [
        // One axis is enough.
        ("nd,do->no", &[4usize, 5][..], &[5usize, 6][..]),
        // A matrix for each head.
        ("nhd,hdo->nho", &[4, 3, 5], &[3, 5, 6]),
        // Two axes of the output's own.
        ("nhd,hdop->nop", &[4, 3, 5], &[3, 5, 6, 2]),
        // A sum that does not look at the weights.
        ("nhde,hdo->no", &[4, 3, 5, 2], &[3, 5, 6]),
    ] {
        let (ranks, moved) = check(&layer(axes, data, kernel), &[data]);
        assert_eq!((ranks, moved), (vec![kernel.len()], 0), "{axes}");
    }
}
