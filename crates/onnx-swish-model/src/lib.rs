//! An ONNX file as bytes and an index: read without trusting it, edited without losing anything, saved safely.
//!
//! - [`Model`] opens a file of any size and knows where everything in it is. Weights are neither decoded nor copied.
//! - [`Edit`] changes nodes, imports and functions; [`Spliced`] is the result, made of untouched ranges of the file and
//!   the new bytes between them. What an edit does not name comes out byte for byte.
//! - [`schema`] has every message of the format, for decoding what is looked at and building what is new.
//!
//! All positions are 32-bit [`Span`]s into the file and all text is bytes, as it is in the file.

#![deny(unsafe_code)]

mod calls;
mod edit;
mod error;
mod external;
mod foreign;
mod index;
mod inline;
pub mod limits;
mod map;
mod model;
mod node;
mod save;
pub mod schema;
mod scope;
mod span;
mod tensor;
mod types;
mod validate;
mod wire;

pub use calls::Calls;
pub use edit::{Edit, Segment, Spliced};
pub use error::{Error, Result, display};
pub use external::{ExternalData, ExternalError, ExternalFile};
pub use foreign::Foreign;
pub use inline::inline_functions;
pub use limits::MAX_FILE_LEN;
pub use model::Model;
pub use node::{Attribute, Node, NodeId, NodeRef};
pub use save::{SaveError, SaveOptions, SaveProgress, Saved, check_target, save};
pub use schema::tensor_proto::DataType;
pub use scope::{
    Function, OpsetImport, Scope, ScopeKind, SparseTensor, Subgraph, ValueInfo, same_domain,
};
pub use span::Span;
pub use tensor::{Tensor, TensorError};
pub use types::{Dim, TensorType, ValueType};
pub use validate::{Defect, Invalid, Problem, validate};
pub use wire::WireDefect;
