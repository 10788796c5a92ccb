//! Channels that stay before their pixels.
//!
//! Given tract's declutter; promises that it does not move channels behind pixels where our kernels compute the depthwise convolutions.
//!
//! At fault: nothing. On 64-bit ARM tract's own depthwise convolution is faster with channels last, and asks for that
//! (tract-core, `ops/cnn/conv/conv.rs`, `Conv::suggested_axis_changes`); its optimizer then turns all of a network around, and no convolution of
//! it is of the layout that our kernels compute, the model's own.

use tract_core::internal::*;
use tract_core::ops::cnn::Conv;
use tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

/// Makes the last of tract's passes, which moves axes, leave channels where they are.
pub(super) fn keep(optimizer: &mut Optimizer) {
    if let Some(moves) = optimizer.passes.pop() {
        optimizer.passes.push(Box::new(KeepPlanes(moves)));
    }
}

#[derive(Debug, Clone)]
struct KeepPlanes(Box<dyn TypedPass>);

impl TypedPass for KeepPlanes {
    fn reset(&mut self) -> TractResult<()> {
        self.0.reset()
    }

    fn next(
        &mut self,
        session: &mut OptimizerSession<'_>,
        model: &TypedModel,
    ) -> TractResult<Option<TypedModelPatch>> {
        // A pass proposes each change once: what is refused does not come again before it begins anew.
        while let Some(patch) = self.0.next(session, model)? {
            let is_last = |node: &TypedNode| {
                let conv = node.op_as::<Conv>();
                conv.is_some_and(|conv| conv.pool_spec.data_format.c_is_last())
            };
            if !patch.model.nodes().iter().any(is_last) {
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }

    fn run_direct(&mut self, model: &mut TypedModel) -> TractResult<bool> {
        self.0.run_direct(model)
    }
}

#[cfg(test)]
mod tests {
    use tract_core::ops::change_axes::AxisOp;
    use tract_core::ops::cnn::{KernelFormat, PaddingSpec, PoolSpec};
    use tract_core::ops::nn::{DataFormat, hard_swish};
    use tract_core::optim::change_axes::change_axes;

    use super::*;

    /// What tract's pass does on ARM: each convolution asks once for channels last.
    #[derive(Debug, Clone, Default)]
    struct ChannelsLast(std::collections::HashSet<String>);

    impl TypedPass for ChannelsLast {
        fn reset(&mut self) -> TractResult<()> {
            self.0.clear();
            Ok(())
        }

        fn next(
            &mut self,
            _: &mut OptimizerSession<'_>,
            model: &TypedModel,
        ) -> TractResult<Option<TypedModelPatch>> {
            for node in model.nodes() {
                let asks = node
                    .op_as::<Conv>()
                    .is_some_and(|conv| !conv.pool_spec.data_format.c_is_last());
                if asks && self.0.insert(node.name.clone()) {
                    let change = AxisChange {
                        outlet: node.inputs[0],
                        op: AxisOp::Move(1, 3),
                    };
                    let locked = model.output_outlets()?.to_vec();
                    let mut explored = Default::default();
                    let found = change_axes(model, &change, &locked, &[], &mut explored)?;
                    if let Some((patch, _)) = found {
                        return Ok(Some(patch));
                    }
                }
            }
            Ok(None)
        }
    }

    use tract_core::ops::change_axes::AxisChange;

    /// Two depthwise convolutions between moves of axes, which take any layout.
    fn model() -> TypedModel {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([1, 4, 5, 16])).unwrap();
        let mut y = model.wire_node("in", AxisOp::Move(3, 1), &[x]).unwrap()[0];
        for name in ["a", "b"] {
            let conv = Conv {
                pool_spec: PoolSpec {
                    data_format: DataFormat::NCHW,
                    kernel_shape: tvec!(3, 3),
                    padding: PaddingSpec::SameUpper,
                    dilations: None,
                    strides: None,
                    input_channels: 16,
                    output_channels: 16,
                },
                kernel_fmt: KernelFormat::OIHW,
                group: 16,
                q_params: None,
            };
            let weights = Tensor::zero::<f32>(&[16, 1, 3, 3]).unwrap();
            let weights = model.add_const(format!("{name}.w"), weights).unwrap();
            let bias = Tensor::zero::<f32>(&[16]).unwrap();
            let bias = model.add_const(format!("{name}.b"), bias).unwrap();
            y = model.wire_node(name, conv, &[y, weights, bias]).unwrap()[0];
            let act = format!("{name}.act");
            y = model.wire_node(act, hard_swish(), &[y]).unwrap()[0];
        }
        let y = model.wire_node("out", AxisOp::Move(1, 3), &[y]).unwrap();
        model.select_output_outlets(&y).unwrap();
        model
    }

    fn last(kept: bool) -> usize {
        let mut optimizer = Optimizer::prop_consts();
        optimizer.passes.push(Box::<ChannelsLast>::default());
        if kept {
            keep(&mut optimizer);
        }
        let mut model = model();
        optimizer.optimize(&mut model).unwrap();
        let convs = model.nodes().iter().filter_map(|node| node.op_as::<Conv>());
        convs
            .filter(|conv| conv.pool_spec.data_format.c_is_last())
            .count()
    }

    #[test]
    fn channels_stay_before_their_pixels() {
        assert_eq!(last(false), 2, "nothing to refuse");
        assert_eq!(last(true), 0);
    }
}
