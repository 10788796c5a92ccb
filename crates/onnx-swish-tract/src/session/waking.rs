//! Which of tract's operators are worth waking tract's threads for.
//!
//! Given a node and its inputs; promises that work which ends sooner than it takes to hand it to sleeping threads, and to get
//! rid of them again, stays on the thread that runs the model.
//!
//! tract hands over every operator of more than 32768 elements, 10 microseconds of work, and the thread that is woken for it takes
//! several times as long to begin. While its threads then look for more they keep those that compute our convolutions from theirs:
//! in MobileViT-XXS with two threads on two cores they changed places with them 250 times in each run.

use std::collections::HashMap;

use tract_core::internal::*;
use tract_core::ops::binary::{OptBinByScalar, OptBinChain, OptBinUnicast, TypedBinOp};
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::matmul::pack::OptMatMulPack;
use tract_core::ops::nn::{Reduce, RmsNorm, ScaledRmsNorm, Softmax};

use crate::cost::macs;

/// Work in nanoseconds that is worth it, of which two threads save half at best.
const WORTH_WAKING_NS: u64 = 300_000;

/// What tract's products multiply and add in a nanosecond, roughly, with AVX2.
const MACS_PER_NS: u64 = 20;

/// What the operators of one plan take, as far as it is known before it runs.
pub(super) struct Waking {
    /// Multiply-accumulates of products, by node.
    macs: HashMap<usize, u64>,
}

impl Waking {
    pub fn of(model: &TypedModel) -> Waking {
        let nodes = model.nodes().iter();
        let macs = nodes.filter_map(|node| {
            let facts = model.node_input_facts(node.id).ok()?;
            Some((node.id, macs(&*node.op, &facts)?))
        });
        Waking {
            macs: macs.collect(),
        }
    }

    /// Whether tract may compute this node on its threads. Yes, where nothing is known of what it takes: it may hold a graph.
    pub fn is_worth(&self, node: &TypedNode, inputs: &[TValue]) -> bool {
        let known = match self.macs.get(&node.id) {
            Some(macs) => Some(macs / MACS_PER_NS),
            None => quarters_per_element(&*node.op).map(|quarters| {
                let elements = inputs.iter().map(|input| input.len()).max();
                elements.unwrap_or(0) as u64 * quarters / 4
            }),
        };
        known.is_none_or(|ns| ns >= WORTH_WAKING_NS)
    }
}

/// A quarter of a nanosecond, so many times, is what these operators take for an element, roughly.
fn quarters_per_element(op: &dyn TypedOp) -> Option<u64> {
    if op.is::<ElementWiseOp>() || op.is::<RmsNorm>() || op.is::<ScaledRmsNorm>() {
        // Powers and error functions take some nanoseconds, square roots a fraction of one.
        return Some(8);
    }
    if op.is::<Softmax>() || op.is::<OptMatMulPack>() || op.is::<Reduce>() {
        return Some(4);
    }
    let arithmetic = op.is::<TypedBinOp>()
        || op.is::<OptBinByScalar>()
        || op.is::<OptBinUnicast>()
        || op.is::<OptBinChain>()
        || op.is::<Cast>();
    arithmetic.then_some(1)
}

#[cfg(test)]
mod tests {
    use tract_core::ops::array::Gather;
    use tract_core::ops::einsum::EinSum;
    use tract_core::ops::math;

    use super::*;

    /// Whether it is worth waking threads for the last node that `wire` makes of a source of this shape.
    fn worth(
        shape: &[usize],
        wire: impl Fn(&mut TypedModel, OutletId) -> TractResult<TVec<OutletId>>,
    ) -> bool {
        let mut model = TypedModel::default();
        let source = model
            .add_source("x", f32::fact(shape))
            .expect("a model without nodes");
        let last = wire(&mut model, source).expect("operands of one shape");
        let inputs = [Tensor::zero::<f32>(shape)
            .expect("few elements")
            .into_tvalue()];
        Waking::of(&model).is_worth(model.node(last[0].node), &inputs)
    }

    #[test]
    fn arithmetic_of_microseconds_wakes_nobody() {
        let twice = |m: &mut TypedModel, x| m.wire_node("twice", math::add(), &[x, x]);
        // 16 and 512 microseconds; tract would share both.
        assert!(!worth(&[64, 1024], twice));
        assert!(worth(&[2048, 1024], twice));
        let root = |m: &mut TypedModel, x| m.wire_node("root", math::sqrt(), &[x]);
        assert!(!worth(&[64, 1024], root));
        assert!(worth(&[256, 1024], root));
    }

    #[test]
    fn products_are_judged_by_what_they_multiply() {
        let square = |m: &mut TypedModel, x| {
            let axes = "mk,kn->mn".parse()?;
            m.wire_node("square", EinSum::new(axes, f32::datum_type()), &[x, x])
        };
        assert!(!worth(&[128, 128], square));
        assert!(worth(&[256, 256], square));
    }

    #[test]
    fn an_operator_of_which_nothing_is_known_has_threads() {
        let rows = |m: &mut TypedModel, x| {
            let first = m.add_const("first", tensor1(&[0i64]))?;
            m.wire_node("rows", Gather::new(0), &[x, first])
        };
        assert!(worth(&[2, 2], rows));
    }
}
