//! What a service may limit before it loads somebody else's model.
//! Given models of the fixtures; promises errors that name the limit, and nothing refused that keeps it.

use std::time::Duration;

use ndarray::Array2;
use onnx_swish::{Model, Session, SessionBuilder};

fn load(name: &str, builder: SessionBuilder) -> Result<Session, onnx_swish::Error> {
    let path = onnx_swish_tests::folder().join(name);
    builder.load(&Model::open(path).unwrap())
}

#[test]
fn models_of_more_nodes_than_allowed_are_refused() {
    let model = "repairs/if_of_what_is_computed.onnx";
    // ReduceMax, Greater, If; a fused SiLU in one branch, Neg in the other.
    let error = load(model, Session::builder().max_nodes(4)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model has 5 nodes and no more than 4 are allowed; simplify the model, or raise the limit"
    );
    load(model, Session::builder().max_nodes(5)).unwrap();
}

#[test]
fn building_that_takes_too_long_ends_in_an_error() {
    let model = "exporters/silu.op13.onnx";
    let error = load(model, Session::builder().max_build_time(Duration::ZERO)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("took longer than the 0 s that are allowed"),
        "{error}"
    );
    for enough in [Duration::from_secs(600), Duration::MAX] {
        load(model, Session::builder().max_build_time(enough)).unwrap();
    }
}

#[test]
fn a_plan_for_values_is_not_taken_for_other_values() {
    let session = load("repairs/reshape_by_an_input.onnx", Session::builder()).unwrap();
    let x = Array2::<f32>::ones((2, 6));
    for shape in [vec![3i64, -1], vec![12, 1], vec![3, -1]] {
        let given = ndarray::Array1::from(shape.clone());
        let inputs: [(&str, onnx_swish::Tensor); 2] =
            [("x", x.clone().into()), ("s", given.into())];
        let outputs = session.run(inputs).unwrap();
        assert_eq!(outputs[0].shape()[0], usize::try_from(shape[0]).unwrap());
        assert_eq!(outputs[0].shape().iter().product::<usize>(), 12);
    }
}
