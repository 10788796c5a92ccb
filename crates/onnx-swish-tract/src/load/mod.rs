//! From a model's bytes to tract's graph.
//!
//! Given ONNX bytes and the directory of their external data, or an NNEF archive; promises that every node means in tract
//! what it means in the file, or an error that names the node.

mod behind;
mod concatenations;
pub(crate) mod dequantized;
mod graphs;
mod limits;
mod linked;
mod narrow;
mod operators;
mod pieces;
mod planes;
mod qlinear;
mod repairs;
mod rules;
mod signature;
mod typed;
mod weights;
mod widen;

pub use operators::Operators;
pub use signature::{Dim, Port};

pub(crate) use limits::{Limits, TimeIsUp, watch_passes};
pub(crate) use linked::Files;
pub(crate) use pieces::Pieces;
pub(crate) use repairs::{Choice, Turns};
pub(crate) use signature::Signature;
pub(crate) use typed::finished;
pub(crate) use widen::{Half, Widening};

use std::path::PathBuf;

use bytes::Buf;
use prost::Message;
use tract_core::internal::{Framework, TypedModel};
use tract_onnx::pb::ModelProto;

use crate::conv::Convolutions;
use crate::error::{Error, Result};
use crate::guard::{Stage, guard};
use crate::nnef::nnef;
use crate::tensor::{ElementType, Tensor};

/// A model as it came: cheap to keep, decoded again for every set of input shapes that is built.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub bytes: Pieces,
    pub format: Format,
    pub limits: Limits,
    /// Whether float16 is computed in float16.
    pub native_half: bool,
}

/// What the bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// An ONNX model.
    Onnx {
        /// Where external data lies; tract refuses to leave it.
        base_dir: Option<PathBuf>,
        /// Where its files are instead, if they are linked from elsewhere.
        files: Files,
    },
    /// An NNEF archive that tract wrote.
    Nnef,
}

impl Source {
    /// The model's inputs and outputs, its operators checked.
    pub fn signature(&self, operators: Operators) -> Result<Signature> {
        match self.format {
            Format::Onnx { .. } => {
                let proto = self.decode(operators)?;
                self.limits.check_nodes(&proto)?;
                operators.check(&proto)?;
                Signature::of(&proto)
            }
            Format::Nnef => {
                let model = self.archive()?;
                guard(Stage::Build, || Signature::of_typed(&model))
            }
        }
    }

    /// The decluttered graph for inputs of these shapes, our passes applied.
    ///
    /// Of inputs whose value is given too, what they decide is decided; others that read them still may.
    pub fn typed_model(
        &self,
        (operators, convolutions): (Operators, Convolutions),
        signature: &Signature,
        shapes: &[Vec<usize>],
        values: &[Option<Tensor>],
    ) -> Result<TypedModel> {
        match &self.format {
            Format::Onnx { base_dir, files } => {
                let mut proto = self.decode(operators)?;
                let linked = linked::relocate(&mut proto, files);
                let base_dir = linked.as_ref().or(base_dir.as_ref());
                let widening = self.widening(operators);
                widening.apply(&mut proto, base_dir.map(PathBuf::as_path))?;
                // Split, a Max loses NaN on tract's own operators.
                if operators != Operators::Stock {
                    narrow::apply(&mut proto);
                }
                let built = guard(Stage::Build, || {
                    let inputs = typed::Inputs { shapes, values };
                    let base_dir = base_dir.map(PathBuf::as_path);
                    let who = (operators, convolutions);
                    typed::from_onnx(proto, base_dir, who, widening, signature, inputs)
                });
                built.map_err(|error| match error {
                    Error::Operand(refused) => Error::Operand(match self.decode(operators) {
                        Ok(proto) => behind::told(refused, &proto),
                        Err(_) => refused,
                    }),
                    error => error,
                })
            }
            Format::Nnef => {
                let model = self.archive()?;
                guard(Stage::Build, || {
                    typed::from_archive(model, (operators, convolutions), shapes)
                })
            }
        }
    }

    /// The type in which values that the file declares as `declared` are computed. Archives are computed as they were written.
    pub fn computed(&self, operators: Operators, declared: ElementType) -> ElementType {
        match self.format {
            Format::Onnx { .. } => self.widening(operators).computed(declared),
            Format::Nnef => declared,
        }
    }

    /// Which 16-bit floats are computed in float32.
    fn widening(&self, operators: Operators) -> Widening {
        if self.native_half || operators == Operators::Stock {
            Widening::Bfloat16
        } else {
            Widening::All
        }
    }

    /// The model as tract is to see it.
    fn decode(&self, operators: Operators) -> Result<ModelProto> {
        let mut model = ModelProto::decode(self.bytes.reader())
            .map_err(|error| Error::Decode(error.to_string()))?;
        let graphs = graphs::graphs(&model);
        for node in graphs.into_iter().flat_map(|graph| &graph.node) {
            if graphs::plain_domain(&node.domain) == rules::GATES {
                return Err(Error::UnsupportedOperator {
                    node: rules::display_name(node),
                    operator: format!("{}::{}", node.domain, node.op_type),
                });
            }
        }
        if operators != Operators::Stock {
            qlinear::expand(&mut model);
        }
        Ok(model)
    }

    fn archive(&self) -> Result<TypedModel> {
        guard(Stage::Build, || {
            nnef().model_for_read(&mut self.bytes.reader().reader())
        })
    }
}
