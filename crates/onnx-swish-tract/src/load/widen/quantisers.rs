//! Quantisers whose floats are float16, in a model that is computed in float32.
//!
//! Given a graph before it is widened; promises a note on each quantiser whose floats ONNX Runtime's CPU provider has in float16.
//!
//! What stands between quantisers it computes in float32, and divides by the scale in float32, too. What QuantizeLinear takes is rounded to
//! float16 before, always. What DequantizeLinear gives is rounded only where the codes are an input of the graph or the floats an output of
//! it, or where something moves them: else the node runs with float32, being alone among nodes that do (ONNX Runtime 1.32,
//! `core/optimizer/insert_cast_transformer.cc`, `IsIsolatedFp16NodeOnCpu`).

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto};

use super::Half;

/// The attribute of such a quantiser.
pub(in crate::load) const HALF_BY_CODES: &str = "widened::Float16";

/// Operators that have float16 there.
const MOVES: [&str; 14] = [
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "QuantizeLinear",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Notes them; `scales` are the values that are known to be of 16 bits.
pub(super) fn note(graph: &mut GraphProto, scales: &HashMap<String, Half>) {
    let is_half =
        |scale: Option<&String>| scale.and_then(|scale| scales.get(scale)) == Some(&Half::Float16);
    let noted = graph.node.iter().map(|node| match &*node.op_type {
        "QuantizeLinear" | "DequantizeLinear" => is_half(node.input.get(1)),
        _ => false,
    });
    let noted: Vec<bool> = noted.collect();
    if !noted.contains(&true) {
        return;
    }
    let made = graph.node.iter().filter(|node| node.op_type != "Constant");
    let made: HashSet<String> = made.flat_map(|node| node.output.clone()).collect();
    let moving = graph
        .node
        .iter()
        .filter(|node| MOVES.contains(&&*node.op_type));
    let moved = moving.flat_map(|node| &node.input);
    let given = graph.output.iter().map(|output| &output.name);
    let read: HashSet<String> = moved.chain(given).cloned().collect();
    for (node, noted) in graph.node.iter_mut().zip(noted) {
        let is_alone = node.op_type == "DequantizeLinear"
            && node.input.first().is_some_and(|code| made.contains(code))
            && !node.output.iter().any(|floats| read.contains(floats));
        if noted && !is_alone {
            node.attribute.push(AttributeProto {
                name: HALF_BY_CODES.to_owned(),
                r#type: AttributeType::Int.into(),
                i: 1,
                ..AttributeProto::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{NodeProto, ValueInfoProto};

    use super::*;

    fn node(op_type: &str, input: &str, output: &str) -> NodeProto {
        NodeProto {
            op_type: op_type.to_owned(),
            input: vec![input.to_owned(), "s".to_owned()],
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    /// Which nodes are noted, of quantisers with this scale.
    fn noted(half: Half) -> Vec<String> {
        let mut graph = GraphProto {
            node: vec![
                node("DequantizeLinear", "x", "outside"),
                node("Add", "outside", "sum"),
                node("QuantizeLinear", "sum", "code"),
                node("DequantizeLinear", "code", "alone"),
                node("Relu", "alone", "relu"),
                node("DequantizeLinear", "code", "to_be_moved"),
                node("Transpose", "to_be_moved", "moved"),
                node("DequantizeLinear", "code", "given"),
            ],
            output: vec![ValueInfoProto {
                name: "given".to_owned(),
                ..ValueInfoProto::default()
            }],
            ..GraphProto::default()
        };
        note(&mut graph, &HashMap::from([("s".to_owned(), half)]));
        let noted = graph.node.into_iter();
        let noted = noted.filter(|node| !node.attribute.is_empty());
        noted.flat_map(|node| node.output).collect()
    }

    #[test]
    fn quantisers_are_noted_where_float16_is_seen() {
        assert_eq!(
            noted(Half::Float16),
            ["outside", "code", "to_be_moved", "given"]
        );
        assert!(noted(Half::Bfloat16).is_empty());
    }
}
