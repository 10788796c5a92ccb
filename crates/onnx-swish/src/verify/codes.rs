//! Outputs that come from quantised values, judged in steps of their quantisation.
//!
//! Given two versions of such an output and the width of a step; promises how many elements moved, by how many steps at most, and
//! whether that is what sums that round differently do.
//!
//! An 8-bit model rounds to codes at every layer. Two correct runs add a convolution's products in different orders, so a value
//! next to the middle between two codes goes to one on this side and to the other on that side, and layers behind it see codes that
//! differ by one here and there, and round again. Float tolerances say nothing about that: one step is 1/255 of the whole range. So
//! what is allowed grows with the number of quantisations on the way, as a sum of independent roundings does: with its root for the
//! distance, and linearly for how many elements are met. A wrong layer may move values by no more than that, and a network that
//! amplifies moves them farther: `layers` looks at each by itself, and decides where it can.

use serde::Serialize;

use super::origin::Quantised;
use super::tolerance::{Tolerance, distance};

/// How many elements one quantisation may move, as a fraction. One element always may, in an output of a few.
const FRACTION: f64 = 0.01;
/// Steps in the range of an output whose own quantisation is not known: that of 8-bit codes.
pub(super) const CODES: f64 = 255.0;

/// How an output moved in steps of its quantisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Codes {
    /// The width of a step: the scale of the DequantizeLinear that writes the output, 1 for codes themselves, and 1/255 of the
    /// output's range where float operators come after the last quantisation; for one value all over, the scale of the
    /// DequantizeLinear in front.
    pub step: f64,
    /// How many elements moved: by more than the tolerance, where all of them stand on steps, and else by at least half a step.
    pub moved: usize,
    /// Of how many.
    pub elements: usize,
    /// The farthest that one moved, in steps.
    pub largest: f64,
    /// Whether every element of both sides is a whole number of steps, to the precision of float32: then elements are codes, and what
    /// moved are codes.
    pub whole: bool,
    /// How many times values are quantised on the longest way from an input to this output.
    pub depth: usize,
}

/// The width of a step, as far as the file says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// This much.
    Of(f64),
    /// A 255th of the range.
    OfRange,
    /// A 255th of the largest magnitude.
    OfItself,
}

impl Codes {
    /// Measures one output over one set of inputs; `original` and `fused` are of one length. `None` where no step can be told.
    pub(super) fn of(
        quantised: Quantised,
        tolerance: Tolerance,
        original: &[f64],
        fused: &[f64],
    ) -> Option<Codes> {
        let step = quantised.width(original)?;
        let stands_on_steps = matches!(quantised.step, Step::Of(_));
        let largest = magnitude(original);
        let mut codes = Codes {
            step,
            moved: 0,
            elements: original.len(),
            largest: 0.0,
            whole: stands_on_steps,
            depth: quantised.depth,
        };
        for (&a, &b) in original.iter().zip(fused) {
            let difference = distance(a, b);
            let steps = difference / step;
            // The scales of other channels may be much smaller than the widest.
            let moved = stands_on_steps && difference > tolerance.allowed(a, largest);
            codes.moved += usize::from(moved || steps >= 0.5);
            codes.largest = codes.largest.max(steps);
            codes.whole &= is_whole(a / step) && is_whole(b / step);
        }
        Some(codes)
    }

    /// The fraction of elements that moved.
    pub fn fraction(&self) -> f64 {
        self.moved as f64 / (self.elements as f64).max(1.0)
    }

    /// How many steps an element may move: those of a random walk, and one for the last rounding.
    pub fn allowed_steps(&self) -> f64 {
        1.0 + (self.depth as f64).sqrt()
    }

    /// Which fraction of the elements may move.
    pub fn allowed_fraction(&self) -> f64 {
        (FRACTION * self.depth as f64).min(1.0)
    }

    /// Whether sums that round differently explain it.
    pub fn is_rounding(&self) -> bool {
        // A step is known to a float32's precision: two steps measured are 2.0000001 of them.
        let near = self.largest <= self.allowed_steps() + 0.01;
        near && (self.moved <= 1 || self.fraction() <= self.allowed_fraction())
    }

    pub(super) fn merged(a: Option<Codes>, b: Option<Codes>) -> Option<Codes> {
        let (Some(a), Some(b)) = (a, b) else {
            return a.or(b);
        };
        Some(Codes {
            step: a.step.max(b.step),
            moved: a.moved + b.moved,
            elements: a.elements + b.elements,
            largest: a.largest.max(b.largest),
            whole: a.whole && b.whole,
            depth: a.depth.max(b.depth),
        })
    }
}

impl Quantised {
    /// The width of a step of these values.
    fn width(self, values: &[f64]) -> Option<f64> {
        let (low, high) = ends(values);
        let of_itself = magnitude(values) / CODES;
        let width = match self.step {
            Step::Of(step) => step,
            Step::OfItself => of_itself,
            Step::OfRange if high > low => (high - low) / CODES,
            // One value all over has no range: the quantisation in front says it, or else what a range from zero would be.
            Step::OfRange => self.front.unwrap_or(of_itself),
        };
        (width > 0.0).then_some(width)
    }
}

/// Whether a code has been multiplied by its scale to give so many steps: the product is rounded to float32.
fn is_whole(steps: f64) -> bool {
    (steps - steps.round()).abs() <= steps.abs() * f64::from(f32::EPSILON)
}

fn magnitude(values: &[f64]) -> f64 {
    let (low, high) = ends(values);
    low.abs().max(high.abs())
}

/// The least and the largest finite value; zero where there is none.
fn ends(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let none = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = finite.fold(none, |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(step: Step, depth: usize, original: &[f64], fused: &[f64]) -> Codes {
        behind(None, step, depth, original, fused).unwrap()
    }

    fn behind(
        front: Option<f64>,
        step: Step,
        depth: usize,
        original: &[f64],
        fused: &[f64],
    ) -> Option<Codes> {
        let quantised = Quantised { step, front, depth };
        let tolerance = Tolerance::usual(crate::ElementType::F32);
        Codes::of(quantised, tolerance, original, fused)
    }

    fn hundred() -> Vec<f64> {
        (0..100).map(f64::from).collect()
    }

    #[test]
    fn a_code_here_and_there_is_rounding() {
        let mut fused = hundred();
        fused[3] += 1.0;
        fused[50] -= 1.0;
        let codes = compare(Step::Of(1.0), 2, &hundred(), &fused);
        assert_eq!((codes.moved, codes.largest), (2, 1.0));
        assert!(codes.is_rounding());
        assert!(!compare(Step::Of(1.0), 1, &hundred(), &fused).is_rounding());
    }

    #[test]
    fn codes_are_told_from_floats_between_them() {
        let scale = 0.013_37f32;
        let dequantised = |codes: &[i16]| -> Vec<f64> {
            let floats = codes.iter().map(|code| f32::from(*code) * scale);
            floats.map(f64::from).collect()
        };
        let (a, b) = (
            dequantised(&[-128, 0, 3, 255]),
            dequantised(&[-128, 1, 3, 253]),
        );
        let step = Step::Of(f64::from(scale));
        let codes = compare(step, 1, &a, &b);
        assert!(codes.whole && codes.moved == 2, "{codes:?}");
        assert_eq!(codes.largest.round(), 2.0);
        let between = compare(step, 1, &a, &[a[0], 0.5 * a[3], a[2], a[3]]);
        assert!(!between.whole);
        assert!(!compare(Step::OfRange, 1, &a, &b).whole);
    }

    #[test]
    fn many_codes_or_a_long_way_are_not() {
        let shifted: Vec<f64> = hundred().iter().map(|code| code + 1.0).collect();
        let rounding = |fused: &[f64]| compare(Step::Of(1.0), 3, &hundred(), fused).is_rounding();
        assert!(!rounding(&shifted));
        for far in [4.0, f64::NAN] {
            let mut fused = hundred();
            fused[7] += far;
            assert!(!rounding(&fused), "{far}");
        }
    }

    #[test]
    fn a_deep_network_moves_many_a_little_and_none_far() {
        let moved: Vec<f64> = hundred().iter().map(|code| code + 4.0).collect();
        assert!(compare(Step::Of(1.0), 150, &hundred(), &moved).is_rounding());
        let far: Vec<f64> = hundred().iter().map(|code| code + 28.0).collect();
        assert!(!compare(Step::Of(1.0), 150, &hundred(), &far).is_rounding());
    }

    #[test]
    fn without_a_scale_a_step_is_a_255th_of_the_range() {
        let codes = compare(Step::OfRange, 1, &[-1.0, 1.55], &[-1.0, 1.56]);
        assert!((codes.step - 0.01).abs() < 1e-12 && codes.moved == 1);
        assert!(compare(Step::OfRange, 1, &[2.0], &[2.0]).is_rounding());
    }

    #[test]
    fn one_number_moves_by_the_steps_in_front() {
        let one = |front, fused| behind(front, Step::OfRange, 1, &[-13.16], &[fused]).unwrap();
        assert!(one(Some(0.02), -13.18).is_rounding());
        assert!(!one(Some(0.02), -13.26).is_rounding());
        assert!((one(None, -13.18).step - 13.16 / 255.0).abs() < 1e-12);
        assert_eq!(behind(None, Step::OfRange, 1, &[0.0], &[0.1]), None);
    }

    #[test]
    fn what_stands_on_narrower_steps_moves_too() {
        let fused: Vec<f64> = hundred().iter().map(|code| code + 0.2).collect();
        let codes = compare(Step::Of(1.0), 1, &hundred(), &fused);
        assert_eq!((codes.moved, codes.largest < 0.5), (100, true));
        assert!(!codes.is_rounding());
    }
}
