//! The fused operator against tract's own convolution and its own activations.
//!
//! Given small graphs of every covered kind; promises the same numbers to rounding, one node where one is due, and hands off the rest.

mod left;
mod linear;
pub(crate) mod squeeze;
mod transposed;

use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::math::{add, max, min, mul};
use tract_core::ops::nn::silu::silu;
use tract_core::ops::nn::{DataFormat, hard_swish, sigmoid};
use tract_linalg::multithread::{Executor, multithread_tract_scope};

use super::{Convolutions, FusedConv, take_over};
use crate::ops::Activation;
use crate::shared::sharing;

/// One convolution and what follows it.
#[derive(Debug, Clone)]
struct Case {
    image: [usize; 2],
    channels: [usize; 2],
    group: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: PaddingSpec,
    batch: usize,
    symbolic: bool,
    tail: Tail,
}

/// What follows the convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tail {
    Nothing,
    TractSilu,
    TractHardSwish,
    Ours(Activation),
    Relu,
    Relu6,
    HardSigmoid,
    BatchNormRelu,
    /// The learnable affine block of PP-LCNetV3.
    HardSwishLine,
    ResidualRelu,
    SiluResidual,
    /// Stays behind: tract's sigmoid.
    Sigmoid,
}

const TAILS: [Tail; 13] = [
    Tail::Nothing,
    Tail::TractSilu,
    Tail::TractHardSwish,
    Tail::Ours(Activation::HardSwish),
    Tail::Ours(Activation::Swish { beta: 1.5 }),
    Tail::Ours(Activation::SlopedHardSwish {
        alpha: 0.25,
        beta: 0.5,
    }),
    Tail::Relu,
    Tail::Relu6,
    Tail::HardSigmoid,
    Tail::BatchNormRelu,
    Tail::HardSwishLine,
    Tail::ResidualRelu,
    Tail::Sigmoid,
];

impl Default for Case {
    fn default() -> Case {
        Case {
            image: [9, 11],
            channels: [4, 6],
            group: 1,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            padding: PaddingSpec::SameUpper,
            batch: 1,
            symbolic: false,
            tail: Tail::TractSilu,
        }
    }
}

pub(crate) fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 22) as f32 - 2.0
        })
        .collect();
    Tensor::from_shape(shape, &values).unwrap()
}

impl Case {
    fn model(&self) -> TypedModel {
        let mut model = TypedModel::default();
        let [ins, outs] = self.channels;
        let batch = if self.symbolic {
            model.symbols.sym("N").into()
        } else {
            self.batch.to_dim()
        };
        let shape: TVec<TDim> = tvec!(
            batch,
            ins.to_dim(),
            self.image[0].to_dim(),
            self.image[1].to_dim()
        );
        let x = model.add_source("x", f32::fact(shape)).unwrap();
        let conv = Conv {
            pool_spec: PoolSpec {
                data_format: DataFormat::NCHW,
                kernel_shape: TVec::from_slice(&self.kernel),
                padding: self.padding.clone(),
                dilations: Some(TVec::from_slice(&self.dilation)),
                strides: Some(TVec::from_slice(&self.stride)),
                input_channels: ins,
                output_channels: outs,
            },
            kernel_fmt: KernelFormat::OIHW,
            group: self.group,
            q_params: None,
        };
        let kernel = model
            .add_const(
                "kernel",
                noise(&[outs, ins / self.group, self.kernel[0], self.kernel[1]], 1),
            )
            .unwrap();
        let bias = model.add_const("bias", noise(&[outs], 2)).unwrap();
        let y = model.wire_node("conv", conv, &[x, kernel, bias]).unwrap()[0];
        let y = self.wire_tail(&mut model, y);
        model.select_output_outlets(&[y]).unwrap();
        model.into_decluttered().unwrap()
    }

    fn wire_tail(&self, model: &mut TypedModel, y: OutletId) -> OutletId {
        let scalar = |model: &mut TypedModel, name: &str, value: f32| {
            model
                .add_const(name, tensor0(value).broadcast_into_rank(4).unwrap())
                .unwrap()
        };
        let channel = |model: &mut TypedModel, name: &str, seed: u32| {
            model
                .add_const(name, noise(&[1, self.channels[1], 1, 1], seed))
                .unwrap()
        };
        let wire = |model: &mut TypedModel, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
            let name = format!("tail.{}", model.nodes().len());
            model.wire_node(name, op, inputs).unwrap()[0]
        };
        match self.tail {
            Tail::Nothing => y,
            Tail::TractSilu => wire(model, silu().into(), &[y]),
            Tail::TractHardSwish => wire(model, hard_swish().into(), &[y]),
            Tail::Sigmoid => wire(model, sigmoid().into(), &[y]),
            Tail::Ours(activation) => wire(model, activation.into_op().into(), &[y]),
            Tail::Relu => {
                let zero = scalar(model, "zero", 0.0);
                wire(model, max().into(), &[y, zero])
            }
            Tail::Relu6 => {
                let (zero, six) = (scalar(model, "zero", 0.0), scalar(model, "six", 6.0));
                let y = wire(model, max().into(), &[zero, y]);
                wire(model, min().into(), &[y, six])
            }
            Tail::HardSigmoid => {
                let (alpha, beta) = (scalar(model, "alpha", 0.2), scalar(model, "beta", 0.5));
                let (zero, one) = (scalar(model, "zero", 0.0), scalar(model, "one", 1.0));
                let y = wire(model, mul().into(), &[alpha, y]);
                let y = wire(model, add().into(), &[beta, y]);
                let y = wire(model, min().into(), &[one, y]);
                wire(model, max().into(), &[zero, y])
            }
            Tail::BatchNormRelu => {
                let (slope, offset) = (channel(model, "slope", 3), channel(model, "offset", 4));
                let zero = scalar(model, "zero", 0.0);
                let y = wire(model, mul().into(), &[slope, y]);
                let y = wire(model, add().into(), &[offset, y]);
                wire(model, max().into(), &[y, zero])
            }
            Tail::HardSwishLine => {
                let (slope, offset) = (scalar(model, "slope", 1.25), scalar(model, "offset", -0.5));
                let y = wire(model, hard_swish().into(), &[y]);
                let y = wire(model, mul().into(), &[y, slope]);
                wire(model, add().into(), &[offset, y])
            }
            Tail::ResidualRelu | Tail::SiluResidual => {
                let fact = model.outlet_fact(y).unwrap().clone();
                let residual = model.add_source("residual", fact).unwrap();
                if self.tail == Tail::SiluResidual {
                    let y = wire(model, silu().into(), &[y]);
                    return wire(model, add().into(), &[y, residual]);
                }
                let zero = scalar(model, "zero", 0.0);
                let y = wire(model, add().into(), &[residual, y]);
                wire(model, max().into(), &[y, zero])
            }
        }
    }

    /// Runs with and without the pass, and returns the fused graph.
    fn check(&self) -> TypedModel {
        let plain = self.model();
        let mut fused = plain.clone();
        take_over(&mut fused, Convolutions::Ours, &HashMap::new()).unwrap();
        let fused = fused.into_optimized().unwrap();
        let convs = fused
            .nodes()
            .iter()
            .filter(|node| node.op_is::<FusedConv>())
            .count();
        assert_eq!(convs, 1, "{self:?}: not replaced\n{fused}");
        let inputs: TVec<TValue> = plain
            .input_outlets()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(i, outlet)| {
                let batch = self.batch.to_dim();
                let shape = plain.outlet_fact(*outlet).unwrap().shape.iter().enumerate();
                let shape: Vec<usize> = shape
                    .map(|(axis, dim)| if axis == 0 { &batch } else { dim }.to_usize().unwrap())
                    .collect();
                noise(&shape, 10 + i as u32).into_tvalue()
            })
            .collect();
        let want = plain
            .into_optimized()
            .unwrap()
            .into_runnable()
            .unwrap()
            .run(inputs.clone())
            .unwrap();
        let plan = fused.clone().into_runnable().unwrap();
        let got = plan.run(inputs.clone()).unwrap();
        assert_eq!(got[0].shape(), want[0].shape(), "{self:?}");
        // Sums of up to some hundred products of magnitude 4, in another order; tract's own SiLU is off by 1e-5.
        let scale = (self.channels[0] / self.group * self.kernel[0] * self.kernel[1]) as f32;
        for (got, want) in elements(&got[0]).iter().zip(elements(&want[0])) {
            assert!(
                (got - want).abs() <= 2e-6 * (8.0 + scale) * 4.0,
                "{self:?}: {got}, tract {want}"
            );
        }
        let threaded =
            multithread_tract_scope(Executor::multithread(3), || plan.run(inputs.clone())).unwrap();
        let pool = std::sync::Arc::new(onnx_swish_threads::Pool::new(3).unwrap());
        let pooled = crate::workers::with_pool(Some(pool), || plan.run(inputs)).unwrap();
        for threaded in [threaded, pooled] {
            assert_eq!(
                elements(&threaded[0]),
                elements(&got[0]),
                "{self:?}: other numbers with three threads"
            );
        }
        fused
    }
}

pub(crate) fn elements(tensor: &Tensor) -> Vec<f32> {
    tensor
        .try_as_plain_ram()
        .unwrap()
        .as_slice::<f32>()
        .unwrap()
        .to_vec()
}

#[test]
fn every_tail_on_every_kind_of_convolution() {
    let kinds = [
        ([4, 6], 1, [3, 3]),
        ([5, 7], 1, [1, 1]),
        ([6, 6], 6, [3, 3]),
        ([3, 6], 3, [5, 5]),
        ([8, 4], 2, [3, 1]),
    ];
    for (channels, group, kernel) in kinds {
        for tail in TAILS {
            let fused = Case {
                channels,
                group,
                kernel,
                tail,
                ..Case::default()
            }
            .check();
            let depthwise = group == channels[0];
            let whole = tail != Tail::Sigmoid && !(depthwise && tail == Tail::ResidualRelu);
            if whole {
                let nodes =
                    fused.eval_order().unwrap().len() - fused.input_outlets().unwrap().len();
                assert_eq!(
                    nodes, 1,
                    "{tail:?} after {kernel:?} in {group} groups is left behind:\n{fused}"
                );
            }
        }
    }
}

#[test]
fn a_residual_after_the_activation() {
    Case {
        tail: Tail::SiluResidual,
        ..Case::default()
    }
    .check();
    Case {
        tail: Tail::SiluResidual,
        kernel: [1, 1],
        batch: 2,
        ..Case::default()
    }
    .check();
}

#[test]
fn shapes_strides_pads_and_dilations() {
    let explicit = |before: [usize; 2], after: [usize; 2]| {
        PaddingSpec::Explicit(TVec::from_slice(&before), TVec::from_slice(&after))
    };
    let paddings = [
        PaddingSpec::Valid,
        PaddingSpec::SameUpper,
        PaddingSpec::SameLower,
        explicit([1, 2], [0, 3]),
        explicit([2, 0], [2, 1]),
    ];
    for padding in paddings {
        for (kernel, stride, dilation) in [
            ([3, 3], [1, 1], [1, 1]),
            ([3, 3], [2, 2], [1, 1]),
            ([5, 5], [2, 2], [1, 1]),
            ([5, 3], [1, 2], [1, 1]),
            ([3, 3], [1, 1], [2, 2]),
            ([2, 4], [2, 1], [1, 2]),
            ([7, 7], [1, 1], [1, 1]),
        ] {
            for (channels, group) in [([4, 6], 1), ([4, 4], 4), ([4, 8], 2)] {
                for image in [[17, 19], [14, 14], [20, 33]] {
                    Case {
                        image,
                        channels,
                        group,
                        kernel,
                        stride,
                        dilation,
                        padding: padding.clone(),
                        ..Case::default()
                    }
                    .check();
                }
            }
        }
    }
}

#[test]
fn batches_fixed_and_symbolic() {
    for symbolic in [false, true] {
        for batch in [1, 2, 3] {
            for (channels, group, kernel) in [
                ([4, 6], 1, [3, 3]),
                ([4, 4], 4, [3, 3]),
                ([4, 6], 1, [1, 1]),
            ] {
                for tail in [Tail::TractSilu, Tail::ResidualRelu] {
                    Case {
                        batch,
                        symbolic,
                        channels,
                        group,
                        kernel,
                        tail,
                        ..Case::default()
                    }
                    .check();
                }
            }
        }
    }
}

#[test]
fn a_value_with_two_readers_or_an_output_is_not_swallowed() {
    let case = Case {
        tail: Tail::Nothing,
        ..Case::default()
    };
    let mut model = case.model();
    let y = model.output_outlets().unwrap()[0];
    let active = model.wire_node("act", silu(), &[y]).unwrap()[0];
    model.select_output_outlets(&[active, y]).unwrap();
    let plain = model
        .clone()
        .into_optimized()
        .unwrap()
        .into_runnable()
        .unwrap();
    take_over(&mut model, Convolutions::Ours, &HashMap::new()).unwrap();
    let fused = model.into_optimized().unwrap().into_runnable().unwrap();
    let x = noise(&[1, 4, 9, 11], 10).into_tvalue();
    let (got, want) = (
        fused.run(tvec!(x.clone())).unwrap(),
        plain.run(tvec!(x)).unwrap(),
    );
    for (got, want) in got.iter().zip(&want) {
        for (got, want) in elements(got).iter().zip(elements(want)) {
            assert!((got - want).abs() <= 1e-3, "{got}, tract {want}");
        }
    }
}

#[test]
fn plans_for_images_of_other_sizes_share_their_weights() {
    let conv = |image| {
        let case = Case {
            image,
            ..Case::default()
        };
        let mut model = case.model();
        take_over(&mut model, Convolutions::Ours, &HashMap::new()).unwrap();
        let mut convs = model.nodes().iter().filter_map(|node| node.op_as());
        convs.next().cloned().unwrap()
    };
    let shared = Arc::default();
    let one: FusedConv = sharing(&shared, || conv([9, 11]));
    // They are the same if their weights are the same copy.
    assert_eq!(one, sharing(&shared, || conv([12, 8])));
    assert_ne!(one, conv([9, 11]));
}
