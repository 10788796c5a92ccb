//! Writing one call out.
//!
//! Given: a node that calls a function. Promises: the nodes that do the same, without calls that are to be written out,
//! also inside graphs that the nodes carry. Works off lists of nodes, since bodies call and graphs nest as deep as they
//! like.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use bytes::Bytes;

use super::env::{Env, Value, prefixed, unused_start};
use crate::calls::Calls;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::schema::{AttributeProto, FunctionProto, GraphProto, NodeProto};

/// Writes calls out, one after the other, with names of their own for each.
pub(super) struct Expander<'a, 'm> {
    model: &'m Model,
    calls: &'a Calls<'m>,
    kept: &'a HashSet<usize>,
    start: String,
    written: u64,
    bodies: HashMap<usize, Rc<FunctionProto>>,
}

/// A list of nodes being read, and what names mean in it.
struct Frame {
    nodes: Nodes,
    next: usize,
    env: Rc<Env>,
    /// Nodes to write when the list ends.
    tail: Vec<NodeProto>,
}

/// Where nodes are read from.
enum Nodes {
    Body(Rc<FunctionProto>),
    Own(Vec<NodeProto>),
}

impl Nodes {
    fn get(&self, i: usize) -> Option<&NodeProto> {
        match self {
            Nodes::Body(function) => function.node.get(i),
            Nodes::Own(nodes) => nodes.get(i),
        }
    }
}

/// A graph in an attribute whose nodes are written to a list of their own, and put back in the end.
struct Detached {
    list: usize,
    holder_list: usize,
    holder: usize,
    attribute: usize,
    /// `None` for `g`, a position for `graphs`.
    graph: Option<usize>,
}

/// The lists being written for one call.
#[derive(Default)]
struct Work {
    lists: Vec<Vec<NodeProto>>,
    detached: Vec<Detached>,
    /// Lists still to write: the nodes to read, and what names mean in them.
    todo: Vec<(usize, Vec<NodeProto>, Rc<Env>)>,
}

impl<'a, 'm> Expander<'a, 'm> {
    pub fn new(model: &'m Model, calls: &'a Calls<'m>, kept: &'a HashSet<usize>) -> Self {
        Self {
            model,
            calls,
            kept,
            start: unused_start(model),
            written: 0,
            bodies: HashMap::new(),
        }
    }

    /// The nodes that take the place of a node outside functions.
    pub fn expand(&mut self, node: NodeProto) -> Result<Vec<NodeProto>> {
        let mut work = Work {
            lists: vec![Vec::new()],
            ..Work::default()
        };
        work.todo.push((0, vec![node], Rc::new(Env::default())));
        while let Some((list, nodes, env)) = work.todo.pop() {
            self.write_list(&mut work, list, nodes, env)?;
        }
        // Inner lists have higher numbers than the lists that hold them.
        for detached in work.detached.into_iter().rev() {
            let nodes = work
                .lists
                .get_mut(detached.list)
                .map(std::mem::take)
                .unwrap_or_default();
            let holder = work.lists.get_mut(detached.holder_list);
            let holder = holder.and_then(|list| list.get_mut(detached.holder));
            let attribute = holder.and_then(|node| node.attribute.get_mut(detached.attribute));
            let graph = attribute.and_then(|attribute| match detached.graph {
                None => attribute.g.as_mut(),
                Some(i) => attribute.graphs.get_mut(i),
            });
            if let Some(graph) = graph {
                graph.node = nodes;
            }
        }
        Ok(work.lists.into_iter().next().unwrap_or_default())
    }

    fn write_list(
        &mut self,
        work: &mut Work,
        list: usize,
        nodes: Vec<NodeProto>,
        env: Rc<Env>,
    ) -> Result<()> {
        let mut frames = vec![Frame {
            nodes: Nodes::Own(nodes),
            next: 0,
            env,
            tail: Vec::new(),
        }];
        while let Some(frame) = frames.last_mut() {
            let Some(node) = frame.nodes.get(frame.next) else {
                let tail = std::mem::take(&mut frame.tail);
                frames.pop();
                if let Some(out) = work.lists.get_mut(list) {
                    out.extend(tail);
                }
                continue;
            };
            frame.next += 1;
            let env = Rc::clone(&frame.env);
            match self.called(node) {
                Some(function) => {
                    let call = self.enter(node, &env, function)?;
                    frames.push(call);
                }
                None => {
                    let node = node.clone();
                    self.write_node(work, list, node, &env);
                }
            }
        }
        Ok(())
    }

    fn called(&self, node: &NodeProto) -> Option<usize> {
        let [domain, op_type, overload] = [&node.domain, &node.op_type, &node.overload]
            .map(|name| name.as_deref().unwrap_or_default());
        let function = self.calls.find(domain, op_type, overload)?;
        (!self.kept.contains(&function)).then_some(function)
    }

    fn body(&mut self, function: usize) -> Result<Rc<FunctionProto>> {
        if let Some(body) = self.bodies.get(&function) {
            return Ok(Rc::clone(body));
        }
        let located = self.model.functions().get(function).map(|f| f.located.span);
        let span = located.ok_or(Error::NoSuch {
            what: "function",
            index: function,
        })?;
        let body: Rc<FunctionProto> = Rc::new(self.model.decode("FunctionProto", span)?);
        self.bodies.insert(function, Rc::clone(&body));
        Ok(body)
    }

    /// Binds a call's values and attributes to a function's parameters.
    fn enter(&mut self, call: &NodeProto, env: &Rc<Env>, function: usize) -> Result<Frame> {
        let body = self.body(function)?;
        let prefix: Rc<str> = format!("{}{}/", self.start, self.written).into();
        self.written += 1;
        let mut formals = HashMap::new();
        for (i, formal) in body.input.iter().enumerate() {
            let outside = call.input.get(i).map(|name| env.rename(name));
            formals.insert(formal.clone(), outside.unwrap_or_default());
        }
        let mut tail = Vec::new();
        for (i, formal) in body.output.iter().enumerate() {
            let wanted = call
                .output
                .get(i)
                .map(|name| env.rename(name))
                .filter(|name| !name.is_empty());
            match (formals.get(formal), wanted) {
                // A parameter, or a result named before: the value has a name already, and gets another by a copy.
                (Some(value), Some(wanted)) => tail.push(identity(value.clone(), wanted)),
                (Some(_), None) => {}
                (None, wanted) => {
                    let outside = wanted.unwrap_or_else(|| prefixed(&prefix, formal));
                    formals.insert(formal.clone(), outside);
                }
            }
        }
        let mut attributes: HashMap<Bytes, Value> = HashMap::new();
        // A default is written in the function and reads nothing of the call.
        let nowhere = Rc::new(Env::default());
        for default in &body.attribute_proto {
            let name = default.name.clone().unwrap_or_default();
            attributes.insert(name, (Rc::new(default.clone()), Rc::clone(&nowhere)));
        }
        for attribute in &call.attribute {
            let name = attribute.name.clone().unwrap_or_default();
            match referred(attribute, env) {
                Referred::No => {
                    drop(attributes.insert(name, (Rc::new(attribute.clone()), Rc::clone(env))))
                }
                Referred::To(value) => drop(attributes.insert(name, value)),
                Referred::Nothing => {}
            }
        }
        let env = Rc::new(Env {
            prefix: Some(prefix),
            formals,
            attributes: Rc::new(attributes),
        });
        Ok(Frame {
            nodes: Nodes::Body(body),
            next: 0,
            env,
            tail,
        })
    }

    /// Writes a node that is no call, and detaches the graphs in it.
    fn write_node(&mut self, work: &mut Work, list: usize, mut node: NodeProto, env: &Rc<Env>) {
        for name in node.input.iter_mut().chain(&mut node.output) {
            *name = env.rename(name);
        }
        if let (Some(prefix), Some(name)) = (&env.prefix, &mut node.name)
            && !name.is_empty()
        {
            *name = prefixed(prefix, name);
        }
        let holder = work.lists.get(list).map_or(0, Vec::len);
        let mut attributes = Vec::with_capacity(node.attribute.len());
        for attribute in std::mem::take(&mut node.attribute) {
            let (mut attribute, env) = match referred(&attribute, env) {
                Referred::No => (attribute, Rc::clone(env)),
                Referred::Nothing => continue,
                Referred::To((value, env)) => {
                    let mut value = (*value).clone();
                    value.name = attribute.name;
                    (value, env)
                }
            };
            let position = attributes.len();
            let single = attribute.g.as_mut().map(|graph| (None, graph));
            let several = attribute
                .graphs
                .iter_mut()
                .enumerate()
                .map(|(i, graph)| (Some(i), graph));
            for (which, graph) in single.into_iter().chain(several) {
                let inside = env.inside(graph);
                rename_graph(graph, &inside);
                let inner = work.lists.len();
                work.lists.push(Vec::new());
                work.detached.push(Detached {
                    list: inner,
                    holder_list: list,
                    holder,
                    attribute: position,
                    graph: which,
                });
                work.todo
                    .push((inner, std::mem::take(&mut graph.node), inside));
            }
            attributes.push(attribute);
        }
        node.attribute = attributes;
        if let Some(out) = work.lists.get_mut(list) {
            out.push(node);
        }
    }
}

/// What a reference to a function's attribute leads to.
enum Referred {
    /// It is no reference.
    No,
    /// The value of the call, or the default.
    To(Value),
    /// Neither: the attribute is left out.
    Nothing,
}

fn referred(attribute: &AttributeProto, env: &Env) -> Referred {
    let name = match &attribute.ref_attr_name {
        Some(name) if !name.is_empty() && env.prefix.is_some() => name,
        _ => return Referred::No,
    };
    match env.attributes.get(name) {
        Some(value) => Referred::To(value.clone()),
        None => Referred::Nothing,
    }
}

/// Renames what a graph declares, except its nodes.
fn rename_graph(graph: &mut GraphProto, env: &Env) {
    for value in graph
        .input
        .iter_mut()
        .chain(&mut graph.output)
        .chain(&mut graph.value_info)
    {
        env.rename_in_place(&mut value.name);
    }
    for tensor in &mut graph.initializer {
        env.rename_in_place(&mut tensor.name);
    }
    for values in graph
        .sparse_initializer
        .iter_mut()
        .filter_map(|s| s.values.as_mut())
    {
        env.rename_in_place(&mut values.name);
    }
    for annotation in &mut graph.quantization_annotation {
        env.rename_in_place(&mut annotation.tensor_name);
        for entry in &mut annotation.quant_parameter_tensor_names {
            env.rename_in_place(&mut entry.value);
        }
    }
}

fn identity(from: Bytes, to: Bytes) -> NodeProto {
    NodeProto {
        op_type: Some(Bytes::from_static(b"Identity")),
        input: vec![from],
        output: vec![to],
        ..NodeProto::default()
    }
}
