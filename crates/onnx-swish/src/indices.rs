//! Inputs that a model takes as indices, and how far those may go.
//!
//! Given a model; promises that a run which fails over such an input blames the caller's value, not the model. Sees Gather and its
//! kin in the main graph where they look up a stored tensor by an input, straight or reshaped on the way.

use std::collections::HashMap;
use std::sync::Arc;

use onnx_swish_model::{Model, NodeRef};

use crate::error::Error;
use crate::{NamedTensors, Tensor};

/// Operators that look up by their second input in their first, along their attribute `axis`.
const LOOKING_UP: [&[u8]; 2] = [b"Gather", b"GatherElements"];
/// Operators whose output holds elements of their first input and nothing else.
const PASSING: [&[u8]; 8] = [
    b"Identity",
    b"Cast",
    b"Reshape",
    b"Flatten",
    b"Squeeze",
    b"Unsqueeze",
    b"Transpose",
    b"Slice",
];

/// The inputs of a model that are indices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Indices(Arc<[Index]>);

/// An input that is an index, and the node that says so.
#[derive(Debug, PartialEq, Eq)]
struct Index {
    input: String,
    node: String,
    data: String,
    size: u64,
}

impl Indices {
    pub fn of(model: &Model) -> Indices {
        let Some(main) = model.scopes().first() else {
            return Indices::default();
        };
        let stored: HashMap<&[u8], &onnx_swish_model::Tensor> = main
            .initializers()
            .iter()
            .map(|tensor| (model.text(tensor.name()), tensor))
            .collect();
        let mut passed: HashMap<&[u8], &[u8]> = main
            .inputs()
            .iter()
            .map(|input| model.text(input.name()))
            .filter(|name| !stored.contains_key(name))
            .map(|name| (name, name))
            .collect();
        let mut found = Vec::new();
        // Nodes stand in the order of their values: one walk sees an input wherever it is passed on to.
        for node in main.nodes().iter().map(|node| model.node_ref(node)) {
            let mut names = node.inputs();
            let (first, second) = (names.next(), names.next());
            if LOOKING_UP.contains(&node.op_type()) && node.is_standard() {
                let data = first.and_then(|name| Some((name, *stored.get(name)?)));
                let input = second.and_then(|name| passed.get(name));
                if let (Some((name, tensor)), Some(input)) = (data, input)
                    && let Some(size) = rows(model, tensor, &node)
                {
                    found.push(Index {
                        input: text(input),
                        node: node_name(&node),
                        data: text(name),
                        size,
                    });
                }
            } else if PASSING.contains(&node.op_type())
                && let Some(input) = first.and_then(|name| passed.get(name).copied())
            {
                passed.extend(node.outputs().map(|output| (output, input)));
            }
        }
        Indices(found.into())
    }

    /// Those of a run's inputs that are indices, to be blamed if it fails. The others are for the run alone, which may overwrite them.
    pub fn among(&self, inputs: &NamedTensors) -> NamedTensors {
        let is_index = |name: &str| self.0.iter().any(|index| index.input == name);
        let indices = inputs.iter().filter(|(name, _)| is_index(name));
        indices.cloned().collect()
    }

    /// The error of a run, or a better one if an input holds what is no index.
    pub fn blame(&self, error: Error, inputs: &NamedTensors) -> Error {
        // What the session refused before it ran is said well already.
        use onnx_swish_tract::Error as Engine;
        if !matches!(error, Error::Run(Engine::Run { .. } | Engine::Panic { .. })) {
            return error;
        }
        let outside = self.0.iter().find_map(|index| {
            let (_, tensor) = inputs.iter().find(|(name, _)| *name == index.input)?;
            index.outside(tensor)
        });
        outside.unwrap_or(error)
    }
}

impl Index {
    fn outside(&self, tensor: &Tensor) -> Option<Error> {
        let size = i64::try_from(self.size).ok()?;
        let (lowest, highest) = (-size, size - 1);
        let mut values = tensor.to_f64()?.into_iter();
        let value = values.find(|&value| value < lowest as f64 || value > highest as f64)?;
        Some(Error::Index {
            input: self.input.clone(),
            value: value as i64,
            node: self.node.clone(),
            data: self.data.clone(),
            size: self.size,
            lowest,
            highest,
        })
    }
}

/// The size of a stored tensor along the axis that a node looks up.
fn rows(model: &Model, tensor: &onnx_swish_model::Tensor, node: &NodeRef<'_>) -> Option<u64> {
    let axis = node
        .attribute(b"axis")
        .and_then(|axis| axis.int())
        .unwrap_or(0);
    let rank = i64::try_from(tensor.rank()).ok()?;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
    let size = *model.dims(tensor).get(axis)?;
    u64::try_from(size).ok()
}

fn node_name(node: &NodeRef<'_>) -> String {
    match node.name() {
        b"" => text(node.outputs().next().unwrap_or_default()),
        name => text(name),
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
