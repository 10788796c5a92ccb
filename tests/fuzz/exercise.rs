// Everything that is done to a file between opening and saving it, with what must hold whatever the file is. Shared by
// the fuzz target and the tests that damage small models byte by byte.

use onnx_swish_fuse::{Emit, Options, analyze, apply, expand};
use onnx_swish_model::{Model, Spliced, inline_functions, validate};

#[path = "silent.rs"]
mod silent;

/// Reads, analyses and rewrites a file, and reads what came of it.
///
/// # Panics
/// A file without findings comes out other than byte for byte, a valid model becomes an invalid one, fusing what is fused
/// changes it again, or a gate of a valid model is neither fused nor explained.
pub fn exercise(bytes: &[u8]) {
    let Ok(model) = Model::from_bytes(bytes.to_vec()) else {
        return;
    };
    let unchanged = model.edit().finish().expect("nothing to do");
    assert_eq!(unchanged.to_bytes(), bytes, "no edit, other bytes");
    let valid = validate(&model).is_ok();
    let emits = [Emit::Custom, Emit::Contrib, Emit::Standard].map(Options::emit);
    for options in emits
        .into_iter()
        .chain([Options::default().quantized(true)])
    {
        let plan = analyze(&model, &options);
        let changes = plan.report().changes();
        let Some(fused) = outcome(apply(&model, &plan), valid) else {
            continue;
        };
        if changes == 0 {
            assert_eq!(fused.bytes(), bytes, "nothing to fuse, other bytes");
        }
        let again = analyze(&fused, &options);
        if valid {
            let silent = silent::silent(&fused, &again.report());
            assert!(silent.is_empty(), "neither fused nor explained: {silent:?}");
        }
        let again = apply(&fused, &again).expect("it could be applied before");
        assert_eq!(
            again.to_bytes(),
            fused.bytes(),
            "fusing twice is not fusing once"
        );
    }
    if let Ok(expansion) = expand(&model) {
        outcome(Ok::<_, onnx_swish_model::Error>(expansion.model), valid);
    }
    if let Ok(flat) = inline_functions(&model, |_, _| false) {
        outcome(Ok::<_, onnx_swish_model::Error>(flat), valid);
    }
}

/// Reads a result again. An edit of a model that is not valid may be refused.
fn outcome<E: std::fmt::Display>(result: Result<Spliced, E>, valid: bool) -> Option<Model> {
    let spliced = match result {
        Ok(spliced) => spliced,
        Err(e) if valid => panic!("a valid model is refused: {e}"),
        Err(_) => return None,
    };
    let model = spliced.into_model().expect("a model in, a model out");
    if valid && let Err(invalid) = validate(&model) {
        panic!("valid in, not valid out: {invalid}");
    }
    Some(model)
}
