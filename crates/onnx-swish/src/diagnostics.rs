//! What happens between a file and its first output, for logs.
//!
//! Given a listener or none; promises that nothing is printed by this library, and nothing computed for nobody.

use std::fmt;
use std::sync::Arc;

use onnx_swish_fuse::Report;
use onnx_swish_tract::Event;

use crate::words::counted;

/// Something that a session did on the way to running a model. Its `Display` is a sentence for a log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Diagnostic {
    /// The model was fused in memory.
    Fused(Box<Report>),
    /// The model's own functions were written out at their calls, because tract has none.
    Inlined {
        /// How many functions the model has.
        functions: usize,
    },
    /// The engine's own news.
    Engine(Event),
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Diagnostic::Fused(report) => write!(
                f,
                "fused {} in memory, operators already: {}, quantised: {}, {} left alone",
                counted(report.fusions.len(), "activation"),
                report.already_fused.len(),
                report.quantised.len(),
                counted(report.near_misses.len(), "gate")
            ),
            Diagnostic::Inlined { functions } => {
                let functions = counted(*functions, "function");
                write!(f, "wrote out {functions} where called")
            }
            Diagnostic::Engine(Event::Built {
                shapes,
                nodes,
                convolutions,
                convolutions_left,
                time,
            }) => {
                write!(
                    f,
                    "built a plan of {nodes} nodes for inputs of {shapes:?} in {time:.1?}; our kernels compute {convolutions} of its \
                     convolutions, {convolutions_left} are left to tract"
                )
            }
            Diagnostic::Engine(other) => write!(f, "{other:?}"),
        }
    }
}

/// Where diagnostics go.
#[derive(Clone, Default)]
pub(crate) struct Diagnostics(Option<Arc<Tell>>);

type Tell = dyn Fn(&Diagnostic) + Send + Sync;

impl Diagnostics {
    pub fn to(listener: impl Fn(&Diagnostic) + Send + Sync + 'static) -> Diagnostics {
        Diagnostics(Some(Arc::new(listener)))
    }

    pub fn wanted(&self) -> bool {
        self.0.is_some()
    }

    pub fn tell(&self, what: impl FnOnce() -> Diagnostic) {
        if let Some(listener) = &self.0 {
            listener(&what());
        }
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wanted() {
            "a listener"
        } else {
            "nobody"
        })
    }
}
