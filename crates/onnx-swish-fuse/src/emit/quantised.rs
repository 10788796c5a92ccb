//! Quantised activations as functions of the file: `onnx_swish::QuantizedSilu1`, a function of the code that enters.
//! Given: regions from one 8-bit code to another, and the facts.
//! Promises: a body is the region's own nodes with the region's own constants, so that every runtime that inlines functions computes
//! the same codes; regions that are written alike share a function.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use onnx_swish_model::{Function, Model, schema};
use prost::Message as _;

use super::apply::Names;
use super::functions::text;
use super::nodes::constant_node;
use crate::constants::MAX_KEPT;
use crate::facts::Facts;
use crate::forms::products::{Activation, Beta};
use crate::graph::{Graph, Node, Value};
use crate::ops::{OUR_DOMAIN, Op, is_default_domain};
use crate::pattern::MAX_NODES;
use crate::quantised::Region;
use crate::quantised::params::{code, code_type};

/// What the names of such functions begin with; a number follows.
const STEMS: [&str; 3] = ["QuantizedSilu", "QuantizedSwish", "QuantizedHardSwish"];

/// A region that is written as one call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// By its place among the functions.
    pub(crate) function: usize,
    /// The code that enters, and constants that the file computes.
    pub(crate) inputs: Vec<Value>,
    /// The node that made the code that leaves; the call takes its place.
    pub(crate) last: Node,
}

/// The functions of some regions, and what calls them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    pub(crate) functions: Vec<schema::FunctionProto>,
    /// For each region: its call, or why there is none.
    pub(crate) calls: Vec<Result<Call, &'static str>>,
}

/// A node of the region carries what a function would lose, or stands in a way that no function can.
const NO_FUNCTION: &str = "the nodes carry what a function cannot hold";

/// ONNX Runtime 1.32 takes HardSwish and Swish, which it has no kernels for, apart before it looks for integer convolutions if the file has
/// a function, called or not, and afterwards if it has none. Where codes are int8 it then finds none in front of what reads a number twice.
const FIRST_FUNCTION: &str = "with a function in the file ONNX Runtime's optimiser finds fewer integer layers around HardSwish and Swish of int8 codes, \
                              and codes would move";

impl Calls {
    /// `are_alone` says that the file has no functions but these.
    pub(crate) fn new(
        graph: &Graph<'_>,
        facts: &Facts,
        regions: &[Region],
        are_alone: bool,
    ) -> Self {
        if are_alone && !regions.is_empty() && moves_with_functions(graph, regions) {
            return Self {
                functions: Vec::new(),
                calls: regions.iter().map(|_| Err(FIRST_FUNCTION)).collect(),
            };
        }
        let mut taken: HashSet<Vec<u8>> = graph
            .model()
            .functions()
            .iter()
            .map(|function| graph.model().text(function.name()).to_vec())
            .collect();
        let mut known: HashMap<(&str, Vec<u8>), usize> = HashMap::new();
        let mut all = Self::default();
        for region in regions {
            let stem = stem(region);
            let call = Body::of(graph, facts, region).map(|(body, inputs, last)| {
                let function = *known
                    .entry((stem, body.encode_to_vec()))
                    .or_insert_with(|| {
                        let names = (1_u64..).map(|number| format!("{stem}{number}"));
                        let name = names
                            .into_iter()
                            .find(|name| taken.insert(name.clone().into()));
                        all.functions.push(schema::FunctionProto {
                            name: name.as_deref().map(text),
                            ..body
                        });
                        all.functions.len() - 1
                    });
                Call {
                    function,
                    inputs,
                    last,
                }
            });
            all.calls.push(call.ok_or(NO_FUNCTION));
        }
        all
    }

    /// Those that are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().flatten()
    }

    /// The name of what a call calls.
    pub(crate) fn name(&self, call: &Call) -> String {
        let function = self.functions.get(call.function);
        let name = function.and_then(|function| function.name.clone());
        String::from_utf8_lossy(&name.unwrap_or_default()).into_owned()
    }

    /// The node of a call, with what the node that it replaces is called.
    pub(crate) fn node(&self, graph: &Graph<'_>, call: &Call, output: Value) -> schema::NodeProto {
        let name = |value: Value| Bytes::copy_from_slice(graph.name(value));
        let old = graph.node(call.last).and_then(|node| node.decode().ok());
        let old = old.unwrap_or_default();
        schema::NodeProto {
            input: call.inputs.iter().copied().map(name).collect(),
            output: vec![name(output)],
            op_type: Some(self.name(call).into()),
            domain: Some(text(OUR_DOMAIN)),
            name: old.name,
            doc_string: old.doc_string,
            metadata_props: old.metadata_props,
            ..Default::default()
        }
    }

    /// The nodes that nothing needs once these regions are calls, the replaced ones among them. `removed` are those that go anyway, and
    /// `reads` what new nodes read.
    pub(crate) fn remove(
        &self,
        graph: &Graph<'_>,
        regions: &[Region],
        removed: &mut [bool],
        reads: &[Value],
    ) {
        let reads: HashSet<Value> = reads.iter().copied().collect();
        let mut inner: BTreeSet<Node> = BTreeSet::new();
        for (region, call) in regions.iter().zip(&self.calls) {
            let Ok(call) = call else { continue };
            set(removed, call.last, true);
            inner.extend(region.nodes.iter().filter(|&&node| node != call.last));
        }
        for &node in &inner {
            set(removed, node, true);
        }
        // What a node reads that stays is needed. Readers first: one round does for a file in order, and one sees that it did.
        loop {
            let before = inner.len();
            for node in inner.clone().into_iter().rev() {
                let is_removed = |node: &Node| removed.get(node.index()) == Some(&true);
                let is_needed = |value: &Value| {
                    !graph.is_free(*value)
                        || reads.contains(value)
                        || !graph.consumers(*value).iter().all(is_removed)
                };
                let mut outputs = graph
                    .outputs(node)
                    .iter()
                    .filter(|value| !value.is_absent());
                if outputs.any(is_needed) {
                    inner.remove(&node);
                    set(removed, node, false);
                }
            }
            if inner.len() == before {
                return;
            }
        }
    }
}

/// Whether ONNX Runtime's optimiser computes something in another way once the file has a function: in a region, or an activation that is
/// none, as one of several steps between codes is.
fn moves_with_functions(graph: &Graph<'_>, regions: &[Region]) -> bool {
    let is_int8 = |value| code_type(graph, value) == Some(code::I8);
    let is_expanded = |node: &Node| matches!(graph.op(*node), Op::HardSwish | Op::Swish);
    let reads_int8 = |node: &Node| {
        let number = graph.inputs(*node).first();
        let behind = number.and_then(|&number| graph.producer(number));
        behind.is_some_and(|node| {
            let code = graph.inputs(node).first().copied();
            graph.op(node) == Op::DequantizeLinear && code.is_some_and(is_int8)
        })
    };
    let mut nodes = (0..graph.node_count() as u32).map(Node);
    let in_region = |region: &Region| is_int8(region.input) && region.nodes.iter().any(is_expanded);
    nodes.any(|node| is_expanded(&node) && reads_int8(&node)) || regions.iter().any(in_region)
}

fn set(removed: &mut [bool], node: Node, to: bool) {
    if let Some(removed) = removed.get_mut(node.index()) {
        *removed = to;
    }
}

fn stem(region: &Region) -> &'static str {
    let [silu, swish, hard] = STEMS;
    match region.activation {
        Activation::Swish(Beta::Number(1.0)) => silu,
        Activation::Swish(_) => swish,
        Activation::HardSwish { .. } => hard,
    }
}

/// Whether a function of a file has the domain and the name of one that holds a quantised region. What it computes is what its body says.
pub(crate) fn is_named_so(model: &Model, function: &Function) -> bool {
    model.text(function.domain()) == OUR_DOMAIN.as_bytes()
        && STEMS.iter().any(|stem| {
            let rest = model.text(function.name()).strip_prefix(stem.as_bytes());
            rest.is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
        })
}

/// The nodes of such a function in the place of a call. `body_nodes` are what stands for each node of its body.
///
/// # Errors
/// Why they cannot stand there.
pub(crate) fn inlined(
    graph: &Graph<'_>,
    call: Node,
    function: &Function,
    body_nodes: &[Vec<schema::NodeProto>],
    fresh: &mut Names,
) -> Result<Vec<schema::NodeProto>, &'static str> {
    const EDITED: &str = "its function in this file is not one that we wrote";
    let model = graph.model();
    let body = model.scopes().get(function.scope()).ok_or(EDITED)?;
    let call = graph.node(call).and_then(|node| node.decode().ok());
    let call = call.ok_or("the node cannot be read")?;
    if body.inputs().len() != call.input.len() || body.outputs().len() != call.output.len() {
        return Err("the node does not have the function's inputs and outputs");
    }
    let mut names: HashMap<Bytes, Bytes> = HashMap::from([(Bytes::new(), Bytes::new())]);
    let inner = body.inputs().iter().chain(body.outputs());
    let outer = call.input.iter().chain(&call.output);
    for (inner, outer) in inner.zip(outer) {
        let inner = Bytes::copy_from_slice(model.text(inner.name()));
        names.insert(inner, outer.clone());
    }
    if body_nodes.iter().any(Vec::is_empty) {
        return Err("a node of its function cannot be read");
    }
    let mut nodes = Vec::new();
    for mut node in body_nodes.iter().flatten().cloned() {
        let plain = |attribute: &schema::AttributeProto| {
            attribute.ref_attr_name.is_none()
                && attribute.g.is_none()
                && attribute.graphs.is_empty()
        };
        if !node.attribute.iter().all(plain) || node.domain() == OUR_DOMAIN.as_bytes() {
            return Err(EDITED);
        }
        if model.function_opset_of(function, node.domain()) != model.opset_of(node.domain()) {
            return Err("its function is written in other versions of the operators");
        }
        for name in node.input.iter_mut().chain(&mut node.output) {
            *name = names
                .entry(name.clone())
                .or_insert_with(|| fresh.next())
                .clone();
        }
        nodes.push(node);
    }
    if let Some(last) = nodes.last_mut() {
        last.name = call.name;
        last.doc_string = call.doc_string;
        last.metadata_props = call.metadata_props;
    }
    Ok(nodes)
}

/// A body in the making.
struct Body<'g, 'm> {
    graph: &'g Graph<'m>,
    facts: &'g Facts,
    region: &'g Region,
    /// The region's nodes and those that make its constants.
    own: Vec<Node>,
    nodes: Vec<schema::NodeProto>,
    /// What values of the file are called in the body.
    names: HashMap<Value, Bytes>,
    /// What the body is given.
    inputs: Vec<Value>,
}

impl<'g, 'm> Body<'g, 'm> {
    /// The function without its name, what it is called with, and the region's last node.
    fn of(
        graph: &'g Graph<'m>,
        facts: &'g Facts,
        region: &'g Region,
    ) -> Option<(schema::FunctionProto, Vec<Value>, Node)> {
        let last = graph.producer(region.output)?;
        let mut body = Self {
            graph,
            facts,
            region,
            own: with_constants(graph, facts, region),
            nodes: Vec::new(),
            names: HashMap::from([
                (region.input, text("X")),
                (region.output, text("Y")),
                (Value::ABSENT, Bytes::new()),
            ]),
            inputs: vec![region.input],
        };
        for node in body.in_order()? {
            body.node(node)?;
        }
        let parameters = body.inputs.iter().skip(1);
        let parameters = parameters.filter_map(|value| body.names.get(value).cloned());
        let function = schema::FunctionProto {
            domain: Some(text(OUR_DOMAIN)),
            input: std::iter::once(text("X")).chain(parameters).collect(),
            output: vec![text("Y")],
            opset_import: body.imports()?,
            node: body.nodes,
            ..Default::default()
        };
        Some((function, body.inputs, last))
    }

    /// Its nodes, each behind what it reads; a file need not have them so.
    fn in_order(&self) -> Option<Vec<Node>> {
        let mut waiting: Vec<Node> = self.own.clone();
        let mut ordered = Vec::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let is_waiting = |value: &Value| {
                let producer = self.graph.producer(*value);
                producer.is_some_and(|producer| waiting.contains(&producer))
            };
            let ready = |&node: &Node| !self.graph.inputs(node).iter().any(is_waiting);
            let next = waiting.iter().position(ready)?;
            ordered.push(waiting.remove(next));
        }
        Some(ordered)
    }

    fn node(&mut self, node: Node) -> Option<()> {
        let graph = self.graph;
        let entry = graph.node(node)?;
        if entry.node().has_unknown_fields() || entry.node().has_device_configurations() {
            return None;
        }
        let old = entry.decode().ok()?;
        let inputs = graph.inputs(node).iter();
        let inputs = inputs.map(|&value| self.read(value)).collect();
        let mut outputs = Vec::with_capacity(old.output.len());
        for &value in graph.outputs(node) {
            let number = self.names.len();
            let name = self.names.entry(value);
            outputs.push(name.or_insert_with(|| text(&format!("v{number}"))).clone());
        }
        self.nodes.push(schema::NodeProto {
            input: inputs,
            output: outputs,
            op_type: old.op_type,
            domain: old.domain,
            overload: old.overload,
            attribute: old.attribute,
            ..Default::default()
        });
        Some(())
    }

    /// What a value is called that a node reads: a result of another one, a constant that becomes the body's own, or, of what is neither
    /// and no code, an input. All else is the code that enters, under another name.
    fn read(&mut self, value: Value) -> Bytes {
        if let Some(name) = self.names.get(&value) {
            return name.clone();
        }
        let producer = self.graph.producer(value);
        let is_constant = self.facts.known_constant(value).is_some();
        let is_inside = producer.is_some_and(|producer| self.own.contains(&producer));
        if !is_constant && !is_inside && !self.is_parameter(value) {
            return text("X");
        }
        let name = text(&format!("v{}", self.names.len()));
        self.names.insert(value, name.clone());
        if !is_inside {
            match self.stored(value) {
                Some(tensor) => self.nodes.push(constant_node(&name, tensor)),
                None => self.inputs.push(value),
            }
        }
        name
    }

    /// Whether a value only says how a node works, as the ratio of a Dropout does.
    fn is_parameter(&self, value: Value) -> bool {
        let mut nodes = self.region.nodes.iter();
        nodes.all(|&node| self.graph.inputs(node).first() != Some(&value))
    }

    /// A constant as the file stores it, if it is small.
    fn stored(&self, value: Value) -> Option<schema::TensorProto> {
        self.facts.known_constant(value)?;
        stored(
            self.graph.initializer_code(value)?,
            self.graph.initializer_dims(value)?,
            &self.graph.initializer_values(value, MAX_KEPT)?,
        )
    }

    /// The versions of ONNX's operators, and of others that the body has, where the region stands.
    fn imports(&self) -> Option<Vec<schema::OperatorSetIdProto>> {
        let first = *self.region.nodes.first()?;
        let model = self.graph.model();
        let function = self.graph.function_of(self.graph.scope(first));
        let function = function.and_then(|index| model.functions().get(index as usize));
        let domains = self.nodes.iter().map(|node| node.domain());
        let domains = domains.filter(|domain| !is_default_domain(domain));
        let domains: BTreeSet<&[u8]> = std::iter::once(&b""[..]).chain(domains).collect();
        let imports = domains.into_iter().map(|domain| {
            let version = match function {
                _ if domain.is_empty() => Some(self.graph.opset(first)),
                Some(function) => model.function_opset_of(function, domain),
                None => model.opset_of(domain),
            };
            Some(schema::OperatorSetIdProto {
                domain: Some(Bytes::copy_from_slice(domain)),
                version: Some(version?),
            })
        });
        imports.collect()
    }
}

/// The nodes of a region, and those that make its constants of constants alone, as far as these are few.
fn with_constants(graph: &Graph<'_>, facts: &Facts, region: &Region) -> Vec<Node> {
    let mut own = region.nodes.clone();
    let mut next = 0;
    while let Some(&node) = own.get(next) {
        next += 1;
        for &value in graph.inputs(node) {
            let Some(producer) = graph.producer(value) else {
                continue;
            };
            let is_constant =
                |value: &Value| value.is_absent() || facts.known_constant(*value).is_some();
            if is_constant(&value)
                && graph.inputs(producer).iter().all(is_constant)
                && own.len() < MAX_NODES
                && !own.contains(&producer)
            {
                own.push(producer);
            }
        }
    }
    own
}

/// A tensor of one of the types that quantised regions compute with.
fn stored(code: i32, dims: Vec<i64>, values: &[f64]) -> Option<schema::TensorProto> {
    use half::{bf16, f16};
    use schema::tensor_proto::DataType;
    let bytes = |one: &dyn Fn(f64) -> Vec<u8>| values.iter().copied().flat_map(one).collect();
    let raw: Vec<u8> = match DataType::try_from(code).ok()? {
        DataType::Float => bytes(&|value| (value as f32).to_le_bytes().to_vec()),
        DataType::Double => bytes(&|value| value.to_le_bytes().to_vec()),
        DataType::Float16 => bytes(&|value| f16::from_f64(value).to_le_bytes().to_vec()),
        DataType::Bfloat16 => bytes(&|value| bf16::from_f64(value).to_le_bytes().to_vec()),
        DataType::Uint8 => bytes(&|value| vec![value as u8]),
        DataType::Int8 => bytes(&|value| (value as i8).to_le_bytes().to_vec()),
        DataType::Int32 => bytes(&|value| (value as i32).to_le_bytes().to_vec()),
        DataType::Int64 => bytes(&|value| (value as i64).to_le_bytes().to_vec()),
        _ => return None,
    };
    Some(schema::TensorProto {
        data_type: Some(code),
        dims,
        raw_data: Some(raw.into()),
        ..Default::default()
    })
}
