//! Which value of the file each activation makes.
//!
//! Given the names and operators that activations have in tract's graph, and the file, its functions written out. Promises the value that
//! the file's node of that name makes, also where tract made the name another one; no value twice, and none where the name is of
//! tract's making.

use std::collections::{HashMap, HashSet};

use crate::Model;

/// Names of values, one for each node and operator in `nodes`.
pub(super) fn outputs(model: &Model, nodes: &[(&str, &str)]) -> Vec<Option<String>> {
    let file = File::new(model);
    let mut named: Vec<Option<&[u8]>> = nodes
        .iter()
        .map(|(node, _)| file.made_by(node).or_else(|| file.merged(node)))
        .collect();
    let mut taken: HashSet<&[u8]> = named.iter().copied().flatten().collect();
    for (name, (node, op)) in named.iter_mut().zip(nodes) {
        if name.is_none() {
            *name = file.numbered(node, op).filter(|&value| taken.insert(value));
        }
    }
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    named.into_iter().map(|name| name.map(text)).collect()
}

/// The nodes of a file's main graph.
struct File<'m> {
    model: &'m Model,
    /// First output and operator by name.
    nodes: HashMap<String, (&'m [u8], &'m [u8])>,
}

impl<'m> File<'m> {
    fn new(model: &'m Model) -> Self {
        let nodes = nodes(model).filter_map(|node| {
            let output = node.outputs().next()?;
            // As tract does: a node without a name goes by its output.
            let name = match node.name() {
                b"" => output,
                name => name,
            };
            let name = String::from_utf8_lossy(name).into_owned();
            Some((name, (output, node.op_type())))
        });
        Self {
            model,
            nodes: nodes.collect(),
        }
    }

    fn made_by(&self, node: &str) -> Option<&'m [u8]> {
        self.nodes.get(node).map(|&(output, _)| output)
    }

    /// tract merges `x * Sigmoid(x)` whose gate is needed elsewhere, too, under the name of the gate's node.
    fn merged(&self, node: &str) -> Option<&'m [u8]> {
        let gate = self.made_by(node.strip_suffix(".silu")?)?;
        let maker = nodes(self.model).find(|node| node.outputs().next() == Some(gate))?;
        let x = maker.inputs().next()?;
        let product = nodes(self.model).find(|node| {
            let factors: Vec<&[u8]> = node.inputs().collect();
            node.op_type() == b"Mul" && (factors == [x, gate] || factors == [gate, x])
        });
        product?.outputs().next()
    }

    /// tract appends a number (`act.1`) where it puts a node in the place of one of the same name, as when it moves an activation past a
    /// Concat. Our operators are named after the standard ones: `FusedHardSwish` is a HardSwish.
    fn numbered(&self, node: &str, op: &str) -> Option<&'m [u8]> {
        let (name, number) = node.rsplit_once('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        let &(output, own) = self.nodes.get(name).filter(|_| is_number)?;
        op.as_bytes().ends_with(own).then_some(output)
    }
}

fn nodes(model: &Model) -> impl Iterator<Item = onnx_swish_model::NodeRef<'_>> {
    let main = model.scopes().first().map(|main| main.nodes());
    let nodes = main.unwrap_or_default().iter();
    nodes.map(|node| model.node_ref(node))
}

#[cfg(test)]
mod tests {
    use onnx_swish_model::schema::{GraphProto, ModelProto, NodeProto};
    use prost::Message as _;

    use super::outputs;
    use crate::Model;

    fn node(op: &'static str, name: &'static str, inputs: &[&'static str]) -> NodeProto {
        NodeProto {
            op_type: Some(op.into()),
            name: Some(name.into()),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![format!("value of {op} {name}").into()],
            ..NodeProto::default()
        }
    }

    fn model() -> Model {
        let gate = "value of Sigmoid gate";
        let graph = GraphProto {
            node: vec![
                node("FusedHardSwish", "act", &["x"]),
                node("HardSwish", "act.2", &["x"]),
                node("Conv", "conv", &["x", "w"]),
                node("Sigmoid", "gate", &["x"]),
                node("Mul", "product", &[gate, "x"]),
                node("FusedSilu", "", &["x"]),
            ],
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(graph),
            ..ModelProto::default()
        };
        Model::from_bytes(model.encode_to_vec()).unwrap()
    }

    fn named(nodes: &[(&str, &str)]) -> Vec<Option<String>> {
        outputs(&model(), nodes)
    }

    fn value(name: &str) -> Option<String> {
        Some(format!("value of {name}"))
    }

    #[test]
    fn a_node_has_its_name_or_its_output() {
        let found = named(&[
            ("act", "FusedHardSwish"),
            ("value of FusedSilu ", "FusedSilu"),
            ("gate.silu", "FusedSilu"),
        ]);
        let wanted = [
            value("FusedHardSwish act"),
            value("FusedSilu "),
            value("Mul product"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_number_that_tract_appends_hides_no_name() {
        let found = named(&[
            ("act.1", "FusedHardSwish"),
            ("act.2.13", "FusedHardSwish"),
            ("conv.1", "FusedHardSwish"),
            ("act.x", "FusedHardSwish"),
            ("act.", "FusedHardSwish"),
        ]);
        let wanted = [
            value("FusedHardSwish act"),
            value("HardSwish act.2"),
            None,
            None,
            None,
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn no_value_is_named_twice() {
        let found = named(&[
            ("act.1", "FusedHardSwish"),
            ("act.3", "FusedHardSwish"),
            ("act.2", "FusedHardSwish"),
        ]);
        let wanted = [value("FusedHardSwish act"), None, value("HardSwish act.2")];
        assert_eq!(found, wanted);
        let whole = named(&[("act.1", "FusedHardSwish"), ("act", "FusedHardSwish")]);
        assert_eq!(whole, [None, value("FusedHardSwish act")]);
    }
}
