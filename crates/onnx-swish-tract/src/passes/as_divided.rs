//! Quotients that are rounded to whole numbers, and factors whose product no number holds, computed as the file has them.
//!
//! Given a graph that tract has not decluttered; promises that no rounding sees the product with a reciprocal where the file divides, and
//! that constants become one only where all that they make together is a normal number.
//!
//! At fault: tract-core, `ops/math/mod.rs`. `declutter_div` makes x·(1/y) of x/y: 61·(1/61) is below 1, and its floor is 0.
//! `declutter_mul_const_mul_const` makes x·(c·d) of (x·c)·d: where c·d is infinite, 0 becomes NaN. Quotients of which all
//! bits but the last matter, those of softmax and normalisations among them, stay tract's.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::ops::array::{Gather, MultiBroadcastTo, Slice, TypedConcat};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::identity::Identity;
use tract_core::ops::logic::Iff;
use tract_core::ops::math::{Div, Mul};

use crate::ops::Exact;

/// Puts operators in disguise.
pub(super) fn keep(model: &mut TypedModel) -> TractResult<()> {
    for id in changed(model)? {
        let node = model.node_mut(id);
        if let Some(op) = node.op_as::<TypedBinOp>().and_then(Exact::of) {
            node.op = op.into();
        }
    }
    Ok(())
}

/// The products and quotients in whose place tract would compute something else.
fn changed(model: &TypedModel) -> TractResult<Vec<usize>> {
    let order = model.eval_order()?;
    let rounded = rounded(model, &order)?;
    let mut changed = Vec::new();
    // Of what is only moved, where it comes from; of products and quotients, what is known of their constants.
    let mut moved: HashMap<OutletId, OutletId> = HashMap::new();
    let mut products: HashMap<OutletId, Magnitudes> = HashMap::new();
    for id in order {
        let node = model.node(id);
        let ([output], [first, ..]) = (&*node.outputs, &*node.inputs) else {
            continue;
        };
        let behind = |outlet: OutletId| moved.get(&outlet).copied().unwrap_or(outlet);
        if is_move(node) {
            let first = behind(*first);
            moved.insert(id.into(), first);
            continue;
        }
        let (Some(op), Some(limits)) = (
            node.op_as::<TypedBinOp>(),
            Magnitudes::normal(output.fact.datum_type),
        ) else {
            continue;
        };
        let is_rounded = rounded.contains(&id);
        let [a, b] = *node.inputs else { continue };
        let Some((value, factor)) = factor(model, op, behind(a), behind(b))? else {
            if is_rounded && op.0.is::<Div>() {
                changed.push(id);
            }
            continue;
        };
        let before = products.get(&value);
        let together = before.map_or(factor, |before| factor.with(*before));
        // A constant factor that stands alone stays as it is; a divisor becomes its reciprocal.
        let is_rewritten = op.0.is::<Div>() || before.is_some();
        if is_rewritten && (is_rounded || !together.are_within(limits)) {
            changed.push(id);
        } else {
            products.insert(id.into(), together);
        }
    }
    Ok(changed)
}

/// The value that is multiplied by a constant or divided by one, and what that multiplies it by.
fn factor(
    model: &TypedModel,
    op: &TypedBinOp,
    a: OutletId,
    b: OutletId,
) -> TractResult<Option<(OutletId, Magnitudes)>> {
    let constant = |outlet| -> TractResult<Option<Magnitudes>> {
        let constant = &model.outlet_fact(outlet)?.konst;
        Ok(constant.as_ref().and_then(|it| Magnitudes::of(it)))
    };
    if op.0.is::<Div>() {
        return Ok(constant(b)?.map(|divisor| (a, divisor.inverse())));
    }
    if !op.0.is::<Mul>() {
        return Ok(None);
    }
    Ok(match constant(b)? {
        Some(factor) => Some((a, factor)),
        None => constant(a)?.map(|factor| (b, factor)),
    })
}

/// The nodes whose floats reach a rounding to whole numbers, with nothing but arithmetic and moves in between.
fn rounded(model: &TypedModel, order: &[usize]) -> TractResult<HashSet<usize>> {
    let mut rounded: HashSet<usize> = HashSet::new();
    for id in order.iter().rev() {
        let node = model.node(*id);
        let is_on_the_way = rounded.contains(id) && is_arithmetic(node);
        if !is_on_the_way && !is_rounding(node) {
            continue;
        }
        for input in &node.inputs {
            let fact = model.outlet_fact(*input)?;
            if fact.datum_type.is_float() && fact.konst.is_none() {
                rounded.insert(input.node);
            }
        }
    }
    Ok(rounded)
}

/// Whether whole numbers are made of floats.
fn is_rounding(node: &TypedNode) -> bool {
    match node.op_as::<Cast>() {
        Some(cast) => cast.to.is_integer() || cast.to.is_tdim(),
        None => matches!(
            &*node.op.name(),
            "Floor" | "Ceil" | "Round" | "RoundHalfToEven" | "Rem" | "Mod" | "Range"
        ),
    }
}

/// Whether a quotient that is exact in front of this operator may be so behind it.
fn is_arithmetic(node: &TypedNode) -> bool {
    is_move(node)
        || node.op_is::<TypedBinOp>()
        || node.op_is::<Iff>()
        || node.op_is::<TypedConcat>()
        || node.op_is::<Gather>()
        || matches!(
            &*node.op.name(),
            "Abs"
                | "Neg"
                | "Sign"
                | "Square"
                | "Sqrt"
                | "Clamp"
                | "RoundToFloat16"
                | "RoundToBfloat16"
        )
}

/// Whether the numbers of the first input come out, if not all of them, and floats stay floats.
fn is_move(node: &TypedNode) -> bool {
    node.op_is::<AxisOp>()
        || node.op_is::<Slice>()
        || node.op_is::<MultiBroadcastTo>()
        || node.op_is::<Identity>()
        || node.op_as::<Cast>().is_some_and(|cast| cast.to.is_float())
}

/// The powers of two between which the magnitudes of some factors lie, zeros apart.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Magnitudes {
    least: f64,
    largest: f64,
}

impl Magnitudes {
    /// Of the normal numbers of a type.
    fn normal(dt: DatumType) -> Option<Magnitudes> {
        let (least, largest) = match dt {
            DatumType::F16 => (f16::MIN_POSITIVE.into(), f16::MAX.into()),
            DatumType::F32 => (f32::MIN_POSITIVE.into(), f32::MAX.into()),
            // The logarithm of the largest would be rounded to that of infinity.
            DatumType::F64 => (f64::MIN_POSITIVE, f64::MAX / 2.0),
            _ => return None,
        };
        Some(Magnitudes::between(least, largest))
    }

    fn between(least: f64, largest: f64) -> Magnitudes {
        Magnitudes {
            least: least.log2(),
            largest: largest.log2(),
        }
    }

    /// Of a constant of floats.
    fn of(constant: &Tensor) -> Option<Magnitudes> {
        fn all<T: Datum + Copy + Into<f64>>(constant: &Tensor) -> Option<Magnitudes> {
            let plain = constant.try_as_plain_ram().ok()?;
            let numbers = plain.as_slice::<T>().ok()?.iter();
            let numbers = numbers.map(|&it| it.into().abs()).filter(|it| *it != 0.0);
            let none = (f64::INFINITY, 0.0f64);
            let (least, largest) = numbers.fold(none, |(least, largest), it| {
                (least.min(it), largest.max(it))
            });
            Some(if least <= largest {
                Magnitudes::between(least, largest)
            } else {
                Magnitudes::between(1.0, 1.0)
            })
        }
        match constant.datum_type() {
            DatumType::F16 => all::<f16>(constant),
            DatumType::F32 => all::<f32>(constant),
            DatumType::F64 => all::<f64>(constant),
            _ => None,
        }
    }

    fn inverse(self) -> Magnitudes {
        Magnitudes {
            least: -self.largest,
            largest: -self.least,
        }
    }

    /// Of this factor, and of its products with the factors before it, however many of these take part.
    fn with(self, before: Magnitudes) -> Magnitudes {
        Magnitudes {
            least: self.least + before.least.min(0.0),
            largest: self.largest + before.largest.max(0.0),
        }
    }

    fn are_within(self, limits: Magnitudes) -> bool {
        limits.least <= self.least && self.largest <= limits.largest
    }
}
