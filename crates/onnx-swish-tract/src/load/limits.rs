//! Limits on what loading a model may cost.
//!
//! Given a number of nodes and a time; promises that a model beyond them ends in an error that names the limit. tract's loading takes
//! a time that grows with the square of the nodes, and cannot be interrupted from outside: it is asked between two nodes, and
//! between two rewrites.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tract_core::optim::{Optimizer, OptimizerSession, TypedPass};
use tract_hir::internal::*;
use tract_onnx::pb::ModelProto;

use super::graphs::graphs;
use crate::error::{Error, Result};

/// What loading may cost; nothing is limited unless it is said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub nodes: Option<usize>,
    pub time: Option<Duration>,
}

impl Limits {
    /// Refuses a model of too many nodes, those of nested graphs among them.
    pub fn check_nodes(&self, model: &ModelProto) -> Result<()> {
        let Some(limit) = self.nodes else {
            return Ok(());
        };
        let found = graphs(model).iter().map(|graph| graph.node.len()).sum();
        if found > limit {
            return Err(Error::TooManyNodes { found, limit });
        }
        Ok(())
    }

    /// Runs `work` within the time, which [`check`] and what it is asked by keep.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let deadline = self.time.map(|limit| Deadline {
            // A time too long to be added is none.
            at: Instant::now().checked_add(limit),
            limit,
        });
        let outer = DEADLINE.replace(deadline);
        let result = work();
        DEADLINE.set(outer);
        result
    }
}

#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Option<Instant>,
    limit: Duration,
}

thread_local! {
    /// A model is built on one thread.
    static DEADLINE: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// The time is up.
#[derive(Debug, thiserror::Error)]
#[error("building took longer than {0:?}")]
pub(crate) struct TimeIsUp(pub Duration);

/// Gives up when the time is up.
pub(super) fn check() -> TractResult<()> {
    match DEADLINE.get() {
        Some(Deadline {
            at: Some(at),
            limit,
        }) if Instant::now() > at => bail!(TimeIsUp(limit)),
        _ => Ok(()),
    }
}

/// Gives up on so many constants that comparing them takes longer than there is time.
///
/// At fault: tract-hir, `infer/model.rs`, and tract-core, `model/typed.rs`, `add_const`, which compare each constant with every other, and
/// cannot be asked meanwhile. Each pair took more than a nanosecond where that was measured.
pub(super) fn check_constants(model: &ModelProto) -> TractResult<()> {
    let Some(Deadline { limit, .. }) = DEADLINE.get() else {
        return Ok(());
    };
    let graph = model.graph.as_ref();
    let constants = graph.map_or(0, |graph| graph.initializer.len() as u64);
    let pairs = constants.saturating_mul(constants) / 2;
    if Duration::from_nanos(pairs) > limit {
        bail!(TimeIsUp(limit));
    }
    Ok(())
}

/// Makes every rewrite ask for the time.
pub(crate) fn watch_passes(optimizer: &mut Optimizer) {
    if DEADLINE.get().is_none() {
        return;
    }
    let passes = std::mem::take(&mut optimizer.passes);
    let watched = passes
        .into_iter()
        .map(|pass| Box::new(WatchedPass(pass)) as Box<dyn TypedPass>);
    optimizer.passes = watched.collect();
}

#[derive(Debug, Clone)]
struct WatchedPass(Box<dyn TypedPass>);

impl TypedPass for WatchedPass {
    fn reset(&mut self) -> TractResult<()> {
        self.0.reset()
    }

    fn next(
        &mut self,
        session: &mut OptimizerSession<'_>,
        model: &TypedModel,
    ) -> TractResult<Option<TypedModelPatch>> {
        check()?;
        self.0.next(session, model)
    }

    fn run_direct(&mut self, model: &mut TypedModel) -> TractResult<bool> {
        check()?;
        self.0.run_direct(model)
    }
}
