//! What can go wrong between a plan and a file.
//! Given: nothing.
//! Promises: sentences for people.

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan was made from another model.
    #[error(
        "the plan was made from another model than the one it is applied to: analyze that model"
    )]
    OtherModel,
    /// The file could not be edited.
    #[error(transparent)]
    Model(#[from] onnx_swish_model::Error),
}
