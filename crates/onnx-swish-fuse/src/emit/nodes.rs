//! The nodes that take the place of a pattern.
//! Given: a fusion and a source of fresh names.
//! Promises: the last node makes the value at the pattern's end, under its old name; name, doc string and metadata of the
//! replaced nodes live on in the fused one.

use bytes::Bytes;
use half::{bf16, f16};
use onnx_swish_model::schema;
use schema::attribute_proto::AttributeType;

use super::functions::{float, int, text};
use super::target::Target;
use crate::element::Element;
use crate::forms::products::Beta;
use crate::graph::{Graph, Node, Value};
use crate::ops::{CONTRIB_DOMAIN, OUR_DOMAIN, Op};
use crate::plan::Fusion;

/// What the new nodes need from outside.
pub(crate) trait Supply {
    /// A name that the file does not have.
    fn name(&mut self) -> Bytes;

    /// The name of a scalar constant of this number, made if need be. A node that makes it goes to `nodes`.
    fn constant(
        &mut self,
        number: f64,
        element: Element,
        nodes: &mut Vec<schema::NodeProto>,
    ) -> Bytes;
}

/// The values that the new nodes read, besides constants made for them.
pub(crate) fn reads(fusion: &Fusion, existing: impl Fn(f64) -> Option<Value>) -> Vec<Value> {
    let mut reads = vec![fusion.root];
    match fusion.target {
        Target::FusedSwish(Beta::Number(number)) => reads.extend(existing(number)),
        Target::FusedSwish(Beta::Times(scale, tensor)) => {
            reads.push(tensor);
            reads.extend(existing(scale).filter(|_| scale != 1.0));
        }
        Target::FusedSwish(Beta::Over(scale, tensor)) => {
            reads.push(tensor);
            reads.extend(existing(scale));
        }
        _ => {}
    }
    if fusion.k != 1.0 {
        reads.extend(existing(fusion.k));
    }
    reads.extend(fusion.other);
    reads
}

/// The new nodes, in order.
pub(crate) fn build(
    graph: &Graph<'_>,
    fusion: &Fusion,
    existing: impl Fn(f64) -> Option<Value>,
    supply: &mut dyn Supply,
) -> Vec<schema::NodeProto> {
    let name = |value: Value| Bytes::copy_from_slice(graph.name(value));
    let opset = fusion
        .pattern
        .nodes
        .first()
        .map_or(0, |&node| graph.opset(node));
    let mut nodes = Vec::new();
    let constant = |number: f64, nodes: &mut Vec<_>, supply: &mut dyn Supply| match existing(number)
    {
        Some(value) => name(value),
        None => supply.constant(number, fusion.element, nodes),
    };

    let beta = match fusion.target {
        Target::FusedSwish(Beta::Number(number)) => Some(constant(number, &mut nodes, supply)),
        Target::FusedSwish(Beta::Times(1.0, tensor)) => Some(name(tensor)),
        Target::FusedSwish(Beta::Times(scale, tensor)) => {
            let scale = constant(scale, &mut nodes, supply);
            let product = supply.name();
            nodes.push(plain("Mul", &[name(tensor), scale], &product));
            Some(product)
        }
        Target::FusedSwish(Beta::Over(scale, tensor)) => {
            let scale = constant(scale, &mut nodes, supply);
            let quotient = supply.name();
            nodes.push(plain("Div", &[scale, name(tensor)], &quotient));
            Some(quotient)
        }
        _ => None,
    };

    let end = name(fusion.end);
    let last = fusion.k == 1.0 && fusion.other.is_none();
    let mut output = if last { end.clone() } else { supply.name() };
    let mut fused = fused(graph, fusion, beta, &output, supply, &mut nodes);
    inherit(graph, fusion, &mut fused);
    let label = fused.name.clone().filter(|name| !name.is_empty());
    nodes.push(fused);

    let labelled = |suffix: &str| {
        label
            .as_ref()
            .map(|label| Bytes::from([&label[..], suffix.as_bytes()].concat()))
    };
    if fusion.k != 1.0 {
        let factor = constant(fusion.k, &mut nodes, supply);
        let next = if fusion.other.is_none() {
            end.clone()
        } else {
            supply.name()
        };
        let mut scale = plain("Mul", &[output, factor], &next);
        scale.name = labelled("/scale");
        if opset < 7 {
            scale.attribute.push(int("broadcast", 1));
        }
        nodes.push(scale);
        output = next;
    }
    if let Some(other) = fusion.other {
        let mut product = plain("Mul", &[output, name(other)], &end);
        product.name = labelled("/product");
        nodes.push(product);
    }
    nodes
}

/// The node of the operator itself; HardSigmoid comes before its Mul.
fn fused(
    graph: &Graph<'_>,
    fusion: &Fusion,
    beta: Option<Bytes>,
    output: &Bytes,
    supply: &mut dyn Supply,
    nodes: &mut Vec<schema::NodeProto>,
) -> schema::NodeProto {
    let root = Bytes::copy_from_slice(graph.name(fusion.root));
    let node = |op: &'static str, domain: &'static str, attribute| schema::NodeProto {
        input: std::iter::once(root.clone()).chain(beta.clone()).collect(),
        output: vec![output.clone()],
        op_type: Some(Bytes::from_static(op.as_bytes())),
        domain: (!domain.is_empty()).then(|| Bytes::from_static(domain.as_bytes())),
        attribute,
        ..Default::default()
    };
    match fusion.target {
        Target::FusedSilu => node("FusedSilu", OUR_DOMAIN, Vec::new()),
        Target::FusedSwish(_) => node("FusedSwish", OUR_DOMAIN, Vec::new()),
        Target::FusedHardSwish => node("FusedHardSwish", OUR_DOMAIN, Vec::new()),
        Target::FusedSlopedHardSwish { alpha, beta } => node(
            "FusedSlopedHardSwish",
            OUR_DOMAIN,
            vec![float("alpha", alpha), float("beta", beta)],
        ),
        Target::QuickGelu(alpha) => node("QuickGelu", CONTRIB_DOMAIN, vec![float("alpha", alpha)]),
        Target::HardSwish => node("HardSwish", "", Vec::new()),
        Target::Swish(alpha) => node("Swish", "", vec![float("alpha", alpha)]),
        Target::HardSigmoidMul { alpha, beta } => {
            let gate = supply.name();
            let mut hard = plain("HardSigmoid", std::slice::from_ref(&root), &gate);
            hard.attribute = vec![float("alpha", alpha), float("beta", beta)];
            nodes.push(hard);
            plain("Mul", &[root, gate], output)
        }
    }
}

/// A node of the default domain.
pub(crate) fn plain(op: &str, inputs: &[Bytes], output: &Bytes) -> schema::NodeProto {
    schema::NodeProto {
        input: inputs.to_vec(),
        output: vec![output.clone()],
        op_type: Some(text(op)),
        ..Default::default()
    }
}

/// Name and doc string of the last node; metadata of all, where the last one's entries win.
fn inherit(graph: &Graph<'_>, fusion: &Fusion, fused: &mut schema::NodeProto) {
    let Some((&last, rest)) = fusion.pattern.nodes.split_first() else {
        return;
    };
    let decode = |node: Node| graph.node(node).and_then(|node| node.decode().ok());
    // Most nodes have a name and nothing else that lives on: no need to read them whole.
    let only_name = graph.node(last).filter(|node| {
        !node.name().is_empty() && !node.node().has_doc_string() && !node.node().has_metadata()
    });
    if let Some(last) = only_name {
        fused.name = Some(Bytes::copy_from_slice(last.name()));
    } else if let Some(last) = decode(last) {
        fused.name = last.name;
        fused.doc_string = last.doc_string;
        fused.metadata_props = last.metadata_props;
    }
    let mut rest: Vec<Node> = rest
        .iter()
        .copied()
        .filter(|&node| {
            graph
                .node(node)
                .is_some_and(|node| node.node().has_metadata())
        })
        .collect();
    rest.sort_unstable();
    for entry in rest
        .into_iter()
        .filter_map(decode)
        .flat_map(|node| node.metadata_props)
    {
        if !fused
            .metadata_props
            .iter()
            .any(|known| known.key == entry.key)
        {
            fused.metadata_props.push(entry);
        }
    }
}

/// A scalar as a stored tensor; nothing for a type that is not one of the four.
pub(crate) fn scalar(
    name: Option<Bytes>,
    number: f64,
    element: Element,
) -> Option<schema::TensorProto> {
    let raw = match element {
        Element::F32 => (number as f32).to_le_bytes().to_vec(),
        Element::F64 => number.to_le_bytes().to_vec(),
        Element::F16 => f16::from_f64(number).to_le_bytes().to_vec(),
        Element::Bf16 => bf16::from_f64(number).to_le_bytes().to_vec(),
        Element::Unknown | Element::Float | Element::Integer | Element::Other => return None,
    };
    Some(schema::TensorProto {
        data_type: element.code(),
        raw_data: Some(raw.into()),
        name,
        ..Default::default()
    })
}

/// A Constant node.
pub(crate) fn constant_node(output: &Bytes, tensor: schema::TensorProto) -> schema::NodeProto {
    let mut node = plain("Constant", &[], output);
    node.attribute = vec![schema::AttributeProto {
        name: Some(text("value")),
        r#type: Some(AttributeType::Tensor as i32),
        t: Some(tensor),
        ..Default::default()
    }];
    node
}

/// A constant of the pattern that can serve as this number: the pattern had it broadcast to x. One of more dimensions than x may have
/// would give the result as many; the pattern took them away again.
pub(crate) fn existing(
    graph: &Graph<'_>,
    facts: &crate::facts::Facts,
    fusion: &Fusion,
    number: f64,
) -> Option<Value> {
    if let Some(scalar) = facts.scalar_among(&fusion.pattern.constants, number, fusion.element) {
        return Some(scalar);
    }
    if fusion.other.is_some() {
        return None;
    }
    let (dims, _) = facts.shapes.suffix(facts.shape(fusion.root));
    let is_constant = |value: &Value| facts.known_constant(*value).is_some();
    let fits = |value: Value| {
        let rank = facts.shapes.rank(facts.shape(value));
        // Not one that is made anew, as large as x.
        let is_stored = graph
            .producer(value)
            .is_none_or(|node| graph.inputs(node).iter().all(is_constant));
        is_stored && rank.is_some_and(|rank| rank <= dims.len())
    };
    let arithmetic = |op| matches!(op, Op::Mul | Op::Div | Op::Add | Op::Sub | Op::Sum);
    fusion.pattern.constants.iter().copied().find(|&value| {
        facts.known_constant(value).is_some_and(|constant| {
            constant.number() == Some(number) && constant.element == fusion.element
        }) && fits(value)
            && fusion
                .pattern
                .nodes
                .iter()
                .any(|&node| arithmetic(graph.op(node)) && graph.inputs(node).contains(&value))
    })
}
