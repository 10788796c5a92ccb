//! What attributes may be, whatever the inputs: one table.
//!
//! Given a node; promises an error that names node, attribute, value and rule where the table says no. tract's builders take such
//! values as they are: a stride of 0 divides by it, a permutation that is none never ends.

use tract_onnx::pb::NodeProto;

use super::{display_name, values};
use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy)]
enum Must {
    AtLeast(i64),
    Within(i64, i64),
    /// Each of 0, 1, ... once, and nothing else.
    BePermutation,
    /// The number of the node's outputs.
    CountOutputs,
    /// From 1 to the number of the node's inputs.
    CountInputs,
}

/// Operators that move a window over an image.
pub(super) const WINDOWS: [&str; 8] = [
    "AveragePool",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "LpPool",
    "MaxPool",
    "QLinearAveragePool",
    "QLinearConv",
];

/// Pixels beyond which no window reaches. ONNX has no such bound; it keeps products of two such numbers and a size within 64 bits.
const FARTHEST: i64 = 1 << 20;

const TABLE: &[(&[&str], &str, Must)] = &[
    (&WINDOWS, "kernel_shape", Must::Within(1, FARTHEST)),
    (&WINDOWS, "strides", Must::Within(1, FARTHEST)),
    (&WINDOWS, "dilations", Must::Within(1, FARTHEST)),
    (&WINDOWS, "pads", Must::Within(-FARTHEST, FARTHEST)),
    (&WINDOWS, "group", Must::AtLeast(1)),
    (
        &["ConvTranspose"],
        "output_padding",
        Must::Within(0, FARTHEST),
    ),
    (
        &["ConvTranspose"],
        "output_shape",
        Must::Within(1, FARTHEST),
    ),
    (&["EyeLike"], "k", Must::Within(-FARTHEST, FARTHEST)),
    (&["Attention"], "q_num_heads", Must::AtLeast(1)),
    (
        &["Attention", "GroupQueryAttention"],
        "kv_num_heads",
        Must::AtLeast(1),
    ),
    (
        &["GroupQueryAttention", "MultiHeadAttention"],
        "num_heads",
        Must::AtLeast(1),
    ),
    (&["RotaryEmbedding"], "num_heads", Must::AtLeast(0)),
    (
        &["RotaryEmbedding"],
        "rotary_embedding_dim",
        Must::AtLeast(0),
    ),
    (
        &["DepthToSpace", "SpaceToDepth"],
        "blocksize",
        Must::AtLeast(1),
    ),
    (
        &["DequantizeLinear", "QuantizeLinear"],
        "block_size",
        Must::AtLeast(0),
    ),
    (&["GatherND"], "batch_dims", Must::AtLeast(0)),
    (
        &["GRU", "LSTM", "RNN", "DynamicQuantizeLSTM"],
        "hidden_size",
        Must::AtLeast(1),
    ),
    (&["GroupNormalization"], "num_groups", Must::AtLeast(1)),
    (&["LRN"], "size", Must::AtLeast(1)),
    (&["LpNormalization"], "p", Must::Within(1, 2)),
    (&["LpPool", "GlobalLpPool"], "p", Must::AtLeast(1)),
    (&["MatMulNBits"], "K", Must::AtLeast(1)),
    (&["MatMulNBits"], "N", Must::AtLeast(1)),
    (&["MatMulNBits"], "bits", Must::Within(1, 8)),
    (
        &["MatMulNBits", "GatherBlockQuantized"],
        "block_size",
        Must::AtLeast(1),
    ),
    (&["Multinomial"], "sample_size", Must::AtLeast(1)),
    (
        &["RandomNormal", "RandomUniform"],
        "shape",
        Must::AtLeast(0),
    ),
    (&["Scan"], "num_scan_inputs", Must::CountInputs),
    (&["Split"], "num_outputs", Must::CountOutputs),
    (&["Split"], "split", Must::AtLeast(0)),
    (&["TopK"], "k", Must::AtLeast(0)),
    (&["Transpose"], "perm", Must::BePermutation),
];

/// Refuses a node with an attribute that its operator does not allow.
pub(crate) fn check(node: &NodeProto) -> Result<()> {
    for (operators, attribute, must) in TABLE {
        if !operators.contains(&node.op_type.as_str()) {
            continue;
        }
        let Some(values) = values(node, attribute) else {
            continue;
        };
        if let Some(rule) = must.broken(&values, node) {
            return Err(Error::Attribute {
                node: display_name(node),
                operator: node.op_type.clone(),
                attribute,
                value: super::listed(&values),
                rule,
            });
        }
    }
    Ok(())
}

impl Must {
    /// The rule that these values break.
    fn broken(self, values: &[i64], node: &NodeProto) -> Option<String> {
        match self {
            Must::AtLeast(least) => {
                let kept = values.iter().all(|value| *value >= least);
                (!kept).then(|| format!("{least} or more"))
            }
            Must::Within(low, high) => {
                let kept = values.iter().all(|value| (low..=high).contains(value));
                (!kept).then(|| format!("from {low} to {high}"))
            }
            Must::BePermutation => {
                let mut sorted = values.to_vec();
                sorted.sort_unstable();
                let kept = sorted.iter().copied().eq(0..values.len() as i64);
                (!kept).then(|| {
                    format!(
                        "each number from 0 to {} once",
                        values.len().saturating_sub(1)
                    )
                })
            }
            Must::CountOutputs => {
                let count = node.output.len();
                let kept = values
                    .iter()
                    .all(|value| usize::try_from(*value) == Ok(count));
                (!kept).then(|| format!("{count}, the number of the node's outputs"))
            }
            Must::CountInputs => {
                let count = node.input.len() as i64;
                let kept = values.iter().all(|value| (1..=count).contains(value));
                (!kept).then(|| format!("from 1 to {count}, the number of the node's inputs"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;

    use super::*;

    fn refused(op_type: &str, attribute: &str, ints: &[i64]) -> Option<String> {
        let node = NodeProto {
            name: "n".to_owned(),
            op_type: op_type.to_owned(),
            attribute: vec![AttributeProto {
                name: attribute.to_owned(),
                r#type: 7,
                ints: ints.to_vec(),
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        };
        check(&node).err().map(|error| error.to_string())
    }

    #[test]
    fn a_permutation_that_is_none_is_refused_before_tract_sees_it() {
        assert_eq!(refused("Transpose", "perm", &[2, 0, 1]), None);
        for perm in [&[0, 0][..], &[0, 5], &[-1, 0], &[i64::MAX, 0]] {
            let error = refused("Transpose", "perm", perm).unwrap();
            assert!(error.contains("each number from 0 to 1 once"), "{error}");
        }
    }

    #[test]
    fn an_error_names_node_attribute_value_and_rule() {
        assert_eq!(
            refused("Conv", "strides", &[2, 0]).unwrap(),
            "attribute `strides` of node `n` (Conv) is [2, 0], and must be from 1 to 1048576; the model breaks the rules of ONNX, export it anew"
        );
    }
}
