//! RandomNormalLike and RandomUniformLike.
//!
//! At fault: tract-onnx, `ops/random.rs`, `random`, which looks for `Like` at the end of the node's name instead of its operator's.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, builtin_op};

pub(super) fn random(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let like = node.op_type.ends_with("Like");
    let renamed = NodeProto {
        name: if like { "Like" } else { "" }.to_owned(),
        ..node.clone()
    };
    builtin_op(ctx, &renamed, &format!("tract::{}", node.op_type))
}
