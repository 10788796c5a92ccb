//! A model cut into layers.
//!
//! Given values of its main graph and their types and shapes; promises the same model with each of them as an input, and what the model
//! itself computes in its place as an output of another name: in one run every layer starts from what is given.

use std::collections::HashMap;

use onnx_swish_model::schema::tensor_shape_proto::{Dimension, dimension::Value};
use onnx_swish_model::schema::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use onnx_swish_model::{DataType, NodeId};

use crate::error::Result;
use crate::{ElementType, Model, NamedTensors, Tensor};

/// The name of what a cut model computes in a value's place.
pub(super) fn computed(name: &str) -> String {
    format!("{name} (computed)")
}

/// The model cut at these values of its main graph.
pub(super) fn cut(model: &Model, values: &NamedTensors) -> Result<Model> {
    let mut edit = model.edit();
    let wanted: HashMap<&[u8], &Tensor> = values
        .iter()
        .map(|(name, tensor)| (name.as_bytes(), tensor))
        .collect();
    let nodes = model.scopes().first().map(|main| main.nodes());
    for (index, node) in nodes.unwrap_or_default().iter().enumerate() {
        let node = model.node_ref(node);
        if !node.outputs().any(|output| wanted.contains_key(output)) {
            continue;
        }
        let mut renamed = node.decode()?;
        for output in &mut renamed.output {
            let Some(tensor) = wanted.get(output.as_ref()) else {
                continue;
            };
            edit.add_graph_input(0, &declared(output, tensor))?;
            *output = computed(&String::from_utf8_lossy(output)).into();
            // Exporters call a node as they call its output, and there is an input of that name now.
            renamed.name = Some(output.clone());
            let without_type = ValueInfoProto {
                name: Some(output.clone()),
                ..ValueInfoProto::default()
            };
            edit.add_graph_output(0, &without_type)?;
        }
        let id = NodeId {
            scope: 0,
            node: u32::try_from(index).unwrap_or(u32::MAX),
        };
        edit.replace_node(id, &[renamed])?;
    }
    Ok(edit.finish()?.into_model()?)
}

fn declared(name: &[u8], tensor: &Tensor) -> ValueInfoProto {
    let sizes = tensor.shape().iter();
    let dim = sizes.map(|&size| Dimension {
        value: Some(Value::DimValue(size as i64)),
        ..Dimension::default()
    });
    let tensor_type = type_proto::Tensor {
        elem_type: Some(data_type(tensor.element_type()) as i32),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_vec().into()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor_type)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn data_type(element_type: ElementType) -> DataType {
    match element_type {
        ElementType::U8 => DataType::Uint8,
        ElementType::I8 => DataType::Int8,
        ElementType::U16 => DataType::Uint16,
        ElementType::I16 => DataType::Int16,
        ElementType::F16 => DataType::Float16,
        ElementType::BF16 => DataType::Bfloat16,
        ElementType::F64 => DataType::Double,
        // What is quantised is a float, and what it gives are codes; anything else is refused where it is read.
        _ => DataType::Float,
    }
}
