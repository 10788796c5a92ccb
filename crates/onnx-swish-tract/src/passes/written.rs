//! Graphs for the tests of passes over 8-bit codes.
//!
//! Given operators one after the other; promises a node for each, under a name of its own.

use tract_core::internal::*;

use crate::ops::{Dequantize, Quantize};

pub(super) const U8: DatumType = DatumType::U8;
pub(super) const I8: DatumType = DatumType::I8;

/// A graph while it is written.
pub(super) struct Net(pub TypedModel);

impl Net {
    pub fn wire(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> OutletId {
        let name = format!("n{}", self.0.nodes().len());
        self.0.wire_node(name, op, inputs).unwrap()[0]
    }

    pub fn constant(&mut self, value: Tensor) -> OutletId {
        let name = format!("c{}", self.0.nodes().len());
        self.0.add_const(name, value).unwrap()
    }

    pub fn quantize(
        &mut self,
        x: OutletId,
        scale: f32,
        zero_point: i32,
        to: DatumType,
    ) -> OutletId {
        let op = Quantize {
            scale,
            zero_point,
            to,
        };
        self.wire(op.into_op(), &[x])
    }

    pub fn dequantize(&mut self, codes: OutletId, scale: f32, zero_point: i32) -> OutletId {
        let op = Dequantize {
            scale,
            zero_point,
            to: DatumType::F32,
        };
        self.wire(op.into_op(), &[codes])
    }
}
