//! What the file says about where an output comes from, as far as judging it goes.
//!
//! Given a model; promises for each value whether quantised values or a ranking are among its ancestors in the main graph, and the
//! width of a quantisation step where the file states it. Reads names and constants, computes nothing else.

use std::collections::{HashMap, HashSet};

use onnx_swish_model::{DataType, Dim, Model, NodeRef, Scope, Tensor};

use super::codes::{CODES, Step};
use crate::ElementType;

/// Operators whose outputs depend on how sums were rounded to codes.
///
/// By the beginnings of their names: `QLinear` has many, `DynamicQuantize` stands before Linear, MatMul and LSTM.
const QUANTISING: [&[u8]; 5] = [
    b"QuantizeLinear",
    b"DynamicQuantize",
    b"QLinear",
    b"QGemm",
    b"QAttention",
];
/// The one among them that says how it quantised, in a scale and a zero point, which are no codes.
const DYNAMIC: &[u8] = b"DynamicQuantizeLinear";
/// The one among them that quantises its state at every step.
const RECURRENT: &[u8] = b"DynamicQuantizeLSTM";
/// Operators whose outputs are in the order of scores.
const RANKING: [&[u8]; 2] = [b"TopK", b"NonMaxSuppression"];
/// Operators whose outputs are elements of their first input, in any place or shape, or zero.
const MOVING: [&[u8]; 10] = [
    b"Identity",
    b"Reshape",
    b"Flatten",
    b"Squeeze",
    b"Unsqueeze",
    b"Transpose",
    b"Slice",
    b"Gather",
    b"Split",
    b"Relu",
];
/// Operators whose outputs lie in a known range, and how wide that is.
const BOUNDED: [(&[u8], f64); 4] = [
    (b"Sigmoid", 1.0),
    (b"HardSigmoid", 1.0),
    (b"Softmax", 1.0),
    (b"Tanh", 2.0),
];
/// The most elements of a scale that are looked at: one for each channel.
const MOST_SCALES: usize = 1 << 16;

/// Where an output comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Origin {
    /// How it is quantised, where quantised values are among its ancestors.
    pub quantised: Option<Quantised>,
    /// Which TopK or NonMaxSuppression it lies behind, the last of them: a number that tells them apart.
    pub ranked: Option<usize>,
}

/// How an output is quantised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quantised {
    /// The width of a step of the output.
    pub step: Step,
    /// The widest step of the quantisations last before it, for where its range does not say.
    pub front: Option<f64>,
    /// How many times values that depend on inputs are quantised on the longest way to it.
    pub depth: usize,
}

/// A TopK or a NonMaxSuppression of the main graph that says which rows it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranking {
    /// The node's name, or that of its indices.
    pub node: String,
    /// The value that it ranks.
    pub data: String,
    /// The value that says which rows it keeps.
    pub indices: String,
    pub kind: Ranks,
}

/// How a node ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranks {
    TopK {
        axis: i64,
        largest: bool,
    },
    /// Scores of `[batches, classes, boxes]`, each kept one by its three numbers.
    NonMaxSuppression,
}

impl Ranks {
    /// Which output says what is kept.
    pub fn indices(self) -> usize {
        match self {
            Ranks::TopK { .. } => 1,
            Ranks::NonMaxSuppression => 0,
        }
    }

    /// Which input is ranked.
    fn data(self) -> usize {
        match self {
            Ranks::TopK { .. } => 0,
            Ranks::NonMaxSuppression => 1,
        }
    }
}

/// The QuantizeLinear that makes a value, with one scale for all of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantiser {
    /// The value that it quantises.
    pub input: String,
    pub scale: f64,
    pub zero: f64,
}

/// What is known of a value while the graph is walked.
#[derive(Debug, Clone, Copy, Default)]
struct Trace {
    /// Whether it depends on an input, as weights do not.
    varies: bool,
    depth: usize,
    /// The widest step of the quantisations last before it.
    front: Option<f64>,
    ranked: Option<usize>,
}

/// The origin of each output of the main graph, by name.
pub(super) fn of_outputs(model: &Model) -> HashMap<String, Origin> {
    let outputs = model.scopes().first().map(|main| main.outputs());
    let outputs = outputs.unwrap_or_default().iter();
    of_values(model, outputs.map(|output| model.text(output.name())))
}

/// The origin of each of these values of the main graph, by name.
pub(super) fn of_values<'m>(
    model: &'m Model,
    names: impl Iterator<Item = &'m [u8]>,
) -> HashMap<String, Origin> {
    let graph = Graph::of(model);
    let traces = graph.traces();
    let named = names.map(|name| {
        let trace = traces.get(name).copied().unwrap_or_default();
        (
            String::from_utf8_lossy(name).into_owned(),
            graph.origin(name, trace),
        )
    });
    named.collect()
}

/// The quantiser of each of these values of the main graph that one QuantizeLinear makes with a scale that the file states.
pub(super) fn quantisers<'m>(
    model: &'m Model,
    names: impl Iterator<Item = &'m str>,
) -> HashMap<&'m str, Quantiser> {
    let graph = Graph::of(model);
    let quantiser = |name: &str| {
        let node = graph.made_by.get(name.as_bytes())?;
        let mut inputs = node.inputs();
        let (input, scale) = (inputs.next()?, inputs.next()?);
        let zero = inputs.next().filter(|zero| !zero.is_empty());
        let single = |name| match graph.constant(name)?.as_slice() {
            &[one] => Some(one),
            _ => None,
        };
        (node.op_type() == b"QuantizeLinear").then_some(())?;
        Some(Quantiser {
            input: String::from_utf8(input.to_vec()).ok()?,
            scale: single(scale).filter(|scale| *scale > 0.0)?,
            zero: zero.map_or(Some(0.0), single)?,
        })
    };
    names
        .filter_map(|name| Some((name, quantiser(name)?)))
        .collect()
}

/// The rankings of the main graph, of values that no file holds.
pub(super) fn rankings(model: &Model) -> Vec<Ranking> {
    let Some(main) = model.scopes().first() else {
        return Vec::new();
    };
    let stored = stored(model, main);
    let nodes = main.nodes().iter().map(|node| model.node_ref(node));
    let rankings = nodes.filter_map(|node| {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let number = |name, usual| {
            let attribute = node.attribute(name);
            attribute.and_then(|it| it.int()).unwrap_or(usual)
        };
        let kind = match node.op_type() {
            b"TopK" => Ranks::TopK {
                axis: number(b"axis", -1),
                largest: number(b"largest", 1) != 0,
            },
            b"NonMaxSuppression" => Ranks::NonMaxSuppression,
            _ => return None,
        };
        let data = node.inputs().nth(kind.data())?;
        let indices = node.outputs().nth(kind.indices());
        let indices = indices.filter(|name| !name.is_empty())?;
        (!stored.contains(data)).then(|| Ranking {
            node: text(match node.name() {
                b"" => indices,
                name => name,
            }),
            data: text(data),
            indices: text(indices),
            kind,
        })
    });
    rankings.collect()
}

/// The names of the values that the file holds.
fn stored<'m>(model: &'m Model, main: &'m Scope) -> HashSet<&'m [u8]> {
    let tensors = main.initializers().iter();
    tensors.map(|tensor| model.text(tensor.name())).collect()
}

/// The 16-bit float type that the main graph's weights are stored in.
pub(super) fn narrowest_float(model: &Model) -> Option<ElementType> {
    let main = model.scopes().first()?;
    let stored_as = |data_type| {
        let mut weights = main.initializers().iter();
        weights.any(|tensor| tensor.data_type() == Some(data_type) && tensor.elements() > Some(1))
    };
    if stored_as(DataType::Bfloat16) {
        Some(ElementType::BF16)
    } else {
        stored_as(DataType::Float16).then_some(ElementType::F16)
    }
}

/// The main graph by the names of its values.
struct Graph<'m> {
    model: &'m Model,
    made_by: HashMap<&'m [u8], NodeRef<'m>>,
    stored: HashMap<&'m [u8], Tensor>,
}

impl<'m> Graph<'m> {
    fn of(model: &'m Model) -> Graph<'m> {
        let nodes = model.scopes().first().map(|main| main.nodes());
        let nodes = nodes.unwrap_or_default().iter();
        let mut made_by = HashMap::new();
        for node in nodes.map(|node| model.node_ref(node)) {
            made_by.extend(
                node.outputs()
                    .filter(|name| !name.is_empty())
                    .map(|name| (name, node)),
            );
        }
        let main = model.scopes().first();
        let tensors = main.map(|main| main.initializers()).unwrap_or_default();
        let named = tensors
            .iter()
            .map(|tensor| (model.text(tensor.name()), *tensor));
        Graph {
            model,
            made_by,
            stored: named.collect(),
        }
    }

    /// What is known of every value: one walk, as nodes stand in the order of their values.
    fn traces(&self) -> HashMap<&'m [u8], Trace> {
        let mut traces: HashMap<&[u8], Trace> = HashMap::new();
        let Some(main) = self.model.scopes().first() else {
            return traces;
        };
        let nodes = main.nodes().iter().map(|node| self.model.node_ref(node));
        for (number, node) in nodes.enumerate() {
            let mut trace = Trace::default();
            for input in node.inputs().filter(|input| !input.is_empty()) {
                let unknown = Trace {
                    varies: !self.stored.contains_key(input),
                    ..Trace::default()
                };
                let own = traces.get(input).copied().unwrap_or(unknown);
                trace.varies |= own.varies;
                trace.depth = trace.depth.max(own.depth);
                trace.front = widest(trace.front, own.front);
                trace.ranked = trace.ranked.max(own.ranked);
            }
            let given = trace;
            let op = node.op_type();
            if RANKING.contains(&op) {
                trace.ranked = Some(number);
            }
            let quantises = QUANTISING.iter().any(|prefix| op.starts_with(prefix));
            if quantises && trace.varies {
                let times = if op == RECURRENT { self.steps(node) } else { 1 };
                trace.depth = trace.depth.saturating_add(times);
            }
            trace.front = self.front(node, trace);
            for (at, output) in node.outputs().enumerate() {
                // Its scale and zero point are computed from what it is given, before anything is rounded to codes.
                let computed = op == DYNAMIC && at > 0;
                traces.insert(output, if computed { given } else { trace });
            }
        }
        traces
    }

    /// The widest step that a node's outputs come in, as far as quantisers in front or its range say it.
    fn front(&self, node: NodeRef<'m>, trace: Trace) -> Option<f64> {
        let op = node.op_type();
        if trace.varies && [b"QuantizeLinear".as_slice(), b"DequantizeLinear"].contains(&op) {
            return self.scale(node);
        }
        let bounded = BOUNDED.iter().find(|(bounded, _)| *bounded == op);
        let bound = bounded.map(|(_, range)| range / CODES);
        match (trace.front, bound) {
            (Some(front), Some(bound)) => Some(front.min(bound)),
            (front, bound) => front.or(bound),
        }
    }

    /// The widest step of a quantiser whose scale the file states.
    fn scale(&self, node: NodeRef<'m>) -> Option<f64> {
        let scales = self.constant(node.inputs().nth(1)?)?;
        let widest = scales.into_iter().map(f64::abs).fold(0.0, f64::max);
        (widest > 0.0).then_some(widest)
    }

    /// How many steps a recurrent node takes: the first size of what comes in, or of what goes out. One where the file does not say.
    fn steps(&self, node: NodeRef<'m>) -> usize {
        let main = self.model.scopes().first();
        let sequences = [node.inputs().next(), node.outputs().next()];
        let stated = main.into_iter().flat_map(|main| {
            let all = main.inputs().iter().chain(main.outputs());
            all.chain(main.value_info())
        });
        let mut of_sequences =
            stated.filter(|info| sequences.contains(&Some(self.model.text(info.name()))));
        let steps = of_sequences.find_map(|info| {
            let shape = self.model.value_tensor_type(info)?.shape?;
            match shape.first() {
                Some(&Dim::Known(steps)) => usize::try_from(steps).ok(),
                _ => None,
            }
        });
        steps.unwrap_or(1)
    }

    fn origin(&self, output: &'m [u8], trace: Trace) -> Origin {
        let quantised = (trace.depth > 0).then(|| Quantised {
            step: self.step(output).unwrap_or(Step::OfRange),
            front: trace.front,
            depth: trace.depth,
        });
        Origin {
            quantised,
            ranked: trace.ranked,
        }
    }

    /// The step of a value that is dequantised, or moved about after that.
    fn step(&self, value: &'m [u8]) -> Option<Step> {
        let (mut name, mut left) = (value, self.made_by.len());
        loop {
            let node = self.made_by.get(name)?;
            let (op, mut inputs) = (node.op_type(), node.inputs());
            match op {
                b"DequantizeLinear" => return self.scale(*node).map(Step::Of),
                // A 255th of the range that it is given, and so as many 255ths of itself farther as that range is.
                DYNAMIC if node.outputs().nth(1) == Some(name) => return Some(Step::OfItself),
                b"QuantizeLinear" | DYNAMIC => return Some(Step::Of(1.0)),
                _ if op.starts_with(b"QLinear") => return Some(Step::Of(1.0)),
                // Without a scale for what comes out it gives floats.
                b"QGemm" if inputs.nth(7).is_some_and(|scale| !scale.is_empty()) => {
                    return Some(Step::Of(1.0));
                }
                _ if MOVING.contains(&op) => name = inputs.next()?,
                _ => return None,
            }
            // A graph with a loop is refused when it is run; here it must only end.
            left = left.checked_sub(1)?;
        }
    }

    fn constant(&self, name: &[u8]) -> Option<Vec<f64>> {
        let tensor = match self.stored.get(name) {
            Some(tensor) => *tensor,
            None => {
                let node = self
                    .made_by
                    .get(name)
                    .filter(|node| node.op_type() == b"Constant")?;
                node.attribute(b"value")?.tensor()?
            }
        };
        self.model.tensor_f64(&tensor, MOST_SCALES).ok()
    }
}

fn widest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_swish_model::schema::tensor_shape_proto::dimension::Value;
    use onnx_swish_model::schema::{
        GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto,
        ValueInfoProto, tensor_shape_proto, type_proto,
    };
    use prost::Message as _;

    const DYNAMIC_NAME: &str = "DynamicQuantizeLinear";

    fn node(op: &'static str, inputs: &[&'static str], output: &'static str) -> NodeProto {
        NodeProto {
            op_type: Some(op.into()),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn origins(nodes: Vec<NodeProto>) -> HashMap<String, Origin> {
        of_outputs(&Model::from_bytes(model(nodes).encode_to_vec()).unwrap())
    }

    fn model(nodes: Vec<NodeProto>) -> ModelProto {
        let scale = TensorProto {
            name: Some("scale".into()),
            data_type: Some(DataType::Float as i32),
            float_data: vec![0.25],
            ..TensorProto::default()
        };
        let output = ValueInfoProto {
            name: Some("y".into()),
            ..ValueInfoProto::default()
        };
        let graph = GraphProto {
            node: nodes,
            initializer: vec![scale],
            output: vec![output],
            ..GraphProto::default()
        };
        ModelProto {
            ir_version: Some(8),
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    #[test]
    fn a_dequantised_output_has_its_scale_as_step() {
        let found = origins(vec![
            node("QuantizeLinear", &["x", "scale"], "q"),
            node("DequantizeLinear", &["q", "scale"], "d"),
            node("Reshape", &["d", "shape"], "y"),
        ]);
        let quantised = Quantised {
            step: Step::Of(0.25),
            front: Some(0.25),
            depth: 1,
        };
        assert_eq!(found["y"].quantised, Some(quantised));
    }

    #[test]
    fn a_computed_scale_is_no_code_of_its_own() {
        let dynamic = |name: &'static str, input| NodeProto {
            output: ["q", name, "z"].map(Into::into).to_vec(),
            ..node(DYNAMIC_NAME, &[input], "")
        };
        assert_eq!(origins(vec![dynamic("y", "x")])["y"], Origin::default());
        // Behind another quantisation it moves with the ends of its range.
        let behind = origins(vec![
            node("QuantizeLinear", &["x", "scale"], "a"),
            node("DequantizeLinear", &["a", "scale"], "d"),
            dynamic("y", "d"),
        ]);
        let found = behind["y"].quantised.unwrap();
        assert_eq!((found.step, found.depth), (Step::OfItself, 1));
    }

    #[test]
    fn a_product_of_codes_gives_codes_if_it_has_a_scale_for_them() {
        let step = |inputs: &[&'static str]| {
            let found = origins(vec![node("QGemm", inputs, "y")]);
            found["y"].quantised.unwrap().step
        };
        let codes = ["a", "scale", "z", "b", "scale", "z", "c", "scale", "z"];
        assert_eq!(step(&codes), Step::Of(1.0));
        assert_eq!(step(&codes[..6]), Step::OfRange);
    }

    #[test]
    fn a_bounded_operator_bounds_the_step_in_front() {
        let found = origins(vec![
            node("QuantizeLinear", &["x", "scale"], "q"),
            node("DequantizeLinear", &["q", "scale"], "d"),
            node("Sigmoid", &["d"], "y"),
        ]);
        assert_eq!(found["y"].quantised.unwrap().front, Some(1.0 / 255.0));
    }

    #[test]
    fn behind_float_operators_the_range_says_it() {
        let found = origins(vec![
            node("QuantizeLinear", &["x", "scale"], "q"),
            node("DequantizeLinear", &["q", "scale"], "d"),
            node("Softmax", &["d"], "y"),
        ]);
        assert_eq!(found["y"].quantised.unwrap().step, Step::OfRange);
    }

    #[test]
    fn weights_that_are_stored_as_codes_move_nothing() {
        let found = origins(vec![
            node("QuantizeLinear", &["scale", "scale"], "w"),
            node("DequantizeLinear", &["w", "scale"], "d"),
            node("MatMul", &["x", "d"], "y"),
        ]);
        assert_eq!(found["y"], Origin::default());
    }

    #[test]
    fn a_ranking_is_seen_through_what_follows() {
        let found = origins(vec![
            node("TopK", &["x", "k"], "values"),
            node("Gather", &["boxes", "values"], "y"),
        ]);
        assert_eq!(found["y"].ranked, Some(0));
    }

    #[test]
    fn the_longest_way_counts() {
        let found = origins(vec![
            node("QuantizeLinear", &["x", "scale"], "a"),
            node("QuantizeLinear", &["a", "scale"], "b"),
            node("QLinearAdd", &["a", "b"], "y"),
        ]);
        assert_eq!(found["y"].quantised.unwrap().depth, 3);
    }

    #[test]
    fn a_recurrent_operator_quantises_at_every_step() {
        let lstm = node("DynamicQuantizeLSTM", &["x", "w", "r"], "y");
        let mut model = model(vec![lstm]);
        let graph = model.graph.as_mut().unwrap();
        let depth = |model: &ModelProto| {
            let found = of_outputs(&Model::from_bytes(model.encode_to_vec()).unwrap());
            found["y"].quantised.unwrap().depth
        };
        let steps = tensor_shape_proto::Dimension {
            value: Some(Value::DimValue(7)),
            ..Default::default()
        };
        let sequence = type_proto::Tensor {
            elem_type: Some(DataType::Float as i32),
            shape: Some(TensorShapeProto { dim: vec![steps] }),
        };
        graph.input = vec![ValueInfoProto {
            name: Some("x".into()),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(sequence)),
                ..TypeProto::default()
            }),
            ..ValueInfoProto::default()
        }];
        let stated = model.clone();
        model.graph.as_mut().unwrap().input.clear();
        assert_eq!((depth(&stated), depth(&model)), (7, 1));
    }

    #[test]
    fn a_ranking_that_says_what_it_keeps_is_found() {
        let mut top = node("TopK", &["x", "k"], "values");
        top.output.push("indices".into());
        let unnamed = node("TopK", &["x", "k"], "alone");
        let bytes = model(vec![top, unnamed]).encode_to_vec();
        let found = rankings(&Model::from_bytes(bytes).unwrap());
        assert_eq!(found.len(), 1);
        let (data, indices) = (&found[0].data, &found[0].indices);
        assert_eq!((data.as_str(), indices.as_str()), ("x", "indices"));
        let usual = Ranks::TopK {
            axis: -1,
            largest: true,
        };
        assert_eq!(found[0].kind, usual);
    }

    #[test]
    fn a_graph_with_a_loop_ends() {
        let found = origins(vec![
            node("Reshape", &["y", "s"], "a"),
            node("QuantizeLinear", &["a"], "b"),
            node("Reshape", &["a", "b"], "y"),
        ]);
        assert!(found["y"].quantised.is_some());
    }
}
