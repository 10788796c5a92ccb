//! Transposed convolutions against tract's own.
//!
//! Given small graphs; promises the same numbers to rounding, two nodes with what follows them in the first, and a reason where tract keeps one.

use tract_core::internal::*;
use tract_core::ops::cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::math::{add, max, mul};
use tract_core::ops::nn::DataFormat;

use super::{elements, noise};
use crate::conv::transposed::{FusedConvTransposed, Interleave};
use crate::conv::{Convolutions, take_over};

/// One transposed convolution, with a batch normalisation and a ReLU behind it.
#[derive(Debug, Clone)]
struct Case {
    image: TVec<usize>,
    channels: [usize; 2],
    group: usize,
    kernel: TVec<usize>,
    stride: TVec<usize>,
    dilation: usize,
    padding: PaddingSpec,
    adjustment: usize,
    batch: usize,
    tail: bool,
}

impl Case {
    fn square(kernel: usize, stride: usize) -> Case {
        Case {
            image: tvec!(5, 7),
            channels: [4, 6],
            group: 1,
            kernel: tvec!(kernel; 2),
            stride: tvec!(stride; 2),
            dilation: 1,
            padding: PaddingSpec::Valid,
            adjustment: 0,
            batch: 1,
            tail: true,
        }
    }

    fn model(&self) -> TypedModel {
        let (mut model, [ins, outs]) = (TypedModel::default(), self.channels);
        let axes = self.image.len();
        let shape: TVec<usize> = [self.batch, ins]
            .into_iter()
            .chain(self.image.clone())
            .collect();
        let x = model.add_source("x", f32::fact(shape)).unwrap();
        let op = Deconv {
            pool_spec: PoolSpec {
                data_format: DataFormat::NCHW,
                kernel_shape: self.kernel.clone(),
                padding: self.padding.clone(),
                dilations: Some(tvec!(self.dilation; axes)),
                strides: Some(self.stride.clone()),
                input_channels: ins,
                output_channels: outs,
            },
            kernel_format: KernelFormat::OIHW,
            adjustments: tvec!(self.adjustment; axes),
            group: self.group,
        };
        let filters = [outs, ins / self.group].into_iter();
        let filters: TVec<usize> = filters.chain(self.kernel.clone()).collect();
        let kernel = model.add_const("kernel", noise(&filters, 1)).unwrap();
        let bias = model.add_const("bias", noise(&[outs], 2)).unwrap();
        let mut y = model.wire_node("deconv", op, &[x, kernel, bias]).unwrap()[0];
        if self.tail {
            let per_channel: TVec<usize> = [1, outs].into_iter().chain(vec![1; axes]).collect();
            let zero = tensor0(0f32).broadcast_into_rank(axes + 2).unwrap();
            for (name, op, constant) in [
                ("slope", mul().into(), noise(&per_channel, 3)),
                ("offset", add().into(), noise(&per_channel, 4)),
                ("relu", max().into(), zero),
            ] {
                let op: Box<dyn TypedOp> = op;
                let constant = model
                    .add_const(format!("{name}.constant"), constant)
                    .unwrap();
                y = model.wire_node(name, op, &[y, constant]).unwrap()[0];
            }
        }
        model.select_output_outlets(&[y]).unwrap();
        model.into_decluttered().unwrap()
    }

    fn check(&self) {
        let plain = self.model();
        let mut fused = plain.clone();
        let said = take_over(&mut fused, Convolutions::Ours, &HashMap::new()).unwrap();
        assert!(said.iter().all(|it| it.ours), "{self:?}: {said:?}");
        let fused = fused.into_optimized().unwrap();
        let count =
            |is: fn(&TypedNode) -> bool| fused.nodes().iter().filter(|node| is(node)).count();
        let strided = self.stride.iter().any(|stride| *stride > 1);
        assert_eq!(
            count(|node| node.op_is::<FusedConvTransposed>()),
            1,
            "{self:?}\n{fused}"
        );
        assert_eq!(
            count(|node| node.op_is::<Interleave>()),
            usize::from(strided)
        );
        // The input, and what was counted: nothing is left behind.
        let nodes = fused.eval_order().unwrap().len();
        assert_eq!(nodes, 2 + usize::from(strided), "{self:?}\n{fused}");
        let shape = plain
            .outlet_fact(plain.input_outlets().unwrap()[0])
            .unwrap();
        let x = noise(shape.shape.as_concrete().unwrap(), 9);
        let run = |model: TypedModel| {
            let plan = model.into_runnable().unwrap();
            plan.run(tvec!(x.clone().into_tvalue())).unwrap().remove(0)
        };
        let (want, got) = (run(plain.into_optimized().unwrap()), run(fused));
        assert_eq!(got.shape(), want.shape(), "{self:?}");
        let terms = self.channels[0] * self.kernel.iter().product::<usize>();
        for (got, want) in elements(&got).iter().zip(elements(&want)) {
            let allowed = 8e-6 * (8 + terms) as f32;
            assert!(
                (got - want).abs() <= allowed,
                "{self:?}: {got}, tract {want}"
            );
        }
    }
}

#[test]
fn windows_paddings_and_adjustments() {
    let explicit =
        |before: usize, after: usize| PaddingSpec::Explicit(tvec!(before; 2), tvec!(after; 2));
    for (kernel, stride) in [(2, 2), (3, 2), (4, 2), (3, 1), (1, 1), (5, 3), (4, 4)] {
        let paddings = [
            PaddingSpec::Valid,
            PaddingSpec::SameUpper,
            PaddingSpec::SameLower,
            explicit(1, 0),
            explicit(0, 1),
            explicit(1, 1),
        ];
        for padding in paddings {
            let same = matches!(padding, PaddingSpec::SameUpper | PaddingSpec::SameLower);
            // Nothing to cut off, which tract refuses for SAME.
            if kernel == 1 && padding != PaddingSpec::Valid || kernel <= stride && same {
                continue;
            }
            for adjustment in 0..stride.min(2) {
                // tract's SAME with an adjustment is of another size than it says.
                Case {
                    padding: padding.clone(),
                    adjustment: if same { 0 } else { adjustment },
                    ..Case::square(kernel, stride)
                }
                .check();
            }
        }
    }
}

#[test]
fn one_axis_groups_and_images() {
    let line = Case {
        image: tvec!(11),
        kernel: tvec!(4),
        stride: tvec!(2),
        ..Case::square(1, 1)
    };
    line.check();
    let groups = Case {
        group: 2,
        batch: 3,
        tail: false,
        ..Case::square(3, 2)
    };
    groups.check();
    Case {
        stride: tvec!(1, 2),
        kernel: tvec!(1, 2),
        ..Case::square(1, 1)
    }
    .check();
}

#[test]
fn what_is_left_has_its_reason() {
    let left = |case: Case| {
        let mut model = case.model();
        let said = take_over(&mut model, Convolutions::Ours, &HashMap::new()).unwrap();
        let [only] = &*said else { panic!("{said:?}") };
        only.left.clone().unwrap()
    };
    let square = || Case::square(2, 2);
    let depthwise = Case {
        channels: [4, 4],
        group: 4,
        ..square()
    };
    assert_eq!(left(depthwise), "transposed, depthwise");
    let dilated = Case {
        dilation: 2,
        ..square()
    };
    assert!(left(dilated).starts_with("transposed; a transposed convolution has no dilation"));
    assert!(left(Case::square(2, 3)).contains("a kernel of at least its stride"));
    let solid = Case {
        image: tvec!(3, 3, 3),
        kernel: tvec!(2; 3),
        stride: tvec!(2; 3),
        ..square()
    };
    assert_eq!(left(solid), "transposed, of an unusual window");
}
