//! The same activations spelled with tract's own primitives: the other side of every comparison.
//!
//! Given an operator of the Swish family, wires Mul, Add, Clip-shaped Min and Max, and a sigmoid that tract will not fuse;
//! promises that nothing of ours computes.

use onnx_swish_kernels::{HARD_SWISH_ALPHA, HARD_SWISH_BETA};
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_core::ops::math::{add, max, min, mul};
use tract_hir::internal::*;
use tract_hir::ops::logic::wire_with_rank_broadcast;

use super::{Activation, Form};

/// A sigmoid without the rule that turns `x * sigmoid(x)` into tract's own SiLU: `1 / (1 + e^-x)` in f64, rounded once.
///
/// Not tract's: a reference must be right in the tails and for NaN ([`super::Gate`] says where tract's is not).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnfusedSigmoid;

impl UnfusedSigmoid {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

impl ElementWiseMiniOp for UnfusedSigmoid {
    fn name(&self) -> String {
        "UnfusedSigmoid".to_owned()
    }

    fn eval_in_place(&self, tensor: &mut Tensor, out_dt: Option<DatumType>) -> TractResult<()> {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let dt = tensor.datum_type();
        let mut plain = tensor.try_as_plain_ram_mut()?;
        match out_dt.unwrap_or(dt) {
            DatumType::F64 => plain
                .as_slice_mut::<f64>()?
                .iter_mut()
                .for_each(|x| *x = sigmoid(*x)),
            DatumType::F32 => {
                for x in plain.as_slice_mut::<f32>()? {
                    *x = sigmoid((*x).into()) as f32;
                }
            }
            DatumType::F16 => {
                for x in plain.as_slice_mut::<f16>()? {
                    *x = f16::from_f64(sigmoid((*x).into()));
                }
            }
            other => bail!("Sigmoid is defined on floats, not on {other:?}"),
        }
        Ok(())
    }
}

/// An operator of the family as an expansion into primitives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference(pub(crate) Form);

struct Wiring<'a> {
    prefix: &'a str,
    model: &'a mut TypedModel,
    dt: DatumType,
}

impl Wiring<'_> {
    fn scalar(&mut self, name: &str, value: f64) -> TractResult<OutletId> {
        let value = tensor0(value).cast_to_dt(self.dt)?.into_owned();
        self.model
            .add_const(format!("{}.{name}", self.prefix), value)
    }

    fn binary(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: [OutletId; 2],
    ) -> TractResult<OutletId> {
        let name = if name.is_empty() {
            self.prefix.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        };
        Ok(wire_with_rank_broadcast(name, self.model, op, &inputs)?[0])
    }

    fn gate(&mut self, name: &str, x: OutletId) -> TractResult<OutletId> {
        Ok(self.model.wire_node(
            format!("{}.{name}", self.prefix),
            UnfusedSigmoid.into_op(),
            &[x],
        )?[0])
    }

    fn swish(&mut self, x: OutletId, beta: OutletId) -> TractResult<OutletId> {
        let scaled = self.binary("scaled", mul(), [x, beta])?;
        let gate = self.gate("sigmoid", scaled)?;
        self.binary("", mul(), [x, gate])
    }

    fn hard_swish(&mut self, x: OutletId, alpha: f64, beta: f64) -> TractResult<OutletId> {
        let (alpha, beta) = (self.scalar("alpha", alpha)?, self.scalar("beta", beta)?);
        let (zero, one) = (self.scalar("zero", 0.0)?, self.scalar("one", 1.0)?);
        let line = self.binary("slope", mul(), [x, alpha])?;
        let line = self.binary("offset", add(), [line, beta])?;
        let gate = self.binary("floor", max(), [line, zero])?;
        let gate = self.binary("ceiling", min(), [gate, one])?;
        self.binary("", mul(), [x, gate])
    }
}

impl Expansion for Reference {
    fn name(&self) -> StaticName {
        match self.0 {
            Form::Of(activation) => format!("Reference{}", activation.name()).into(),
            Form::SwishBy => "ReferenceFusedSwish".into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        match self.0 {
            Form::Of(_) => {
                check_input_arity(inputs, 1)?;
                check_output_arity(outputs, 1)?;
                s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
                s.equals(&inputs[0].shape, &outputs[0].shape)
            }
            Form::SwishBy => tract_hir::ops::binary::rules(s, inputs, outputs, |x, beta| {
                tract_core::ops::binary::BinMiniOp::result_datum_type(&super::SwishBy, x, beta)
            }),
        }
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("the input is missing")?;
        let dt = model.outlet_fact(x)?.datum_type;
        let mut wiring = Wiring { prefix, model, dt };
        let y = match self.0 {
            Form::Of(Activation::Silu) => {
                let gate = wiring.gate("sigmoid", x)?;
                wiring.binary("", mul(), [x, gate])?
            }
            Form::Of(Activation::Swish { beta }) => {
                let beta = wiring.scalar("beta", beta)?;
                wiring.swish(x, beta)?
            }
            Form::Of(Activation::HardSwish) => {
                wiring.hard_swish(x, HARD_SWISH_ALPHA.into(), HARD_SWISH_BETA.into())?
            }
            Form::Of(Activation::SlopedHardSwish { alpha, beta }) => {
                wiring.hard_swish(x, alpha, beta)?
            }
            Form::SwishBy => {
                let beta = *inputs
                    .get(1)
                    .context("the second input, beta, is missing")?;
                wiring.swish(x, beta)?
            }
        };
        Ok(tvec!(y))
    }
}
