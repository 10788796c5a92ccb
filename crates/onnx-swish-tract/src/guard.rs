//! tract's panics, turned into errors.
//!
//! Given a closure that calls tract; promises that no panic leaves it, and that the process's panic hook stays the caller's
//! own unless the caller asks for quiet.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, NoRoom, Origin, Refused, blame};
use crate::load::TimeIsUp;
use crate::words::sentence;

/// Where a failure of tract belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Build,
    Run,
    Export,
}

impl Stage {
    fn doing(self) -> &'static str {
        match self {
            Stage::Build => "building the model",
            Stage::Run => "running the model",
            Stage::Export => "writing the model as NNEF",
        }
    }

    pub(crate) fn error(self, error: anyhow::Error) -> Error {
        // What is known better than tract could tell.
        let error = match error.downcast::<Error>() {
            Ok(own) => return own,
            Err(error) => error,
        };
        if let Some(refused) = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Refused>())
        {
            return Error::Operand(Box::new(self.refused(refused.clone())));
        }
        let error = &error;
        if let Some(TimeIsUp(limit)) = error.chain().find_map(|cause| cause.downcast_ref()) {
            return Error::BuildTime { limit: *limit };
        }
        let (node, reason) = blame(error);
        if let Some(NoRoom { what, bytes }) = error.root_cause().downcast_ref() {
            return Error::Memory {
                node,
                what: what.clone(),
                bytes: *bytes,
            };
        }
        match self {
            Stage::Build => Error::Build { node, reason },
            Stage::Run => Error::Run { node, reason },
            Stage::Export => Error::Export { node, reason },
        }
    }

    /// What is computed while a model is built comes from its constants.
    fn refused(self, mut refused: Refused) -> Refused {
        if self == Stage::Build && refused.origin == Origin::Computed {
            refused.origin = Origin::Constant;
        }
        refused
    }
}

thread_local! {
    /// Whether a panic on this thread would be caught by `guard`.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics that become errors from being printed as well.
///
/// Rust prints every panic through the process's hook before it is caught. This puts a hook before the present one that
/// passes on all panics but those on their way to becoming an [`Error`]. For applications to call once, at the start: a
/// library must not touch the hook unasked.
pub fn silence_contained_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !CONTAINED.get() {
            before(panic);
        }
    }));
}

/// Runs `work`, which may fail in tract's way or panic.
///
/// Everything that a panic could leave half done must be dropped by the caller; here that is a model under construction or a
/// state that is not returned to its pool.
pub(crate) fn guard<T>(stage: Stage, work: impl FnOnce() -> anyhow::Result<T>) -> Result<T, Error> {
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outer);
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(stage.error(error)),
        Err(payload) => {
            let reason = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            if let Some(bytes) = refused_bytes(reason) {
                return Err(Error::Memory {
                    node: None,
                    what: format!("a tensor while {}", stage.doing()),
                    bytes: Some(bytes),
                });
            }
            Err(Error::Panic {
                doing: stage.doing(),
                reason: sentence(reason).unwrap_or_else(|| "no message".to_owned()),
            })
        }
    }
}

/// How many bytes were asked for in vain, if that is what a panic says.
///
/// tract's tensors panic where the system refuses them memory (tract-data 0.23.9, `src/blob.rs`, `Blob::for_layout`).
fn refused_bytes(panic: &str) -> Option<u128> {
    let layout = panic.strip_prefix("failed to allocate Layout { size: ")?;
    layout.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        silence_contained_panics();
        let error = guard::<()>(Stage::Run, || panic!("index {} out of bounds", 7)).unwrap_err();
        assert!(
            error.to_string().contains("index 7 out of bounds"),
            "{error}"
        );
    }

    #[test]
    fn memory_that_tract_is_refused_is_an_error_about_memory() {
        silence_contained_panics();
        // As large as a layout may be, and more than any machine has.
        let shape = [isize::MAX as usize / 1024];
        let error = guard(Stage::Run, || {
            tract_core::internal::Tensor::zero::<u8>(&shape)
        });
        let error = error.unwrap_err();
        assert!(
            matches!(error, Error::Memory { bytes: Some(bytes), .. } if bytes > 1 << 50),
            "{error}"
        );
    }
}
