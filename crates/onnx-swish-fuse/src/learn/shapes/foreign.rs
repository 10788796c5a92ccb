//! Shapes of operators outside of ONNX that exporters and ONNX Runtime's tools write, and of rare ones inside.
//! Given: a node of another domain, or one that recognition has no name for.
//! Promises: true statements or none.

use super::Infer;
use crate::graph::Attribute;
use crate::shapes::{Dim, ShapeId};

/// Operators whose output has the shape of their first input.
const SAME: &[&[u8]] = &[
    b"Acos",
    b"Acosh",
    b"Asin",
    b"Asinh",
    b"Atan",
    b"Atanh",
    b"Bernoulli",
    b"BitCast",
    b"BitShift",
    b"BitwiseNot",
    b"Cosh",
    b"CumProd",
    b"EyeLike",
    b"RandomNormalLike",
    b"RandomUniformLike",
    b"ReverseSequence",
    b"Scatter",
    b"Shrink",
    b"SimplifiedLayerNormalization",
    b"Sinh",
    b"TensorScatter",
];

/// The same, of ONNX Runtime's.
const SAME_CONTRIBUTED: &[&[u8]] = &[
    b"BiasAdd",
    b"BiasGelu",
    b"FastGelu",
    b"Gelu",
    b"GroupNorm",
    b"Inverse",
    b"QLinearLeakyRelu",
    b"QLinearSoftmax",
    b"RotaryEmbedding",
    b"ScaledSiLU",
    b"SkipLayerNormalization",
    b"SkipSimplifiedLayerNormalization",
];

/// The same, of the machine learning domain.
const SAME_ML: &[&[u8]] = &[b"Binarizer", b"Imputer", b"Normalizer", b"Scaler"];

impl Infer<'_, '_> {
    pub(super) fn foreign(&mut self) -> Option<ShapeId> {
        let node = self.graph.node(self.node)?;
        match (node.domain(), node.op_type()) {
            (b"" | b"ai.onnx", op) if SAME.contains(&op) => self.of(0),
            (b"ai.onnx.ml", op) if SAME_ML.contains(&op) => self.of(0),
            (b"" | b"ai.onnx", b"MaxUnpool") => {
                let dims = self.dims(0)?;
                self.spatial_unknown(&dims, 2)
            }
            (b"" | b"ai.onnx", b"RoiAlign" | b"MaxRoiPool" | b"DeformConv") => self.of_rank(4),
            (b"" | b"ai.onnx", b"NonZero") => self.of_rank(2),
            (b"" | b"ai.onnx", b"Compress" | b"Unique") => self.picked(),
            (b"" | b"ai.onnx", b"Attention") => self.attention(),
            (b"com.microsoft", op) => self.contributed(op),
            // Convolution in blocks of channels: ONNX Runtime's own layout, of images only.
            (b"com.microsoft.nchwc", _) => self.of_rank(4),
            _ => None,
        }
    }

    /// Whether the fourth output is the sum of the first two inputs.
    pub(super) fn is_skip_normalization(&self) -> bool {
        let node = self.graph.node(self.node);
        node.is_some_and(|node| {
            node.domain() == b"com.microsoft"
                && matches!(
                    node.op_type(),
                    b"SkipLayerNormalization" | b"SkipSimplifiedLayerNormalization"
                )
        })
    }

    fn contributed(&mut self, op: &[u8]) -> Option<ShapeId> {
        match op {
            b"FusedConv" => self.conv(1),
            b"FusedGemm" => self.gemm(),
            b"FusedMatMul" | b"TransposeMatMul" => {
                let flags = [
                    b"transA" as &[u8],
                    b"transB",
                    b"transBatchA",
                    b"transBatchB",
                ];
                let plain = flags.iter().all(|name| self.int(name, 0) == Some(0));
                if plain { self.matmul(1) } else { None }
            }
            b"MatMulIntegerToFloat" | b"DynamicQuantizeMatMul" => self.matmul(1),
            b"MatMulNBits" | b"MatMulBnb4" => self.packed_matmul(),
            b"Attention" | b"MultiHeadAttention" | b"GroupQueryAttention" => self.attention(),
            _ if SAME_CONTRIBUTED.contains(&op) => self.of(0),
            _ => None,
        }
    }

    /// Some elements of all, or some slices along an axis.
    fn picked(&mut self) -> Option<ShapeId> {
        if self.graph.int(self.node, b"axis") == Attribute::Absent {
            return self.of_rank(1);
        }
        let dims = self.dims(0)?;
        self.spatial_unknown(&dims, 0)
    }

    /// As the queries, but for the last dimension, which is the values'.
    fn attention(&mut self) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        *dims.last_mut()? = self.facts.shapes.fresh();
        self.ranked(&dims)
    }

    /// A product with weights in a few bits, whose shape stands in attributes.
    fn packed_matmul(&mut self) -> Option<ShapeId> {
        let last = Dim::Known(self.int(b"N", 0).filter(|&n| n > 0)?);
        match self.dims(0) {
            Some(mut dims) => {
                *dims.last_mut()? = last;
                self.ranked(&dims)
            }
            None => Some(self.facts.shapes.ending(&[last])),
        }
    }
}
