//! Products against tract's.
//!
//! Given products of two tensors in every order of their axes; promises one node of ours where the axes are those of products, tract's
//! where they are not, and the same numbers to rounding.

use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;

use super::take_over;
use crate::conv::Convolutions;
use crate::conv::tests::{elements, noise};
use crate::ops::BatchedMatMul;

fn check(axes: &str, left: &[usize], right: &[usize], is_ours: bool) {
    let mut model = TypedModel::default();
    let a = model.add_source("a", f32::fact(left)).unwrap();
    let b = model.add_source("b", f32::fact(right)).unwrap();
    let op = EinSum::new(axes.parse().unwrap(), DatumType::F32);
    let y = model.wire_node("product", op, &[a, b]).unwrap();
    model.select_output_outlets(&y).unwrap();
    let mut ours = model.clone();
    take_over(&mut ours, Convolutions::Ours).unwrap();
    let count = ours
        .nodes()
        .iter()
        .filter(|node| node.op_is::<BatchedMatMul>())
        .count();
    assert_eq!(
        count,
        usize::from(is_ours),
        "{axes} {left:?} {right:?}\n{ours}"
    );
    let mut left_to_tract = model.clone();
    take_over(&mut left_to_tract, Convolutions::Tract).unwrap();
    assert!(
        left_to_tract
            .nodes()
            .iter()
            .all(|node| !node.op_is::<BatchedMatMul>())
    );
    let run = |model: TypedModel| {
        let inputs = tvec!(noise(left, 1).into_tvalue(), noise(right, 2).into_tvalue());
        let plan = model.into_optimized().unwrap().into_runnable().unwrap();
        plan.run(inputs).unwrap().remove(0)
    };
    let (got, want) = (run(ours), run(model));
    assert_eq!(got.shape(), want.shape());
    for (got, want) in elements(&got).iter().zip(elements(&want)) {
        assert!(
            (got - want).abs() <= 1e-4,
            "{axes} {left:?} {right:?}: {got}, tract {want}"
        );
    }
}

#[test]
fn axes_of_products_in_any_order() {
    check("mk,kn->mn", &[5, 7], &[7, 9], true);
    check("mk,nk->mn", &[5, 7], &[9, 7], true);
    check("km,kn->mn", &[7, 5], &[7, 9], true);
    // The rows of the second operand are the columns.
    check("mk,kn->nm", &[5, 7], &[7, 9], true);
    check("bhmk,bhkn->bhmn", &[2, 3, 5, 7], &[2, 3, 7, 9], true);
    // Heads behind the tokens, in the operands and in the output.
    check("bmhk,bnhk->bhmn", &[2, 5, 3, 7], &[2, 9, 3, 7], true);
    check("bhmk,bkhn->bmhn", &[2, 3, 5, 7], &[2, 7, 3, 9], true);
    // Several axes of rows, of columns and of what is summed over.
    check("bamk,kcn->bamcn", &[2, 3, 5, 7], &[7, 2, 9], true);
    check("mak,akn->mn", &[5, 2, 7], &[2, 7, 9], true);
    check("m,n->mn", &[5], &[9], true);
}

#[test]
fn axes_of_one_are_repeated() {
    check("bhmk,bhkn->bhmn", &[1, 3, 5, 7], &[2, 1, 7, 9], true);
    check("bhmk,bhkn->bhmn", &[2, 1, 5, 7], &[1, 1, 7, 9], true);
    check("bmk,bkn->bmn", &[4, 1, 7], &[4, 7, 9], true);
    check("bmk,bkn->bmn", &[4, 5, 7], &[4, 7, 1], true);
    check("bmk,bkn->bmn", &[4, 5, 1], &[4, 1, 9], true);
    check("bmk,bkn->bmn", &[1, 1, 1], &[1, 1, 1], true);
}

#[test]
fn no_elements_and_sums_of_nothing() {
    check("bmk,bkn->bmn", &[2, 5, 0], &[2, 0, 9], true);
    check("bmk,bkn->bmn", &[0, 5, 7], &[0, 7, 9], true);
    check("bmk,bkn->bmn", &[2, 0, 7], &[2, 7, 9], true);
}

#[test]
fn what_is_no_product_stays() {
    // Sums apart from each other.
    check("bmk,bkn->mnb", &[2, 5, 7], &[2, 7, 9], false);
    // A sum over axes that do not lie in one order.
    check("mak,kan->mn", &[5, 2, 7], &[7, 2, 9], false);
}
