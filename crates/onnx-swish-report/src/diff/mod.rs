//! Which parts of one model are in another, and which places differ.
//! Given: two models as plans see them.
//! Promises: linear time; what counts as kept is the same byte for byte, or decodes to the same message; every other node is in
//! exactly one group, constants in each group that reads them.

mod groups;
mod matching;
mod tensors;

use std::collections::HashMap;

use onnx_swish_fuse::View;
use onnx_swish_model::{Model, NodeId};

pub(crate) use groups::Group;
pub(crate) use tensors::TensorCounts;

/// One of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    Before,
    After,
}

/// A model, and what is known of it.
pub(crate) struct Known<'a> {
    pub(crate) model: &'a Model,
    pub(crate) view: View<'a>,
}

/// Two models.
pub(crate) struct Pair<'a> {
    pub(crate) before: Known<'a>,
    pub(crate) after: Known<'a>,
}

impl<'a> Pair<'a> {
    pub(crate) fn of(&self, which: Which) -> &Known<'a> {
        match which {
            Which::Before => &self.before,
            Which::After => &self.after,
        }
    }
}

/// How two models differ.
pub(crate) struct Diff {
    /// Graphs that are in both, by their positions in each.
    pub(crate) scopes: Vec<(u32, u32)>,
    /// Nodes of the second model that are in the first, too.
    pub(crate) kept: HashMap<NodeId, NodeId>,
    /// Nodes of the first that are not in the second, and the other way round, in the order of the file.
    pub(crate) removed: Vec<NodeId>,
    pub(crate) added: Vec<NodeId>,
    /// Places that differ, in the order of the file.
    pub(crate) groups: Vec<Group>,
    pub(crate) tensors: TensorCounts,
    /// Bytes of the first file in what is kept.
    pub(crate) bytes_kept: u64,
}

impl Diff {
    pub(crate) fn new(pair: &Pair<'_>) -> Self {
        let matching = matching::Matching::new(pair.before.model, pair.after.model);
        let groups = groups::groups(pair, &matching);
        let (tensors, tensor_bytes) = tensors::compare(pair, &matching.scopes);
        Self {
            groups,
            tensors,
            bytes_kept: matching.bytes.saturating_add(tensor_bytes),
            scopes: matching.scopes,
            kept: matching.kept,
            removed: matching.removed,
            added: matching.added,
        }
    }

    /// Whether any node or stored tensor is in both. Where a network is one activation, none is: then the names of what enters and leaves
    /// its graph tell.
    pub(crate) fn in_common(&self, pair: &Pair<'_>) -> bool {
        !self.kept.is_empty() || self.tensors.kept > 0 || same_ends(pair)
    }
}

/// Whether both main graphs have the same inputs and outputs, by name, and some of each.
fn same_ends(pair: &Pair<'_>) -> bool {
    let ends = |model: &Model| {
        let scope = model.scopes().first()?;
        let names = |infos: Vec<Vec<u8>>| (!infos.is_empty()).then_some(infos);
        let name = |span| model.text(span).to_vec();
        let inputs = scope.inputs().iter().map(|one| name(one.name()));
        let outputs = scope.outputs().iter().map(|one| name(one.name()));
        Some((names(inputs.collect())?, names(outputs.collect())?))
    };
    let before = ends(pair.before.model);
    before.is_some() && before == ends(pair.after.model)
}
