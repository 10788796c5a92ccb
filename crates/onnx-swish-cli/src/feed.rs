//! What a model is fed with: tensors from files for the inputs they name, random ones for the rest.
//! Given a session's inputs and the command line's `--input`, `--inputs` and `--shape`.
//! Promises that every file and shape lands on an input that exists, or a sentence that lists the names.

use std::collections::HashSet;

use onnx_swish::{ElementType, Model, Session, Shapes, Tensor};

use crate::args::{Feed, Running, Sizes};
use crate::failure::Failure;
use crate::tensors;

/// A tensor for every input of a session: from files where they name it, random ones for the rest.
///
/// `failed` says what the tensors were wanted for.
pub fn inputs(
    session: &Session,
    model: &Model,
    feed: &Feed,
    running: &Running,
    failed: impl FnOnce(onnx_swish::Error) -> Failure,
) -> Result<Vec<(String, Tensor)>, Failure> {
    let given = from_files(model, feed)?;
    let mut shapes = shapes(model, &running.sizes)?;
    for (name, tensor) in &given {
        match shapes.insert(name.clone(), tensor.shape().to_vec()) {
            Some(asked) if asked != tensor.shape() => {
                return Err(Failure::new(format!(
                    "--shape says {asked:?} for input `{name}`, and its file holds {:?}",
                    tensor.shape()
                ))
                .help("leave --shape out for inputs that come from files"));
            }
            _ => {}
        }
    }
    // Random tensors for all, of which the files' take the place: what names no input is refused on the way.
    let mut tensors = session
        .random_inputs(running.seed, &shapes)
        .map_err(failed)?;
    for (name, tensor) in given {
        if let Some(slot) = tensors.iter_mut().find(|(input, _)| *input == name) {
            // NumPy has no bfloat16: files hold float32 for it.
            let narrow = [slot.1.element_type(), tensor.element_type()]
                == [ElementType::BF16, ElementType::F32];
            slot.1 = if narrow {
                tensor.cast(ElementType::BF16).map_err(|error| {
                    Failure::caused(
                        format!("the tensor for input `{name}` cannot be rounded"),
                        &error,
                    )
                })?
            } else {
                tensor
            };
        }
    }
    Ok(tensors)
}

/// The tensors of the command line's files, by input name.
pub fn from_files(model: &Model, feed: &Feed) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut tensors = match &feed.archive {
        Some(path) => tensors::read_npz(path)?,
        None => Vec::new(),
    };
    for file in &feed.inputs {
        let name = named(model, file.name.as_deref(), "--input NAME=FILE.npy")?;
        if tensors.iter().any(|(taken, _)| *taken == name) {
            return Err(Failure::new(format!(
                "the tensor for input `{name}` is given twice"
            )));
        }
        tensors.push((name, tensors::read_npy(&file.path)?));
    }
    Ok(tensors)
}

/// The command line's shapes, by input name.
pub fn shapes(model: &Model, sizes: &Sizes) -> Result<Shapes, Failure> {
    let mut shapes = Shapes::new();
    for shape in &sizes.shapes {
        let name = named(model, shape.name.as_deref(), "--shape NAME=1,3,224,224")?;
        if shapes.contains_key(&name) {
            return Err(Failure::new(format!(
                "--shape gives the shape of input `{name}` twice"
            )));
        }
        shapes.insert(name, shape.dims.clone());
    }
    Ok(shapes)
}

/// The given name, or that of the model's only input.
fn named(model: &Model, name: Option<&str>, how: &str) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name.to_owned());
    }
    match input_names(model).as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new("the model has no inputs")),
        several => Err(Failure::new(format!(
            "the model has {} inputs: {}",
            several.len(),
            several.join(", ")
        ))
        .help(format!("say which one is meant: {how}"))),
    }
}

/// The inputs that somebody has to provide: initializers that are listed as inputs have a value already.
fn input_names(model: &Model) -> Vec<String> {
    let Some(main) = model.scopes().first() else {
        return Vec::new();
    };
    let given: HashSet<&[u8]> = main
        .initializers()
        .iter()
        .map(|tensor| model.text(tensor.name()))
        .collect();
    let names = main.inputs().iter().map(|input| model.text(input.name()));
    names
        .filter(|name| !given.contains(name))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}
