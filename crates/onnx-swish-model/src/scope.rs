//! Graphs and function bodies, and what they declare.
//!
//! Given: an indexed file. Promises: names and types by position in the file, in the file's own order.

use crate::error::display;
use crate::model::Model;
use crate::node::{Attribute, Node};
use crate::span::{Located, Run, Span};
use crate::tensor::Tensor;

/// What a scope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeKind {
    /// The model's graph.
    Main,
    /// A graph in an attribute of a node, such as the branch of an If.
    Subgraph(Subgraph),
    /// The body of the function of that position.
    Function(u32),
}

/// Where a nested graph hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subgraph {
    /// The scope of the node that holds the graph.
    pub parent: u32,
    /// That node's position in its scope.
    pub node: u32,
    pub(crate) attribute: Located,
}

/// A graph or a function body: a namespace of values and the nodes that make them.
#[derive(Debug)]
pub struct Scope {
    pub(crate) kind: ScopeKind,
    pub(crate) located: Located,
    pub(crate) name: Span,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<ValueInfo>,
    pub(crate) outputs: Vec<ValueInfo>,
    pub(crate) value_info: Vec<ValueInfo>,
    pub(crate) initializers: Vec<Tensor>,
    pub(crate) sparse_initializers: Vec<SparseTensor>,
    pub(crate) annotated: Vec<Span>,
}

impl Scope {
    pub(crate) fn new(kind: ScopeKind, located: Located) -> Self {
        Self {
            kind,
            located,
            name: Span::default(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            value_info: Vec::new(),
            initializers: Vec::new(),
            sparse_initializers: Vec::new(),
            annotated: Vec::new(),
        }
    }

    /// Main graph, nested graph or function body.
    pub fn kind(&self) -> ScopeKind {
        self.kind
    }

    /// The graph's or function's name.
    pub fn name(&self) -> Span {
        self.name
    }

    /// The nodes, in the file's order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Values that come in. Those of a function have no type.
    pub fn inputs(&self) -> &[ValueInfo] {
        &self.inputs
    }

    /// Values that go out. Those of a function have no type.
    pub fn outputs(&self) -> &[ValueInfo] {
        &self.outputs
    }

    /// Types that the file states of values in between.
    pub fn value_info(&self) -> &[ValueInfo] {
        &self.value_info
    }

    /// Stored tensors.
    pub fn initializers(&self) -> &[Tensor] {
        &self.initializers
    }

    /// Stored sparse tensors.
    pub fn sparse_initializers(&self) -> &[SparseTensor] {
        &self.sparse_initializers
    }

    /// Names that `quantization_annotation` mentions: the annotated values and the tensors of their parameters.
    pub fn annotated(&self) -> &[Span] {
        &self.annotated
    }
}

/// A value's name and, maybe, type.
#[derive(Clone, Copy, Debug)]
pub struct ValueInfo {
    pub(crate) located: Located,
    pub(crate) name: Span,
    pub(crate) type_: Span,
}

impl ValueInfo {
    pub(crate) fn name_only(located: Located, name: Span) -> Self {
        Self {
            located,
            name,
            type_: Span::default(),
        }
    }

    /// The value's name.
    pub fn name(&self) -> Span {
        self.name
    }
}

/// A stored sparse tensor, which goes by the name of its values.
#[derive(Clone, Copy, Debug)]
pub struct SparseTensor {
    pub(crate) located: Located,
    pub(crate) values: Option<Tensor>,
    pub(crate) indices: Option<Tensor>,
}

impl SparseTensor {
    /// The name; empty when there is none.
    pub fn name(&self) -> Span {
        self.values.map(|values| values.name()).unwrap_or_default()
    }

    pub(crate) fn parts(self) -> impl Iterator<Item = Tensor> {
        self.values.into_iter().chain(self.indices)
    }

    /// The element type as written; `None` when there are no values.
    pub fn element_type(&self) -> Option<i32> {
        self.values.map(|values| values.element_type())
    }
}

/// One version of one set of operators.
#[derive(Clone, Copy, Debug)]
pub struct OpsetImport {
    pub(crate) located: Located,
    pub(crate) domain: Span,
    pub(crate) version: i64,
}

impl OpsetImport {
    /// The domain as written: empty and `ai.onnx` both mean the standard operators.
    pub fn domain(&self) -> Span {
        self.domain
    }

    /// The version.
    pub fn version(&self) -> i64 {
        self.version
    }
}

/// A model-local function.
#[derive(Debug)]
pub struct Function {
    pub(crate) scope: u32,
    pub(crate) located: Located,
    pub(crate) name: Span,
    pub(crate) domain: Span,
    pub(crate) overload: Span,
    pub(crate) attributes: Run,
    pub(crate) attribute_protos: Vec<Located>,
    pub(crate) opset_imports: Vec<OpsetImport>,
}

impl Function {
    /// Position of its body in [`Model::scopes`](crate::Model::scopes).
    pub fn scope(&self) -> usize {
        self.scope as usize
    }

    /// The name it is called by.
    pub fn name(&self) -> Span {
        self.name
    }

    /// The domain it is called by.
    pub fn domain(&self) -> Span {
        self.domain
    }

    /// What tells it from others of the same domain and name.
    pub fn overload(&self) -> Span {
        self.overload
    }

    /// The operator sets its body is written for.
    pub fn opset_imports(&self) -> &[OpsetImport] {
        &self.opset_imports
    }
}

impl Model {
    /// A scope for people: `main`, or the way to it such as `main > If out.then_branch`.
    pub fn describe_scope(&self, scope: usize) -> String {
        let mut steps = Vec::new();
        let mut here = self.scopes().get(scope);
        while let Some(scope) = here {
            here = match scope.kind {
                ScopeKind::Main => {
                    steps.push("main".to_string());
                    None
                }
                ScopeKind::Function(i) => {
                    let function = self.functions().get(i as usize);
                    steps.push(function.map_or_else(String::new, |f| {
                        format!("function {}", self.function_name(f))
                    }));
                    None
                }
                ScopeKind::Subgraph(subgraph) => {
                    let parent = self.scopes().get(subgraph.parent as usize);
                    let node = parent.and_then(|parent| parent.nodes.get(subgraph.node as usize));
                    let attribute = Attribute::new(self, subgraph.attribute);
                    steps.push(node.map_or_else(String::new, |node| {
                        let node = self.node_ref(node);
                        let by_output = node.outputs().next().unwrap_or_default();
                        let called = if node.name().is_empty() {
                            by_output
                        } else {
                            node.name()
                        };
                        let op = display(node.op_type());
                        format!("{op} {}.{}", display(called), display(attribute.name()))
                    }));
                    parent
                }
            };
        }
        steps.reverse();
        steps.join(" > ")
    }

    /// A function's domain and name for people.
    pub fn function_name(&self, function: &Function) -> String {
        let mut name = format!(
            "{}::{}",
            display(self.text(function.domain)),
            display(self.text(function.name))
        );
        if !function.overload.is_empty() {
            name.push(':');
            name.push_str(&display(self.text(function.overload)));
        }
        name
    }
}

/// Whether two domains are the same; the standard one has two spellings.
pub fn same_domain(a: &[u8], b: &[u8]) -> bool {
    fn plain(domain: &[u8]) -> &[u8] {
        if domain == b"ai.onnx" { b"" } else { domain }
    }
    plain(a) == plain(b)
}
