//! Memory, and time, that are not there.

mod models;

use models::{constant, model, node};
use onnx_swish_tract::{Error, Session};
use tract_onnx::pb::TensorProto;

fn shape(name: &str, dims: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![dims.len() as i64],
        data_type: 7,
        int64_data: dims.to_vec(),
        ..Default::default()
    }
}

/// The largest sum of an element of x and one of its transpose, x having so many: nothing of that size squared goes in or out.
fn sums(elements: usize) -> Result<Session, Error> {
    let nodes = vec![
        node("Transpose", &["x"], "t", &[]),
        node("Add", &["x", "t"], "wide", &[]),
        node("ReduceMax", &["wide"], "y", &[]),
    ];
    Session::builder(model(nodes, &[1, elements], vec![])).build()
}

#[test]
fn an_intermediate_tensor_beyond_memory_is_an_error_of_the_model() {
    sums(256).unwrap();
    // 2⁵² bytes, and more than can be counted.
    for elements in [1 << 25, 1 << 40] {
        let error = sums(elements).unwrap_err();
        assert!(
            matches!(error, Error::Memory { .. }) && error.to_string().contains("smaller inputs"),
            "{error:?}"
        );
    }
}

#[test]
fn many_tensors_that_are_alive_together_are_counted_together() {
    // Each is 2⁴⁶ bytes, of which a machine might promise one; all are read at the end.
    let names: Vec<String> = (0..64).map(|i| format!("t{i}")).collect();
    let mut nodes = vec![node("Expand", &["x", "shape"], "wide", &[])];
    for name in &names {
        nodes.push(node("Add", &["wide", "one"], name, &[]));
    }
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    nodes.push(node("Sum", &inputs, "s", &[]));
    nodes.push(node("ReduceSum", &["s"], "y", &[]));
    let constants = vec![
        shape("shape", &[1 << 22, 1 << 22]),
        constant("one", &[], &[1.0]),
    ];
    let error = Session::builder(model(nodes, &[1, 1], constants))
        .build()
        .unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error:?}");
}

#[test]
fn an_axis_beyond_memory_is_about_memory_and_not_about_the_model() {
    for size in [1 << 52, i64::MAX] {
        let nodes = vec![
            node("Expand", &["x", "shape"], "wide", &[]),
            node("ReduceMax", &["wide"], "y", &[]),
        ];
        let error = Session::builder(model(nodes, &[1], vec![shape("shape", &[size])]))
            .build()
            .unwrap_err();
        let told = error.to_string();
        assert!(
            matches!(error, Error::Memory { .. })
                && told.contains("`shape`")
                && told.contains(&size.to_string())
                && told.contains("Expand_wide"),
            "{told}"
        );
    }
}

#[test]
fn constants_beyond_the_time_are_refused_before_they_are_compared() {
    let names: Vec<String> = (0..100_000).map(|at| format!("c{at}")).collect();
    let constants = names.iter().enumerate();
    let constants = constants.map(|(at, name)| constant(name, &[1], &[at as f32]));
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let bytes = model(
        vec![
            node("Sum", &inputs, "s", &[]),
            node("Add", &["x", "s"], "y", &[]),
        ],
        &[1],
        constants.collect(),
    );
    let error = Session::builder(bytes)
        .max_build_time(std::time::Duration::from_secs(1))
        .build()
        .unwrap_err();
    assert!(matches!(error, Error::BuildTime { .. }), "{error:?}");
}
