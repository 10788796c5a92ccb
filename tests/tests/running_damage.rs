//! Damaged models end in an error or in outputs, never in a panic that escapes or an abort.

use std::path::Path;

use ndarray::Array4;
use onnx_swish::{Model, Session, silence_contained_panics};

/// Loads and runs a model under every change of one byte of it, `step` bytes apart.
fn damage(name: &str, step: usize) {
    silence_contained_panics();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name);
    let bytes = std::fs::read(&path).unwrap();
    let (mut refused, mut ran) = (0, 0);
    for position in (0..bytes.len()).step_by(step) {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] ^= change;
            let Ok(model) = Model::from_bytes(damaged) else {
                refused += 1;
                continue;
            };
            let session = Session::builder().load(&model);
            let inputs = [("x", Array4::<f32>::from_elem((1, 3, 8, 8), 0.5))];
            match session.and_then(|session| session.run(inputs)) {
                Ok(_) => ran += 1,
                Err(error) => {
                    refused += 1;
                    let message = error.to_string();
                    assert!(message.len() < 2000, "byte {position}: {message}");
                    assert!(!message.contains('\n'), "byte {position}: {message}");
                }
            }
        }
    }
    assert!(refused > 0 && ran > 0, "{refused} refused, {ran} ran");
}

#[test]
fn a_damaged_model_is_refused_or_runs() {
    damage("exporters/hardswish.op17.onnx", 2);
    damage("exporters/beta_channel.op13.onnx", 7);
}

/// All bytes of models with more operators, some minutes: `cargo test --test running_damage -- --ignored`.
#[test]
#[ignore = "some minutes"]
fn damaged_models_are_refused_or_run() {
    for name in [
        "exporters/meta_acon.op13.onnx",
        "exporters/swiglu.op17.onnx",
        "handmade/if_branches.onnx",
    ] {
        damage(name, 1);
    }
}
