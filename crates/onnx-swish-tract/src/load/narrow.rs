//! Nodes of very many inputs, written as several of fewer.
//!
//! Given a decoded model; promises the same values, Concat by groups, and Sum, Max and Min in the order of their inputs.
//!
//! At fault: tract-core, `model/order.rs`, `eval_order` and `eval_order_for_nodes`, which take the square of a node's inputs, every time
//! that a graph is walked: a Concat of 10,000 inputs took 5 s of processor time.

use std::collections::HashSet;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::graphs::{for_each_graph, plain_domain};

/// The most inputs that a node keeps.
const WIDEST: usize = 64;

pub(super) fn apply(model: &mut ModelProto) {
    for_each_graph(model, |graph| {
        if graph.node.iter().any(|node| kind(node).is_some()) {
            let tag = unused(graph);
            let nodes = std::mem::take(&mut graph.node).into_iter();
            graph.node = nodes.flat_map(|node| narrowed(node, &tag)).collect();
        }
    });
}

/// How a node of many inputs can be written as several.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Group by group, and groups of groups.
    Groups,
    /// What has come out so far, with the next inputs: sums keep their order, and so their roundings.
    Chain,
}

fn kind(node: &NodeProto) -> Option<Kind> {
    let standard = plain_domain(&node.domain).is_empty();
    if !standard || node.input.len() <= WIDEST || node.output.len() != 1 {
        return None;
    }
    match node.op_type.as_str() {
        "Concat" => Some(Kind::Groups),
        "Sum" | "Max" | "Min" => Some(Kind::Chain),
        _ => None,
    }
}

/// What no name of the graph holds.
fn unused(graph: &GraphProto) -> String {
    let names = graph.node.iter().flat_map(|node| {
        let own = std::iter::once(&node.name);
        own.chain(&node.input).chain(&node.output)
    });
    let names: HashSet<&str> = names.map(String::as_str).collect();
    let mut tag = ".part-".to_owned();
    while names.iter().any(|name| name.contains(&tag)) {
        tag.push('-');
    }
    tag
}

fn narrowed(mut node: NodeProto, tag: &str) -> Vec<NodeProto> {
    let Some(kind) = kind(&node) else {
        return vec![node];
    };
    let mut parts = Vec::new();
    // Parts are copies of the node, which must not have them all.
    let mut inputs = std::mem::take(&mut node.input);
    match kind {
        Kind::Groups => {
            while inputs.len() > WIDEST {
                let groups = inputs.chunks(WIDEST);
                inputs = groups
                    .map(|group| part(&node, tag, group, &mut parts))
                    .collect();
            }
        }
        Kind::Chain => {
            let (first, rest) = inputs.split_at(WIDEST);
            let mut so_far = first.to_vec();
            for group in rest.chunks(WIDEST - 1) {
                let before = part(&node, tag, &so_far, &mut parts);
                so_far = std::iter::once(before)
                    .chain(group.iter().cloned())
                    .collect();
            }
            inputs = so_far;
        }
    }
    parts.push(NodeProto {
        input: inputs,
        ..node
    });
    parts
}

/// A node of the same kind for some of the inputs, and the name of what it gives.
fn part(node: &NodeProto, tag: &str, inputs: &[String], parts: &mut Vec<NodeProto>) -> String {
    if let [one] = inputs {
        return one.clone();
    }
    let named = |name: &str| format!("{name}{tag}{}", parts.len());
    let output = named(node.output.first().map_or("", String::as_str));
    let name = if node.name.is_empty() {
        String::new()
    } else {
        named(&node.name)
    };
    parts.push(NodeProto {
        name,
        input: inputs.to_vec(),
        output: vec![output.clone()],
        ..node.clone()
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(op_type: &str, inputs: usize) -> ModelProto {
        let node = NodeProto {
            op_type: op_type.to_owned(),
            input: (0..inputs).map(|at| format!("x{at}")).collect(),
            output: vec!["y".to_owned()],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![node],
            ..GraphProto::default()
        };
        ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    /// The inputs in the order in which they come together, and how many nodes there are.
    fn order(op_type: &str, inputs: usize) -> (Vec<String>, usize) {
        let mut model = model(op_type, inputs);
        apply(&mut model);
        let nodes = model.graph.unwrap().node;
        assert!(nodes.iter().all(|node| node.input.len() <= WIDEST));
        let mut made = std::collections::HashMap::new();
        let count = nodes.len();
        for node in nodes {
            let all = node.input.into_iter().flat_map(|name| {
                let known: Option<&Vec<String>> = made.get(&name);
                known.cloned().unwrap_or_else(|| vec![name])
            });
            let all = all.collect();
            made.insert(node.output[0].clone(), all);
        }
        (made.remove("y").unwrap(), count)
    }

    /// Each part has its own inputs and no copy of all: 200,000 took 20 s when it had.
    #[test]
    fn a_part_holds_its_own_inputs_only() {
        let mut wide = model("Sum", 200_000);
        apply(&mut wide);
        let nodes = wide.graph.unwrap().node;
        let read: usize = nodes.iter().map(|node| node.input.len()).sum();
        assert_eq!(read, 200_000 + nodes.len() - 1);
    }

    #[test]
    fn every_input_is_taken_once_and_in_its_order() {
        for inputs in [65, 128, 129, 10_000] {
            let expected: Vec<String> = (0..inputs).map(|at| format!("x{at}")).collect();
            for op_type in ["Concat", "Sum", "Max", "Min"] {
                assert_eq!(order(op_type, inputs).0, expected, "{op_type} of {inputs}");
            }
        }
        assert_eq!(order("Concat", WIDEST).1, 1);
        assert_eq!(order("Concat", WIDEST * WIDEST).1, WIDEST + 1);
    }

    #[test]
    fn names_that_a_graph_has_are_not_given_again() {
        let mut model = model("Sum", 100);
        model.graph.as_mut().unwrap().node[0].input[7] = "y.part-0".to_owned();
        apply(&mut model);
        let nodes = model.graph.unwrap().node;
        assert_eq!(nodes[0].output, ["y.part--0"]);
    }
}
