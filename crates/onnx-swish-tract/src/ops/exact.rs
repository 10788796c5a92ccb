//! Arithmetic that is computed as it is written.
//!
//! Given one of tract's operators of two operands, or its square root; promises the same numbers, and that no rewrite sees which
//! operator it is.
//!
//! tract's declutter (tract-core 0.23.9, `src/ops/math/mod.rs`) makes a product with the reciprocal of a quotient (`declutter_div`), one
//! factor of two constants (`declutter_mul_const_mul_const`), a constant of a product with zero (`declutter_mul`), nothing of the square of
//! a root (`declutter_square`), and activations of products (`src/ops/nn`). All of that is right but for the rounding, and where codes come
//! next, the rounding decides about a code.

use tract_core::internal::*;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_core::ops::math;

/// An operator of two operands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exact(Box<dyn BinMiniOp>);

impl Exact {
    /// The operator in disguise, where a rewrite would change what it computes.
    pub(crate) fn of(op: &TypedBinOp) -> Option<TypedBinOp> {
        let plain = &op.0;
        let changes = plain.is::<math::Mul>() || plain.is::<math::Div>() || plain.is::<math::Pow>();
        (changes && op.1.is_none()).then(|| TypedBinOp(Box::new(Exact(plain.clone())), None))
    }

    /// tract's operator, whether it is in disguise or not.
    pub(crate) fn behind(op: &TypedBinOp) -> &dyn BinMiniOp {
        match op.0.downcast_ref::<Exact>() {
            Some(Exact(plain)) => &**plain,
            None => &*op.0,
        }
    }

    /// tract's operator for one in disguise.
    pub(crate) fn undone(op: &TypedBinOp) -> Option<TypedBinOp> {
        let Exact(plain) = op.0.downcast_ref()?;
        Some(TypedBinOp(plain.clone(), op.1))
    }
}

impl BinMiniOp for Exact {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn validation(&self) -> Validation {
        self.0.validation()
    }

    fn operating_datum_type(&self, a: DatumType, b: DatumType) -> TractResult<DatumType> {
        self.0.operating_datum_type(a, b)
    }

    fn result_datum_type(&self, a: DatumType, b: DatumType) -> TractResult<DatumType> {
        self.0.result_datum_type(a, b)
    }

    fn eval_in_a(&self, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
        self.0.eval_in_a(a, b)
    }

    fn eval_out_of_place(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        self.0.eval_out_of_place(c, a, b)
    }

    fn eval(&self, a: TValue, b: TValue, c_dt: DatumType) -> TractResult<Tensor> {
        self.0.eval(a, b, c_dt)
    }

    fn is_commutative(&self) -> bool {
        self.0.is_commutative()
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        self.0.cost_per_element(dt)
    }
}

/// A square root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExactRoot;

impl ExactRoot {
    pub(crate) fn of(op: &ElementWiseOp) -> Option<ElementWiseOp> {
        let is_root = op.0.is::<math::Sqrt>() && op.1.is_none();
        is_root.then(|| ElementWiseOp(Box::new(ExactRoot), None))
    }

    pub(crate) fn undone(op: &ElementWiseOp) -> Option<ElementWiseOp> {
        op.0.is::<ExactRoot>().then(math::sqrt)
    }
}

impl ElementWiseMiniOp for ExactRoot {
    fn name(&self) -> String {
        math::Sqrt {}.name()
    }

    fn validation(&self) -> Validation {
        math::Sqrt {}.validation()
    }

    fn eval_in_place(&self, tensor: &mut Tensor, out_dt: Option<DatumType>) -> TractResult<()> {
        math::Sqrt {}.eval_in_place(tensor, out_dt)
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        math::Sqrt {}.cost_per_element(dt)
    }
}
