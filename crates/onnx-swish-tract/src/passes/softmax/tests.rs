//! Our softmax against tract's own.
//!
//! Given graphs of one softmax; promises the same numbers to rounding wherever ours takes over, and that the rest is left alone.

use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::nn::{Softmax, SoftmaxKind};
use tract_linalg::multithread::{Executor, multithread_tract_scope};

use super::{join_products, take_over};
use crate::conv::Convolutions;
use crate::ops;
use crate::passes::products;

fn noise(shape: &[usize]) -> Tensor {
    let mut state = 7u32;
    let x = tract_ndarray::ArrayD::from_shape_fn(shape, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 6.0
    });
    x.into_tensor()
}

fn of(fact: TypedFact, axes: &[usize], kind: SoftmaxKind) -> TypedModel {
    let mut model = TypedModel::default();
    let x = model.add_source("x", fact).unwrap();
    let op = Softmax::new(TVec::from_slice(axes), None, kind);
    let y = model.wire_node("softmax", op, &[x]).unwrap();
    model.select_output_outlets(&y).unwrap();
    model
}

fn is_ours(model: &TypedModel) -> bool {
    model
        .nodes()
        .iter()
        .any(|node| node.op_is::<ops::Softmax>())
}

fn run(model: TypedModel, x: &Tensor) -> Tensor {
    let plan = model.into_optimized().unwrap().into_runnable().unwrap();
    let mut outputs = plan.run(tvec!(x.clone().into_tvalue())).unwrap();
    outputs.remove(0).into_tensor()
}

fn elements(tensor: &Tensor) -> Vec<f32> {
    let plain = tensor.try_as_plain_ram().unwrap();
    plain.as_slice::<f32>().unwrap().to_vec()
}

fn assert_close(got: &Tensor, want: &Tensor, what: &str) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    for (i, (got, want)) in elements(got).iter().zip(elements(want)).enumerate() {
        // tract's exponential is a few 1e-7 off.
        let near = (got - want).abs() <= 3e-6 * want + 1e-9;
        assert!(near, "{what}, element {i}: {got:e}, tract {want:e}");
    }
}

#[test]
fn every_axis_and_run_of_axes_is_as_tract_has_it() {
    for shape in [
        &[7usize][..],
        &[1, 16, 4, 210],
        &[3, 5, 1],
        &[2, 1, 9],
        &[2, 3, 4, 5, 6],
        &[1, 2, 40, 40],
    ] {
        for first in 0..shape.len() {
            for last in first..shape.len() {
                let axes: Vec<usize> = (first..=last).rev().collect();
                let x = noise(shape);
                let mut model = of(f32::fact(shape), &axes, SoftmaxKind::Softmax);
                let want = run(model.clone(), &x);
                take_over(&mut model).unwrap();
                assert!(is_ours(&model));
                assert_close(&run(model, &x), &want, &format!("{shape:?} {axes:?}"));
            }
        }
    }
}

#[test]
fn what_is_not_plain_softmax_of_f32_stays_with_tract() {
    let shape = [2usize, 3, 4];
    let cases = [
        of(f32::fact(shape), &[0, 2], SoftmaxKind::Softmax),
        of(f32::fact(shape), &[1], SoftmaxKind::LogSoftmax),
        of(f16::fact(shape), &[1], SoftmaxKind::Softmax),
        of(f64::fact(shape), &[1], SoftmaxKind::Softmax),
    ];
    for mut model in cases {
        take_over(&mut model).unwrap();
        assert!(!is_ours(&model), "{model}");
    }
    let quantised = DatumType::QU8(QParams::ZpScale {
        zero_point: 0,
        scale: 0.01,
    });
    let mut model = TypedModel::default();
    let x = model.add_source("x", quantised.fact(shape)).unwrap();
    let op = Softmax::new(tvec!(1), Some(quantised), SoftmaxKind::Softmax);
    let y = model.wire_node("softmax", op, &[x]).unwrap();
    model.select_output_outlets(&y).unwrap();
    take_over(&mut model).unwrap();
    assert!(!is_ours(&model));
}

#[test]
fn dimensions_may_be_symbols() {
    // Batch, the axis itself and what lies behind it.
    for free in 0..3 {
        let mut model = TypedModel::default();
        let size = model.symbols.sym("size");
        let mut shape: TVec<TDim> = tvec!(2.to_dim(), 16.to_dim(), 33.to_dim());
        shape[free] = size.to_dim();
        let x = model.add_source("x", f32::fact(&shape)).unwrap();
        let op = Softmax::new(tvec!(1), None, SoftmaxKind::Softmax);
        let y = model.wire_node("softmax", op, &[x]).unwrap();
        model.select_output_outlets(&y).unwrap();
        let stock = model.clone();
        take_over(&mut model).unwrap();
        assert!(is_ours(&model));
        for size in [1, 5, 70] {
            let mut shape = [2, 16, 33];
            shape[free] = size;
            let x = noise(&shape);
            assert_close(
                &run(model.clone(), &x),
                &run(stock.clone(), &x),
                &format!("{shape:?}"),
            );
        }
    }
}

#[test]
fn an_input_with_other_readers_is_left_alone() {
    let mut model = of(f32::fact([4usize, 9]), &[0], SoftmaxKind::Softmax);
    let outputs = [OutletId::new(0, 0), model.output_outlets().unwrap()[0]];
    model.select_output_outlets(&outputs).unwrap();
    take_over(&mut model).unwrap();
    let x = noise(&[4, 9]);
    assert_eq!(run(model, &x), x);
}

#[test]
fn axes_move_through_it_and_do_not_tear_it_apart() {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([2usize, 3, 5])).unwrap();
    let moved = model.wire_node("there", AxisOp::Move(1, 2), &[x]).unwrap();
    let op = ops::Softmax::over(&[2]).unwrap();
    let y = model.wire_node("softmax", op, &moved).unwrap();
    let back = model.wire_node("back", AxisOp::Move(2, 1), &y).unwrap();
    model.select_output_outlets(&back).unwrap();
    let x = noise(&[2, 3, 5]);
    let want = run(
        of(f32::fact([2usize, 3, 5]), &[1], SoftmaxKind::Softmax),
        &x,
    );
    let model = model.into_decluttered().unwrap();
    assert!(
        !model.nodes().iter().any(|node| node.op_is::<AxisOp>()),
        "{model}"
    );
    assert_close(&run(model, &x), &want, "moved");

    // Over the last two axes, one of which the transposition takes to the front: it has to stay.
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([2usize, 3, 5])).unwrap();
    let moved = model.wire_node("there", AxisOp::Move(0, 1), &[x]).unwrap();
    let op = ops::Softmax::over(&[1, 2]).unwrap();
    let y = model.wire_node("softmax", op, &moved).unwrap();
    let back = model.wire_node("back", AxisOp::Move(1, 0), &y).unwrap();
    model.select_output_outlets(&back).unwrap();
    let x = noise(&[2, 3, 5]);
    let want = run(
        of(f32::fact([2usize, 3, 5]), &[0, 2], SoftmaxKind::Softmax),
        &x,
    );
    assert_close(&run(model.into_decluttered().unwrap(), &x), &want, "apart");
}

#[test]
fn threads_change_no_bit() {
    // Many sums, few large blocks, one block with a ragged end; all worth a pool.
    for (shape, axis) in [
        ([1usize, 900, 83], 2),
        ([40, 16, 100], 1),
        ([1, 16, 9001], 1),
        ([3, 7, 6000], 1),
    ] {
        let mut model = of(f32::fact(shape), &[axis], SoftmaxKind::Softmax);
        take_over(&mut model).unwrap();
        let x = noise(&shape);
        let alone = run(model.clone(), &x);
        for threads in [2, 3] {
            let executor = Executor::multithread(threads);
            let together = multithread_tract_scope(executor, || run(model.clone(), &x));
            assert_eq!(alone, together, "{shape:?} on tract's threads");
            let pool = Arc::new(onnx_swish_threads::Pool::new(threads).unwrap());
            let together = crate::workers::with_pool(Some(pool), || run(model.clone(), &x));
            assert_eq!(alone, together, "{shape:?} on ours");
        }
    }
}

/// A product of ours in these axes, and a softmax of it.
fn of_product(axes: &str, [left, right]: [&[usize]; 2], over: usize) -> TypedModel {
    let mut model = TypedModel::default();
    let a = model.add_source("a", f32::fact(left)).unwrap();
    let b = model.add_source("b", f32::fact(right)).unwrap();
    let op = EinSum::new(axes.parse().unwrap(), DatumType::F32);
    let scores = model.wire_node("scores", op, &[a, b]).unwrap();
    let op = Softmax::new(tvec!(over), None, SoftmaxKind::default());
    let y = model.wire_node("softmax", op, &scores).unwrap();
    model.select_output_outlets(&y).unwrap();
    products::take_over(&mut model, Convolutions::Ours).unwrap();
    take_over(&mut model).unwrap();
    model
}

fn products_with_softmax(model: &TypedModel) -> usize {
    let nodes = model.nodes().iter();
    let joined = nodes.filter(|node| node.op.name() == "BatchedMatMulSoftmax");
    joined.count()
}

#[test]
fn behind_a_product_it_is_one_node_with_the_same_bits() {
    let cases: [(&str, [&[usize]; 2]); 5] = [
        ("bhmk,bhnk->bhmn", [&[2, 3, 37, 20], &[2, 3, 41, 20]]),
        // Heads behind the tokens.
        ("bmhk,bnhk->bhmn", [&[1, 64, 4, 16], &[1, 64, 4, 16]]),
        // The rows of the second operand are the columns, and rows that do not lie side by side.
        ("mk,kn->nm", [&[50, 7], &[7, 9]]),
        ("bmk,bkn->mbn", [&[3, 5, 7], &[3, 7, 70]]),
        ("mk,kn->mn", [&[1, 9], &[9, 1]]),
    ];
    for (axes, shapes) in cases {
        let rank = axes.rsplit('>').next().unwrap().len();
        let apart = of_product(axes, shapes, rank - 1);
        let mut joined = apart.clone();
        join_products(&mut joined).unwrap();
        assert_eq!(products_with_softmax(&joined), 1, "{axes}\n{joined}");
        let run = |model: TypedModel| {
            let plan = model.into_optimized().unwrap().into_runnable().unwrap();
            let inputs = shapes.map(|shape| noise(shape).into_tvalue());
            elements(&plan.run(TVec::from_iter(inputs)).unwrap()[0])
        };
        assert_eq!(run(joined), run(apart), "{axes}");
    }
}

#[test]
fn it_stays_apart_where_others_read_the_product_or_rows_are_cut() {
    let shapes: [&[usize]; 2] = [&[2, 5, 7], &[2, 7, 9]];
    let mut over_rows = of_product("bmk,bkn->bmn", shapes, 1);
    join_products(&mut over_rows).unwrap();
    assert_eq!(products_with_softmax(&over_rows), 0);
    let mut read = of_product("bmk,bkn->bmn", shapes, 2);
    let scores = read.node_by_name("scores").unwrap().id;
    let outputs = [read.output_outlets().unwrap()[0], scores.into()];
    read.select_output_outlets(&outputs).unwrap();
    join_products(&mut read).unwrap();
    assert_eq!(products_with_softmax(&read), 0);
    // Columns that are two axes of the output: a softmax over one of them is not one of rows.
    let mut two_axes = of_product("mk,kcn->mcn", [&[5, 7], &[7, 2, 9]], 2);
    join_products(&mut two_axes).unwrap();
    assert_eq!(products_with_softmax(&two_axes), 0);
}
