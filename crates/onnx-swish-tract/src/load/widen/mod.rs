//! Models of 16-bit floats, computed in float32.
//!
//! Given a decoded model; promises the same model with float32 in place of float16 and bfloat16 everywhere: constants, inputs,
//! outputs, attributes, nested graphs. Where the model itself casts to 16 bits, the value is still rounded to them.
//!
//! tract 0.23.9 accumulates float16 in float16: in `tract-core/src/ops/nn/reduce.rs` (`sum_t`, behind ReduceMean and
//! GlobalAveragePool) sums overflow from 65,520 on, its matrix kernels for f16 (`tract-linalg`) lose three digits, and its Gemm
//! mixes f16 with f32 constants and does not load. Of bfloat16 it knows nothing (`tract-onnx/src/tensor.rs`, `DataType` to
//! `DatumType`). ONNX Runtime's CPU provider computes both in float32 as well, and rounds where a Cast of the model says so.

mod external;
mod quantisers;
mod tensors;

use std::collections::HashMap;
use std::path::Path;

pub(super) use quantisers::HALF_BY_CODES;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto,
};

use super::graphs::{plain_domain, try_for_each_graph};
use crate::error::Result;
use crate::tensor::ElementType;

/// A float of 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Float16,
    Bfloat16,
}

/// The operators that a Cast to 16 bits becomes. Files with names like these are refused.
pub(super) const ROUNDINGS: [(&str, Half); 2] = [
    ("widened::Float16", Half::Float16),
    ("widened::Bfloat16", Half::Bfloat16),
];

/// The attributes that name an element type, in whichever operator of ONNX's they appear.
const TYPES: [&str; 6] = [
    "dtype",
    "output_dtype",
    "output_datatype",
    "precision",
    "softmax_precision",
    "stash_type",
];

/// Which 16-bit floats are computed in float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Widening {
    /// Both.
    All,
    /// Only the one that tract has no arithmetic for.
    Bfloat16,
}

impl Widening {
    /// Which 16-bit float this code of ONNX's stands for, if it is to be widened.
    fn half(self, code: i32) -> Option<Half> {
        match DataType::try_from(code) {
            Ok(DataType::Bfloat16) => Some(Half::Bfloat16),
            Ok(DataType::Float16) if self == Widening::All => Some(Half::Float16),
            _ => None,
        }
    }

    /// The type in which values that the file declares as `declared` are computed.
    pub(crate) fn computed(self, declared: ElementType) -> ElementType {
        match declared {
            ElementType::BF16 => ElementType::F32,
            ElementType::F16 if self == Widening::All => ElementType::F32,
            other => other,
        }
    }

    /// Widens a model; `base_dir` is where its external data lies.
    pub(super) fn apply(self, model: &mut ModelProto, base_dir: Option<&Path>) -> Result<()> {
        // Graphs see the scales of those around them, which come first.
        let mut scales = HashMap::new();
        try_for_each_graph(model, |graph| {
            let halves = self.known_halves(graph);
            scales.extend(halves.clone());
            for tensor in &mut graph.initializer {
                if let Some(half) = self.half(tensor.data_type) {
                    tensors::widen(tensor, half, base_dir)?;
                }
            }
            quantisers::note(graph, &scales);
            let values = graph.input.iter_mut().chain(&mut graph.output);
            for value in values.chain(&mut graph.value_info) {
                self.widen_type(value);
            }
            for node in &mut graph.node {
                self.widen_cast(node, &halves);
                for attribute in &mut node.attribute {
                    self.widen_attribute(attribute, base_dir)?;
                }
            }
            Ok(())
        })
    }

    /// The values that are of 16 bits without any inference: what a CastLike may be given as its example.
    fn known_halves(self, graph: &GraphProto) -> HashMap<String, Half> {
        let initializers = graph.initializer.iter();
        let initializers = initializers.map(|tensor| (&tensor.name, tensor.data_type));
        let values = graph.input.iter().chain(&graph.value_info);
        let values = values.filter_map(|value| Some((&value.name, element_type(value)?)));
        let casts = graph.node.iter().filter(|node| node.op_type == "Cast");
        let casts = casts.filter_map(|node| {
            let to = node.attribute.iter().find(|it| it.name == "to")?;
            Some((node.output.first()?, i32::try_from(to.i).ok()?))
        });
        let constants = graph.node.iter().filter(|node| node.op_type == "Constant");
        let constants = constants.filter_map(|node| {
            let tensor = node.attribute.iter().find_map(|it| it.t.as_ref())?;
            Some((node.output.first()?, tensor.data_type))
        });
        let all = initializers.chain(values).chain(casts).chain(constants);
        all.filter_map(|(name, code)| Some((name.clone(), self.half(code)?)))
            .collect()
    }

    fn widen_type(self, value: &mut ValueInfoProto) {
        let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
        if let Some(type_proto::Value::TensorType(tensor)) = kind
            && self.half(tensor.elem_type).is_some()
        {
            tensor.elem_type = DataType::Float.into();
        }
    }

    /// A Cast to 16 bits becomes the rounding to them. Whether the value is on their grid already is not asked: then rounding does
    /// nothing.
    fn widen_cast(self, node: &mut NodeProto, halves: &HashMap<String, Half>) {
        if !plain_domain(&node.domain).is_empty() {
            return;
        }
        let half = match node.op_type.as_str() {
            "Cast" => {
                let to = node.attribute.iter().find(|it| it.name == "to");
                to.and_then(|to| self.half(i32::try_from(to.i).ok()?))
            }
            "CastLike" => node.input.get(1).and_then(|like| halves.get(like)).copied(),
            _ => None,
        };
        let rounding = half.and_then(|half| ROUNDINGS.into_iter().find(|(_, it)| *it == half));
        if let Some((name, _)) = rounding {
            node.op_type = name.to_owned();
            node.input.truncate(1);
            node.attribute.clear();
        }
    }

    fn widen_attribute(
        self,
        attribute: &mut AttributeProto,
        base_dir: Option<&Path>,
    ) -> Result<()> {
        let is_half = i32::try_from(attribute.i).is_ok_and(|code| self.half(code).is_some());
        if TYPES.contains(&attribute.name.as_str()) && is_half {
            attribute.i = i32::from(DataType::Float).into();
        }
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
            if let Some(half) = self.half(tensor.data_type) {
                tensors::widen(tensor, half, base_dir)?;
            }
        }
        Ok(())
    }
}

fn element_type(value: &ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor.elem_type),
    }
}

#[cfg(test)]
mod tests;
