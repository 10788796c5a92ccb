//! Convolutions of the tensors of a concatenation, next to the same of the concatenation.
//!
//! Given small models that join channels; promises the same bits whether the concatenation is computed or not, that it is not where only
//! convolutions read it, and that it is where somebody else does.

mod models;

use models::{constant, model, node};
use ndarray::ArrayD;
use onnx_swish_tract::{Convolutions, Session};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, attribute_proto,
};

const IMAGE: [usize; 2] = [14, 11];

/// What a model does with a concatenation of images.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    /// One convolution reads it.
    Once,
    /// Two do, and the second adds what the first computes.
    Twice,
    /// A pool reads it too.
    Pool,
    /// It is added to what is computed from it.
    Residual,
    /// A depthwise convolution reads it.
    Depthwise,
}

#[derive(Debug, Clone, Copy)]
struct Joined<'a> {
    /// Of the parts, of which the first is the model's input and the others are computed from it.
    channels: &'a [usize],
    batch: usize,
    kernel: usize,
    by: Use,
    /// The first part once more at the end.
    repeated: bool,
    axis: i64,
}

const CASE: Joined = Joined {
    channels: &[3, 5],
    batch: 2,
    kernel: 3,
    by: Use::Once,
    repeated: false,
    axis: 1,
};

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 37 + seed * 101) % 64) as f32 / 32.0 - 1.0;
    (0..count).map(number).collect()
}

fn with_ints(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
    let mut attribute = AttributeProto {
        name: name.to_owned(),
        ..Default::default()
    };
    if let [i] = ints {
        attribute.r#type = attribute_proto::AttributeType::Int.into();
        attribute.i = *i;
    } else {
        attribute.r#type = attribute_proto::AttributeType::Ints.into();
        attribute.ints = ints.to_vec();
    }
    node.attribute.push(attribute);
    node
}

/// Nodes and constants of a model.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph {
    fn conv(&mut self, x: &str, y: &str, channels: [usize; 2], groups: usize, kernel: usize) {
        let name = format!("weights of {y}");
        let dims = [channels[1], channels[0] / groups, kernel, kernel];
        let weights = numbers(dims.iter().product(), self.nodes.len());
        let dims = dims.map(|size| size as i64);
        self.constants.push(constant(&name, &dims, &weights));
        let pad = (kernel / 2) as i64;
        let conv = with_ints(node("Conv", &[x, &name], y, &[]), "pads", &[pad; 4]);
        self.nodes.push(with_ints(conv, "group", &[groups as i64]));
    }

    fn node(&mut self, op_type: &str, inputs: &[&str], output: &str) {
        self.nodes.push(node(op_type, inputs, output, &[]));
    }
}

impl Joined<'_> {
    /// The model; if `shown`, with the concatenation as an output too.
    fn model(&self, shown: bool) -> Vec<u8> {
        let mut graph = Graph::default();
        let first = self.channels[0];
        let mut parts = vec!["x".to_owned()];
        for (i, channels) in self.channels.iter().enumerate().skip(1) {
            let (sum, part) = (format!("sum {i}"), format!("part {i}"));
            graph.conv("x", &sum, [first, *channels], 1, 3);
            graph.node("Relu", &[&sum], &part);
            parts.push(part);
        }
        if self.repeated {
            parts.push("x".to_owned());
        }
        let inputs: Vec<&str> = parts.iter().map(String::as_str).collect();
        let concat = node("Concat", &inputs, "joined", &[]);
        graph.nodes.push(with_ints(concat, "axis", &[self.axis]));
        let again = if self.repeated { first } else { 0 };
        let sum = match self.axis {
            1 => self.channels.iter().sum::<usize>() + again,
            _ => first,
        };
        let (outs, groups) = match self.by {
            Use::Residual => (sum, 1),
            Use::Depthwise => (sum, sum),
            _ => (7, 1),
        };
        graph.conv("joined", "first", [sum, outs], groups, self.kernel);
        match self.by {
            Use::Once | Use::Depthwise => graph.node("Relu", &["first"], "y"),
            Use::Twice => {
                graph.conv("joined", "second", [sum, outs], 1, 1);
                graph.node("Add", &["second", "first"], "y");
            }
            Use::Residual => graph.node("Add", &["first", "joined"], "y"),
            Use::Pool => {
                graph.conv("joined", "second", [sum, sum], 1, 1);
                let pool = node("MaxPool", &["joined"], "pooled", &[]);
                let pool = with_ints(pool, "kernel_shape", &[3, 3]);
                graph.nodes.push(with_ints(pool, "pads", &[1; 4]));
                graph.node("Add", &["second", "pooled"], "y");
            }
        }
        let [height, width] = IMAGE;
        let shape = [self.batch, first, height, width];
        let bytes = model(graph.nodes, &shape, graph.constants);
        let mut proto = ModelProto::decode(&*bytes).unwrap();
        if shown {
            proto.graph.as_mut().unwrap().output.push(ValueInfoProto {
                name: "joined".to_owned(),
                ..Default::default()
            });
        }
        proto.encode_to_vec()
    }

    fn session(&self, shown: bool, threads: usize) -> Session {
        let builder = Session::builder(self.model(shown));
        let builder = builder.convolutions(Convolutions::Ours).threads(threads);
        builder.build().unwrap()
    }

    /// The bits of the output that both models have.
    fn run(&self, session: &Session) -> Vec<u32> {
        let [height, width] = IMAGE;
        let shape = [self.batch, self.channels[0], height, width];
        let x = numbers(shape.iter().product(), 5);
        let x = ArrayD::from_shape_vec(&shape[..], x).unwrap();
        let outputs = session.run([("x", x)]).unwrap();
        let y = outputs[0].view::<f32>().unwrap();
        y.iter().map(|y| y.to_bits()).collect()
    }

    /// Compares the two models; whether the concatenation is not computed where only `y` is wanted.
    fn check(&self) -> bool {
        let [height, width] = IMAGE;
        let shapes = [vec![self.batch, self.channels[0], height, width]];
        let shown = self.session(true, 1);
        let is_there = |session: &Session| {
            let nodes = session.nodes(&shapes).unwrap();
            nodes.iter().any(|node| node.op == "Join")
        };
        assert!(is_there(&shown), "{self:?}");
        let want = self.run(&shown);
        let mut gone = None;
        for threads in [1, 3] {
            let session = self.session(false, threads);
            // Twice: the second run is in the memory of the first.
            for _ in 0..2 {
                assert!(self.run(&session) == want, "{self:?}, {threads} threads");
            }
            gone = Some(!is_there(&session));
            let convolutions = session.convolutions(&shapes).unwrap();
            let said = convolutions.iter().filter(|found| {
                let parts = self.channels.len() + usize::from(self.repeated);
                let words = format!("concatenated input of {parts}");
                let said = |text: &Option<String>| text.as_ref().unwrap().contains(&words);
                assert_eq!(said(&found.kind), said(&found.info), "{found:?}");
                said(&found.kind)
            });
            let readers = if self.by == Use::Twice { 2 } else { 1 };
            let expected = if gone == Some(true) { readers } else { 0 };
            assert_eq!(said.count(), expected, "{self:?}: {convolutions:?}");
        }
        gone.unwrap()
    }
}

#[test]
fn convolutions_read_the_parts_where_they_are() {
    for channels in [&[3, 5][..], &[4, 1, 6], &[2, 3, 4, 5, 6]] {
        for batch in [1, 3] {
            for (kernel, by) in [(1, Use::Once), (3, Use::Once), (3, Use::Twice)] {
                for repeated in [false, true] {
                    let case = Joined {
                        channels,
                        batch,
                        kernel,
                        by,
                        repeated,
                        ..CASE
                    };
                    assert!(case.check(), "{case:?}");
                }
            }
        }
    }
}

#[test]
fn what_somebody_else_needs_is_computed() {
    for by in [Use::Pool, Use::Residual, Use::Depthwise] {
        let case = Joined { by, ..CASE };
        assert!(!case.check(), "{case:?}");
    }
}

#[test]
fn concatenations_of_rows_are_computed() {
    let case = Joined {
        channels: &[3, 3],
        axis: 2,
        ..CASE
    };
    assert!(!case.check());
}
