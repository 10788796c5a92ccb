//! GELU by its tanh, FastGelu and Mish, whose tails vanish and whose NaN become numbers.
//!
//! At fault: tract-core, `ops/nn/gelu_approximate.rs`, and tract-onnx, `ops/nn/gelu_contrib.rs` and `ops/nn/mish.rs`: they add one to a
//! tanh close to -1, or take the logarithm of one and an exponential, which leaves nothing of either tail. Here both are
//! x·σ(u) and x·n/(n + 2), which are the same functions without a difference of near numbers.

use tract_core::ops::math::{add, div, exp, min, mul};
use tract_core::ops::nn::sigmoid;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::wire::Wire;
use super::{Built, Delegate, Rewiring, builtin_op, rewired};
use crate::error::reject;

/// 2·√(2/π): (1 + tanh u)/2 is σ(2u).
const SLOPE: f64 = 2.0 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
/// What ONNX's Gelu gives the cube.
const CUBE: f64 = 0.044715;

pub(super) fn gelu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    match node.get_attr_opt("approximate")?.unwrap_or("none") {
        "tanh" => Ok((expand(TanhGelu), vec![])),
        "none" => builtin_op(ctx, node, "tract::Gelu"),
        other => reject!("there is no approximation `{other}`"),
    }
}

pub(super) fn fast_gelu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::FastGelu", FastGelu)
}

pub(super) fn mish(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Mish", Mish)
}

/// x·σ(x·(SLOPE + SLOPE·CUBE·x²)).
fn tanh_gelu(wire: &mut Wire<'_>, x: OutletId) -> TractResult<TVec<OutletId>> {
    let slope = wire.scalar("slope", SLOPE, x)?;
    let cube = wire.scalar("cube", SLOPE * CUBE, x)?;
    let square = wire.op("square", mul(), &[x, x])?;
    let bent = wire.binary("bent", mul(), square, cube)?;
    let factor = wire.binary("factor", add(), bent, slope)?;
    let inner = wire.op("inner", mul(), &[x, factor])?;
    let gate = wire.op("gate", sigmoid(), &[inner])?;
    Ok(tvec!(wire.op("", mul(), &[x, gate])?))
}

#[derive(Debug, Clone)]
struct TanhGelu;

impl Expansion for TanhGelu {
    fn name(&self) -> StaticName {
        "Gelu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a Gelu without an input")?;
        tanh_gelu(&mut Wire { prefix, model }, x)
    }
}

#[derive(Debug, Clone)]
struct FastGelu;

impl Rewiring for FastGelu {
    fn wire(
        &self,
        _: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut wire = Wire { prefix, model };
        let x = match *inputs {
            [x] => x,
            [x, bias] => wire.binary("bias", add(), x, bias)?,
            _ => bail!("a FastGelu of {} inputs", inputs.len()),
        };
        tanh_gelu(&mut wire, x)
    }
}

/// x·tanh(ln(1 + e)) is x·n/(n + 2) of n = e·(e + 2), with e = e^x.
#[derive(Debug, Clone)]
struct Mish;

impl Rewiring for Mish {
    fn wire(
        &self,
        _: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a Mish without an input")?;
        let mut wire = Wire { prefix, model };
        // Beyond, the quotient is 1 in the type, and n would leave it.
        let most = match wire.fact(x)?.datum_type {
            DatumType::F16 => 5.0,
            _ => 20.0,
        };
        let (most, two) = (wire.scalar("most", most, x)?, wire.scalar("two", 2.0, x)?);
        let bounded = wire.binary("bounded", min(), x, most)?;
        let e = wire.op("exp", exp(), &[bounded])?;
        let plus = wire.binary("plus", add(), e, two)?;
        let n = wire.op("n", mul(), &[e, plus])?;
        let below = wire.binary("below", add(), n, two)?;
        let gate = wire.op("gate", div(), &[n, below])?;
        Ok(tvec!(wire.op("", mul(), &[x, gate])?))
    }
}
