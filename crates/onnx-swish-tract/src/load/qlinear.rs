//! Operators that take codes and give codes, written out as what they mean.
//!
//! Given a decoded model; promises DequantizeLinear, the operator on floats and QuantizeLinear in the place of `QLinear...` operators of
//! the standard and of com.microsoft, in nested graphs too. The passes make codes of them again where that pays; whoever does not
//! run these computes the floats between.
//!
//! tract 0.23.9 knows two of them, `QLinearConv` and `QLinearMatMul`, and rounds in its own way. ONNX Runtime computes most of them as floats
//! between codes, up to rounding (`docs/quantised.md`); its QLinearConv rounds as [`onnx_swish_conv::Ending::Codes`] does. Of QLinearAdd and
//! QLinearMul the rounding is what they mean, and they are operators of their own (`repairs/combined.rs`); so are the average pools
//! (`repairs/code_average.rs`), which are only put between transposes where channels come last, and softmax (`repairs/code_softmax.rs`).

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};

use super::graphs::{for_each_graph, plain_domain};
use super::rules::{GATE, GATED, GATES, display_name};

/// One operator: its domain, its type, and what it is written out as.
type Row = (&'static str, &'static str, fn(&NodeProto, &mut Nodes<'_>));

const MICROSOFT: &str = "com.microsoft";

const OPERATORS: [Row; 10] = [
    ("", "QLinearConv", conv),
    ("", "QLinearMatMul", product),
    (MICROSOFT, "QLinearMatMul", product),
    (MICROSOFT, "QGemm", gemm),
    (MICROSOFT, "QLinearSigmoid", |node, nodes| {
        unary(node, nodes, "Sigmoid", &[])
    }),
    (MICROSOFT, "QLinearLeakyRelu", |node, nodes| {
        unary(node, nodes, "LeakyRelu", &["alpha"])
    }),
    (MICROSOFT, "QLinearGlobalAveragePool", average_pool),
    (MICROSOFT, "QLinearAveragePool", average_pool),
    (MICROSOFT, "QLinearConcat", concat),
    (MICROSOFT, "QLinearWhere", |node, nodes| {
        let x = nodes.dequantized(node, [1, 2, 3], None);
        let y = nodes.dequantized(node, [4, 5, 6], None);
        let chosen = nodes.floats(node, "Where", &[input(node, 0), x, y], &[]);
        nodes.quantized(node, chosen, [7, 8]);
    }),
];

/// The names of the operators that are written out, but for pools, which stay what they are.
pub(super) fn operators() -> impl Iterator<Item = &'static str> {
    let rows = OPERATORS.iter().map(|(_, name, _)| *name);
    rows.filter(|name| !name.ends_with("AveragePool"))
}

/// Writes out all of a model's.
pub(super) fn expand(model: &mut ModelProto) {
    let mut any = false;
    for_each_graph(model, |graph| {
        any |= graph.node.iter().any(|node| named(node).is_some())
    });
    if !any {
        return;
    }
    let (mut taken, mut ranks, mut grids) = (HashSet::new(), HashMap::new(), HashSet::new());
    for_each_graph(model, |graph| {
        let values = graph.input.iter().map(|value| &value.name);
        let constants = graph.initializer.iter().map(|tensor| &tensor.name);
        let outputs = graph.node.iter().flat_map(|node| &node.output);
        taken.extend(values.chain(constants).chain(outputs).cloned());
        let declared = graph.input.iter().chain(&graph.output);
        let declared = declared.chain(&graph.value_info);
        for value in declared {
            let Some(dims) = dims(value) else { continue };
            ranks.insert(value.name.clone(), dims.len());
            if is_grid(&dims) {
                grids.insert(value.name.clone());
            }
        }
        let constants = tensors(graph).filter(|(_, tensor)| is_grid(&tensor.dims));
        grids.extend(constants.map(|(name, _)| name.to_owned()));
    });
    for_each_graph(model, |graph| {
        let mut nodes = Nodes {
            written: Vec::new(),
            taken: &taken,
            ranks: &ranks,
            grids: &mut grids,
        };
        for node in std::mem::take(&mut graph.node) {
            match row(&node, &ranks) {
                Some((_, _, write)) => write(&nodes.gated(node), &mut nodes),
                None => nodes.written.push(node),
            }
        }
        graph.node = nodes.written;
    });
}

/// The sizes that a value is declared to have, 0 for those that are not known.
fn dims(value: &ValueInfoProto) -> Option<Vec<i64>> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter();
    let known = dims.map(|dim| match dim.value {
        Some(Size::DimValue(size)) => size,
        _ => 0,
    });
    Some(known.collect())
}

/// Whether parameters of these sizes are of more than one element along another axis than the last.
fn is_grid(dims: &[i64]) -> bool {
    let before = dims.split_last().map_or(&[][..], |(_, before)| before);
    before.iter().any(|size| *size != 1)
}

/// A graph's constants by their names.
fn tensors(graph: &GraphProto) -> impl Iterator<Item = (&str, &TensorProto)> {
    let nodes = graph.node.iter().filter_map(|node| {
        let value = attribute(node, "value")?.t.as_ref()?;
        let is_constant = node.op_type == "Constant" && plain_domain(&node.domain).is_empty();
        Some((node.output.first()?.as_str(), value)).filter(|_| is_constant)
    });
    let initializers = graph.initializer.iter();
    initializers
        .map(|tensor| (tensor.name.as_str(), tensor))
        .chain(nodes)
}

/// The row of a node's operator.
fn named(node: &NodeProto) -> Option<&'static Row> {
    let domain = plain_domain(&node.domain);
    let mut rows = OPERATORS.iter();
    rows.find(|(of, name, _)| *of == domain && *name == node.op_type)
}

/// The row of a node that can be written out. Where channels come last, those of pools of a known rank can.
fn row(node: &NodeProto, ranks: &HashMap<String, usize>) -> Option<&'static Row> {
    let pool = node.op_type.ends_with("AveragePool") && channels_last(node, ranks).is_some();
    named(node).filter(|_| integer(node, "channels_last") == 0 || pool)
}

/// The rank of a pool's images, if their channels come last: told by its kernel, or by what is declared of a value.
fn channels_last(node: &NodeProto, ranks: &HashMap<String, usize>) -> Option<usize> {
    let kernel = attribute(node, "kernel_shape").map(|kernel| kernel.ints.len() + 2);
    let declared = || node.input.first().and_then(|name| ranks.get(name));
    let rank = kernel.or_else(|| declared().copied());
    rank.filter(|rank| *rank > 2 && integer(node, "channels_last") != 0)
}

fn conv(node: &NodeProto, nodes: &mut Nodes) {
    let x = nodes.dequantized(node, [0, 1, 2], None);
    let w = nodes.dequantized(node, [3, 4, 5], Some(0));
    let mut inputs = vec![x, w];
    if given(node, 8) {
        let scale = nodes.floats(node, "Mul", &[input(node, 1), input(node, 4)], &[]);
        inputs.push(nodes.standard(
            node,
            "DequantizeLinear",
            &[input(node, 8), scale],
            vec![axis(0)],
        ));
    }
    let options = [
        "auto_pad",
        "dilations",
        "group",
        "kernel_shape",
        "pads",
        "strides",
    ];
    let y = nodes.floats(node, "Conv", &inputs, &options);
    nodes.quantized(node, y, [6, 7]);
}

fn product(node: &NodeProto, nodes: &mut Nodes) {
    let a = nodes.matrices(node, [0, 1, 2], None);
    // Scales of columns.
    let b = nodes.matrices(node, [3, 4, 5], Some(-1));
    let y = nodes.floats(node, "MatMul", &[a, b], &[]);
    nodes.quantized(node, y, [6, 7]);
}

/// The float bias is `C·alpha·(a scale·b scale)`.
fn gemm(node: &NodeProto, nodes: &mut Nodes) {
    let a = nodes.dequantized(node, [0, 1, 2], None);
    let columns = i64::from(integer(node, "transB") == 0);
    let b = nodes.dequantized(node, [3, 4, 5], Some(columns));
    let mut inputs = vec![a, b];
    if given(node, 6) {
        let scale = nodes.floats(node, "Mul", &[input(node, 1), input(node, 4)], &[]);
        let c = nodes.standard(
            node,
            "DequantizeLinear",
            &[input(node, 6), scale],
            vec![axis(-1)],
        );
        inputs.push(c);
    }
    let mut options = copied(node, &["alpha", "transA", "transB"]);
    if let Some(alpha) = attribute(node, "alpha") {
        // It multiplies the bias, too.
        options.push(AttributeProto {
            name: "beta".to_owned(),
            ..alpha.clone()
        });
    }
    if given(node, 7) {
        let y = nodes.standard(node, "Gemm", &inputs, options);
        nodes.quantized(node, y, [7, 8]);
    } else {
        nodes.last(node, "Gemm", inputs, options);
    }
}

fn unary(node: &NodeProto, nodes: &mut Nodes, op_type: &str, options: &[&str]) {
    let x = nodes.dequantized(node, [0, 1, 2], None);
    let y = nodes.floats(node, op_type, &[x], options);
    nodes.quantized(node, y, [3, 4]);
}

/// It stays what it is, its channels first.
fn average_pool(node: &NodeProto, nodes: &mut Nodes) {
    let Some(rank) = channels_last(node, nodes.ranks) else {
        return nodes.written.push(node.clone());
    };
    between_transposes(node, nodes, rank, |first, nodes| {
        let mut attributes = first.attribute.clone();
        attributes.retain(|it| it.name != "channels_last");
        let codes = nodes.standard(node, &node.op_type, &first.input, attributes);
        if let Some(written) = nodes.written.last_mut() {
            written.domain.clone_from(&node.domain);
        }
        codes
    });
}

/// What `write` makes of the node with its codes transposed, transposed back.
fn between_transposes(
    node: &NodeProto,
    nodes: &mut Nodes,
    rank: usize,
    write: impl FnOnce(&NodeProto, &mut Nodes) -> String,
) {
    let last = rank as i64 - 1;
    let to_front = [0, last].into_iter().chain(1..last).collect();
    let to_back = [0].into_iter().chain(2..=last).chain([1]).collect();
    let x = [input(node, 0)];
    let mut first = node.clone();
    if let Some(input) = first.input.first_mut() {
        *input = nodes.standard(node, "Transpose", &x, vec![permutation(to_front)]);
    }
    let codes = write(&first, nodes);
    nodes.last(node, "Transpose", vec![codes], vec![permutation(to_back)]);
}

/// Scale and zero point of the result come first, then each input with its own.
fn concat(node: &NodeProto, nodes: &mut Nodes) {
    let each = (2..node.input.len()).step_by(3);
    let inputs: Vec<String> = each
        .map(|at| nodes.dequantized(node, [at, at + 1, at + 2], None))
        .collect();
    let y = nodes.floats(node, "Concat", &inputs, &["axis"]);
    nodes.quantized(node, y, [0, 1]);
}

/// The nodes of a graph while they are written.
struct Nodes<'a> {
    written: Vec<NodeProto>,
    /// Names of the model's own values.
    taken: &'a HashSet<String>,
    /// Of values whose shapes are declared.
    ranks: &'a HashMap<String, usize>,
    /// Parameters that are neither one nor as many as there are columns.
    grids: &'a mut HashSet<String>,
}

impl Nodes<'_> {
    /// The node with a gate in front of its scale, which is given all of its inputs and checks their types: those that it is written out
    /// as see some of them each.
    fn gated(&mut self, mut node: NodeProto) -> NodeProto {
        let at = match node.op_type.as_str() {
            "QLinearConcat" => 0,
            "QLinearWhere" => 2,
            _ => 1,
        };
        if node.op_type.ends_with("AveragePool") || !given(&node, at) {
            return node;
        }
        let mut inputs = node.input.clone();
        inputs.push(input(&node, at));
        let gate = format!("{GATE}{}", node.op_type);
        let scale = self.standard(&node, &gate, &inputs, Vec::new());
        if let Some(written) = self.written.last_mut() {
            written.domain = GATES.to_owned();
            written.name = format!("{}{GATED}", display_name(&node));
        }
        if let Some(input) = node.input.get_mut(at) {
            if self.grids.contains(input) {
                self.grids.insert(scale.clone());
            }
            *input = scale;
        }
        node
    }

    /// The floats of the codes, the scale and the zero point at these inputs, with scales along an axis if there are several.
    fn dequantized(&mut self, node: &NodeProto, at: [usize; 3], along: Option<i64>) -> String {
        let mut inputs: Vec<String> = at[..2].iter().map(|at| input(node, *at)).collect();
        if given(node, at[2]) {
            inputs.push(input(node, at[2]));
        }
        self.standard(
            node,
            "DequantizeLinear",
            &inputs,
            along.map(axis).into_iter().collect(),
        )
    }

    /// The floats of matrices of codes, whose scale or zero point may be one for each column or row of each.
    fn matrices(&mut self, node: &NodeProto, at: [usize; 3], along: Option<i64>) -> String {
        let names = at.map(|at| input(node, at));
        if !names.iter().skip(1).any(|name| self.grids.contains(name)) {
            return self.dequantized(node, at, along);
        }
        // DequantizeLinear has one axis for its scales.
        let [codes, scale, zero_point] = names;
        let mut floats = self.cast(node, &codes);
        if !zero_point.is_empty() {
            let zero_point = self.cast(node, &zero_point);
            floats = self.standard(node, "Sub", &[floats, zero_point], Vec::new());
        }
        self.standard(node, "Mul", &[floats, scale], Vec::new())
    }

    /// A value as float32.
    fn cast(&mut self, node: &NodeProto, value: &str) -> String {
        let to = AttributeProto {
            name: "to".to_owned(),
            r#type: AttributeType::Int.into(),
            i: i32::from(DataType::Float).into(),
            ..AttributeProto::default()
        };
        self.standard(node, "Cast", &[value.to_owned()], vec![to])
    }

    /// What an operator makes of floats, with these attributes of the node's.
    fn floats(
        &mut self,
        node: &NodeProto,
        op_type: &str,
        inputs: &[String],
        options: &[&str],
    ) -> String {
        self.standard(node, op_type, inputs, copied(node, options))
    }

    /// The output of a new node.
    fn standard(
        &mut self,
        node: &NodeProto,
        op_type: &str,
        inputs: &[String],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let first = node.output.first().map_or("", String::as_str);
        let mut name = format!("{first}.{op_type}.{}", self.written.len());
        while self.taken.contains(&name) {
            name.push('_');
        }
        self.written.push(NodeProto {
            input: inputs.to_vec(),
            output: vec![name.clone()],
            name: format!("{}.{op_type}.{}", display_name(node), self.written.len()),
            op_type: op_type.to_owned(),
            attribute,
            ..NodeProto::default()
        });
        name
    }

    /// The node's own output as the codes of `floats`, with the scale and the zero point at these inputs.
    fn quantized(&mut self, node: &NodeProto, floats: String, at: [usize; 2]) {
        let mut inputs = vec![floats, input(node, at[0])];
        if given(node, at[1]) {
            inputs.push(input(node, at[1]));
        }
        self.last(node, "QuantizeLinear", inputs, Vec::new());
    }

    /// A node with the outputs and the name of the one that is written out.
    fn last(
        &mut self,
        node: &NodeProto,
        op_type: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        self.written.push(NodeProto {
            input,
            output: node.output.clone(),
            name: node.name.clone(),
            op_type: op_type.to_owned(),
            attribute,
            ..NodeProto::default()
        });
    }
}

/// The name of an input; empty where there is none.
fn input(node: &NodeProto, at: usize) -> String {
    node.input.get(at).cloned().unwrap_or_default()
}

fn given(node: &NodeProto, at: usize) -> bool {
    node.input.get(at).is_some_and(|name| !name.is_empty())
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|it| it.name == name)
}

fn integer(node: &NodeProto, name: &str) -> i64 {
    attribute(node, name).map_or(0, |it| it.i)
}

/// These of a node's attributes.
fn copied(node: &NodeProto, names: &[&str]) -> Vec<AttributeProto> {
    let wanted = node.attribute.iter();
    let wanted = wanted.filter(|it| names.contains(&it.name.as_str()));
    wanted.cloned().collect()
}

fn permutation(axes: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: "perm".to_owned(),
        r#type: AttributeType::Ints.into(),
        ints: axes,
        ..AttributeProto::default()
    }
}

fn axis(axis: i64) -> AttributeProto {
    AttributeProto {
        name: "axis".to_owned(),
        r#type: AttributeType::Int.into(),
        i: axis,
        ..AttributeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::GraphProto;

    use super::*;

    fn model(node: NodeProto) -> ModelProto {
        let graph = GraphProto {
            node: vec![node],
            ..GraphProto::default()
        };
        ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    fn node(domain: &str, op_type: &str, inputs: &[&str]) -> NodeProto {
        NodeProto {
            domain: domain.to_owned(),
            op_type: op_type.to_owned(),
            name: "n".to_owned(),
            input: inputs.iter().map(|it| (*it).to_owned()).collect(),
            output: vec!["y".to_owned()],
            ..NodeProto::default()
        }
    }

    fn types(mut model: ModelProto) -> Vec<String> {
        expand(&mut model);
        let nodes = model.graph.unwrap().node;
        nodes.into_iter().map(|node| node.op_type).collect()
    }

    #[test]
    fn a_convolution_is_one_of_floats_between_codes() {
        let inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"];
        let mut model = model(node("", "QLinearConv", &inputs));
        expand(&mut model);
        let nodes = model.graph.unwrap().node;
        let kinds: Vec<&str> = nodes.iter().map(|node| &*node.op_type).collect();
        let expected = [
            "codes:QLinearConv",
            "DequantizeLinear",
            "DequantizeLinear",
            "Mul",
            "DequantizeLinear",
            "Conv",
            "QuantizeLinear",
        ];
        assert_eq!(kinds, expected);
        let last = nodes.last().unwrap();
        assert_eq!((&*last.name, &*last.output[0]), ("n", "y"));
        assert_eq!(last.input[1..], ["ys", "yz"]);
    }

    #[test]
    fn operators_of_other_domains_and_layouts_are_left() {
        assert_eq!(
            types(model(node("my", "QLinearConcat", &[]))),
            ["QLinearConcat"]
        );
        let mut pool = node(
            MICROSOFT,
            "QLinearGlobalAveragePool",
            &["x", "s", "z", "s", "z"],
        );
        assert_eq!(types(model(pool.clone())), ["QLinearGlobalAveragePool"]);
        pool.attribute.push(AttributeProto {
            name: "channels_last".to_owned(),
            i: 1,
            ..AttributeProto::default()
        });
        // Of no known rank.
        assert_eq!(types(model(pool)), ["QLinearGlobalAveragePool"]);
    }

    #[test]
    fn pools_of_channels_that_come_last_are_between_transposes() {
        let inputs = ["x", "s", "z", "s", "z"];
        let mut pool = node(MICROSOFT, "QLinearAveragePool", &inputs);
        for (name, i, ints) in [
            ("channels_last", 1, vec![]),
            ("kernel_shape", 0, vec![2, 2]),
        ] {
            pool.attribute.push(AttributeProto {
                name: name.to_owned(),
                i,
                ints,
                ..AttributeProto::default()
            });
        }
        let mut model = model(pool);
        expand(&mut model);
        let nodes = model.graph.unwrap().node;
        let kinds: Vec<&str> = nodes.iter().map(|node| &*node.op_type).collect();
        assert_eq!(kinds, ["Transpose", "QLinearAveragePool", "Transpose"]);
        assert_eq!(nodes[0].attribute[0].ints, [0, 3, 1, 2]);
        assert_eq!(nodes[1].domain, MICROSOFT);
        assert_eq!(nodes[2].attribute[0].ints, [0, 2, 3, 1]);
        assert_eq!(nodes[2].output, ["y"]);
    }

    #[test]
    fn a_product_without_a_scale_of_its_own_ends_in_floats() {
        let gemm = node(MICROSOFT, "QGemm", &["a", "s", "z", "b", "s", "z", "c"]);
        assert_eq!(types(model(gemm)).last().unwrap(), "Gemm");
    }
}
