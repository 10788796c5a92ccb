//! The fused model given the rows that the reference chose.
//!
//! Given both models' values around every TopK and NonMaxSuppression; promises the outputs that the fused model has where each keeps what
//! it keeps in the reference, in that order: what stands in rows that only one side kept can then be compared where it stands.

use onnx_swish_model::schema::{AttributeProto, NodeProto, TensorProto, attribute_proto};
use onnx_swish_model::{DataType, NodeId};
use onnx_swish_tract::Operators;

use super::origin::Ranking;
use super::values::Models;
use crate::engine::{EngineOptions, engine};
use crate::error::Result;
use crate::{Model, NamedTensors, Outputs};

/// What a ranking kept in the reference.
#[derive(Debug)]
pub(super) struct Choice {
    /// The value that says which rows.
    pub indices: String,
    pub shape: Vec<usize>,
    /// The rows.
    pub rows: Vec<usize>,
    /// Their scores, which a TopK gives before them.
    pub scores: Option<Vec<f64>>,
}

/// The fused model's outputs with these choices; `None` where one cannot be given, as a TopK of no float32 cannot.
pub(super) fn outputs(
    models: &Models<'_>,
    rankings: &[Ranking],
    choices: &[Choice],
    inputs: &NamedTensors,
) -> Result<Option<Outputs>> {
    if rankings.len() != choices.len() {
        return Ok(None);
    }
    let Some(fixed) = fixed(models.fused, choices)? else {
        return Ok(None);
    };
    let engine = engine(
        &fixed,
        &EngineOptions::of(models.options, Operators::OnnxSwish),
    )?;
    let inputs = inputs.iter().map(|(name, tensor)| (name, tensor));
    Ok(Some(engine.run(inputs)?))
}

/// The model with constants in the place of its rankings.
fn fixed(model: &Model, choices: &[Choice]) -> Result<Option<Model>> {
    let Some(main) = model.scopes().first() else {
        return Ok(None);
    };
    let mut edit = model.edit();
    for choice in choices {
        let mut nodes = main.nodes().iter().enumerate();
        let maker = nodes.find_map(|(index, node)| {
            let node = model.node_ref(node);
            let kind: &[u8] = match choice.scores {
                Some(_) => b"TopK",
                None => b"NonMaxSuppression",
            };
            let indices = node.outputs().nth(usize::from(choice.scores.is_some()));
            let own = indices == Some(choice.indices.as_bytes());
            (own && node.op_type() == kind).then_some((index, node))
        });
        let Some((index, node)) = maker else {
            return Ok(None);
        };
        let names: Vec<&[u8]> = node.outputs().collect();
        let constants = choice.constants(&names);
        let id = NodeId {
            scope: 0,
            node: u32::try_from(index).unwrap_or(u32::MAX),
        };
        edit.replace_node(id, &constants)?;
    }
    Ok(Some(edit.finish()?.into_model()?))
}

impl Choice {
    fn constants(&self, names: &[&[u8]]) -> Vec<NodeProto> {
        let dims: Vec<i64> = self.shape.iter().map(|&size| size as i64).collect();
        let rows = TensorProto {
            data_type: Some(DataType::Int64 as i32),
            int64_data: self.rows.iter().map(|&row| row as i64).collect(),
            ..TensorProto::default()
        };
        let scores = self.scores.as_ref().map(|scores| TensorProto {
            data_type: Some(DataType::Float as i32),
            float_data: scores.iter().map(|&score| score as f32).collect(),
            ..TensorProto::default()
        });
        let named = names.iter().zip(scores.into_iter().chain([rows]));
        let named = named.filter(|(name, _)| !name.is_empty());
        let constant = |(name, tensor): (&&[u8], TensorProto)| NodeProto {
            op_type: Some("Constant".into()),
            name: Some(name.to_vec().into()),
            output: vec![name.to_vec().into()],
            attribute: vec![AttributeProto {
                name: Some("value".into()),
                r#type: Some(attribute_proto::AttributeType::Tensor as i32),
                t: Some(TensorProto {
                    dims: dims.clone(),
                    ..tensor
                }),
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        };
        named.map(constant).collect()
    }
}
