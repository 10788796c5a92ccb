//! Which stored tensors of one model are in another.
//! Given: graphs that correspond.
//! Promises: tensors of one name are compared byte for byte; nothing is decoded.

use std::collections::HashMap;

use onnx_swish_model::{Model, Span, display};

use super::Pair;

/// How many stored tensors are the same, and which are not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TensorCounts {
    pub(crate) kept: usize,
    pub(crate) removed: usize,
    pub(crate) added: usize,
    /// Names of those with another content, type or shape.
    pub(crate) changed: Vec<String>,
}

/// Compares the tensors of graphs that correspond; also gives the bytes of those that are the same.
pub(super) fn compare(pair: &Pair<'_>, scopes: &[(u32, u32)]) -> (TensorCounts, u64) {
    let (before, after) = (pair.before.model, pair.after.model);
    let mut counts = TensorCounts::default();
    let mut bytes = 0u64;
    for &(a, b) in scopes {
        let mut by_name: HashMap<&[u8], Span> = tensors(before, a).collect();
        for (name, span) in tensors(after, b) {
            match by_name.remove(name) {
                None => counts.added += 1,
                Some(other) if before.text(other) == after.text(span) => {
                    counts.kept += 1;
                    bytes = bytes.saturating_add(u64::from(span.len));
                }
                Some(_) => counts.changed.push(display(name)),
            }
        }
        counts.removed += by_name.len();
    }
    (counts, bytes)
}

fn tensors(model: &Model, scope: u32) -> impl Iterator<Item = (&[u8], Span)> {
    let tensors = model.scopes().get(scope as usize);
    let tensors = tensors.map_or(&[][..], |scope| scope.initializers());
    let tensors = tensors.iter();
    tensors.map(|tensor| (model.text(tensor.name()), tensor.span()))
}
