//! Nodes and their attributes.
//!
//! Given: an indexed file. Promises: names by position; attributes are looked up in the file when they are asked for,
//! so that a million nodes stay small.

use crate::error::{Error, Result};
use crate::model::Model;
use crate::schema;
use crate::schema::attribute_proto::AttributeType;
use crate::scope::SparseTensor;
use crate::span::{Located, Run, Span};
use crate::tensor::Tensor;
use crate::wire::{Value, fields};

/// A node by its scope and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// Position in [`Model::scopes`].
    pub scope: u32,
    /// Position in [`Scope::nodes`](crate::Scope::nodes).
    pub node: u32,
}

/// What a node carries besides names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeFlags(u8);

impl NodeFlags {
    pub const ATTRIBUTES: Self = Self(1);
    pub const SUBGRAPHS: Self = Self(2);
    pub const METADATA: Self = Self(4);
    pub const DEVICES: Self = Self(8);
    pub const UNKNOWN_FIELDS: Self = Self(16);
    pub const DOC_STRING: Self = Self(32);

    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One operation. Names are spans of the file; [`Model::text`] resolves them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node {
    pub(crate) located: Located,
    pub(crate) op_type: Span,
    pub(crate) domain: Span,
    pub(crate) name: Span,
    pub(crate) overload: Span,
    pub(crate) inputs: Run,
    pub(crate) outputs: Run,
    pub(crate) flags: NodeFlags,
}

impl Node {
    /// The operator's name; never empty.
    pub fn op_type(&self) -> Span {
        self.op_type
    }

    /// The operator's domain as written.
    pub fn domain(&self) -> Span {
        self.domain
    }

    /// The node's own name; often empty.
    pub fn name(&self) -> Span {
        self.name
    }

    /// Which of several functions is called.
    pub fn overload(&self) -> Span {
        self.overload
    }

    /// Where the node's message stands in the file.
    pub fn span(&self) -> Span {
        self.located.span
    }

    /// Whether there are attributes.
    pub fn has_attributes(&self) -> bool {
        self.flags.contains(NodeFlags::ATTRIBUTES)
    }

    /// Whether an attribute holds graphs.
    pub fn has_subgraphs(&self) -> bool {
        self.flags.contains(NodeFlags::SUBGRAPHS)
    }

    /// Whether there is a `doc_string`.
    pub fn has_doc_string(&self) -> bool {
        self.flags.contains(NodeFlags::DOC_STRING)
    }

    /// Whether there is `metadata_props`.
    pub fn has_metadata(&self) -> bool {
        self.flags.contains(NodeFlags::METADATA)
    }

    /// Whether the node is spread over devices; such a node may not be replaced.
    pub fn has_device_configurations(&self) -> bool {
        self.flags.contains(NodeFlags::DEVICES)
    }

    /// Whether the node or an attribute of it has fields this version does not know; such a node may not be replaced.
    pub fn has_unknown_fields(&self) -> bool {
        self.flags.contains(NodeFlags::UNKNOWN_FIELDS)
    }
}

/// A node with the model it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'m> {
    pub(crate) model: &'m Model,
    pub(crate) node: &'m Node,
}

impl<'m> NodeRef<'m> {
    /// The operator's name.
    pub fn op_type(&self) -> &'m [u8] {
        self.model.text(self.node.op_type)
    }

    /// The operator's domain as written.
    pub fn domain(&self) -> &'m [u8] {
        self.model.text(self.node.domain)
    }

    /// Whether the domain is the standard one, in either spelling.
    pub fn is_standard(&self) -> bool {
        matches!(self.domain(), b"" | b"ai.onnx")
    }

    /// The node's own name.
    pub fn name(&self) -> &'m [u8] {
        self.model.text(self.node.name)
    }

    /// Which of several functions is called.
    pub fn overload(&self) -> &'m [u8] {
        self.model.text(self.node.overload)
    }

    /// The input names as spans.
    pub fn input_spans(&self) -> &'m [Span] {
        self.model.inputs(self.node)
    }

    /// The output names as spans.
    pub fn output_spans(&self) -> &'m [Span] {
        self.model.outputs(self.node)
    }

    /// The input names; empty means left out.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = &'m [u8]> + use<'m> {
        let model = self.model;
        self.input_spans().iter().map(move |&span| model.text(span))
    }

    /// The output names; empty means not wanted.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = &'m [u8]> + use<'m> {
        let model = self.model;
        self.output_spans()
            .iter()
            .map(move |&span| model.text(span))
    }

    /// The entry of the index.
    pub fn node(&self) -> &'m Node {
        self.node
    }

    /// The attributes, in the file's order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'m>> + use<'m> {
        let model = self.model;
        let span = if self.node.has_attributes() {
            self.node.located.span
        } else {
            Span::default()
        };
        fields(model.bytes(), span)
            .filter(|field| field.number == 5)
            .filter_map(move |field| Some(Attribute::new(model, field.located()?)))
    }

    /// Whether two nodes have the same attributes, byte for byte and in one order.
    pub fn has_attributes_of(&self, other: &NodeRef<'_>) -> bool {
        let bytes = |attribute: &Attribute<'_>| attribute.located.span;
        let mine = self.attributes().map(|a| self.model.text(bytes(&a)));
        let theirs = other.attributes().map(|a| other.model.text(bytes(&a)));
        mine.eq(theirs)
    }

    /// The first attribute of that name.
    pub fn attribute(&self, name: &[u8]) -> Option<Attribute<'m>> {
        self.attributes().find(|attribute| attribute.name() == name)
    }

    /// The whole node, decoded.
    pub fn decode(&self) -> Result<schema::NodeProto> {
        self.model.decode("NodeProto", self.node.located.span)
    }

    /// How messages name the node: by its name, or by its operator and first output.
    pub fn describe(&self) -> String {
        use crate::error::display;
        let op = display(self.op_type());
        match (self.name(), self.outputs().next()) {
            (b"", Some(output)) => format!("{op} node that makes `{}`", display(output)),
            (b"", None) => format!("{op} node without a name"),
            (name, _) => format!("{op} node `{}`", display(name)),
        }
    }
}

/// An attribute; small values are at hand, larger ones are decoded on demand.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'m> {
    model: &'m Model,
    located: Located,
    name: Span,
    ref_attr_name: Span,
    declared: Option<i32>,
    float: Option<f32>,
    int: Option<i64>,
    bytes: Option<Span>,
    tensor: Option<Located>,
    sparse: Option<Located>,
    /// One bit for each field number that carries a value.
    present: u32,
}

/// Field numbers of `AttributeProto` that carry a value, and the type that each goes with.
const VALUE_FIELDS: [(u32, AttributeType); 14] = [
    (2, AttributeType::Float),
    (3, AttributeType::Int),
    (4, AttributeType::String),
    (5, AttributeType::Tensor),
    (6, AttributeType::Graph),
    (7, AttributeType::Floats),
    (8, AttributeType::Ints),
    (9, AttributeType::Strings),
    (10, AttributeType::Tensors),
    (11, AttributeType::Graphs),
    (14, AttributeType::TypeProto),
    (15, AttributeType::TypeProtos),
    (22, AttributeType::SparseTensor),
    (23, AttributeType::SparseTensors),
];

impl<'m> Attribute<'m> {
    pub(crate) fn new(model: &'m Model, located: Located) -> Self {
        let mut this = Self {
            model,
            located,
            name: Span::default(),
            ref_attr_name: Span::default(),
            declared: None,
            float: None,
            int: None,
            bytes: None,
            tensor: None,
            sparse: None,
            present: 0,
        };
        for field in fields(model.bytes(), located.span) {
            if VALUE_FIELDS
                .iter()
                .any(|&(number, _)| number == field.number)
            {
                this.present |= 1 << field.number;
            }
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => this.name = span,
                (2, Value::Fixed32(bits)) => this.float = Some(f32::from_bits(bits)),
                (3, Value::Varint(value)) => this.int = Some(value as i64),
                (4, Value::Bytes(span)) => this.bytes = Some(span),
                (5, Value::Bytes(_)) => this.tensor = field.located(),
                (20, Value::Varint(value)) => this.declared = Some(value as i32),
                (21, Value::Bytes(span)) => this.ref_attr_name = span,
                (22, Value::Bytes(_)) => this.sparse = field.located(),
                _ => {}
            }
        }
        this
    }

    /// The attribute's name.
    pub fn name(&self) -> &'m [u8] {
        self.model.text(self.name)
    }

    /// In a function body: the function's attribute the value comes from. Empty elsewhere.
    pub fn ref_attr_name(&self) -> &'m [u8] {
        self.model.text(self.ref_attr_name)
    }

    /// The type that the file declares, if it does and the type exists.
    pub fn declared(&self) -> Option<AttributeType> {
        self.declared.and_then(|t| AttributeType::try_from(t).ok())
    }

    /// Whether the value that is there is of the declared type, or none is declared. An empty list leaves no trace.
    pub fn is_consistent(&self) -> bool {
        let declared = match self.declared {
            None | Some(0) => return self.present.count_ones() <= 1,
            Some(declared) => declared,
        };
        let Some(&(field, _)) = VALUE_FIELDS.iter().find(|&&(_, t)| t as i32 == declared) else {
            return false;
        };
        self.present & !(1 << field) == 0
    }

    /// Whether any value is there.
    pub fn has_value(&self) -> bool {
        self.present != 0
    }

    fn says(&self, kind: AttributeType) -> bool {
        matches!(self.declared, None | Some(0)) || self.declared == Some(kind as i32)
    }

    /// The value of a FLOAT. A declared FLOAT without a value is zero, as protobuf has it.
    pub fn float(&self) -> Option<f32> {
        match self.float {
            Some(value) if self.says(AttributeType::Float) => Some(value),
            None if self.declared() == Some(AttributeType::Float)
                && self.ref_attr_name.is_empty() =>
            {
                Some(0.0)
            }
            _ => None,
        }
    }

    /// The value of an INT. A declared INT without a value is zero, as protobuf has it.
    pub fn int(&self) -> Option<i64> {
        match self.int {
            Some(value) if self.says(AttributeType::Int) => Some(value),
            None if self.declared() == Some(AttributeType::Int)
                && self.ref_attr_name.is_empty() =>
            {
                Some(0)
            }
            _ => None,
        }
    }

    /// The value of a STRING.
    pub fn string(&self) -> Option<&'m [u8]> {
        self.bytes
            .filter(|_| self.says(AttributeType::String))
            .map(|span| self.model.text(span))
    }

    /// The value of a TENSOR.
    pub fn tensor(&self) -> Option<Tensor> {
        let located = self.tensor.filter(|_| self.says(AttributeType::Tensor))?;
        Tensor::index(self.model.bytes(), located).ok()
    }

    /// The value of a SPARSE_TENSOR.
    pub fn sparse_tensor(&self) -> Option<SparseTensor> {
        let located = self
            .sparse
            .filter(|_| self.says(AttributeType::SparseTensor))?;
        SparseTensor::index(self.model.bytes(), located).ok()
    }

    /// The tensors of a TENSOR or TENSORS.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor> + use<'m> {
        let model = self.model;
        let of_tensors =
            fields(model.bytes(), self.located.span).filter(|f| matches!(f.number, 5 | 10));
        of_tensors.filter_map(move |f| Tensor::index(model.bytes(), f.located()?).ok())
    }

    /// The sparse tensors of a SPARSE_TENSOR or SPARSE_TENSORS.
    pub(crate) fn sparse_tensors(&self) -> impl Iterator<Item = SparseTensor> + use<'m> {
        let model = self.model;
        let of_sparse =
            fields(model.bytes(), self.located.span).filter(|f| matches!(f.number, 22 | 23));
        of_sparse.filter_map(move |f| SparseTensor::index(model.bytes(), f.located()?).ok())
    }

    /// Visits every stored tensor, the parts of sparse ones included.
    pub(crate) fn each_tensor(&self, visit: &mut impl FnMut(&Tensor)) {
        self.tensors().for_each(|tensor| visit(&tensor));
        self.sparse_tensors()
            .flat_map(SparseTensor::parts)
            .for_each(|part| visit(&part));
    }

    /// The values of FLOATS, at most `max` of them; more is `None`.
    pub fn floats(&self, max: usize) -> Option<Vec<f32>> {
        if !self.says(AttributeType::Floats) {
            return None;
        }
        let mut out = Vec::new();
        for field in fields(self.model.bytes(), self.located.span).filter(|f| f.number == 7) {
            match field.value {
                Value::Fixed32(bits) => out.push(f32::from_bits(bits)),
                Value::Bytes(span) => {
                    let chunks = self.model.text(span).chunks_exact(4);
                    out.extend(
                        chunks
                            .take(max + 1)
                            .map(|c| c.try_into().map_or(0.0, f32::from_le_bytes)),
                    );
                }
                _ => return None,
            }
            if out.len() > max {
                return None;
            }
        }
        Some(out)
    }

    /// The values of INTS, at most `max` of them; more is `None`.
    pub fn ints(&self, max: usize) -> Option<Vec<i64>> {
        if !self.says(AttributeType::Ints) {
            return None;
        }
        let mut out = Vec::new();
        for field in fields(self.model.bytes(), self.located.span).filter(|f| f.number == 8) {
            match field.value {
                Value::Varint(value) => out.push(value as i64),
                Value::Bytes(span) => {
                    let mut reader = crate::wire::Reader::new(self.model.bytes(), span);
                    while !reader.is_done() && out.len() <= max {
                        out.push(reader.varint().ok()? as i64);
                    }
                }
                _ => return None,
            }
            if out.len() > max {
                return None;
            }
        }
        Some(out)
    }

    /// The whole attribute, decoded. Graphs in it are decoded with it.
    pub fn decode(&self) -> Result<schema::AttributeProto> {
        self.model.decode("AttributeProto", self.located.span)
    }
}

impl Model {
    /// The node of that id.
    pub fn node(&self, id: NodeId) -> Option<NodeRef<'_>> {
        let node = self
            .scopes()
            .get(id.scope as usize)?
            .nodes
            .get(id.node as usize)?;
        Some(NodeRef { model: self, node })
    }

    /// A node of the index with its model.
    pub fn node_ref<'m>(&'m self, node: &'m Node) -> NodeRef<'m> {
        NodeRef { model: self, node }
    }

    pub(crate) fn existing_node(&self, id: NodeId) -> Result<NodeRef<'_>> {
        self.node(id).ok_or(Error::NoSuch {
            what: "node",
            index: id.node as usize,
        })
    }
}
