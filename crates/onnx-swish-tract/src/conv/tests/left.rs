//! What the pass leaves to tract, and what it says of it.
//!
//! Given a convolution of each kind that is not covered; promises that tract keeps it and that the reason names what is special.

use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, Deconv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::nn::DataFormat;

use super::noise;
use crate::conv::{Convolutions, FusedConv, take_over};

fn pool(rank: usize) -> PoolSpec {
    PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec!(3; rank),
        padding: PaddingSpec::Valid,
        dilations: None,
        strides: None,
        input_channels: 2,
        output_channels: 2,
    }
}

fn conv(rank: usize) -> Conv {
    Conv {
        pool_spec: pool(rank),
        kernel_fmt: KernelFormat::OIHW,
        group: 1,
        q_params: None,
    }
}

/// A model of `op` on two channels of five elements along `rank` axes, with weights that are a constant or an input.
fn model(
    op: impl Into<Box<dyn TypedOp>>,
    rank: usize,
    dt: DatumType,
    constant: bool,
) -> TypedModel {
    let mut model = TypedModel::default();
    let shape = |size: usize| [tvec!(if size == 3 { 2 } else { 1 }, 2), tvec!(size; rank)].concat();
    let x = model.add_source("x", dt.fact(shape(5))).unwrap();
    let mut weights = |name: &str, shape: &[usize]| {
        if constant {
            let values = noise(shape, 1).cast_to_dt(dt).unwrap().into_owned();
            model.add_const(name, values).unwrap()
        } else {
            model.add_source(name, dt.fact(shape)).unwrap()
        }
    };
    let kernel = weights("kernel", &shape(3));
    let bias = weights("bias", &[2]);
    let y = model.wire_node("conv", op, &[x, kernel, bias]).unwrap();
    model.select_output_outlets(&y).unwrap();
    model
}

/// The reason that the pass gives for the one convolution there is.
fn reason(mut model: TypedModel) -> String {
    let found = take_over(&mut model, Convolutions::Ours, &HashMap::new()).unwrap();
    assert!(model.nodes().iter().all(|node| !node.op_is::<FusedConv>()));
    let [only] = &*found else { panic!("{found:?}") };
    assert!(only.kind.is_none() && only.info.is_none());
    assert_eq!(only.nodes, std::slice::from_ref(&only.node));
    only.left.clone().unwrap()
}

#[test]
fn the_reason_is_named() {
    let f32 = DatumType::F32;
    assert_eq!(reason(model(conv(2), 2, DatumType::F16, true)), "of f16");
    assert_eq!(reason(model(conv(3), 3, f32, true)), "over 3 spatial axes");
    let computed = reason(model(conv(2), 2, f32, false));
    assert_eq!(computed, "with weights that the model computes");
    let transposed = || Deconv::new(pool(2), KernelFormat::OIHW, tvec!(0, 0), 1);
    let computed = reason(model(transposed(), 2, f32, false));
    assert_eq!(computed, "transposed, with weights that the model computes");
    let half = reason(model(transposed(), 2, DatumType::F16, true));
    assert_eq!(half, "transposed, of f16");
}

#[test]
fn products_of_activations_and_of_nothing_are_left() {
    let product = |sizes: [usize; 3], constant: bool| {
        let [rows, depth, columns] = sizes;
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([rows, depth])).unwrap();
        let weights = if constant {
            model
                .add_const("weights", noise(&[depth, columns], 1))
                .unwrap()
        } else {
            model
                .add_source("weights", f32::fact([depth, columns]))
                .unwrap()
        };
        let axes = "mk,kn->mn".parse().unwrap();
        let product = EinSum::new(axes, DatumType::F32);
        let y = model.wire_node("product", product, &[x, weights]).unwrap();
        model.select_output_outlets(&y).unwrap();
        model
    };
    let none = HashMap::new();
    let computed = take_over(&mut product([3, 4, 6], false), Convolutions::Ours, &none).unwrap();
    assert!(computed.is_empty());
    for rows in [1, 2, 3, 50] {
        let taken = take_over(&mut product([rows, 4, 6], true), Convolutions::Ours, &none).unwrap();
        let macs = (rows * 4 * 6) as u64;
        assert_eq!(
            (taken.len(), &taken[0].left, taken[0].macs),
            (1, &None, Some(macs))
        );
        let kind = if rows > 2 { "linear" } else { "pointwise" };
        assert_eq!(taken[0].kind.as_deref(), Some(kind));
    }
    for empty in [[3, 0, 6], [3, 4, 0]] {
        assert_eq!(reason(product(empty, true)), "a product without elements");
    }
}
