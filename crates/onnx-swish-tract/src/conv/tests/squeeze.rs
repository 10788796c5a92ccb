//! Squeeze-and-excite blocks: the gate goes into the next convolution, the sums come from the one before.

use tract_core::ops::nn::{Reduce, Reducer};

use super::*;

/// A depthwise convolution, its squeeze-and-excite block, and a convolution that reads the gated planes.
#[derive(Debug, Clone, Copy)]
struct Block {
    batch: usize,
    symbolic: bool,
    /// Of the last convolution.
    kernel: usize,
    /// The gate is a model input of one image that serves the whole batch.
    shared_gate: bool,
    /// Somebody else reads the gated planes.
    second_reader: bool,
}

const CHANNELS: usize = 5;
const IMAGE: [usize; 2] = [14, 9];

impl Block {
    fn model(&self) -> TypedModel {
        let mut model = TypedModel::default();
        let batch = if self.symbolic {
            model.symbols.sym("N").into()
        } else {
            self.batch.to_dim()
        };
        let [height, width] = IMAGE.map(|size| size.to_dim());
        let x = f32::fact(tvec!(batch, CHANNELS.to_dim(), height, width));
        let x = model.add_source("x", x).unwrap();
        let planes = conv(&mut model, "depthwise", x, [CHANNELS; 2], CHANNELS, 3);
        let planes = model.wire_node("swish", hard_swish(), &[planes]).unwrap()[0];
        let gate = if self.shared_gate {
            let fact = f32::fact([1usize, CHANNELS, 1, 1]);
            model.add_source("gate", fact).unwrap()
        } else {
            let sum = Reduce::new(tvec!(2, 3), Reducer::Sum);
            let sum = model.wire_node("sum", sum, &[planes]).unwrap()[0];
            let area = tensor4(&[[[[1.0 / (IMAGE[0] * IMAGE[1]) as f32]]]]);
            let area = model.add_const("area", area).unwrap();
            let mean = model.wire_node("mean", mul(), &[sum, area]).unwrap()[0];
            let squeezed = conv(&mut model, "squeeze", mean, [CHANNELS, 3], 1, 1);
            let squeezed = model.wire_node("silu", silu(), &[squeezed]).unwrap()[0];
            let excited = conv(&mut model, "excite", squeezed, [3, CHANNELS], 1, 1);
            model.wire_node("gate", sigmoid(), &[excited]).unwrap()[0]
        };
        let gated = model.wire_node("gated", mul(), &[gate, planes]).unwrap()[0];
        let y = conv(&mut model, "last", gated, [CHANNELS, 7], 1, self.kernel);
        let mut outputs = vec![y];
        if self.second_reader {
            outputs.push(model.wire_node("other", sigmoid(), &[gated]).unwrap()[0]);
        }
        model.select_output_outlets(&outputs).unwrap();
        model
    }

    /// Fuses, runs, compares; the operators that are left.
    fn check(&self) -> Vec<String> {
        let plain = self.model().into_decluttered().unwrap();
        let mut fused = plain.clone();
        take_over(&mut fused, Convolutions::Ours, &HashMap::new()).unwrap();
        let fused = fused.into_optimized().unwrap();
        let inputs: TVec<TValue> = plain
            .input_outlets()
            .unwrap()
            .iter()
            .map(|outlet| {
                let dims = plain.outlet_fact(*outlet).unwrap().shape.iter();
                let sizes = dims.map(|dim| dim.to_usize().unwrap_or(self.batch));
                noise(&sizes.collect::<Vec<_>>(), 3).into_tvalue()
            })
            .collect();
        let run = |model: TypedModel| model.into_runnable().unwrap().run(inputs.clone()).unwrap();
        let want = run(plain.into_optimized().unwrap());
        let got = run(fused.clone());
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got.shape(), want.shape(), "{self:?}");
            for (got, want) in elements(got).iter().zip(elements(want)) {
                assert!((got - want).abs() <= 1e-3, "{self:?}: {got}, tract {want}");
            }
        }
        let order = fused.eval_order().unwrap();
        let names = order.iter().map(|id| fused.node(*id).op.name().to_string());
        names.collect()
    }
}

pub(crate) fn conv(
    model: &mut TypedModel,
    name: &str,
    x: OutletId,
    [ins, outs]: [usize; 2],
    group: usize,
    kernel: usize,
) -> OutletId {
    let op = Conv {
        pool_spec: PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec!(kernel, kernel),
            padding: PaddingSpec::SameUpper,
            dilations: None,
            strides: None,
            input_channels: ins,
            output_channels: outs,
        },
        kernel_fmt: KernelFormat::OIHW,
        group,
        q_params: None,
    };
    let weights = noise(&[outs, ins / group, kernel, kernel], name.len() as u32);
    let weights = model.add_const(format!("{name}.weights"), weights).unwrap();
    let bias = model
        .add_const(format!("{name}.bias"), noise(&[outs], 7))
        .unwrap();
    model.wire_node(name, op, &[x, weights, bias]).unwrap()[0]
}

const BLOCK: Block = Block {
    batch: 1,
    symbolic: false,
    kernel: 1,
    shared_gate: false,
    second_reader: false,
};

#[test]
fn gate_and_sums_belong_to_the_convolutions() {
    for kernel in [1, 3] {
        for (batch, symbolic) in [(1, false), (3, false), (1, true), (3, true)] {
            let block = Block {
                batch,
                symbolic,
                kernel,
                ..BLOCK
            };
            let left = block.check();
            let reads_planes = |name: &&String| name.contains("Reduce") || name.contains("Unicast");
            assert_eq!(left.iter().find(reads_planes), None, "{block:?}: {left:?}");
            let convolutions = left.iter().filter(|name| name.starts_with("FusedConv"));
            // With several images tract's product of matrices computes the gate.
            let expected = if batch == 1 && !symbolic { 4 } else { 2 };
            assert_eq!(convolutions.count(), expected, "{block:?}: {left:?}");
        }
    }
}

#[test]
fn a_gate_for_the_whole_batch_stays_a_product() {
    for batch in [1, 2] {
        let block = Block {
            batch,
            symbolic: true,
            shared_gate: true,
            ..BLOCK
        };
        let left = block.check();
        let product = left.iter().any(|name| name.contains("Mul"));
        assert!(product, "{block:?}: {left:?}");
    }
}

#[test]
fn gated_planes_that_somebody_else_reads_stay_a_value() {
    let block = Block {
        second_reader: true,
        ..BLOCK
    };
    let left = block.check();
    let sums_taken = !left.iter().any(|name| name.contains("Reduce"));
    let product = left.iter().any(|name| name.contains("Mul"));
    assert!(sums_taken && product, "{left:?}");
}
