//! Which products and quotients are kept from tract, and which stay tract's.
//!
//! Given small graphs as a file has them; promises that an operator is kept where a rounding or a constant asks for it, and nowhere else.

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::cast;
use tract_core::ops::math;
use tract_core::ops::nn::{Reduce, Reducer};

use super::changed;
use crate::conv::Convolutions;
use crate::load::{Operators, finished};
use crate::passes::archived;
use crate::passes::written::Net;

/// Writes a graph of one input.
fn graph(write: impl FnOnce(&mut Net, OutletId) -> OutletId) -> TypedModel {
    let mut net = Net(TypedModel::default());
    let x = net.0.add_source("x", f32::fact([4, 8])).unwrap();
    let y = write(&mut net, x);
    net.0.select_output_outlets(&[y]).unwrap();
    net.0
}

/// Which nodes of such a graph are kept, by operator.
fn kept(write: impl FnOnce(&mut Net, OutletId) -> OutletId) -> Vec<String> {
    kept_in(&graph(write))
}

fn kept_in(model: &TypedModel) -> Vec<String> {
    let ids = changed(model).unwrap();
    ids.into_iter()
        .map(|id| model.node(id).op.name().to_string())
        .collect()
}

impl Net {
    fn with(&mut self, op: TypedBinOp, x: OutletId, c: f32) -> OutletId {
        let c = self.constant(tensor2(&[[c]]));
        self.wire(op, &[x, c])
    }
}

#[test]
fn what_is_rounded_is_divided() {
    let roundings: [fn(&mut Net, OutletId) -> OutletId; 5] = [
        |net, x| net.wire(math::floor(), &[x]),
        |net, x| net.wire(math::ceil(), &[x]),
        |net, x| net.wire(math::round_half_to_even(), &[x]),
        |net, x| net.wire(cast(i64::datum_type()), &[x]),
        |net, x| net.with(math::rem(), x, 1.0),
    ];
    for round in roundings {
        let kept = kept(|net, x| {
            let x = net.with(math::div(), x, 61.0);
            let x = net.wire(AxisOp::Move(0, 1), &[x]);
            let x = net.with(math::add(), x, 0.5);
            round(net, x)
        });
        assert_eq!(kept, ["Div"]);
    }
}

#[test]
fn an_archive_divides_too() {
    let written = graph(|net, x| {
        let x = net.with(math::div(), x, 61.0);
        net.wire(math::floor(), &[x])
    });
    let mut archive = finished(written, Operators::OnnxSwish, Convolutions::Auto).unwrap();
    archived(&mut archive).unwrap();
    assert_eq!(kept_in(&archive), ["Div"]);
}

#[test]
fn factors_in_front_of_a_rounding_stay_two() {
    let kept = kept(|net, x| {
        let x = net.with(math::mul(), x, 0.1);
        let x = net.with(math::mul(), x, 10.0);
        net.wire(math::floor(), &[x])
    });
    assert_eq!(kept, ["Mul"]);
}

#[test]
fn quotients_that_nobody_rounds_are_left() {
    let silu = kept(|net, x| {
        let minus = net.wire(math::neg(), &[x]);
        let e = net.wire(math::exp(), &[minus]);
        let e = net.with(math::add(), e, 1.0);
        net.wire(math::div(), &[x, e])
    });
    let softmax = kept(|net, x| {
        let e = net.wire(math::exp(), &[x]);
        let sum = net.wire(Reduce::new(tvec!(1), Reducer::Sum), &[e]);
        net.wire(math::div(), &[e, sum])
    });
    let scaled = kept(|net, x| {
        let x = net.with(math::mul(), x, 3.0);
        let x = net.with(math::div(), x, 8.0);
        // Somebody rounds what becomes of it by another way than arithmetic.
        let e = net.wire(math::exp(), &[x]);
        net.wire(math::floor(), &[e])
    });
    assert_eq!(
        [silu, softmax, scaled],
        [vec![], vec![], Vec::<String>::new()]
    );
}

#[test]
fn factors_stay_two_where_one_would_be_no_normal_number() {
    let chain = |factors: &[(bool, f32)]| {
        kept(|net, x| {
            factors.iter().fold(x, |x, (divides, c)| {
                let op = if *divides { math::div() } else { math::mul() };
                let x = net.with(op, x, *c);
                net.wire(AxisOp::Move(0, 1), &[x])
            })
        })
    };
    let nothing: Vec<String> = vec![];
    assert_eq!(chain(&[(false, f32::MIN), (false, 2.0)]), ["Mul"]);
    assert_eq!(chain(&[(false, f32::MIN), (false, 1.0)]), nothing);
    assert_eq!(chain(&[(false, f32::MIN)]), nothing);
    assert_eq!(chain(&[(false, 1e-30), (true, 1e30)]), ["Div"]);
    assert_eq!(
        chain(&[(false, 1e20), (false, 1e15), (false, 1e10)]),
        ["Mul"]
    );
    assert_eq!(
        chain(&[(false, 1e20), (false, 1e-15), (true, 1e-30)]),
        nothing
    );
    assert_eq!(chain(&[(false, 0.0), (false, 3.0)]), nothing);
    // A divisor becomes its reciprocal.
    assert_eq!(chain(&[(true, 1e-39)]), ["Div"]);
    assert_eq!(chain(&[(true, f32::MAX)]), ["Div"]);
    assert_eq!(chain(&[(true, 6.0)]), nothing);
}
