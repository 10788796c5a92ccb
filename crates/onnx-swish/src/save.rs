//! Saving a fused or expanded model.
//!
//! Given the model and what was made of it; promises what `onnx-swish-model` does, and the progress of everything else here.

use std::path::Path;

use onnx_swish_model::{Error, Model, Saved, Spliced};

use crate::progress::Progress;

/// What saving may do.
#[derive(Default)]
pub struct SaveOptions<'a> {
    /// The output may be the input.
    pub in_place: bool,
    /// Files that are there may be replaced.
    pub force: bool,
    /// Leave weights in other files where they are, even if the new file will not find them.
    pub leave_external: bool,
    /// Called while weights are copied.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
}

/// Saves a model that was fused or expanded. `spliced` has to come from `model`.
///
/// The file gets the permissions of the one it replaces, or those of any new file. If `target` is a link, the file it
/// leads to is replaced and the link stays; not so in place, and not in a cache of downloaded models, whose files others share: there a
/// new file replaces the link. External data is not touched when the folder stays the same, and copied first when it does not.
///
/// # Errors
/// The output exists, is the input or is a file of weights and that is not allowed ([`SaveError`](crate::SaveError)); external data is
/// missing or unsafe ([`ExternalError`](crate::ExternalError)); or the operating system refuses, such as on a full disk. The output is
/// then as it was.
pub fn save(
    model: &Model,
    spliced: &Spliced,
    target: &Path,
    options: SaveOptions<'_>,
) -> Result<Saved, Error> {
    let SaveOptions {
        in_place,
        force,
        leave_external,
        progress,
    } = options;
    let mut tell = progress.map(|progress| {
        move |step: onnx_swish_model::SaveProgress<'_>| {
            progress(Progress::Copied {
                done: step.done,
                of: step.total,
            });
        }
    });
    let options = onnx_swish_model::SaveOptions {
        in_place,
        force,
        leave_external,
        progress: tell
            .as_mut()
            .map(|tell| tell as &mut dyn FnMut(onnx_swish_model::SaveProgress<'_>)),
    };
    onnx_swish_model::save(model, spliced, target, options)
}
