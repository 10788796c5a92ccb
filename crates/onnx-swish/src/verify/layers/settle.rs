//! Whether rounding explains what a layer makes otherwise.
//!
//! Given a layer's values on both sides, and what the reference rounded to codes; promises that a layer passes where sums that round
//! differently make such values of the same codes, and does not where a part of it is another: an entry of a table, or a channel.

use std::collections::HashSet;

use super::super::OutputComparison;
use super::super::origin::Quantiser;
use super::super::tolerance::{Tolerance, distance};
use super::super::ulps::Ulps;
use super::super::values::Models;
use crate::{ElementType, Tensor};

/// How many entries of a table may move where what it rounds inside is not known.
const ENTRIES: usize = 1;
/// How many standard deviations a channel's moved values may be above the mean of the others.
const SPREAD: f64 = 8.0;
/// How many codes may move in any channel.
const FEW: f64 = 4.0;
/// How many floats may: one code that is quantised as it comes meets as many in a depthwise convolution of 3x3.
const FEW_FLOATS: f64 = 9.0;
/// Which fraction of a layer may move farther than from the middle between two codes: what sums move that cancel.
const FRACTION: f64 = 1e-3;

/// A layer that makes other values than the reference.
pub(super) struct Layer<'a> {
    pub expected: &'a Tensor,
    pub found: &'a Tensor,
    pub comparison: OutputComparison,
    /// Of which codes it is a function, each of one.
    pub code: Option<&'a Tensor>,
    /// What quantises inside of it, in front of the last; `None` where something does of which that cannot be told.
    pub inside: Option<Vec<Quantiser>>,
    /// How far from the middle between two codes each value was that it rounded to another.
    pub from_middle: Vec<f64>,
}

/// A value that moved.
struct Moved {
    at: usize,
    /// From the middle between two codes, in steps.
    from_middle: f64,
    /// What rounding in the type may move a sum by, in steps.
    rounding: f64,
    /// Whether the tolerance reaches across the middle.
    explained: bool,
}

impl Layer<'_> {
    /// Judges it by what the reference has before the codes; `before` gives a value's by its name.
    pub fn settle<'t>(
        &mut self,
        own: Option<&Quantiser>,
        before: impl Fn(&str) -> Option<&'t Tensor>,
        models: &Models<'_>,
    ) {
        let Some(all_moved) = self.all_moved() else {
            return;
        };
        let moved = own.and_then(|own| self.moved(own, before(&own.input)?, models, &all_moved));
        let depth = self.comparison.codes.map_or(0, |codes| codes.depth);
        let Some(moved) = moved else {
            self.comparison.equal &= match self.code {
                Some(code) => self.entries(code, &all_moved) <= ENTRIES,
                // Behind several roundings, one code meets a channel's neighbourhood.
                None => depth > 1 || self.is_even(&all_moved),
            };
            return;
        };
        let (near, far): (Vec<&Moved>, Vec<&Moved>) = moved
            .iter()
            .partition(|it| it.explained && it.from_middle <= it.rounding);
        self.from_middle = near.iter().map(|it| it.from_middle).collect();
        if let (Some(code), true) = (self.code, depth > 1) {
            self.comparison.equal &= self.settle_table(code, &far, before, models);
            return;
        }
        let explained = far.iter().all(|it| it.explained);
        let mut from_middle = far.iter().map(|it| it.from_middle).collect();
        let far: Vec<usize> = far.iter().map(|it| it.at).collect();
        let few = far.len() as f64 <= FEW + FRACTION * self.comparison.elements as f64;
        let rounding = explained && few && self.is_even(&far);
        if depth > 1 {
            // Where other quantisations are inside, what they round comes in.
            self.comparison.equal |= rounding;
            return;
        }
        if rounding {
            self.from_middle.append(&mut from_middle);
        }
        self.comparison.equal = rounding;
    }

    /// Where the two sides differ; `None` where they cannot be compared.
    fn all_moved(&self) -> Option<Vec<usize>> {
        let (expected, found) = (self.expected.to_f64()?, self.found.to_f64()?);
        let tolerance = self.comparison.tolerance;
        let off = |(at, (a, b)): (usize, (&f64, &f64))| {
            let off = distance(*a, *b) > tolerance.allowed(*a, self.comparison.largest);
            off.then_some(at)
        };
        let both = expected.iter().zip(&found).enumerate();
        (expected.len() == found.len()).then(|| both.filter_map(off).collect())
    }

    /// What moved, by what the reference rounded.
    fn moved(
        &self,
        quantiser: &Quantiser,
        before: &Tensor,
        models: &Models<'_>,
        moved: &[usize],
    ) -> Option<Vec<Moved>> {
        let (values, codes) = (before.to_f64()?, self.found.to_f64()?);
        let element_type = before.element_type();
        let tolerance = Tolerance::chosen(models.options, element_type, models.narrowest);
        let largest = largest(&values);
        let own = |&at: &usize| {
            let (x, code) = (*values.get(at)?, *codes.get(at)?);
            // To the nearer end of those values that the code stands for.
            let from_middle = (x / quantiser.scale + quantiser.zero - code).abs() - 0.5;
            let from_middle = from_middle.max(0.0);
            let steps = tolerance.allowed_of_codes(x, largest) / quantiser.scale;
            Some(Moved {
                at,
                from_middle,
                rounding: rounding(element_type, models) * largest / quantiser.scale,
                explained: from_middle <= steps,
            })
        };
        (values.len() == codes.len()).then(|| moved.iter().filter_map(own).collect())
    }

    /// Whether every entry that is another was in the middle between two codes somewhere.
    fn settle_table<'t>(
        &self,
        code: &Tensor,
        far: &[&Moved],
        before: impl Fn(&str) -> Option<&'t Tensor>,
        models: &Models<'_>,
    ) -> bool {
        let mut left: Vec<usize> = far.iter().map(|it| it.at).collect();
        let Some(inside) = &self.inside else {
            return self.entries(code, &left) <= ENTRIES;
        };
        for quantiser in inside {
            let Some(tensor) = before(&quantiser.input) else {
                return self.entries(code, &left) <= ENTRIES;
            };
            let values = tensor.to_f64().unwrap_or_default();
            let allowed = rounding(tensor.element_type(), models) * largest(&values);
            left.retain(|&at| {
                let at = values.get(at).copied().unwrap_or(f64::NAN) / quantiser.scale;
                let from_middle = ((at - at.floor()) - 0.5).abs();
                // NaN is not near to anything.
                !matches!(
                    from_middle.partial_cmp(&(allowed / quantiser.scale)),
                    Some(order) if order.is_le()
                )
            });
        }
        left.is_empty()
    }

    /// How many codes these elements are made of. All, where the codes do not stand where the elements do.
    fn entries(&self, code: &Tensor, moved: &[usize]) -> usize {
        let codes = code.to_f64().unwrap_or_default();
        let entry = |&at: &usize| codes.get(at).map(|code| code.to_bits());
        let entries: HashSet<u64> = moved.iter().filter_map(entry).collect();
        match codes.len() == self.comparison.elements {
            true => entries.len(),
            false => moved.len(),
        }
    }

    /// Whether no channel has moved far more often than the others: roundings meet all alike.
    fn is_even(&self, moved: &[usize]) -> bool {
        let shape = &self.comparison.shape;
        // Images have their channels in front, all else at the end.
        let axis = match shape.len() {
            0..4 => shape.len().saturating_sub(1),
            _ => 1,
        };
        let channels = shape.get(axis).copied().unwrap_or(1).max(1);
        let inner = shape.iter().skip(axis + 1).product::<usize>().max(1);
        let mut counts = vec![0usize; channels];
        for at in moved {
            if let Some(count) = counts.get_mut(at / inner % channels) {
                *count += 1;
            }
        }
        let most = counts.iter().copied().max().unwrap_or_default();
        let others = (moved.len() - most) as f64 / (channels.max(2) - 1) as f64;
        let few = match self.comparison.element_type.contains("float") {
            true => FEW_FLOATS,
            false => FEW,
        };
        most as f64 <= (others + SPREAD * others.sqrt()).max(few)
    }
}

/// How far a sum may be rounded, as a fraction of the largest: 64 units of float32's last place, in which thousands of products are
/// added, and in half precision, which only holds what float32 has added, two.
fn rounding(element_type: ElementType, models: &Models<'_>) -> f64 {
    let narrowest = models.narrowest.unwrap_or(element_type);
    match Ulps::of(narrowest) {
        Ulps::F16 => 2.0 * (0.5f64).powi(11),
        Ulps::BF16 => 2.0 * (0.5f64).powi(8),
        _ => 64.0 * (0.5f64).powi(24),
    }
}

fn largest(values: &[f64]) -> f64 {
    let finite = values.iter().filter(|value| value.is_finite());
    finite.fold(0.0, |most: f64, value| most.max(value.abs()))
}
