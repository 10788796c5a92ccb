//! Nets from one 8-bit code to another.
//! Given: what stands between DequantizeLinear and QuantizeLinear.
//! Promises: the one region that is found, or the one reason why there is none; nothing else in the report.

use super::{Fused, Net, fuse};
use onnx_swish_fuse::{Emit, QuantisedEntry};

/// Scales and zero points: `x` for x, `g` for a gate from 0 to 1, `y` for a result, in uint8.
pub const PARAMETERS: &str = "float sx = 0.05; uint8 zx = 128; float sg = 0.00390625; uint8 zg = 0; float sy = 0.03; uint8 zy = 10";

pub const SILU: &str =
    "s = Sigmoid(d); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(d, g)";

/// `code -> body -> code`, where the body makes `m` of `d`.
pub fn region(body: &str) -> Net {
    Net::new(&format!(
        "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); {body}; r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)"
    ))
    .and(PARAMETERS)
}

/// `to = DequantizeLinear(QuantizeLinear(from))`, with scale `s` and zero point `z`.
pub fn pair(from: &str, to: &str, s: &str, z: &str) -> String {
    format!("{to}q = QuantizeLinear({from}, {s}, {z}); {to} = DequantizeLinear({to}q, {s}, {z})")
}

/// The message of the one near miss.
#[track_caller]
pub fn message(net: &Net) -> String {
    let report = inspected(net).report;
    let [miss] = &report.near_misses[..] else {
        panic!("{:?}", report.near_misses);
    };
    miss.message.clone()
}

pub fn inspected(net: &Net) -> Fused {
    fuse(&net.model(), Emit::Custom)
}

/// One region and nothing else.
#[track_caller]
pub fn table(net: &Net) -> QuantisedEntry {
    let fused = inspected(net);
    assert_eq!(fused.counts(), "");
    assert_eq!(fused.reasons(), [""; 0], "{:?}", fused.report.near_misses);
    assert!(fused.report.already_fused.is_empty());
    let [region] = &fused.report.quantised[..] else {
        panic!("{:?}", fused.report.quantised);
    };
    region.clone()
}

/// No region, and this reason.
#[track_caller]
pub fn no_table(net: &Net, reason: &str) {
    let fused = inspected(net);
    assert!(
        fused.report.quantised.is_empty(),
        "{:?}",
        fused.report.quantised
    );
    assert_eq!(fused.reasons(), [reason], "{:?}", fused.report.near_misses);
    assert_eq!(fused.counts(), "");
}
