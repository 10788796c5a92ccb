//! Graphs of products that share values, in which what one fusion takes away decides about another: fusing twice is fusing once
//! (`common::fuse` checks that), and the numbers stay. Random graphs found them (`property.rs`).

mod common;

use common::{Net, check};
use onnx_swish_fuse::Emit;

/// Fuses a body of 32-bit floats; what was found in it.
fn counts(body: &str) -> String {
    let net = Net::new(&format!("v0 = Identity(x); {body}"));
    check(&net, Emit::Custom).counts()
}

/// The larger reading of v2 takes an Identity that v3 reads, the smaller one a Sigmoid that only another activation reads.
#[test]
fn where_one_reading_cannot_stand_another_one_may() {
    let body = "v1 = Sigmoid(v0); v2 = Mul(v1, v0); v3 = Sigmoid(v0); v4 = Sigmoid(v1); v5 = Sigmoid(v2); \
                v7 = Mul(v4, v3); y = Identity(v5)";
    assert_eq!(counts(body), "silu 2");
}

/// x·σ(x) twice, and σ of the one times the other, which stands in brackets of another kind.
#[test]
fn two_fused_activations_of_one_value_are_no_gate_and_its_partner() {
    let body = "v1 = Sigmoid(v0); v2 = Mul(v0, v1); v3 = Sigmoid(v2); v4 = Mul(v3, v0); v5 = Mul(v4, v1); \
                v6 = Sigmoid(v0); y = Mul(v0, v5)";
    counts(body);
}

/// x²·σ(x), where x² stands there twice.
#[test]
fn a_product_is_taken_apart_by_its_own_readers() {
    let body = "v1 = Mul(v0, v0); v2 = Mul(v0, v0); v3 = Sigmoid(v0); v4 = Mul(v2, v3); v5 = Sigmoid(v1); \
                v6 = Mul(v5, v1); y = Add(v4, v6)";
    assert_eq!(counts(body), "silu 2");
}

/// The same, where the other square is what the first reads.
#[test]
fn a_product_is_taken_apart_when_its_other_reader_goes() {
    let body = "v1 = Mul(v0, v0); v2 = Mul(v0, v0); v3 = Sigmoid(v0); v5 = Sigmoid(v2); v6 = Mul(v2, v3); \
                v7 = Mul(v1, v5); y = Add(v6, v7)";
    assert_eq!(counts(body), "silu 2");
}

/// 6·HardSwish(x), whose factor is written behind it, and the same of that.
#[test]
fn a_factor_that_stayed_is_not_moved_on() {
    let body =
        "v1 = Clip(v0, zero, six); v2 = Mul(v1, v0); v3 = Clip(v2, zero, six); y = Mul(v2, v3)";
    assert_eq!(counts(body), "hard_swish 1");
}
