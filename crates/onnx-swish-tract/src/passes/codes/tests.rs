//! Codes that stay codes against the floats that they stand for.
//!
//! Given scales that are powers of two, with which sums of floats are exact, halves included; promises equal codes, the operators that are
//! due, and hands off what is almost one.

use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::{add, max, mul};
use tract_core::ops::nn::{DataFormat, Reduce, Reducer};

use crate::conv::{Convolutions, QConv};
use crate::load::dequantized::{remember, remembering};
use crate::ops::{Activation, CodePair, CodeSums, Direction, QElementwise, QuantizeBy, is_code};
use crate::passes::written::{I8, Net, U8};
use crate::passes::{self, Findings, Wanted};

impl Net {
    fn relu(&mut self, x: OutletId) -> OutletId {
        let zero = self.constant(tensor0(0f32).broadcast_into_rank(4).unwrap());
        self.wire(max(), &[x, zero])
    }

    /// Weights that were codes of i8, with a scale for each channel.
    fn conv(&mut self, x: OutletId, kernel: usize, out_channels: usize, group: usize) -> OutletId {
        let channels = self.0.outlet_fact(x).unwrap().shape[1].to_usize().unwrap();
        let shape = [out_channels, channels / group, kernel, kernel];
        let mut word = 12345u32;
        let mut codes = Vec::new();
        let (scales, per_channel) = (vec![0.5f32, 0.25], channels / group * kernel * kernel);
        let mut floats = Vec::new();
        let of = |channel: usize| scales[channel % 2];
        for i in 0..out_channels * per_channel {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let code = (word >> 24) as u8 as i8;
            codes.push(code);
            floats.push(f32::from(code) * of(i / per_channel));
        }
        let floats = Tensor::from_shape(&shape, &floats).unwrap();
        let scales: Vec<f32> = (0..out_channels).map(of).collect();
        remember(&floats, I8, &tensor1(&scales), None).unwrap();
        let bias: Vec<f32> = (0..out_channels).map(|i| i as f32 * 3.0).collect();
        let (weights, bias) = (self.constant(floats), self.constant(tensor1(&bias)));
        let op = Conv {
            pool_spec: PoolSpec {
                data_format: DataFormat::NCHW,
                kernel_shape: tvec!(kernel, kernel),
                padding: PaddingSpec::SameUpper,
                dilations: None,
                strides: None,
                input_channels: channels,
                output_channels: out_channels,
            },
            kernel_fmt: KernelFormat::OIHW,
            group,
            q_params: None,
        };
        self.wire(op, &[x, weights, bias])
    }
}

/// A graph of the codes of one image.
fn net(codes: DatumType, write: impl FnOnce(&mut Net, OutletId) -> Vec<OutletId>) -> TypedModel {
    let written = remembering(|| {
        let mut net = Net(TypedModel::default());
        let x = net.0.add_source("x", codes.fact([2, 8, 9, 9]))?;
        let outputs = write(&mut net, x);
        net.0.select_output_outlets(&outputs)?;
        Ok(net.0)
    });
    written.unwrap().into_decluttered().unwrap()
}

fn image(codes: DatumType) -> Tensor {
    let bytes: Vec<u8> = (0..2 * 8 * 81u32)
        .map(|i| ((i * i * 31) >> 3) as u8)
        .collect();
    let image = Tensor::from_shape(&[2, 8, 9, 9], &bytes).unwrap();
    if codes == U8 {
        return image;
    }
    let signed: Vec<i8> = bytes.iter().map(|byte| *byte as i8).collect();
    Tensor::from_shape(&[2, 8, 9, 9], &signed).unwrap()
}

/// The graph with its codes kept, and what was found, after both were run.
fn kept(plain: &TypedModel) -> (TypedModel, Findings) {
    let mut fused = plain.clone();
    let wanted = Wanted {
        convolutions: Convolutions::Ours,
        tables: true,
        codes: true,
    };
    let findings = passes::before_run(&mut fused, wanted).unwrap();
    let codes = plain.input_fact(0).unwrap().datum_type;
    let run = |model: &TypedModel| {
        let model = model.clone().into_optimized().unwrap();
        let plan = TypedSimplePlan::new(model).unwrap();
        plan.run(tvec!(image(codes).into_tvalue())).unwrap()
    };
    for (got, expected) in run(&fused).iter().zip(run(plain)) {
        if is_code(got.datum_type()) {
            assert_eq!(**got, *expected, "{fused}");
        } else {
            got.close_enough(&expected, Approximation::Approximate)
                .unwrap();
        }
    }
    (fused, findings)
}

fn count<T: TypedOp>(model: &TypedModel) -> usize {
    model
        .nodes()
        .iter()
        .filter(|node| node.op_is::<T>())
        .count()
}

fn floats(model: &TypedModel) -> Vec<String> {
    let nodes = model.nodes().iter();
    let floats = nodes.filter(|node| node.outputs[0].fact.datum_type == DatumType::F32);
    let floats = floats.filter(|node| node.outputs[0].fact.konst.is_none());
    floats.map(|node| node.op.name().into_owned()).collect()
}

#[test]
fn codes_go_from_convolution_to_convolution() {
    for (codes, zero) in [(U8, 121), (I8, -3)] {
        for relu in [false, true] {
            let model = net(codes, |net, x| {
                let x = net.dequantize(x, 0.125, zero);
                // 3x3, depthwise, pointwise: every method, and each way in which tract has them.
                let mut y = x;
                for (kernel, group) in [(3, 1), (3, 8), (1, 1), (3, 2)] {
                    y = net.conv(y, kernel, 8, group);
                    if relu {
                        y = net.relu(y);
                    }
                    let q = net.quantize(y, 64.0, zero, codes);
                    if (kernel, group) == (3, 2) {
                        return vec![q];
                    }
                    y = net.dequantize(q, 0.125, zero);
                }
                vec![y]
            });
            let (fused, findings) = kept(&model);
            assert_eq!(count::<QConv>(&fused), 4, "{fused}");
            assert_eq!(floats(&fused), Vec::<String>::new(), "{fused}");
            assert_eq!(findings.convolutions.len(), 4);
            assert!(findings.convolutions.iter().all(|one| one.codes));
        }
    }
}

#[test]
fn a_table_behind_goes_with_the_convolution() {
    let model = net(U8, |net, x| {
        let x = net.dequantize(x, 0.125, 100);
        let y = net.conv(x, 3, 4, 1);
        let q = net.quantize(y, 64.0, 100, U8);
        let y = net.dequantize(q, 0.0625, 100);
        let y = net.wire(Activation::Silu.into_op(), &[y]);
        vec![net.quantize(y, 0.0625, -20, I8)]
    });
    let (fused, findings) = kept(&model);
    // The image and the convolution.
    assert_eq!(fused.nodes().len(), 2, "{fused}");
    let kind = findings.convolutions[0].kind.as_deref();
    assert_eq!(kind, Some("dense 3x3 of codes, to codes, SiLU by table"));
}

#[test]
fn what_is_read_as_floats_ends_in_floats() {
    let model = net(U8, |net, x| {
        let x = net.dequantize(x, 0.125, 100);
        let y = net.conv(x, 3, 4, 1);
        vec![net.wire(Activation::Silu.into_op(), &[y])]
    });
    let (fused, findings) = kept(&model);
    assert_eq!(fused.nodes().len(), 2, "{fused}");
    let kind = findings.convolutions[0].kind.as_deref();
    assert_eq!(kind, Some("dense 3x3 of codes, SiLU, to floats"));
    // Floats and codes of the same sums.
    let model = net(U8, |net, x| {
        let x = net.dequantize(x, 0.125, 100);
        let y = net.conv(x, 1, 4, 1);
        vec![net.quantize(y, 64.0, 3, U8), y]
    });
    let (fused, _) = kept(&model);
    assert_eq!(count::<QConv>(&fused), 1);
    assert!(floats(&fused).len() == 1, "{fused}");
}

#[test]
fn residuals_gates_and_pools_stay_codes() {
    let model = net(U8, |net, x| {
        let x = net.dequantize(x, 0.125, 100);
        let y = net.conv(x, 3, 8, 8);
        let q = net.quantize(y, 64.0, 90, U8);
        let y = net.dequantize(q, 64.0, 90);
        let sums = net.wire(Reduce::new(tvec!(2, 3), Reducer::Sum), &[y]);
        let gate = net.quantize(sums, 512.0, 3, U8);
        let gate = net.dequantize(gate, 1.0 / 256.0, 3);
        let gated = net.wire(mul(), &[gate, y]);
        let q = net.quantize(gated, 0.5, 17, U8);
        let gated = net.dequantize(q, 0.5, 17);
        let sum = net.wire(add(), &[gated, x]);
        let sum = net.relu(sum);
        vec![net.quantize(sum, 0.25, -30, I8)]
    });
    let (fused, _) = kept(&model);
    assert_eq!(count::<QConv>(&fused), 1, "{fused}");
    assert_eq!(count::<CodePair>(&fused), 2, "{fused}");
    assert_eq!(count::<CodeSums>(&fused), 1, "{fused}");
    assert_eq!(floats(&fused), ["QPlaneSums"], "{fused}");
}

/// The same node twice, a tensor that is broadcast, and a sum that somebody else reads.
#[test]
fn a_product_of_two_tensors_of_one_shape_is_no_gate() {
    let model = net(U8, |net, x| {
        let x = net.dequantize(x, 0.125, 100);
        let mut side = |kernel| {
            let y = net.conv(x, kernel, 8, 1);
            let y = net.quantize(y, 64.0, 3, U8);
            net.dequantize(y, 64.0, 3)
        };
        let both = [side(1), side(3)];
        let y = net.wire(mul(), &both);
        vec![net.quantize(y, 16384.0, 5, U8)]
    });
    let (fused, _) = kept(&model);
    assert_eq!(count::<CodePair>(&fused), 0, "{fused}");
    assert_eq!(count::<QElementwise>(&fused), 1, "{fused}");
    assert_eq!(floats(&fused).len(), 0, "{fused}");
}

#[test]
fn what_is_almost_a_residual_is_left() {
    let model = net(I8, |net, x| {
        let x = net.dequantize(x, 0.125, 5);
        let twice = net.wire(add(), &[x, x]);
        let codes = net.quantize(twice, 0.25, 0, I8);
        let read = net.wire(mul(), &[x, x]);
        vec![net.quantize(read, 0.25, 0, I8), codes, read]
    });
    let (fused, _) = kept(&model);
    // The first is a function of one code, and a table.
    assert_eq!(count::<CodePair>(&fused), 0, "{fused}");
}

#[test]
fn weights_that_were_floats_are_computed_as_floats_and_the_reason_is_told() {
    let mut model = net(U8, |net, x| {
        let x = net.dequantize(x, 0.125, 100);
        let y = net.conv(x, 3, 4, 1);
        vec![net.quantize(y, 64.0, 3, U8)]
    });
    model.properties.clear();
    let (fused, findings) = kept(&model);
    assert_eq!(count::<QConv>(&fused), 0, "{fused}");
    let why = findings.convolutions[0].floats.as_deref();
    assert_eq!(why, Some("its weights were no 8-bit codes"));
}

#[test]
fn images_with_a_scale_for_each_channel_are_floats_and_the_reason_is_told() {
    let model = net(U8, |net, x| {
        let scales: Vec<f32> = (1..9u8).map(|i| f32::from(i) * 0.125).collect();
        let (scales, zero_points) = (tensor1(&scales), tensor1(&[100u8; 8]));
        let inputs = [x, net.constant(scales), net.constant(zero_points)];
        let op = QuantizeBy {
            direction: Direction::Dequantize,
            to: DatumType::F32,
            axis: 1,
            block: 0,
        };
        let x = net.wire(op, &inputs);
        vec![net.conv(x, 3, 4, 1)]
    });
    let (fused, findings) = kept(&model);
    assert_eq!(count::<QConv>(&fused), 0, "{fused}");
    let why = findings.convolutions[0].floats.as_deref();
    let told = "its input has a scale with several elements, or one that the model computes";
    assert_eq!(why, Some(told));
}

#[test]
fn products_of_many_rows_stay_codes() {
    for codes in [U8, I8] {
        for ends_in_codes in [true, false] {
            let model = net(codes, |net, x| {
                let x = net.dequantize(x, 0.125, if codes == U8 { 100 } else { 3 });
                // Rows of nine, 144 of them.
                let bytes: Vec<i8> = (0..5 * 9u32).map(|i| (i * 37) as u8 as i8).collect();
                let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) * 0.5).collect();
                let floats = Tensor::from_shape(&[5, 9], &floats).unwrap();
                remember(&floats, I8, &tensor0(0.5f32), None).unwrap();
                let weights = net.constant(floats);
                let axes = "abck,nk->abcn".parse().unwrap();
                let y = net.wire(EinSum::new(axes, DatumType::F32), &[x, weights]);
                let y = net.relu(y);
                vec![if ends_in_codes {
                    net.quantize(y, 64.0, 3, codes)
                } else {
                    y
                }]
            });
            let (fused, findings) = kept(&model);
            assert_eq!(count::<QConv>(&fused), 1, "{fused}");
            assert!(findings.convolutions[0].codes);
        }
    }
}

#[test]
fn whoever_wants_floats_gets_them() {
    let mut model = net(U8, |net, x| {
        let x = net.dequantize(x, 0.125, 100);
        let y = net.conv(x, 3, 4, 1);
        vec![net.quantize(y, 64.0, 3, U8)]
    });
    for (convolutions, codes) in [(Convolutions::Tract, true), (Convolutions::Ours, false)] {
        let mut fused = model.clone();
        let wanted = Wanted {
            convolutions,
            tables: true,
            codes,
        };
        passes::before_run(&mut fused, wanted).unwrap();
        assert_eq!(count::<QConv>(&fused), 0, "{fused}");
    }
    // Archives hold no codes of weights.
    passes::archived(&mut model).unwrap();
    assert!(model.properties.is_empty());
}
