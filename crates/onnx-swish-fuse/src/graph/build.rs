//! Builds the arena from the model's index.
//! Given: an indexed model.
//! Promises: one pass over names; a name means the innermost thing it can mean.

use std::collections::HashMap;

use onnx_swish_model::{Model, Scope, ScopeKind, Span};

use super::{
    Declared, Graph, Node, NodeRecord, ScopeRecord, Source, Value, ValueRecord, flag, order,
};
use crate::emit::functions;
use crate::ops::Op;

/// How many nodes back a name is looked for before it is looked up: most nodes read what was made just before, and a table
/// of a million names is slow memory.
const RECENT: usize = 4;

struct Builder<'m> {
    model: &'m Model,
    graph: Graph<'m>,
    names: HashMap<(u32, &'m [u8]), Value>,
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
        };
        let mut builder = Builder {
            model,
            graph,
            names: HashMap::with_capacity(nodes + nodes / 4),
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
        self.graph.scopes.push(record);
        for (i, input) in scope.inputs().iter().enumerate() {
            let value = self.define(index, input.name(), Source::Input);
            self.mark(value, flag::INPUT);
            self.declare(value, Declared::Input(i as u32));
        }
        for (i, initializer) in scope.initializers().iter().enumerate() {
            self.store(index, initializer.name(), Source::Initializer(i as u32));
        }
        for sparse in scope.sparse_initializers() {
            self.store(index, sparse.name(), Source::Sparse);
        }
        // What nodes make first: a node may stand before the one that makes its input.
        let first = self.graph.nodes.len() as u32;
        let mut outputs: Vec<Value> = Vec::new();
        for (position, node) in scope.nodes().iter().enumerate() {
            let id = Node(first + position as u32);
            for &name in self.model.outputs(node) {
                let value = if name.is_empty() {
                    Value::ABSENT
                } else {
                    self.define(index, name, Source::Node(id))
                };
                outputs.push(value);
            }
        }
        let mut outputs = outputs.into_iter();
        let mut recent = [Value::ABSENT; RECENT];
        for (position, node) in scope.nodes().iter().enumerate() {
            let node_ref = self.model.node_ref(node);
            let mut op = Op::parse(node_ref.domain(), node_ref.op_type());
            if self.graph.is_redefined(op) {
                op = Op::Unknown;
            }
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
            self.graph.links.extend(outputs.by_ref().take(count));
            if let Some(slot) = recent.get_mut(position % RECENT) {
                *slot = self
                    .graph
                    .links
                    .get((links + inputs) as usize)
                    .copied()
                    .unwrap_or(Value::ABSENT);
            }
            self.graph.nodes.push(NodeRecord {
                scope: index,
                position: position as u32,
                op,
                links,
                inputs,
                outputs: count as u32,
            });
        }
        if let Some(record) = self.graph.scopes.get_mut(index as usize) {
            record.nodes = first..self.graph.nodes.len() as u32;
        }
        for (i, output) in scope.outputs().iter().enumerate() {
            let value = self.resolve(index, output.name());
            self.mark(value, flag::OUTPUT);
            self.declare(value, Declared::Output(i as u32));
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

    /// Consumers and orders.
    fn finish(mut self) -> Graph<'m> {
        self.names = HashMap::new();
        let graph = &mut self.graph;
        let mut start = vec![0u32; graph.values.len() + 1];
        let each = |graph: &Graph<'_>, visit: &mut dyn FnMut(Node, Value)| {
            for node in (0..graph.nodes.len() as u32).map(Node) {
                for &input in graph.inputs(node) {
                    visit(node, input);
                }
            }
        };
        each(graph, &mut |_, value| {
            if let Some(count) = start
                .get_mut(value.index() + 1)
                .filter(|_| !value.is_absent())
            {
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
        each(graph, &mut |node, value| {
            if let Some(position) = next.get_mut(value.index()).filter(|_| !value.is_absent())
                && let Some(slot) = consumers.get_mut(*position as usize)
            {
                *slot = node;
                *position += 1;
            }
        });
        graph.consumers_start = start;
        graph.consumers = consumers;
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
        self.graph
    }
}
