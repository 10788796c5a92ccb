//! Deep quantised networks, whole and damaged.
//!
//! Given networks of fifty layers; promises that damage which rounding could reach at the end is found in the layer where it is, and that
//! a network as it is has none.

use onnx_swish_model::schema::tensor_shape_proto::{Dimension, dimension::Value};
use onnx_swish_model::schema::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, type_proto,
};
use onnx_swish_model::{DataType, Model};
use prost::Message as _;

use super::{Layers, places};
use crate::verify::codes::Step;
use crate::verify::judge::by_codes;
use crate::verify::origin::{Origin, Quantised};
use crate::verify::{JudgedBy, OutputComparison, Tolerance, VerifyOptions, VerifyReport, verify};
use crate::{ElementType, Tensor};

const DEPTH: usize = 50;
const WIDTH: usize = 32;

fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape.iter().map(|&size| Dimension {
        value: Some(Value::DimValue(size as i64)),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: Some(DataType::Float as i32),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_owned().into()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn stored(name: String, shape: &[usize], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DataType::Float as i32),
        dims: shape.iter().map(|&size| size as i64).collect(),
        float_data: values,
        ..TensorProto::default()
    }
}

/// A network under construction.
#[derive(Default)]
struct Net(GraphProto);

impl Net {
    fn node(&mut self, op: &'static str, inputs: &[&str], outputs: &[&str]) -> &mut NodeProto {
        let owned = |names: &[&str]| {
            let names = names.iter();
            names.map(|name| name.to_string().into()).collect()
        };
        self.0.node.push(NodeProto {
            op_type: Some(op.into()),
            name: Some(outputs[0].to_owned().into()),
            input: owned(inputs),
            output: owned(outputs),
            ..NodeProto::default()
        });
        self.0.node.last_mut().unwrap()
    }

    /// Codes of a scale of its own, and back.
    fn rounded(&mut self, from: &str, to: &str, scale: f32) {
        let (scale_name, codes) = (format!("{to}.scale"), format!("{to}.codes"));
        self.0
            .initializer
            .push(stored(scale_name.clone(), &[], vec![scale]));
        self.node("QuantizeLinear", &[from, &scale_name, "zero"], &[&codes]);
        self.node("DequantizeLinear", &[&codes, &scale_name, "zero"], &[to]);
    }

    fn model(mut self, last: &str) -> ModelProto {
        self.node("Identity", &[last], &["y"]);
        self.0.name = Some("g".into());
        self.0.initializer.push(TensorProto {
            name: Some("zero".into()),
            data_type: Some(DataType::Int8 as i32),
            int32_data: vec![0],
            ..TensorProto::default()
        });
        self.0.input = vec![value("x", &[16, WIDTH])];
        self.0.output = vec![value("y", &[16, WIDTH])];
        ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto {
                version: Some(17),
                ..OperatorSetIdProto::default()
            }],
            graph: Some(self.0),
            ..ModelProto::default()
        }
    }
}

/// Products, biases and Tanh, each rounded to codes, fifty times.
fn deep() -> ModelProto {
    let mut random = fastrand::Rng::with_seed(11);
    let mut net = Net::default();
    let mut last = "x".to_owned();
    for layer in 0..DEPTH {
        let name = |what: &str| format!("{what}{layer}");
        // As wide as its sum is deep: values stay as large as they are.
        let spread = 3.5 / (WIDTH as f32).sqrt();
        let weights = (0..WIDTH * WIDTH).map(|_| (random.f32() - 0.5) * spread);
        let weights = stored(name("w"), &[WIDTH, WIDTH], weights.collect());
        let bias = (0..WIDTH).map(|_| random.f32() - 0.5).collect();
        net.0
            .initializer
            .extend([weights, stored(name("b"), &[WIDTH], bias)]);
        net.rounded(&last, &name("in"), 0.01 + 0.013 * f32::from(layer == 0));
        net.node("MatMul", &[&name("in"), &name("w")], &[&name("p")]);
        net.node("Add", &[&name("p"), &name("b")], &[&name("s")]);
        net.rounded(&name("s"), &name("r"), 0.023);
        net.node("Tanh", &[&name("r")], &[&name("t")]);
        last = name("t");
    }
    net.rounded(&last, "last", 0.0081);
    net.model("last")
}

/// Products of what is quantised as it comes.
fn dynamic() -> ModelProto {
    let mut random = fastrand::Rng::with_seed(12);
    let mut net = Net::default();
    net.0
        .initializer
        .push(stored("scale".into(), &[], vec![0.01]));
    let mut last = "x".to_owned();
    for layer in 0..DEPTH {
        let name = |what: &str| format!("{what}{layer}");
        net.0.initializer.push(TensorProto {
            name: Some(name("w").into()),
            data_type: Some(DataType::Int8 as i32),
            dims: vec![WIDTH as i64; 2],
            int32_data: (0..WIDTH * WIDTH).map(|_| random.i32(-30..=30)).collect(),
            ..TensorProto::default()
        });
        let (codes, scale, zero) = (name("q"), name("qs"), name("qz"));
        net.node("DynamicQuantizeLinear", &[&last], &[&codes, &scale, &zero]);
        net.node("MatMulInteger", &[&codes, &name("w"), &zero], &[&name("i")]);
        let cast = net.node("Cast", &[&name("i")], &[&name("f")]);
        cast.attribute.push(AttributeProto {
            name: Some("to".into()),
            r#type: Some(AttributeType::Int as i32),
            i: Some(DataType::Float as i64),
            ..AttributeProto::default()
        });
        net.node("Mul", &[&scale, "scale"], &[&name("m")]);
        net.node("Mul", &[&name("f"), &name("m")], &[&name("p")]);
        net.node("Tanh", &[&name("p")], &[&name("t")]);
        last = name("t");
    }
    net.model(&last)
}

fn loaded(model: &ModelProto) -> Model {
    Model::from_bytes(model.encode_to_vec()).unwrap()
}

fn judged(original: &ModelProto, other: &ModelProto) -> VerifyReport {
    let options = VerifyOptions::default();
    verify(&loaded(original), Some(&loaded(other)), &options, |_| ()).unwrap()
}

/// The network with another value in the place of one of its tensors.
fn damaged(name: &str, damage: impl Fn(&mut TensorProto)) -> ModelProto {
    let mut model = deep();
    let graph = model.graph.as_mut().unwrap();
    let mut tensors = graph.initializer.iter_mut();
    let found = tensors.find(|tensor| tensor.name.as_deref() == Some(name.as_bytes()));
    damage(found.unwrap());
    model
}

fn scaled(by: f32) -> impl Fn(&mut TensorProto) {
    move |tensor| tensor.float_data.iter_mut().for_each(|value| *value *= by)
}

#[test]
fn a_network_is_cut_where_codes_are_made_and_not_within_a_function_of_one() {
    let found = loaded(&deep());
    let places = places::of(&found);
    assert!(places.contains(&"r3.codes") && places.contains(&"in3.codes"));
    assert_eq!(places.len(), 2 * DEPTH + 1);
    let mut net = Net::default();
    net.rounded("x", "a", 0.1);
    net.node("Sigmoid", &["a"], &["g"]);
    net.rounded("g", "h", 0.01);
    net.node("Mul", &["a", "h"], &["m"]);
    net.rounded("m", "n", 0.1);
    let model = loaded(&net.model("n"));
    assert_eq!(places::of(&model), ["a.codes", "n.codes"]);
}

#[test]
fn what_is_quantised_as_it_comes_is_cut_in_front() {
    let found = loaded(&dynamic());
    let places = places::of(&found);
    // The first is the model's own input.
    assert_eq!(places.len(), DEPTH - 1);
    assert_eq!(places[0], "t0");
}

#[test]
fn damage_that_rounding_could_reach_is_found_in_its_layer() {
    let original = deep();
    let cases = [
        (
            "5 % in the weights",
            damaged("w47", scaled(1.05)),
            "r47.codes",
        ),
        (
            "1 % in the weights",
            damaged("w47", scaled(1.01)),
            "r47.codes",
        ),
        (
            "one channel",
            damaged("w47", |w| {
                w.float_data
                    .iter_mut()
                    .step_by(WIDTH)
                    .for_each(|it| *it *= 0.7)
            }),
            "r47.codes",
        ),
        (
            "one bias",
            damaged("b47", |b| b.float_data[5] += 0.1),
            "r47.codes",
        ),
        (
            "a scale of codes",
            damaged("r47.scale", scaled(1.02)),
            "r47.codes",
        ),
    ];
    for (what, model, layer) in cases {
        let report = judged(&original, &model);
        assert!(!report.equal, "{what}");
        let output = &report.outputs[0];
        assert_eq!(output.judged_by, JudgedBy::Layers, "{what}");
        // By how far the output moved alone, it would pass.
        assert!(
            output.codes.is_some_and(|codes| codes.is_rounding()),
            "{what}: {output:?}"
        );
        let layers = report.layers.unwrap();
        let off = layers.first_off.map(|off| off.name);
        assert_eq!(off.as_deref(), Some(layer), "{what}");
    }
}

/// The network with outputs that are smaller than any tolerance.
fn faint(mut model: ModelProto) -> ModelProto {
    let graph = model.graph.as_mut().unwrap();
    graph
        .initializer
        .push(stored("faint".into(), &[], vec![1e-9]));
    let last = graph.node.last_mut().unwrap();
    last.op_type = Some("Mul".into());
    last.input.push("faint".into());
    model
}

#[test]
fn outputs_smaller_than_the_tolerance_are_decided_by_the_layers() {
    let original = faint(deep());
    for (what, model, equal) in [
        ("as it is", faint(deep()), true),
        ("5 %", faint(damaged("w47", scaled(1.05))), false),
        ("zeros", faint(damaged("w49", scaled(0.0))), false),
    ] {
        let report = judged(&original, &model);
        let output = &report.outputs[0];
        assert_eq!((report.equal, output.decided), (equal, true), "{what}");
        assert!(output.largest < output.tolerance.floor);
        assert!(equal || output.judged_by == JudgedBy::Layers, "{what}");
    }
}

#[test]
fn a_network_as_it_is_has_no_layer_that_is_off() {
    for (model, cut) in [(deep(), 2 * DEPTH + 2), (dynamic(), DEPTH)] {
        let model = loaded(&model);
        let options = VerifyOptions::default();
        let mut random = fastrand::Rng::with_seed(13);
        let x = ndarray::Array2::from_shape_fn((16, WIDTH), |_| random.f32() * 2.0 - 1.0);
        let models = super::Models {
            original: &model,
            fused: &model,
            inputs: &[vec![("x".to_owned(), x.into())]],
            options: &options,
            narrowest: None,
        };
        let layers = super::compare(&models).unwrap();
        assert!(layers.first_off.is_none(), "{layers}");
        assert_eq!(layers.compared, cut);
        assert!(layers.moved <= layers.elements / 100, "{layers}");
    }
}

#[test]
fn damage_between_dynamic_quantisations_is_found() {
    let mut other = dynamic();
    let graph = other.graph.as_mut().unwrap();
    let wrong = graph
        .initializer
        .iter()
        .position(|it| it.name.as_deref() == Some(b"w48"))
        .unwrap();
    let weights = &mut graph.initializer[wrong].int32_data;
    weights
        .iter_mut()
        .step_by(WIDTH)
        .for_each(|weight| *weight = -*weight);
    let report = judged(&dynamic(), &other);
    assert!(!report.equal);
    let layers = report.layers.unwrap();
    assert_eq!(layers.first_off.unwrap().name, "t48");
}

#[test]
fn one_channel_that_is_off_is_no_rounding() {
    let mut other = dynamic();
    let tensors = &mut other.graph.as_mut().unwrap().initializer;
    let wrong = tensors
        .iter_mut()
        .find(|it| it.name.as_deref() == Some(b"w48"));
    let weights = wrong.unwrap().int32_data.iter_mut();
    weights
        .skip(5)
        .step_by(WIDTH)
        .for_each(|weight| *weight = *weight * 9 / 10);
    let report = judged(&dynamic(), &other);
    assert!(!report.equal);
    let off = report.layers.unwrap().first_off.unwrap();
    assert_eq!(off.name, "t48");
    assert!(off.codes.is_some_and(|codes| codes.moved <= 16), "{off:?}");
}

/// SiLU of codes, whose Sigmoid is rounded to codes by a scale of its own.
fn rounded_inside(scale: f32) -> ModelProto {
    let mut net = Net::default();
    net.rounded("x", "a", 0.02);
    net.node("Sigmoid", &["a"], &["g"]);
    net.rounded("g", "h", scale);
    net.node("Mul", &["a", "h"], &["m"]);
    net.rounded("m", "n", 0.05);
    net.model("n")
}

#[test]
fn a_scale_within_a_table_is_no_rounding() {
    let original = rounded_inside(0.01);
    assert!(judged(&original, &original).equal);
    let report = judged(&original, &rounded_inside(0.0101));
    assert!(!report.equal);
    assert_eq!(report.layers.unwrap().first_off.unwrap().name, "n.codes");
}

#[test]
fn what_adds_up_is_no_difference_where_each_layer_makes_the_same() {
    let floats = |by: f32| {
        let values = ndarray::Array1::from_shape_fn(100, |at| at as f32 + by);
        Tensor::from(values.into_dyn())
    };
    let (expected, found) = (floats(0.0), floats(9.0));
    let origin = Origin {
        quantised: Some(Quantised {
            step: Step::Of(1.0),
            front: None,
            depth: 4,
        }),
        ranked: None,
    };
    let tolerance = Tolerance::usual(ElementType::F32);
    let output = OutputComparison::of("y", &expected, &found, tolerance, 0);
    let mut output = output.unwrap();
    by_codes(&mut output, origin, &expected, &found);
    assert!(!output.equal);
    let layers = |first_off| Layers {
        compared: 4,
        elements: 400,
        moved: 1,
        looked_at: 1,
        from_middle: 1e-5,
        first_off,
        undecided: Vec::new(),
    };
    let concluded = |layers| {
        let mut report = VerifyReport::new("tract".to_owned(), None);
        report.add(vec![output.clone()]);
        assert!(report.has_moved_codes());
        report.look_into(layers);
        report.concluded().equal
    };
    assert!(concluded(Ok(layers(None))));
    assert!(!concluded(Ok(layers(Some(output.clone())))));
    assert!(!concluded(Err("they are in a function".to_owned())));
}
