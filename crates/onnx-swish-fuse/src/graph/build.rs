//! Builds the arena from the model's index.
//! Given: an indexed model.
//! Promises: one pass over names; a name means the innermost thing it can mean.

use std::collections::HashMap;

use onnx_swish_model::{Model, Scope, ScopeKind, Span};

use super::{
    Declared, Graph, Node, NodeRecord, ScopeRecord, Source, Value, ValueRecord, calls, flag, order,
};
use crate::emit::functions;
use crate::ops::Op;
use crate::types::signature::{self, Family, Signature};

/// How many nodes back a name is looked for before it is looked up: most nodes read what was made just before, and a table
/// of a million names is slow memory.
const RECENT: usize = 4;

struct Builder<'m> {
    model: &'m Model,
    graph: Graph<'m>,
    names: HashMap<(u32, &'m [u8]), Value>,
    operators: Operators<'m>,
}

/// An operator, and its signatures if the table has them.
type Operator = (Op, Option<&'static Family>);

/// Domain and name of an operator.
type Names<'m> = (&'m [u8], &'m [u8]);

/// Operators that were looked up by name: a file has few, and each of them often.
#[derive(Default)]
struct Operators<'m> {
    known: HashMap<Names<'m>, Operator>,
    /// The last few of them, which are mostly the next ones, too.
    recent: [Option<(Names<'m>, Operator)>; RECENT],
    next: usize,
}

impl<'m> Operators<'m> {
    fn find(&mut self, domain: &'m [u8], op_type: &'m [u8]) -> Operator {
        let names = (domain, op_type);
        let mut recent = self.recent.iter().flatten();
        if let Some(&(_, operator)) = recent.find(|(known, _)| *known == names) {
            return operator;
        }
        let operator = *self.known.entry(names).or_insert_with(|| {
            (
                Op::parse(domain, op_type),
                signature::family(domain, op_type),
            )
        });
        if let Some(slot) = self.recent.get_mut(self.next % RECENT) {
            *slot = Some((names, operator));
        }
        self.next += 1;
        operator
    }
}

impl<'m> Graph<'m> {
    /// The view of a model.
    pub(crate) fn new(model: &'m Model) -> Self {
        let nodes = model.scopes().iter().map(|scope| scope.nodes().len()).sum();
        let graph = Self {
            model,
            scopes: Vec::with_capacity(model.scopes().len()),
            nodes: Vec::with_capacity(nodes),
            values: Vec::with_capacity(nodes + nodes / 4),
            links: Vec::with_capacity(nodes * 3),
            consumers_start: Vec::new(),
            consumers: Vec::new(),
            redefined: functions::redefined(model),
            calls: calls::Called::default(),
            bodies: Vec::new(),
        };
        let mut builder = Builder {
            model,
            graph,
            names: HashMap::with_capacity(nodes + nodes / 4),
            operators: Operators::default(),
        };
        for (index, scope) in model.scopes().iter().enumerate() {
            builder.scope(index as u32, scope);
        }
        builder.pins();
        builder.finish()
    }
}

impl<'m> Builder<'m> {
    fn scope(&mut self, index: u32, scope: &'m Scope) {
        let record = self.scope_record(scope);
        let opset = record.opset;
        self.graph.scopes.push(record);
        self.sources(index, scope);
        let first = self.graph.nodes.len() as u32;
        // What nodes make first: a node may stand before the one that makes its input.
        let made = self.made(index, scope, first);
        self.nodes(index, scope, opset, made);
        if let Some(record) = self.graph.scopes.get_mut(index as usize) {
            record.nodes = first..self.graph.nodes.len() as u32;
        }
        self.ends(index, scope);
    }

    /// Values that no node makes.
    fn sources(&mut self, index: u32, scope: &'m Scope) {
        let mut inputs = Vec::with_capacity(scope.inputs().len());
        for (i, input) in scope.inputs().iter().enumerate() {
            let value = self.define(index, input.name(), Source::Input);
            self.mark(value, flag::INPUT);
            self.declare(value, Declared::Input(i as u32));
            inputs.push(value);
        }
        if let Some(record) = self.graph.scopes.get_mut(index as usize) {
            record.inputs = inputs.into_boxed_slice();
        }
        for (i, initializer) in scope.initializers().iter().enumerate() {
            self.store(index, initializer.name(), Source::Initializer(i as u32));
        }
        for sparse in scope.sparse_initializers() {
            self.store(index, sparse.name(), Source::Sparse);
        }
    }

    /// Defines what the nodes of a scope make, node by node.
    fn made(&mut self, index: u32, scope: &'m Scope, first: u32) -> Vec<Value> {
        let mut made: Vec<Value> = Vec::with_capacity(scope.nodes().len());
        for (position, node) in scope.nodes().iter().enumerate() {
            let id = Node(first + position as u32);
            for &name in self.model.outputs(node) {
                made.push(if name.is_empty() {
                    Value::ABSENT
                } else {
                    self.define(index, name, Source::Node(id))
                });
            }
        }
        made
    }

    /// Adds the nodes of a scope, which make these values.
    fn nodes(&mut self, index: u32, scope: &'m Scope, opset: i64, made: Vec<Value>) {
        let mut made = made.into_iter();
        let mut recent = [Value::ABSENT; RECENT];
        for (position, node) in scope.nodes().iter().enumerate() {
            let (op, signature) = self.operator(node, opset);
            let links = self.graph.links.len() as u32;
            for &name in self.model.inputs(node) {
                let value = match self.recent(&recent, name) {
                    Some(value) => value,
                    None => self.resolve(index, name),
                };
                self.graph.links.push(value);
            }
            let inputs = self.graph.links.len() as u32 - links;
            let count = self.model.outputs(node).len();
            self.graph.links.extend(made.by_ref().take(count));
            if let Some(slot) = recent.get_mut(position % RECENT) {
                let output = self.graph.links.get((links + inputs) as usize);
                *slot = output.copied().unwrap_or(Value::ABSENT);
            }
            self.graph.nodes.push(NodeRecord {
                scope: index,
                position: position as u32,
                op,
                signature,
                links,
                inputs,
                outputs: count as u32,
            });
        }
    }

    /// What a scope gives out and what it says about the types of values.
    fn ends(&mut self, index: u32, scope: &'m Scope) {
        let mut outputs = Vec::with_capacity(scope.outputs().len());
        for (i, output) in scope.outputs().iter().enumerate() {
            let value = self.resolve(index, output.name());
            self.mark(value, flag::OUTPUT);
            self.declare(value, Declared::Output(i as u32));
            outputs.push(value);
        }
        if let Some(record) = self.graph.scopes.get_mut(index as usize) {
            record.outputs = outputs.into_boxed_slice();
        }
        for (i, info) in scope.value_info().iter().enumerate() {
            if let Some(&value) = self.names.get(&(index, self.model.text(info.name()))) {
                self.declare(value, Declared::ValueInfo(i as u32));
            }
        }
        for &name in scope.annotated() {
            if let Some(&value) = self.names.get(&(index, self.model.text(name))) {
                self.mark(value, flag::QUANTIZED);
            }
        }
    }

    /// The operator that a node names, and its signature: neither, where the file means something of its own by the name.
    fn operator(
        &mut self,
        node: &'m onnx_swish_model::Node,
        opset: i64,
    ) -> (Op, Option<&'static Signature>) {
        let node = self.model.node_ref(node);
        let (domain, op_type) = (node.domain(), node.op_type());
        let (op, family) = self.operators.find(domain, op_type);
        if self.graph.is_redefined(op) {
            return (Op::Unknown, None);
        }
        (op, family.and_then(|family| family.at(domain, opset)))
    }

    fn scope_record(&self, scope: &Scope) -> ScopeRecord {
        let (opset, function, ours) = match scope.kind() {
            // Without a word about versions the first one is meant.
            ScopeKind::Main => (self.model.opset().unwrap_or(1), None, false),
            ScopeKind::Function(index) => {
                let function = self.model.functions().get(index as usize);
                let opset =
                    function.and_then(|function| self.model.function_opset_of(function, b""));
                let ours =
                    function.is_some_and(|function| functions::is_ours(self.model, function));
                (opset.unwrap_or(1), Some(index), ours)
            }
            ScopeKind::Subgraph(subgraph) => {
                match self.graph.scopes.get(subgraph.parent as usize) {
                    Some(parent) => (parent.opset, parent.function, parent.ours),
                    None => (1, None, false),
                }
            }
        };
        ScopeRecord {
            nodes: 0..0,
            opset,
            function,
            ours,
            order: None,
            inputs: Box::default(),
            outputs: Box::default(),
        }
    }

    fn add(&mut self, scope: u32, name: Span, source: Source) -> Value {
        let value = Value(self.graph.values.len() as u32);
        self.graph.values.push(ValueRecord {
            name,
            scope,
            source,
            declared: Declared::No,
            flags: 0,
        });
        value
    }

    /// A name that something in this scope makes.
    fn define(&mut self, scope: u32, name: Span, source: Source) -> Value {
        let key = (scope, self.model.text(name));
        if let Some(&value) = self.names.get(&key) {
            self.mark(value, flag::AMBIGUOUS);
            return value;
        }
        let value = self.add(scope, name, source);
        self.names.insert(key, value);
        value
    }

    /// An initializer, which may have been listed among the inputs before.
    fn store(&mut self, scope: u32, name: Span, source: Source) {
        if name.is_empty() {
            return;
        }
        if let Some(&value) = self.names.get(&(scope, self.model.text(name)))
            && let Some(record) = self.graph.values.get_mut(value.index())
            && record.source == Source::Input
        {
            record.source = source;
            return;
        }
        self.define(scope, name, source);
    }

    /// The value of that name among a few of the same scope.
    fn recent(&self, recent: &[Value], name: Span) -> Option<Value> {
        let text = self.model.text(name);
        let is = |value: &Value| {
            let record = self.graph.values.get(value.index());
            record.is_some_and(|record| {
                record.name.len == name.len && self.model.text(record.name) == text
            })
        };
        recent.iter().copied().find(is)
    }

    /// What a name means in a scope.
    fn resolve(&mut self, scope: u32, name: Span) -> Value {
        if name.is_empty() {
            return Value::ABSENT;
        }
        let text = self.model.text(name);
        let mut at = Some(scope);
        while let Some(current) = at {
            if let Some(&value) = self.names.get(&(current, text)) {
                if current != scope {
                    self.mark(value, flag::CAPTURED);
                }
                return value;
            }
            at = match self.model.scopes().get(current as usize).map(Scope::kind) {
                Some(ScopeKind::Subgraph(subgraph)) if subgraph.parent < current => {
                    Some(subgraph.parent)
                }
                _ => None,
            };
        }
        let value = self.add(scope, name, Source::Nowhere);
        self.names.insert((scope, text), value);
        value
    }

    fn mark(&mut self, value: Value, flag: u8) {
        if let Some(record) = self.graph.values.get_mut(value.index()) {
            record.flags |= flag;
        }
    }

    fn declare(&mut self, value: Value, declared: Declared) {
        if let Some(record) = self.graph.values.get_mut(value.index())
            && record.declared == Declared::No
        {
            record.declared = declared;
        }
    }

    /// Names that training_info mentions.
    fn pins(&mut self) {
        for &name in self.model.pinned() {
            if let Some(&value) = self.names.get(&(0, self.model.text(name))) {
                self.mark(value, flag::TRAINED);
            }
        }
    }

    /// Consumers, orders and calls.
    fn finish(mut self) -> Graph<'m> {
        self.names = HashMap::new();
        let graph = &mut self.graph;
        (graph.consumers_start, graph.consumers) = consumers(graph);
        for scope in 0..graph.scopes.len() {
            let nodes = graph
                .scopes
                .get(scope)
                .map_or(0..0, |scope| scope.nodes.clone());
            let order = order::order(graph, nodes);
            if let Some(record) = graph.scopes.get_mut(scope) {
                record.order = order;
            }
        }
        graph.calls = calls::Called::new(self.model, graph);
        graph.bodies = calls::bodies(self.model, |scope| {
            let record = graph.scopes.get(scope as usize);
            record.map_or(0..0, |record| record.nodes.clone())
        });
        self.graph
    }
}

/// For each value where its readers start in the list of all readers, and that list.
fn consumers(graph: &Graph<'_>) -> (Vec<u32>, Vec<Node>) {
    let each = |visit: &mut dyn FnMut(Node, Value)| {
        for node in (0..graph.nodes.len() as u32).map(Node) {
            for &input in graph.inputs(node).iter().filter(|input| !input.is_absent()) {
                visit(node, input);
            }
        }
    };
    let mut start = vec![0u32; graph.values.len() + 1];
    each(&mut |_, value| {
        if let Some(count) = start.get_mut(value.index() + 1) {
            *count += 1;
        }
    });
    let mut total = 0;
    for count in &mut start {
        total += *count;
        *count = total;
    }
    let mut next = start.clone();
    let mut consumers = vec![Node(0); total as usize];
    each(&mut |node, value| {
        if let Some(position) = next.get_mut(value.index())
            && let Some(slot) = consumers.get_mut(*position as usize)
        {
            *slot = node;
            *position += 1;
        }
    });
    (start, consumers)
}
