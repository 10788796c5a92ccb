//! Wiring of tract's graph, in fewer words.
//!
//! Given a node's name; promises that the nodes it is written out as carry that name as their prefix.

use tract_hir::internal::*;
use tract_hir::ops::logic::wire_with_rank_broadcast;
use tract_hir::ops::nn::{Reduce, Reducer};

pub(super) struct Wire<'a> {
    pub prefix: &'a str,
    pub model: &'a mut TypedModel,
}

impl Wire<'_> {
    fn name(&self, name: &str) -> String {
        if name.is_empty() {
            self.prefix.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    pub fn fact(&self, outlet: OutletId) -> TractResult<&TypedFact> {
        self.model.outlet_fact(outlet)
    }

    /// An operator of several outputs.
    pub fn all(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.model.wire_node(self.name(name), op, inputs)
    }

    /// An operator of one output.
    pub fn op(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let outputs = self.model.wire_node(self.name(name), op, inputs)?;
        outputs
            .first()
            .copied()
            .context("an operator without an output")
    }

    /// An operator of two inputs that are broadcast against each other.
    pub fn binary(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        a: OutletId,
        b: OutletId,
    ) -> TractResult<OutletId> {
        let name = self.name(name);
        let outputs = wire_with_rank_broadcast(name, self.model, op, &[a, b])?;
        outputs
            .first()
            .copied()
            .context("an operator without an output")
    }

    pub fn constant(&mut self, name: &str, value: impl IntoArcTensor) -> TractResult<OutletId> {
        self.model.add_const(self.name(name), value)
    }

    /// A number in the element type of another value.
    pub fn scalar(&mut self, name: &str, value: f64, like: OutletId) -> TractResult<OutletId> {
        let dt = self.fact(like)?.datum_type;
        let value = tensor0(value).cast_to_dt(dt)?.into_owned();
        self.constant(name, value)
    }

    /// The mean over axes, which stay with size one.
    pub fn mean(&mut self, name: &str, x: OutletId, axes: &[usize]) -> TractResult<OutletId> {
        let axes = axes.iter().map(|axis| *axis as i64).collect();
        let name = self.name(name);
        let outputs = Reduce::new(Some(axes), true, Reducer::Mean).wire(&name, self.model, &[x])?;
        outputs.first().copied().context("a mean without an output")
    }

    /// Another shape for the same elements.
    pub fn reshape(&mut self, name: &str, x: OutletId, shape: &[TDim]) -> TractResult<OutletId> {
        let from = self.fact(x)?.shape.to_tvec();
        if from.as_slice() == shape {
            return Ok(x);
        }
        self.op(name, AxisOp::Reshape(0, from, shape.into()), &[x])
    }

    /// A vector along one axis of a tensor of `rank` axes.
    pub fn along(
        &mut self,
        name: &str,
        vector: OutletId,
        axis: usize,
        rank: usize,
    ) -> TractResult<OutletId> {
        ensure!(axis < rank, "a vector along axis {axis} of {rank}");
        let mut wire = vector;
        for at in 0..axis {
            wire = self.op(&format!("{name}.before-{at}"), AxisOp::Add(0), &[wire])?;
        }
        for at in axis + 1..rank {
            wire = self.op(&format!("{name}.after-{at}"), AxisOp::Add(at), &[wire])?;
        }
        Ok(wire)
    }
}
