//! What the file says about a value or a node, read when somebody asks.
//! Given: the arena and the model behind it.
//! Promises: attributes that refer to a function's own attributes, or contradict their type, are unknown, never zero.

use onnx_swish_model::{Dim as FileDim, Scope, Tensor, TensorError, ValueType};

use super::{Declared, Graph, Node, Source, Value};
use crate::ops::Op;
use crate::shapes::{Dim, Shapes};
use crate::types::DataType;

/// Most elements that are read from another file: enough for scalars and axes.
const MAX_EXTERNAL: usize = 32;

/// Most changes of order between a layer and who reads it.
const MAX_REORDERS: usize = 4;

/// Codes of `TensorProto.DataType` that attributes have.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
const STRING: i32 = 8;

/// Longest list of integers in an attribute that means anything to us.
const MAX_INTS: usize = 64;

/// An attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute<T> {
    /// Not there: the operator's default holds.
    Absent,
    /// There.
    Is(T),
    /// There, but not with a value that can be known now.
    Unknown,
}

impl<'m> Graph<'m> {
    fn file_scope(&self, scope: u32) -> Option<&'m Scope> {
        self.model.scopes().get(scope as usize)
    }

    fn attribute<T>(
        &self,
        node: Node,
        name: &[u8],
        read: impl FnOnce(&onnx_swish_model::Attribute<'m>) -> Option<T>,
    ) -> Attribute<T> {
        let Some(attribute) = self.node(node).and_then(|node| node.attribute(name)) else {
            return Attribute::Absent;
        };
        if !attribute.ref_attr_name().is_empty() || !attribute.is_consistent() {
            return Attribute::Unknown;
        }
        read(&attribute).map_or(Attribute::Unknown, Attribute::Is)
    }

    /// Whether a float attribute is there and not a number.
    pub(crate) fn is_nan(&self, node: Node, name: &[u8]) -> bool {
        let is = self.attribute(node, name, |attribute| attribute.float());
        matches!(is, Attribute::Is(value) if value.is_nan())
    }

    /// A float attribute.
    pub(crate) fn float(&self, node: Node, name: &[u8]) -> Attribute<f32> {
        self.attribute(node, name, |attribute| {
            attribute.float().filter(|value| !value.is_nan())
        })
    }

    /// An integer attribute.
    pub(crate) fn int(&self, node: Node, name: &[u8]) -> Attribute<i64> {
        self.attribute(node, name, onnx_swish_model::Attribute::int)
    }

    /// A list of integers.
    pub(crate) fn ints(&self, node: Node, name: &[u8]) -> Attribute<Vec<i64>> {
        self.attribute(node, name, |attribute| attribute.ints(MAX_INTS))
    }

    /// A text.
    pub(crate) fn string(&self, node: Node, name: &[u8]) -> Option<&'m [u8]> {
        match self.attribute(node, name, onnx_swish_model::Attribute::string) {
            Attribute::Is(text) => Some(text),
            Attribute::Absent | Attribute::Unknown => None,
        }
    }

    /// Whether a convolution's padding is written as numbers.
    pub(crate) fn is_padding_explicit(&self, node: Node) -> bool {
        match self.node(node).and_then(|node| node.attribute(b"auto_pad")) {
            None => true,
            Some(attribute) => matches!(attribute.string(), Some(b"NOTSET" | b"")),
        }
    }

    /// Whether a node aligns its second operand by an `axis`, as opsets before 7 could.
    pub(crate) fn is_legacy_axis(&self, node: Node) -> bool {
        self.opset(node) < 7
            && matches!(
                self.op(node),
                Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Pow
            )
            && self.int(node, b"axis") != Attribute::Absent
    }

    /// Whether a layer has taken in the gate that stood behind it, as ONNX Runtime's optimiser makes one node of Conv and
    /// Sigmoid.
    pub(crate) fn absorbs_gate(&self, mut node: Node) -> bool {
        // Between the layer and its reader the order of elements may change, there and back.
        for _ in 0..MAX_REORDERS {
            match self.op(node) {
                Op::FusedConv | Op::FusedGemm => {
                    let activation = self.string(node, b"activation");
                    return matches!(activation, Some(b"Sigmoid" | b"HardSigmoid" | b"Tanh"));
                }
                Op::ReorderInput | Op::ReorderOutput => {
                    let input = self.inputs(node).first().copied();
                    match input.and_then(|input| self.producer(input)) {
                        Some(producer) => node = producer,
                        None => return false,
                    }
                }
                _ => return false,
            }
        }
        false
    }

    /// The Swish or HardSwish that a layer has taken in. A gate alone is none.
    pub(crate) fn absorbed_activation(&self, node: Node) -> Option<&'static str> {
        if !matches!(self.op(node), Op::FusedConv | Op::FusedGemm) {
            return None;
        }
        let activation = self.string(node, b"activation")?;
        let known = ["HardSwish", "Swish", "SiLU", "Silu", "QuickGelu"];
        known.into_iter().find(|name| name.as_bytes() == activation)
    }

    fn initializer(&self, value: Value) -> Option<Tensor> {
        let Source::Initializer(index) = self.source(value) else {
            return None;
        };
        self.file_scope(self.value_scope(value))?
            .initializers()
            .get(index as usize)
            .copied()
    }

    /// Element type of an initializer.
    pub(crate) fn initializer_code(&self, value: Value) -> Option<i32> {
        Some(self.initializer(value)?.element_type())
    }

    /// Shape of an initializer.
    pub(crate) fn initializer_dims(&self, value: Value) -> Option<Vec<i64>> {
        let tensor = self.initializer(value)?;
        (tensor.rank() <= MAX_INTS).then(|| self.model.dims(&tensor))
    }

    fn read(&self, tensor: &Tensor, max: usize) -> Result<Vec<f64>, TensorError> {
        let max = if tensor.is_external() {
            max.min(MAX_EXTERNAL)
        } else {
            max
        };
        self.model.tensor_f64(tensor, max)
    }

    /// The elements of an initializer; nothing if they are too many or cannot be read.
    pub(crate) fn initializer_values(&self, value: Value, max: usize) -> Option<Vec<f64>> {
        self.read(&self.initializer(value)?, max).ok()
    }

    /// Whether an initializer of few elements has data that cannot be read.
    pub(crate) fn is_unreadable(&self, value: Value) -> bool {
        self.initializer(value).is_some_and(|tensor| {
            self.read(&tensor, 1)
                .is_err_and(|error| !matches!(error, TensorError::TooLarge { .. }))
        })
    }

    /// Element type and elements of the value that a Constant or ConstantOfShape node holds. No elements means that they
    /// are too many.
    pub(crate) fn constant_attribute(
        &self,
        node: Node,
        max: usize,
    ) -> Option<(i32, Option<Vec<f64>>)> {
        let mut attributes = self.node(node)?.attributes();
        let attribute = attributes.find(|attribute| {
            attribute.name().starts_with(b"value") || attribute.name() == b"sparse_value"
        })?;
        if !attribute.ref_attr_name().is_empty() || !attribute.is_consistent() {
            return None;
        }
        match attribute.name() {
            b"value" => {
                let tensor = attribute.tensor()?;
                match self.read(&tensor, max) {
                    Ok(values) => Some((tensor.element_type(), Some(values))),
                    Err(TensorError::TooLarge { .. }) => Some((tensor.element_type(), None)),
                    Err(_) => None,
                }
            }
            b"sparse_value" => {
                let sparse = attribute.sparse_tensor()?;
                let values = self.model.sparse_f64(&sparse, max).ok()?;
                Some((sparse.element_type()?, Some(values)))
            }
            b"value_float" => Some((FLOAT, Some(vec![f64::from(attribute.float()?)]))),
            b"value_int" => Some((INT64, Some(vec![attribute.int()? as f64]))),
            b"value_floats" => {
                let values = attribute.floats(max)?;
                Some((FLOAT, Some(values.into_iter().map(f64::from).collect())))
            }
            b"value_ints" => {
                let values = attribute.ints(max)?;
                Some((
                    INT64,
                    Some(values.into_iter().map(|value| value as f64).collect()),
                ))
            }
            _ => None,
        }
    }

    /// Element type of the value that a Constant or ConstantOfShape node holds.
    pub(crate) fn constant_code(&self, node: Node) -> Attribute<DataType> {
        let mut attributes = self
            .node(node)
            .into_iter()
            .flat_map(|node| node.attributes());
        let attribute = attributes.find(|attribute| {
            attribute.name().starts_with(b"value") || attribute.name() == b"sparse_value"
        });
        let Some(attribute) = attribute else {
            return Attribute::Absent;
        };
        if !attribute.ref_attr_name().is_empty() || !attribute.is_consistent() {
            return Attribute::Unknown;
        }
        let code = match attribute.name() {
            b"value" => attribute.tensor().map(|tensor| tensor.element_type()),
            b"sparse_value" => attribute
                .sparse_tensor()
                .and_then(|sparse| sparse.element_type()),
            b"value_float" | b"value_floats" => Some(FLOAT),
            b"value_int" | b"value_ints" => Some(INT64),
            b"value_string" | b"value_strings" => Some(STRING),
            _ => None,
        };
        code.map_or(Attribute::Unknown, |code| {
            Attribute::Is(DataType::from_code(code))
        })
    }

    /// The shape of what a Constant node makes.
    pub(crate) fn constant_dims(&self, node: Node) -> Option<Vec<i64>> {
        let mut attributes = self.node(node)?.attributes();
        let attribute = attributes.find(|attribute| {
            attribute.name().starts_with(b"value") || attribute.name() == b"sparse_value"
        })?;
        match attribute.name() {
            b"value" => attribute.tensor().map(|tensor| self.model.dims(&tensor)),
            b"sparse_value" => attribute
                .sparse_tensor()
                .map(|sparse| self.model.sparse_dims(&sparse)),
            b"value_float" | b"value_int" | b"value_string" => Some(Vec::new()),
            b"value_floats" => Some(vec![attribute.floats(MAX_INTS)?.len() as i64]),
            b"value_ints" => Some(vec![attribute.ints(MAX_INTS)?.len() as i64]),
            _ => None,
        }
    }

    /// What the file declares of a value.
    fn declared(&self, value: Value) -> ValueType {
        let info = self.record(value).and_then(|record| {
            let scope = self.file_scope(record.scope)?;
            match record.declared {
                Declared::No => None,
                Declared::Input(index) => scope.inputs().get(index as usize),
                Declared::Output(index) => scope.outputs().get(index as usize),
                Declared::ValueInfo(index) => scope.value_info().get(index as usize),
            }
        });
        info.map_or(ValueType::Missing, |info| self.model.value_type(info))
    }

    /// The element type that the file declares of a value.
    pub(crate) fn declared_code(&self, value: Value) -> Option<i32> {
        match self.declared(value) {
            ValueType::Tensor(tensor) => Some(tensor.element_type),
            // Sequences and optionals: of no type that arithmetic has.
            ValueType::Other => Some(i32::MAX),
            ValueType::Missing => None,
        }
    }

    /// The dimensions that the file declares of a value.
    pub(crate) fn declared_dims(&self, value: Value, shapes: &mut Shapes) -> Option<Vec<Dim>> {
        let ValueType::Tensor(tensor) = self.declared(value) else {
            return None;
        };
        let function = self.function_of(self.value_scope(value));
        let dim = |dim: &FileDim| match *dim {
            FileDim::Known(size) => Dim::Known(i64::try_from(size).unwrap_or(i64::MAX)),
            FileDim::Symbol(name) => shapes.named(function, self.model.text(name)),
            FileDim::Unknown => shapes.fresh(),
        };
        tensor.shape.map(|dims| dims.iter().map(dim).collect())
    }
}

/// Positions of declarations, for edits.
impl Graph<'_> {
    /// The `value_info` entry of a value.
    pub(crate) fn value_info(&self, value: Value) -> Option<(u32, usize)> {
        let record = self.record(value)?;
        match record.declared {
            Declared::ValueInfo(index) => Some((record.scope, index as usize)),
            _ => None,
        }
    }

    /// The initializer that a value is.
    pub(crate) fn initializer_position(&self, value: Value) -> Option<(u32, usize)> {
        match self.source(value) {
            Source::Initializer(index) => Some((self.value_scope(value), index as usize)),
            _ => None,
        }
    }

    /// The graph input that a value is, maybe besides being an initializer.
    pub(crate) fn input_position(&self, value: Value) -> Option<(u32, usize)> {
        let record = self.record(value)?;
        match record.declared {
            Declared::Input(index) => Some((record.scope, index as usize)),
            _ => None,
        }
    }
}

/// Where things stand, for people.
impl Graph<'_> {
    /// Where a node stands; nothing stands in `main`.
    pub(crate) fn place(&self, node: Option<Node>) -> String {
        node.map_or_else(|| "main".to_owned(), |node| self.path(self.scope(node)))
    }

    /// `main`, or the way to a subgraph or function: `main/if_node.then_branch`, `function acme::Block`.
    pub(crate) fn path(&self, scope: u32) -> String {
        let text = |span| String::from_utf8_lossy(self.model.text(span)).into_owned();
        let mut parts = Vec::new();
        let mut at = scope;
        loop {
            match self.file_scope(at).map(Scope::kind) {
                Some(onnx_swish_model::ScopeKind::Subgraph(subgraph)) if subgraph.parent < at => {
                    let id = onnx_swish_model::NodeId {
                        scope: subgraph.parent,
                        node: subgraph.node,
                    };
                    let node = self.model.node(id);
                    let label = node.map(|node| {
                        if node.name().is_empty() {
                            node.op_type()
                        } else {
                            node.name()
                        }
                    });
                    let graph = self
                        .file_scope(at)
                        .map(|scope| text(scope.name()))
                        .unwrap_or_default();
                    parts.push(format!(
                        "{}.{graph}",
                        String::from_utf8_lossy(label.unwrap_or_default())
                    ));
                    at = subgraph.parent;
                }
                Some(onnx_swish_model::ScopeKind::Function(index)) => {
                    let function = self.model.functions().get(index as usize);
                    let name = function
                        .map(|f| format!("{}::{}", text(f.domain()), text(f.name())))
                        .unwrap_or_default();
                    parts.push(format!("function {name}"));
                    break;
                }
                _ => {
                    parts.push("main".to_owned());
                    break;
                }
            }
        }
        parts.reverse();
        parts.join("/")
    }
}
