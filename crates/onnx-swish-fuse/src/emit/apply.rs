//! Carries a plan out.
//! Given: a plan.
//! Promises: one edit of the file; an empty plan gives the same bytes.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use onnx_swish_model::{Edit, Model, ScopeKind, Spliced, schema};

use super::functions;
use super::nodes::{self, Supply};
use super::sweep::{Sweep, sweep};
use super::target::Target;
use crate::Error;
use crate::element::Element;
use crate::emit::version::WITH_OVERRIDES;
use crate::graph::{Graph, Node, Value};
use crate::ops::{CONTRIB_DOMAIN, OUR_DOMAIN, OUR_VERSION, Op};
use crate::plan::{Fusion, Plan};

/// Carries a plan out.
///
/// # Errors
/// The plan is for another model, or the result exceeds what a model file may hold.
pub fn apply(model: &Model, plan: &Plan<'_>) -> Result<Spliced, Error> {
    if !std::ptr::eq(model, plan.graph.model()) {
        return Err(Error::OtherModel);
    }
    let mut edit = model.edit();
    if !plan.is_empty() {
        Apply::new(plan).run(&mut edit)?;
    }
    Ok(edit.finish()?)
}

struct Apply<'p, 'm> {
    plan: &'p Plan<'m>,
    graph: &'p Graph<'m>,
    names: Names,
    constants: HashMap<(u32, i32, u64), Bytes>,
    /// Initializers to add, by scope.
    initializers: Vec<(u32, schema::TensorProto)>,
    /// The version of the format afterwards.
    ir: i64,
}

/// Names that no value of the file has.
pub(crate) struct Names {
    prefix: String,
    next: usize,
}

impl Names {
    pub(crate) fn new(graph: &Graph<'_>) -> Self {
        let taken = |prefix: &str| {
            graph
                .values()
                .any(|value| graph.name(value).starts_with(prefix.as_bytes()))
        };
        let mut prefix = String::from("onnx_swish.");
        while taken(&prefix) {
            prefix.insert(0, '_');
        }
        Self { prefix, next: 0 }
    }

    pub(crate) fn next(&mut self) -> Bytes {
        self.next += 1;
        Bytes::from(format!("{}{}", self.prefix, self.next))
    }
}

/// What one fusion asks for, with the scope it stands in.
struct At<'a, 'p, 'm> {
    apply: &'a mut Apply<'p, 'm>,
    scope: u32,
}

impl Supply for At<'_, '_, '_> {
    fn name(&mut self) -> Bytes {
        self.apply.names.next()
    }

    fn constant(
        &mut self,
        number: f64,
        element: Element,
        nodes: &mut Vec<schema::NodeProto>,
    ) -> Bytes {
        let key = (self.scope, element.code().unwrap_or(0), number.to_bits());
        if let Some(name) = self.apply.constants.get(&key) {
            return name.clone();
        }
        let name = self.apply.names.next();
        self.apply.constants.insert(key, name.clone());
        let scope = self.apply.graph.model().scopes().get(self.scope as usize);
        let is_function = scope.is_none_or(|scope| matches!(scope.kind(), ScopeKind::Function(_)));
        if is_function || self.apply.ir < WITH_OVERRIDES {
            // Function bodies have no initializers, and old files want each one declared as an input.
            nodes.extend(
                nodes::scalar(None, number, element)
                    .map(|tensor| nodes::constant_node(&name, tensor)),
            );
        } else {
            let tensor = nodes::scalar(Some(name.clone()), number, element);
            self.apply
                .initializers
                .extend(tensor.map(|tensor| (self.scope, tensor)));
        }
        name
    }
}

impl<'p, 'm> Apply<'p, 'm> {
    fn new(plan: &'p Plan<'m>) -> Self {
        Self {
            plan,
            graph: &plan.graph,
            names: Names::new(&plan.graph),
            constants: HashMap::new(),
            initializers: Vec::new(),
            ir: plan.ir_version(),
        }
    }

    fn run(mut self, edit: &mut Edit<'m>) -> Result<(), Error> {
        let mut removed = vec![false; self.graph.node_count()];
        let mut reads = Vec::new();
        for fusion in &self.plan.fusions {
            for node in &fusion.pattern.nodes {
                if let Some(removed) = removed.get_mut(node.index()) {
                    *removed = true;
                }
            }
            reads.extend(nodes::reads(fusion, |number| self.existing(fusion, number)));
        }
        let calls = &self.plan.calls;
        calls.remove(self.graph, &self.plan.regions, &mut removed, &reads);
        reads.extend(calls.written().flat_map(|call| &call.inputs));
        let sweep = sweep(self.graph, &self.plan.facts, &mut removed, &reads);
        // A node that two fusions share goes once; one that ends a fusion is replaced.
        let mut replaced = vec![false; removed.len()];
        for fusion in &self.plan.fusions {
            let Some(last) = self.graph.producer(fusion.end) else {
                continue;
            };
            let plan = self.plan;
            let scope = self.graph.scope(last);
            let graph = self.graph;
            let existing = |number| nodes::existing(graph, &plan.facts, fusion, number);
            let with = nodes::build(
                graph,
                fusion,
                existing,
                &mut At {
                    apply: &mut self,
                    scope,
                },
            );
            edit.replace_node(self.graph.id(last), &with)?;
            if let Some(replaced) = replaced.get_mut(last.index()) {
                *replaced = true;
            }
        }
        for (region, call) in self.plan.regions.iter().zip(&calls.calls) {
            let Ok(call) = call else { continue };
            let with = calls.node(self.graph, call, region.output);
            edit.replace_node(self.graph.id(call.last), &[with])?;
            if let Some(replaced) = replaced.get_mut(call.last.index()) {
                *replaced = true;
            }
        }
        let goes = removed.iter().zip(&replaced);
        let goes = goes.map(|(&removed, &replaced)| removed && !replaced);
        let gone: Vec<Node> = (0..)
            .map(Node)
            .zip(goes)
            .filter_map(|(node, goes)| goes.then_some(node))
            .collect();
        for &node in &gone {
            edit.remove_node(self.graph.id(node))?;
        }
        self.declarations(edit, &gone, &sweep)?;
        for (scope, tensor) in &self.initializers {
            edit.add_initializer(*scope, tensor)?;
        }
        self.imports(edit)?;
        Ok(())
    }

    fn existing(&self, fusion: &Fusion, number: f64) -> Option<Value> {
        nodes::existing(self.graph, &self.plan.facts, fusion, number)
    }

    /// Value infos of what vanishes; initializers that nothing reads; inputs that must not look overridable.
    fn declarations(&self, edit: &mut Edit<'m>, gone: &[Node], sweep: &Sweep) -> Result<(), Error> {
        let values = gone
            .iter()
            .flat_map(|&node| self.graph.outputs(node))
            .chain(&sweep.initializers);
        for &value in values {
            if let Some((scope, index)) = self.graph.value_info(value) {
                edit.remove_value_info(scope, index)?;
            }
        }
        let mut inputs = BTreeSet::new();
        for &value in &sweep.initializers {
            if let Some((scope, index)) = self.graph.initializer_position(value) {
                edit.remove_initializer(scope, index)?;
            }
            inputs.extend(self.graph.input_position(value));
        }
        inputs.extend(
            self.plan
                .settled_inputs()
                .filter_map(|value| self.graph.input_position(value)),
        );
        for (scope, index) in inputs {
            edit.remove_graph_input(scope, index)?;
        }
        Ok(())
    }

    /// Functions, imports of domains, version of the format.
    fn imports(&self, edit: &mut Edit<'m>) -> Result<(), Error> {
        let model = self.graph.model();
        if self.ir != model.ir_version() {
            edit.set_ir_version(self.ir)?;
        }
        let present = |op: Op| {
            model.functions().iter().any(|function| {
                Op::parse(model.text(function.domain()), model.text(function.name())) == op
            })
        };
        let opset = model.opset().unwrap_or(1);
        for op in Op::OURS {
            let used = self
                .plan
                .fusions
                .iter()
                .any(|fusion| fusion.target.op() == op);
            if let Some(function) = functions::proto(op, opset).filter(|_| used && !present(op)) {
                edit.add_function_first(&function)?;
            }
        }
        for function in self.plan.calls.functions.iter().rev() {
            edit.add_function_first(function)?;
        }
        let mut wanted: BTreeSet<(Option<u32>, &str, i64)> = BTreeSet::new();
        for call in self.plan.calls.written() {
            wanted.insert((None, OUR_DOMAIN, OUR_VERSION));
            let function = self.graph.function_of(self.graph.scope(call.last));
            wanted.extend(function.map(|function| (Some(function), OUR_DOMAIN, OUR_VERSION)));
        }
        for fusion in &self.plan.fusions {
            let Some((domain, version)) = domain(fusion.target) else {
                continue;
            };
            wanted.insert((None, domain, version));
            let scope = self
                .graph
                .producer(fusion.end)
                .map(|node| self.graph.scope(node));
            if let Some(function) = scope.and_then(|scope| self.graph.function_of(scope)) {
                wanted.insert((Some(function), domain, version));
            }
        }
        for (function, domain, version) in wanted {
            match function {
                None if model.opset_of(domain.as_bytes()).is_none() => {
                    edit.add_opset_import(domain, version)?
                }
                Some(index) => {
                    let imports = model.functions().get(index as usize);
                    if imports
                        .is_some_and(|f| model.function_opset_of(f, domain.as_bytes()).is_none())
                    {
                        edit.add_function_opset_import(index as usize, domain, version)?;
                    }
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// The domain that must be imported for a target.
fn domain(target: Target) -> Option<(&'static str, i64)> {
    match target {
        Target::QuickGelu(_) => Some((CONTRIB_DOMAIN, 1)),
        _ => target.op().is_ours().then_some((OUR_DOMAIN, OUR_VERSION)),
    }
}
