//! Where ONNX Runtime's own sums of codes are not exact.
//!
//! Given a model; promises a hint that names products of u8 by i8 which ONNX Runtime, its optimiser off, adds in pairs of 16 bits that
//! saturate: on x86 processors without VNNI. DequantizeLinear, Conv and QuantizeLinear are floats at that level, and no concern;
//! neither are ConvInteger of u8 codes and depthwise convolutions (ONNX Runtime 1.32).

use std::collections::{HashMap, HashSet};

use onnx_swish_model::{DataType, Model, NodeRef, Scope};

use crate::words::counted;

/// Operators that multiply codes, with where codes, their zero point, weights and their zero point are among the inputs.
const PRODUCTS: [(&[u8], Slots); 8] = [
    (b"QLinearConv", Slots::new(0, 2, 3, 5)),
    (b"QLinearMatMul", Slots::new(0, 2, 3, 5)),
    (b"QGemm", Slots::new(0, 2, 3, 5)),
    (b"MatMulInteger", Slots::new(0, 2, 1, 3)),
    (b"MatMulIntegerToFloat", Slots::new(0, 4, 1, 5)),
    (b"QAttention", Slots::new(0, 6, 1, 7)),
    // What they quantise themselves is u8.
    (b"DynamicQuantizeMatMul", Slots::dynamic(1, 3)),
    (b"DynamicQuantizeLSTM", Slots::dynamic(1, 9)),
];

#[derive(Clone, Copy)]
struct Slots {
    /// Codes and their zero point.
    codes: Option<[usize; 2]>,
    weights: [usize; 2],
}

impl Slots {
    const fn new(codes: usize, zero: usize, weights: usize, weights_zero: usize) -> Slots {
        Slots {
            codes: Some([codes, zero]),
            weights: [weights, weights_zero],
        }
    }

    const fn dynamic(weights: usize, weights_zero: usize) -> Slots {
        Slots {
            codes: None,
            weights: [weights, weights_zero],
        }
    }
}

/// Whether ONNX Runtime has instructions on this processor that add products of codes without saturating.
pub(super) fn processor_saturates() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        !has!("avx512vnni") && !has!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// What to know of the model's products before believing a difference; nothing where there are none that saturate.
pub(super) fn hint(model: &Model) -> Option<String> {
    let graphs = model.scopes().iter().map(|scope| products(model, scope));
    let (mut first, mut all) = (None, 0);
    for (name, count) in graphs {
        first = first.or(name);
        all += count;
    }
    let first = first?;
    Some(format!(
        "ONNX Runtime may be what is off: this processor has no VNNI, and without it ONNX Runtime adds products of uint8 codes and int8 \
         weights in pairs of 16 bits, which saturate (here in {}, `{first}` the first); sums are exact here. Compare on a processor with VNNI, \
         quantise the weights to 7 bits (`reduce_range=True` of its quantiser), or give outputs from elsewhere as expected ones",
        counted(all, "node")
    ))
}

/// The first such product of a graph, by its name or that of its output, and how many there are.
fn products(model: &Model, scope: &Scope) -> (Option<String>, usize) {
    let types = Types::of(model, scope);
    let nodes = scope.nodes().iter().map(|node| model.node_ref(node));
    let mut names = nodes.filter(|node| types.saturates(*node)).map(|node| {
        let name = match node.name() {
            b"" => node.outputs().next().unwrap_or_default(),
            name => name,
        };
        String::from_utf8_lossy(name).into_owned()
    });
    let first = names.next();
    let count = usize::from(first.is_some()) + names.count();
    (first, count)
}

/// The element types of a graph's values, as far as constants, declarations and quantisers say them.
struct Types<'m> {
    types: HashMap<&'m [u8], DataType>,
    /// Kernels of one input channel.
    thin: HashSet<&'m [u8]>,
}

impl<'m> Types<'m> {
    fn of(model: &'m Model, scope: &'m Scope) -> Types<'m> {
        let mut types = HashMap::new();
        let mut thin = HashSet::new();
        let declared = scope.inputs().iter().chain(scope.value_info());
        for value in declared.chain(scope.outputs()) {
            let found = model.value_tensor_type(value);
            if let Some(found) = found.and_then(|it| it.data_type()) {
                types.insert(model.text(value.name()), found);
            }
        }
        for tensor in scope.initializers() {
            if let Some(found) = tensor.data_type() {
                types.insert(model.text(tensor.name()), found);
            }
            if model.dims(tensor).get(1) == Some(&1) {
                thin.insert(model.text(tensor.name()));
            }
        }
        for node in scope.nodes().iter().map(|node| model.node_ref(node)) {
            let Some(output) = node.outputs().next() else {
                continue;
            };
            let constant = || node.attribute(b"value")?.tensor()?.data_type();
            let found = match node.op_type() {
                b"Constant" => constant(),
                b"QuantizeLinear" => Some(match node.inputs().nth(2) {
                    None | Some(b"") => DataType::Uint8,
                    Some(zero) => match types.get(zero) {
                        Some(found) => *found,
                        None => continue,
                    },
                }),
                b"DynamicQuantizeLinear" => Some(DataType::Uint8),
                _ => None,
            };
            if let Some(found) = found {
                types.insert(output, found);
            }
        }
        Types { types, thin }
    }

    fn saturates(&self, node: NodeRef<'m>) -> bool {
        let mut products = PRODUCTS.iter();
        let Some((_, slots)) = products.find(|(op, _)| *op == node.op_type()) else {
            return false;
        };
        // The type of codes is that of their zero point.
        let of = |slots: [usize; 2]| {
            let named = |slot| {
                node.inputs()
                    .nth(slot)
                    .and_then(|name| self.types.get(name))
            };
            slots.into_iter().find_map(named).copied()
        };
        let codes = slots.codes.map_or(Some(DataType::Uint8), of);
        codes == Some(DataType::Uint8)
            && of(slots.weights) == Some(DataType::Int8)
            && !self.is_depthwise(node)
    }

    /// One kernel for each channel is not added by products of matrices.
    fn is_depthwise(&self, node: NodeRef<'m>) -> bool {
        let group = node.attribute(b"group").and_then(|group| group.int());
        let thin = || {
            node.inputs()
                .nth(3)
                .is_some_and(|it| self.thin.contains(it))
        };
        node.op_type() == b"QLinearConv" && group.is_some_and(|group| group > 1) && thin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_swish_model::schema::{
        AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto,
        attribute_proto::AttributeType,
    };
    use prost::Message as _;

    fn said(op: &str, inputs: &[&str], group: Option<i64>) -> Option<String> {
        let tensor = |name: &str, data_type: DataType, dims: &[i64]| TensorProto {
            name: Some(name.to_owned().into()),
            data_type: Some(data_type as i32),
            dims: dims.to_vec(),
            raw_data: Some(vec![0; dims.iter().product::<i64>() as usize].into()),
            ..TensorProto::default()
        };
        let group = group.map(|group| AttributeProto {
            name: Some("group".into()),
            r#type: Some(AttributeType::Int as i32),
            i: Some(group),
            ..AttributeProto::default()
        });
        let node = NodeProto {
            op_type: Some(op.to_owned().into()),
            name: Some("product".into()),
            input: inputs.iter().map(|it| it.to_string().into()).collect(),
            output: vec!["y".into()],
            attribute: group.into_iter().collect(),
            ..NodeProto::default()
        };
        let dynamic = NodeProto {
            op_type: Some("DynamicQuantizeLinear".into()),
            input: vec!["x".into()],
            output: ["q", "qs", "qz"].map(Into::into).to_vec(),
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![dynamic, node],
            initializer: vec![
                tensor("u", DataType::Uint8, &[]),
                tensor("i", DataType::Int8, &[]),
                tensor("wu", DataType::Uint8, &[4, 2, 1, 1]),
                tensor("wi", DataType::Int8, &[4, 2, 1, 1]),
                tensor("thin", DataType::Int8, &[4, 1, 3, 3]),
            ],
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(graph),
            ..ModelProto::default()
        };
        hint(&Model::from_bytes(model.encode_to_vec()).unwrap())
    }

    #[test]
    fn products_of_unsigned_codes_and_signed_weights_are_named() {
        let all = ["x", "s", "u", "wi", "s", "i", "s", "u"];
        for op in ["QLinearConv", "QLinearMatMul", "QGemm"] {
            let said = said(op, &all, None).unwrap();
            assert!(said.contains("1 node, `product`"), "{said}");
        }
        // The codes are of no declared type.
        assert!(said("MatMulInteger", &["q", "wi", "qz", "i"], None).is_some());
        assert!(said("DynamicQuantizeMatMul", &["x", "wi", "s"], None).is_some());
        // Several kernels of several channels.
        assert!(said("QLinearConv", &all, Some(2)).is_some());
    }

    #[test]
    fn what_is_exact_everywhere_is_not() {
        let conv = |codes, weights, zero| {
            said(
                "QLinearConv",
                &["x", "s", codes, weights, "s", zero, "s", "u"],
                Some(4),
            )
        };
        assert_eq!(conv("i", "wi", "i"), None);
        assert_eq!(conv("u", "wu", "u"), None);
        assert_eq!(conv("u", "thin", "i"), None);
        assert_eq!(said("ConvInteger", &["q", "wi", "qz", "i"], None), None);
        assert_eq!(said("Conv", &["x", "wi"], None), None);
    }
}
