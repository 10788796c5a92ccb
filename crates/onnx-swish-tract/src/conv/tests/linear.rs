//! Linear layers against tract's products.
//!
//! Given products of rows and a constant matrix as MatMul and Gemm become, of known and unknown sizes; promises one node for the
//! product, its bias and its activation, and the same numbers to rounding.

use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::{add, mul};
use tract_core::ops::nn::silu::silu;

use super::{elements, noise};
use crate::conv::{Convolutions, FusedConv, take_over};

/// `axes` of the product; the sizes of its input, of which -1 is unknown, of the weights, and of the bias.
fn check(axes: &str, input: &[isize], weights: &[usize], bias: &[usize]) {
    let mut model = TypedModel::default();
    let unknown = model.symbols.sym("N");
    let shape: TVec<TDim> = input
        .iter()
        .map(|size| match size {
            -1 => unknown.clone().into(),
            size => (*size).into(),
        })
        .collect();
    let x = model.add_source("x", f32::fact(shape)).unwrap();
    let weights = model.add_const("weights", noise(weights, 1)).unwrap();
    let bias = model.add_const("bias", noise(bias, 2)).unwrap();
    let product = EinSum::new(axes.parse().unwrap(), DatumType::F32);
    let y = model.wire_node("product", product, &[x, weights]).unwrap()[0];
    let y = model.wire_node("sum", add(), &[y, bias]).unwrap()[0];
    let y = model.wire_node("silu", silu(), &[y]).unwrap();
    model.select_output_outlets(&y).unwrap();
    let plain = model.into_decluttered().unwrap();
    let mut fused = plain.clone();
    let found = take_over(&mut fused, Convolutions::Auto, &HashMap::new()).unwrap();
    if let Some(why) = found.iter().find_map(|found| found.left.clone()) {
        // Where the processor has no instructions for us.
        assert!(
            why.contains("ours would be") || why.contains("matrix unit"),
            "{axes}: {why}"
        );
        return;
    }
    let rows: isize = input[..input.len() - 1].iter().product();
    let kind = if (1..=2).contains(&rows) {
        "pointwise, SiLU"
    } else {
        "linear, SiLU"
    };
    assert_eq!(found[0].kind.as_deref(), Some(kind), "{axes} {input:?}");
    let ours = fused
        .nodes()
        .iter()
        .filter(|node| node.op_is::<FusedConv>());
    assert_eq!(
        (ours.count(), fused.eval_order().unwrap().len()),
        (1, 2),
        "{axes}\n{fused}"
    );
    let run = |model: TypedModel, rows: usize| {
        let sizes = input
            .iter()
            .map(|size| usize::try_from(*size).unwrap_or(rows));
        let x = noise(&sizes.collect::<Vec<_>>(), 3).into_tvalue();
        let plan = model.into_optimized().unwrap().into_runnable().unwrap();
        plan.run(tvec!(x)).unwrap().remove(0)
    };
    for rows in [0, 1, 2, 5, 40] {
        let (got, want) = (run(fused.clone(), rows), run(plain.clone(), rows));
        assert_eq!(got.shape(), want.shape());
        for (got, want) in elements(&got).iter().zip(elements(&want)) {
            assert!(
                (got - want).abs() <= 1e-3,
                "{axes} {input:?}: {got}, tract {want}"
            );
        }
        if !input.contains(&-1) {
            break;
        }
    }
}

#[test]
fn products_with_a_bias_and_an_activation() {
    // MatMul, and Gemm with transB.
    for (axes, weights) in [("mk,kn->mn", [19, 30]), ("mk,nk->mn", [30, 19])] {
        for rows in [-1, 1, 2, 3, 9] {
            check(axes, &[rows, 19], &weights, &[1, 30]);
            check(axes, &[rows, 19], &weights, &[1, 1]);
        }
    }
    for rows in [-1, 1, 7] {
        check("bmk,kn->bmn", &[2, rows, 19], &[19, 30], &[1, 1, 30]);
        check(
            "abmk,kn->abmn",
            &[rows, 2, 3, 19],
            &[19, 30],
            &[1, 1, 1, 30],
        );
    }
}

/// SwiGLU (arXiv:2002.05202): SiLU(x·V)·(x·W), whichever product comes first in the file.
#[test]
fn a_gated_unit_is_two_nodes() {
    for (rows, gate_first) in [(1, true), (3, false), (20, true), (20, false)] {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([rows, 19])).unwrap();
        let product = |model: &mut TypedModel, name: &str, seed: u32| {
            let weights = noise(&[19, 30], seed);
            let weights = model.add_const(format!("{name} weights"), weights).unwrap();
            let op = EinSum::new("mk,kn->mn".parse().unwrap(), DatumType::F32);
            model.wire_node(name, op, &[x, weights]).unwrap()[0]
        };
        let first = product(&mut model, "first", 1);
        let second = product(&mut model, "second", 2);
        let (gate, up) = if gate_first {
            (first, second)
        } else {
            (second, first)
        };
        let gate = model.wire_node("silu", silu(), &[gate]).unwrap()[0];
        let y = model.wire_node("gated", mul(), &[gate, up]).unwrap();
        model.select_output_outlets(&y).unwrap();
        let mut fused = model.clone();
        let found = take_over(&mut fused, Convolutions::Ours, &HashMap::new()).unwrap();
        let kinds: Vec<_> = found
            .iter()
            .filter_map(|found| found.kind.clone())
            .collect();
        let with_factor = kinds.iter().filter(|kind| kind.ends_with("factor")).count();
        assert_eq!((kinds.len(), with_factor), (2, 1), "{kinds:?}");
        let fused = fused.into_decluttered().unwrap();
        assert_eq!(fused.eval_order().unwrap().len(), 3, "{fused}");
        let run = |model: TypedModel| {
            let plan = model.into_optimized().unwrap().into_runnable().unwrap();
            let x = noise(&[rows, 19], 3).into_tvalue();
            plan.run(tvec!(x)).unwrap().remove(0)
        };
        let (got, want) = (run(fused), run(model));
        for (got, want) in elements(&got).iter().zip(elements(&want)) {
            let tolerance = 1e-5 * (1.0 + want.abs());
            assert!(
                (got - want).abs() <= tolerance * 10.0,
                "{got}, tract {want}"
            );
        }
    }
}
