//! Padding that follows from sizes, `auto_pad` of SAME_UPPER and SAME_LOWER.
//!
//! Given a graph before declutter; promises that every convolution whose padding is known has it in numbers. At fault: tract-core,
//! `ops/downsample/conv.rs`, `fuse_downsample_into_conv`: what reads every other pixel of a convolution becomes its stride, and padding
//! that is not in numbers is worked out again, for that stride.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::cnn::{Conv, PaddingSpec, PoolSpec};

pub(super) fn in_numbers(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Conv>("same", |_, model, node, name, conv| {
            rule_if!(is_same(&conv.pool_spec));
            rule_if_some!(image = node.inputs.first());
            let shape = model.outlet_fact(*image)?.shape.to_tvec();
            let shape = conv.pool_spec.data_format.shape(shape)?;
            rule_if_some!(padding = padding(&conv.pool_spec, shape.hw_dims()));
            let mut conv = conv.clone();
            conv.pool_spec.padding = padding;
            let patch = TypedModelPatch::replace_single_op(model, node, &node.inputs, conv)?;
            Ok(Some(patch.with_context(name)))
        })
        .rewrite(&(), model)
}

/// Whether padding follows from sizes.
pub(super) fn is_same(spec: &PoolSpec) -> bool {
    matches!(
        spec.padding,
        PaddingSpec::SameUpper | PaddingSpec::SameLower
    )
}

/// Padding in numbers: where every pixel is read it is the kernel's extent less one, whatever the size, and else the size must be known.
fn padding(spec: &PoolSpec, sizes: &[TDim]) -> Option<PaddingSpec> {
    let (mut before, mut after) = (tvec!(), tvec!());
    for (axis, size) in sizes.iter().enumerate() {
        let (stride, kernel) = (spec.stride(axis), *spec.kernel_shape.get(axis)?);
        let size = if stride == 1 {
            1
        } else {
            size.as_usize().filter(|size| *size > 0)?
        };
        let padded =
            spec.padding
                .compute_one::<usize>(axis, &size, kernel, spec.dilation(axis), stride);
        before.push(padded.pad_before);
        after.push(padded.pad_after);
    }
    Some(PaddingSpec::Explicit(before, after))
}

#[cfg(test)]
mod tests {
    use tract_core::ops::nn::DataFormat;

    use super::*;

    fn spec(padding: PaddingSpec, kernel: usize, stride: usize, dilation: usize) -> PoolSpec {
        let (dilations, strides) = (Some(tvec!(dilation)), Some(tvec!(stride)));
        PoolSpec::new(
            DataFormat::NCHW,
            tvec!(kernel),
            padding,
            dilations,
            strides,
            1,
            1,
        )
    }

    #[test]
    fn padding_is_what_tract_works_out_for_every_size() {
        for same in [PaddingSpec::SameUpper, PaddingSpec::SameLower] {
            for number in 0..7 * 3 * 2 * 20 {
                let (kernel, stride) = (1 + number % 7, 1 + number / 7 % 3);
                let (dilation, size) = (1 + number / 21 % 2, 1 + number / 42);
                let spec = spec(same.clone(), kernel, stride, dilation);
                let compute =
                    |it: &PaddingSpec| it.compute(&[size], &[kernel], &[dilation], &[stride]);
                let numbers = padding(&spec, &[size.to_dim()]);
                let now = numbers.as_ref().map(compute);
                assert_eq!(now, Some(compute(&same)), "{spec:?} of {size}");
            }
        }
    }

    #[test]
    fn a_size_that_is_not_known_decides_only_behind_a_stride() {
        let symbols = SymbolScope::default();
        let size = [symbols.sym("w").to_dim()];
        let same = PaddingSpec::SameUpper;
        let every = padding(&spec(same.clone(), 4, 1, 2), &size);
        let numbers = PaddingSpec::Explicit(tvec!(3), tvec!(3));
        assert_eq!(every, Some(numbers));
        assert_eq!(padding(&spec(same, 3, 2, 1), &size), None);
    }
}
