//! Products of concatenations that stay whole.
//!
//! Given tract's declutter; promises that it does not split a product along a concatenation that it sums over, where our kernels compute
//! it.
//!
//! At fault: nothing. tract (tract-core, `optim/concat_then_einsum.rs`) makes a sum of products of a pointwise convolution of a
//! concatenation, one for each part, and so saves the copy of the parts. Our kernels would then read and write all outputs once more for each
//! part, with fewer products between, and what follows the sum would not be at the end of a convolution any more: a residual's place is
//! taken by the other parts.

use tract_core::optim::{Optimizer, TypedPass};

/// What tract calls the pass: it is private, and says its name to those who print it alone.
const PASS: &str = "ConcatThenEinsum";

/// Takes the pass out.
pub(super) fn keep(optimizer: &mut Optimizer) {
    optimizer.passes.retain(|pass| !splits(pass.as_ref()));
}

fn splits(pass: &dyn TypedPass) -> bool {
    format!("{pass:?}").starts_with(PASS)
}

#[cfg(test)]
mod tests {
    use tract_core::internal::*;
    use tract_core::ops::array::TypedConcat;
    use tract_core::ops::einsum::EinSum;

    use super::*;

    #[test]
    fn tracts_declutter_has_the_pass() {
        let passes = Optimizer::declutter().passes;
        assert_eq!(
            passes.iter().filter(|pass| splits(pass.as_ref())).count(),
            1
        );
    }

    #[test]
    fn a_product_of_a_concatenation_stays_whole() {
        let count = |kept: bool| {
            let mut model = TypedModel::default();
            let a = model.add_source("a", f32::fact([3, 5])).unwrap();
            let b = model.add_source("b", f32::fact([4, 5])).unwrap();
            let concat = TypedConcat::new(0);
            let both = model.wire_node("both", concat, &[a, b]).unwrap()[0];
            let weights = Tensor::zero::<f32>(&[2, 7]).unwrap();
            let weights = model.add_const("weights", weights).unwrap();
            let product = EinSum::new("oc,cp->op".parse().unwrap(), DatumType::F32);
            let product = model.wire_node("y", product, &[weights, both]).unwrap();
            model.select_output_outlets(&product).unwrap();
            let mut optimizer = Optimizer::declutter();
            if kept {
                keep(&mut optimizer);
            }
            optimizer.optimize(&mut model).unwrap();
            let nodes = model.nodes().iter();
            nodes.filter(|node| node.op_is::<EinSum>()).count()
        };
        assert_eq!((count(false), count(true)), (2, 1));
    }
}
