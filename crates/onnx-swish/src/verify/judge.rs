//! All outputs of one set of inputs, each judged by what the file says of its origin.
//!
//! Given the outputs of two runs; promises that every output that both have is compared, by the tolerance first, and only where
//! that fails and the file excuses it by steps of quantisation or as a set of rows.

use std::collections::HashMap;

use super::codes::Codes;
use super::compare::{JudgedBy, OutputComparison, is_float};
use super::cuts::Cuts;
use super::origin::Origin;
use super::rows::{Chosen, Ranked, swapped};
use super::tolerance::Tolerance;
use super::ulps::Ulps;
use crate::error::{Error, Result};
use crate::{ElementType, NamedTensors, Outputs, Tensor};

/// Judges outputs of one pair of models.
pub(super) struct Judge<'a> {
    /// Where each output comes from.
    pub origins: &'a HashMap<String, Origin>,
    /// The tolerance of an output of this type.
    pub tolerance: &'a dyn Fn(ElementType) -> Tolerance,
}

/// One set of inputs, judged.
pub(super) struct Judged {
    pub outputs: Vec<OutputComparison>,
    /// Both sides' outputs, where one differs behind a ranking: the cut of a TopK may explain it.
    pub unsettled: Option<(NamedTensors, Outputs)>,
}

/// An output of both runs.
struct Pair<'a> {
    expected: &'a Tensor,
    found: &'a Tensor,
    origin: Origin,
    comparison: OutputComparison,
}

impl Judge<'_> {
    /// Judges one set of inputs by what the two runs gave, and keeps it where that does not say all.
    pub fn judge(&self, expected: NamedTensors, found: Outputs, set: usize) -> Result<Judged> {
        let outputs = self.compare(&expected, &found, set, &Cuts::default())?;
        let ranked = |name: &String| self.origins.get(name).is_some_and(|it| it.ranked.is_some());
        let unsettled = outputs.iter().any(|one| !one.equal && ranked(&one.name));
        Ok(Judged {
            outputs,
            unsettled: unsettled.then_some((expected, found)),
        })
    }

    /// Compares what was expected of one set of inputs with what was found. `cuts` says which rows may be others.
    pub fn compare(
        &self,
        expected: &NamedTensors,
        found: &Outputs,
        set: usize,
        cuts: &Cuts,
    ) -> Result<Vec<OutputComparison>> {
        let pairs = expected.iter().map(|(name, expected)| {
            let found = found.get(name)?;
            let tolerance = (self.tolerance)(found.element_type());
            let comparison = OutputComparison::of(name, expected, found, tolerance, set);
            Ok(Pair {
                expected,
                found,
                origin: self.origins.get(name).copied().unwrap_or_default(),
                comparison: comparison.map_err(Error::NotComparable)?,
            })
        });
        let mut pairs = pairs.collect::<Result<Vec<_>>>()?;
        for pair in &mut pairs {
            by_codes(&mut pair.comparison, pair.origin, pair.expected, pair.found);
        }
        by_rows(&mut pairs, cuts);
        Ok(pairs.into_iter().map(|pair| pair.comparison).collect())
    }
}

impl Pair<'_> {
    /// Which ranking its rows follow; none where the two have other shapes.
    fn ranking(&self) -> Option<usize> {
        let aligned = self.comparison.fused_shape.is_none();
        self.origin.ranked.filter(|_| aligned)
    }

    fn may_be_in_another_order(&self) -> bool {
        self.ranking().is_some() && !self.comparison.equal
    }
}

/// Judges by steps what lies behind quantised values and the tolerance does not accept, or only because it is small.
pub(super) fn by_codes(
    comparison: &mut OutputComparison,
    origin: Origin,
    expected: &Tensor,
    found: &Tensor,
) {
    let aligned = comparison.fused_shape.is_none();
    let Some(quantised) = origin.quantised.filter(|_| aligned) else {
        return;
    };
    // An index or a count has no steps.
    if !is_float(found.element_type()) && !is_code(found.element_type()) {
        return;
    }
    let (Some(a), Some(b)) = (expected.to_f64(), found.to_f64()) else {
        return;
    };
    let Some(codes) = Codes::of(quantised, comparison.tolerance, &a, &b) else {
        return;
    };
    if !comparison.equal || !comparison.decided {
        comparison.equal = codes.is_rounding();
        comparison.decided = true;
        comparison.judged_by = JudgedBy::Codes;
    }
    comparison.codes = Some(codes);
}

/// Judges as sets of rows what lies behind a ranking and differs where it stands.
fn by_rows(pairs: &mut [Pair<'_>], cuts: &Cuts) {
    if !pairs.iter().any(Pair::may_be_in_another_order) {
        return;
    }
    let values: Vec<(Vec<f64>, Vec<f64>)> = pairs
        .iter()
        .map(|pair| (pair.expected.to_f64(), pair.found.to_f64()))
        .map(|(a, b)| (a.unwrap_or_default(), b.unwrap_or_default()))
        .collect();
    let ranked: Vec<Ranked<'_>> = pairs
        .iter()
        .zip(&values)
        .map(|(pair, (original, fused))| Ranked {
            name: &pair.comparison.name,
            shape: &pair.comparison.shape,
            original,
            fused,
            tolerance: pair.comparison.tolerance,
            largest: pair.comparison.largest,
            equal: pair.comparison.equal,
            float: is_float(pair.found.element_type()),
            output: true,
            ranking: pair.ranking(),
            suppressed: false,
        })
        .chain(cuts.chosen.iter().map(Chosen::ranked))
        .collect();
    let found: Vec<_> = pairs
        .iter()
        .enumerate()
        .filter(|(_, pair)| pair.may_be_in_another_order())
        .map(|(at, _)| (at, swapped(&ranked, at, cuts.others)))
        .collect();
    for (at, rows) in found {
        if let (Some(pair), Some(rows)) = (pairs.get_mut(at), rows) {
            pair.comparison.equal = true;
            pair.comparison.judged_by = JudgedBy::Rows;
            pair.comparison.rows = Some(rows);
        }
    }
}

/// Whether elements of a type can be codes of a quantisation.
fn is_code(element_type: ElementType) -> bool {
    use ElementType::{I8, I16, U8, U16};
    matches!(element_type, I8 | U8 | I16 | U16)
}

/// The type whose tolerance a value has that was computed in `computed` and compared in `compared`.
pub(super) fn narrower(a: ElementType, b: Option<ElementType>) -> ElementType {
    match b {
        Some(b) if rank(b) < rank(a) => b,
        _ => a,
    }
}

fn rank(element_type: ElementType) -> u8 {
    match Ulps::of(element_type) {
        Ulps::BF16 => 0,
        Ulps::F16 => 1,
        Ulps::F32 => 2,
        Ulps::F64 => 3,
        Ulps::Exact => 4,
    }
}
