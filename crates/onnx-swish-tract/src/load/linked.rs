//! External data that is linked into the model's folder from elsewhere, as caches of downloaded models keep it.
//!
//! Given where each file really is, by whoever vouches for it; promises locations that tract, which follows no link out of a folder,
//! finds in a folder above all of them.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, TensorProto};

use super::graphs::for_each_graph;

/// Files of external data by the locations that the model's tensors give.
pub(crate) type Files = HashMap<String, PathBuf>;

/// Rewrites the locations of all tensors, and says which folder they are relative to from now on; `None` where there are no files.
pub(super) fn relocate(model: &mut ModelProto, files: &Files) -> Option<PathBuf> {
    let folder = common_folder(files.values())?;
    let locate = |tensor: &mut TensorProto| {
        if tensor.data_location != Some(DataLocation::External.into()) {
            return;
        }
        for entry in &mut tensor.external_data {
            let found = files.get(&entry.value).filter(|_| entry.key == "location");
            if let Some(relative) = found.and_then(|file| spelled(file, &folder)) {
                entry.value = relative;
            }
        }
    };
    for_each_graph(model, |graph| {
        graph.initializer.iter_mut().for_each(locate);
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
            tensors.for_each(locate);
        }
    });
    Some(folder)
}

/// The deepest folder that holds all files.
fn common_folder<'a>(mut files: impl Iterator<Item = &'a PathBuf>) -> Option<PathBuf> {
    let mut folder = files.next()?.parent()?.to_path_buf();
    for file in files {
        while !file.starts_with(&folder) {
            folder = folder.parent()?.to_path_buf();
        }
    }
    Some(folder)
}

/// The file's path below `folder` with the slashes of ONNX.
fn spelled(file: &Path, folder: &Path) -> Option<String> {
    let parts = file.strip_prefix(folder).ok()?.components();
    let names = parts.map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    Some(names.collect::<Option<Vec<_>>>()?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_and_snapshots_meet_in_the_folder_above_both() {
        let files = ["/cache/m/blobs/1", "/cache/m/snapshots/a/data"].map(PathBuf::from);
        let folder = common_folder(files.iter()).unwrap();
        assert_eq!(folder, Path::new("/cache/m"));
        assert_eq!(spelled(&files[0], &folder).unwrap(), "blobs/1");
        assert_eq!(common_folder([].iter()), None);
    }
}
