//! Why a gate was left alone, in words.
//! Given: what analysis recorded of a gate that multiplies something and stays.
//! Promises: a kind for machines, a sentence with the user's own names for people, and what would have to change.

mod almost;
mod ancestry;
mod blocked;
mod carried;
mod functions;
mod kinds;
mod mismatch;
mod polynomial;
mod quantised;
pub(crate) mod reasons;

use serde::Serialize;

use crate::forms::products::Beta;
use crate::graph::{Graph, Node, Value};
use crate::ops::Op;
use crate::plan::{Miss, Plan, Why};

/// A gate that multiplies something and is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NearMiss {
    /// The product.
    pub output: String,
    /// The kind, for machines.
    pub reason: String,
    /// One sentence with the user's own names.
    pub message: String,
    /// What would have to change.
    pub change: String,
    /// The gate.
    pub gate: String,
    /// `main`, or the path of the subgraph or function.
    pub graph: String,
}

/// Words for one miss.
struct Words {
    reason: &'static str,
    message: String,
    change: String,
}

impl Words {
    fn new(reason: &'static str, message: String, change: impl Into<String>) -> Self {
        Self {
            reason,
            message,
            change: change.into(),
        }
    }
}

/// The entry of the report.
pub(crate) fn near_miss(plan: &Plan<'_>, miss: &Miss) -> NearMiss {
    let graph = &plan.graph;
    let words = Explainer { plan, graph, miss }.words();
    NearMiss {
        output: graph.display(miss.output),
        reason: words.reason.to_owned(),
        message: words.message,
        change: words.change,
        gate: graph.display(miss.carried()),
        graph: graph.place(graph.producer(miss.output)),
    }
}

struct Explainer<'a, 'm> {
    plan: &'a Plan<'m>,
    graph: &'a Graph<'m>,
    miss: &'a Miss,
}

impl Explainer<'_, '_> {
    fn name(&self, value: Value) -> String {
        format!("`{}`", self.graph.display(value))
    }

    /// A beta as the file computes it: a tensor, its multiple, or a number divided by it.
    fn beta(&self, beta: Beta) -> String {
        match beta {
            Beta::Number(number) => short(number),
            Beta::Times(1.0, tensor) => self.name(tensor),
            Beta::Times(scale, tensor) => format!("{}·{}", short(scale), self.name(tensor)),
            Beta::Over(scale, tensor) => format!("{}/{}", short(scale), self.name(tensor)),
        }
    }

    /// The operator of a node as the file calls it; a function of the file with its domain.
    fn operator(&self, node: Node) -> String {
        let op = self.graph.op(node);
        match self.graph.node(node) {
            Some(node) if op == Op::Unknown => {
                let [domain, name] = [node.domain(), node.op_type()].map(String::from_utf8_lossy);
                if domain.is_empty() {
                    format!("`{name}`")
                } else {
                    format!("`{domain}::{name}`")
                }
            }
            _ => op.name().to_owned(),
        }
    }

    /// "`y` multiplies `x` by the gate `s`"
    fn product(&self) -> String {
        let Miss {
            output,
            gate,
            partner,
            ..
        } = self.miss;
        let verb = if self.divides() {
            "divides"
        } else {
            "multiplies"
        };
        let carried = self.miss.carried();
        let by = if carried == *gate {
            format!("the gate {}", self.name(*gate))
        } else {
            format!(
                "{}, into which the gate {} flows",
                self.name(*gate),
                self.name(carried)
            )
        };
        let (output, partner) = (self.name(*output), self.name(*partner));
        format!("{output} {verb} {partner} by {by}")
    }

    /// Whether the product is a quotient by the gate.
    fn divides(&self) -> bool {
        let node = self.graph.producer(self.miss.output);
        node.is_some_and(|node| {
            self.graph.op(node) == Op::Div
                && self.graph.inputs(node).get(1) == Some(&self.miss.gate)
        })
    }

    fn words(&self) -> Words {
        match &self.miss.why {
            Why::Mismatch(mismatch) => self.mismatch(*mismatch),
            Why::Broken(broken) => self.broken(*broken),
            Why::Blocked(block) => self.blocked(block),
            Why::Almost(almost) => self.almost(*almost),
            Why::Opaque => self.another_tensor(),
            Why::Carried(gate) => self.carried(*gate),
            Why::InFunction => self.in_function(),
            Why::Inside => self.inside(),
            Why::Edited => self.edited(),
            Why::Quantised(obstacle) => self.quantised(*obstacle),
        }
    }
}

/// A number as people write it.
fn short(number: f64) -> String {
    format!("{}", number as f32)
}
