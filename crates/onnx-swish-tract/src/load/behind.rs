//! What is behind a value that an operator refuses while a model is built for its inputs.
//!
//! Given a model and the operand's name; promises to tell what the model stores from what an input's value or shape has made of it.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::ModelProto;

use crate::error::{Origin, Refused};

/// The refusal, its operand's origin told by the main graph.
pub(super) fn told(mut refused: Box<Refused>, model: &ModelProto) -> Box<Refused> {
    if refused.origin == Origin::Constant
        && let Some(origin) = origin(model, &refused.operand)
    {
        refused.origin = origin;
    }
    refused
}

/// Where a value of the main graph comes from; `None` where it is stored, or made of what is.
fn origin(model: &ModelProto, operand: &str) -> Option<Origin> {
    let graph = model.graph.as_ref()?;
    let stored: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let inputs = graph.input.iter().map(|it| it.name.as_str());
    let inputs: HashSet<&str> = inputs.filter(|name| !stored.contains(name)).collect();
    if inputs.contains(operand) {
        return Some(Origin::Input(operand.to_owned()));
    }
    let makers = graph.node.iter().flat_map(|node| {
        let outputs = node.output.iter();
        outputs.map(move |output| (output.as_str(), node))
    });
    let makers: HashMap<&str, _> = makers.collect();
    let (mut open, mut seen) = (vec![operand], HashSet::new());
    while let Some(name) = open.pop() {
        if inputs.contains(name) {
            return Some(Origin::Computed);
        }
        if seen.insert(name)
            && let Some(node) = makers.get(name)
        {
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    None
}
