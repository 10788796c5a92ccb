//! ConstantOfShape without a value, which is a float32 zero.
//!
//! At fault: tract-onnx, `ops/array/mod.rs`, `constant_of_shape`, whose default is a float64 zero: what is scattered over it or
//! added to it becomes float64 too.

use tract_hir::internal::*;
use tract_hir::ops::array::ConstantOfShape;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};

use super::{Built, builtin_op};

pub(super) fn constant_of_shape(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if node.get_attr_opt::<&TensorProto>("value")?.is_some() {
        return builtin_op(ctx, node, "tract::ConstantOfShape");
    }
    Ok((expand(ConstantOfShape::new(rctensor0(0f32))), vec![]))
}
