//! The graphs within nodes: the branches of If, the bodies of Loop, and of Scan, which recurrent layers are to tract.
//!
//! Given a graph and a rewrite; promises that it reaches every such graph, those within them among them. At fault where it would not:
//! tract-core, `model/rewriter.rs`, `Rewriter::rewrite`, which sees the nodes of one graph.

use tract_core::internal::*;
use tract_core::ops::scan::{OptScan, Scan};

use crate::load::{Choice, Turns};

type Rewrite<'a> = &'a mut dyn FnMut(&mut TypedModel) -> TractResult<()>;

/// Rewrites the bodies in a graph that tract has not lowered.
pub(crate) fn rewrite(model: &mut TypedModel, work: Rewrite<'_>) -> TractResult<()> {
    for node in &mut model.nodes {
        let name = &node.name;
        let result = if let Some(choice) = node.op.downcast_mut::<Choice>() {
            choice.bodies_mut().try_for_each(|body| body.rewrite(work))
        } else if let Some(turns) = node.op.downcast_mut::<Turns>() {
            turns.body.rewrite(work)
        } else if let Some(scan) = node.op.downcast_mut::<Scan>() {
            work(&mut scan.body)
        } else {
            Ok(())
        };
        result.with_context(|| format!("while rewriting what is in {name}"))?;
    }
    Ok(())
}

/// Rewrites the bodies in a graph that tract has lowered. Those of our own nodes are lowered and rewritten when their plans are made,
/// which is now.
pub(super) fn rewrite_lowered(model: &mut TypedModel, work: Rewrite<'_>) -> TractResult<()> {
    for node in &mut model.nodes {
        if let Some(choice) = node.op.downcast_mut::<Choice>() {
            choice
                .bodies_mut()
                .try_for_each(|body| body.plan().map(drop))?;
        } else if let Some(turns) = node.op.downcast_mut::<Turns>() {
            turns.body.plan()?;
        } else if let Some(scan) = node.op.downcast_ref::<OptScan>() {
            let mut parts = (**scan).clone();
            let mut body = parts.plan.model().clone();
            work(&mut body)?;
            parts.plan = TypedSimplePlan::new(body)?;
            node.op = Box::new(OptScan::new(Arc::new(parts)));
        }
    }
    Ok(())
}
