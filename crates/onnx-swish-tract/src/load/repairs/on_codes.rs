//! Operators of ONNX Runtime's from the codes of their first input to codes of the same type.
//!
//! Given where the inputs of a node are; promises an operator that checks them as far as their types and shapes are known.

use tract_hir::internal::*;

use crate::error::demand;
use crate::ops::{input, is_code};

/// Such an operator.
pub(super) trait FromCodes: TypedOp + Clone {
    /// The operator of the file.
    const NAME: &'static str;
    /// Where each of the node's inputs is, if it is given: codes first.
    fn at(&self) -> &[Option<usize>];
    /// The shape of its result.
    fn shape(&self, codes: &[TDim]) -> TractResult<TVec<TDim>>;
}

#[derive(Debug, Clone)]
pub(super) struct OnCodes<O>(pub O);

impl<O: FromCodes> Expansion for OnCodes<O> {
    fn name(&self) -> StaticName {
        O::NAME.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.0.at().iter().flatten().count())?;
        check_output_arity(outputs, 1)?;
        let codes = input(self.0.at(), inputs, 0)?;
        s.equals(&codes.datum_type, &outputs[0].datum_type)?;
        s.given(&codes.shape, move |s, shape| {
            let shape = self.0.shape(&shape)?;
            s.equals(&outputs[0].shape, ShapeFactoid::from(shape))
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let codes = *input(self.0.at(), inputs, 0)?;
        demand!(
            is_code(model.outlet_fact(codes)?.datum_type),
            "its codes are not of 8 bits"
        );
        model.wire_node(prefix, self.0.clone(), inputs)
    }
}
