//! What a plan knows of betas that are tensors.
//! Given: spellings with tensors of known elements.
//! Promises: the betas are those of the function, whatever stands between it and the tensor.

mod common;

use common::Net;
use onnx_swish_fuse::{Betas, Options, analyze};
use onnx_swish_model::schema;

/// The only fusion's betas.
fn betas(net: &Net) -> Option<Betas> {
    let model = net.model();
    let plan = analyze(&model, &Options::default());
    let found = plan.betas();
    assert_eq!(found.len(), 1, "{}", net.body);
    found[0]
}

fn known(min: f64, median: f64, max: f64) -> Option<Betas> {
    Some(Betas::Known { min, median, max })
}

const CHANNELS: &str = "float[8,1,1] b = 1.5, -0.5, 0.25, 3, 0.75, 1.25, 1, 2";

#[test]
fn betas_of_a_tensor_in_the_file_are_known_in_order() {
    let net = |body: &str| Net::new(body).and(CHANNELS);
    let plain = net("t = Mul(x, b); s = Sigmoid(t); y = Mul(x, s)");
    assert_eq!(betas(&plain), known(-0.5, 1.0, 3.0));
    let twice = net("u = Mul(x, two); t = Mul(u, b); s = Sigmoid(t); y = Mul(x, s)");
    assert_eq!(betas(&twice), known(-1.0, 2.0, 6.0));
    let over = net("t = Div(x, b); s = Sigmoid(t); y = Mul(x, s)");
    assert_eq!(betas(&over), known(-2.0, 0.666_666_7, 4.0));
}

#[test]
fn another_shape_of_the_tensor_is_looked_through() {
    let net = Net::new("c = Reshape(b, shape); t = Mul(x, c); s = Sigmoid(t); y = Mul(x, s)");
    let net =
        net.and("float[8] b = 1.5, -0.5, 0.25, 3, 0.75, 1.25, 1, 2; int64[3] shape = 8, 1, 1");
    assert_eq!(betas(&net), known(-0.5, 1.0, 3.0));
}

#[test]
fn a_beta_that_a_run_computes_or_is_given_is_none_of_the_file() {
    let computed = Net::new(
        "p = ReduceMean[axes=2:3](x); b = Tanh(p); t = Mul(x, b); s = Sigmoid(t); y = Mul(x, s)",
    );
    assert_eq!(betas(&computed), Some(Betas::Computed));
    let given = Net::new("t = Mul(x, b); s = Sigmoid(t); y = Mul(x, s)");
    let given = given.inputs("float[2,8,4,4] x; float[8,1,1] b");
    assert_eq!(betas(&given), Some(Betas::Computed));
}

#[test]
fn a_number_is_no_tensor() {
    assert_eq!(
        betas(&Net::new(
            "t = Mul(x, three); s = Sigmoid(t); y = Mul(x, s)"
        )),
        None
    );
    assert_eq!(
        betas(&Net::new("h = HardSigmoid[alpha=0.2](x); y = Mul(x, h)")),
        None
    );
}

#[test]
fn a_beta_in_a_file_that_is_not_at_hand_is_elsewhere() {
    let net = Net::new("t = Mul(x, b); s = Sigmoid(t); y = Mul(x, s)").and(CHANNELS);
    let mut proto = net.proto();
    let stored = &mut proto.graph.as_mut().unwrap().initializer;
    let beta = stored.last_mut().unwrap();
    beta.float_data.clear();
    beta.data_location = Some(schema::tensor_proto::DataLocation::External as i32);
    beta.external_data.push(schema::StringStringEntryProto {
        key: Some("location".into()),
        value: Some("weights.bin".into()),
    });
    let model = common::model(&proto);
    let plan = analyze(&model, &Options::default());
    assert_eq!(plan.betas(), [Some(Betas::Elsewhere)]);
}
