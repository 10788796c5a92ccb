//! How far two tensors are apart, in every measure that people ask for.
//!
//! Given the outputs of two runs on the same inputs; promises exact figures, with NaN agreeing with NaN only and an infinity
//! with the same infinity only.

use serde::Serialize;

use super::codes::Codes;
use super::rows::Rows;
use super::tolerance::{Tolerance, distance};
use super::ulps::Ulps;
use crate::{ElementType, Tensor};

/// One output of the original against the same output of the fused model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OutputComparison {
    /// The output's name.
    pub name: String,
    /// NumPy's name of the element type.
    pub element_type: &'static str,
    /// The shape in the original.
    pub shape: Vec<usize>,
    /// The shape in the fused model, where it is another one: the elements were not compared then.
    pub fused_shape: Option<Vec<usize>>,
    /// How many elements were compared, over all input sets.
    pub elements: usize,
    /// Whether the output is as it should be, by what `judged_by` says.
    pub equal: bool,
    /// Whether that says anything. Not where the whole output is so small that the tolerance's floor accepts any number of its size in
    /// the place of each, and it is equal by that alone: no part of its own size would have been allowed to be off as far.
    pub decided: bool,
    /// What decided.
    pub judged_by: JudgedBy,
    /// The tolerance.
    #[serde(flatten)]
    pub tolerance: Tolerance,
    /// The largest absolute difference.
    pub max_abs: f64,
    /// The largest difference relative to the original value, over elements whose original value is not zero.
    pub max_rel: f64,
    /// The largest distance in units in the last place of the element type; 0 for integers and text.
    pub max_ulp: u64,
    /// How many elements are outside the tolerance.
    pub outside: usize,
    /// How many elements of the original are finite numbers.
    pub finite: usize,
    /// The largest finite magnitude in the original.
    pub largest: f64,
    /// The element that uses most of its tolerance, or the first that is not a number on one side only.
    pub worst: Option<Worst>,
    /// For outputs that look like classes (floats of two dimensions, the second above one): in how many rows both
    /// sides have the same largest element, as a fraction.
    pub top1_agreement: Option<f64>,
    /// For outputs that come from quantised values: how many moved by how much.
    pub codes: Option<Codes>,
    /// For outputs behind a ranking whose rows come in another order: which.
    pub rows: Option<Rows>,
}

/// What decided whether an output is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgedBy {
    /// Every element is within the tolerance, or one is not.
    Tolerance,
    /// How many steps of its quantisation it moved, and how often.
    Codes,
    /// Each layer between quantisations, given the reference's own values.
    Layers,
    /// Its rows as a set: rows of nearly equal score changed places.
    Rows,
}

/// An element and its two values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Worst {
    /// Its position, one index per dimension.
    pub index: Vec<usize>,
    /// Its value in the original.
    pub original: f64,
    /// Its value in the fused model.
    pub fused: f64,
    /// How much of the tolerance it uses: above 1 is outside.
    pub used: f64,
    /// Which set of inputs it came from, counted from 0.
    pub input_set: usize,
}

impl OutputComparison {
    /// Compares one output of one input set. `Err` says why the two cannot be compared at all.
    ///
    /// Floats of different types are compared by their values: files keep half precision widened.
    pub(super) fn of(
        name: &str,
        original: &Tensor,
        fused: &Tensor,
        tolerance: Tolerance,
        input_set: usize,
    ) -> Result<OutputComparison, String> {
        comparable(name, original, fused)?;
        let mut comparison = OutputComparison::unmeasured(name, fused, tolerance);
        if original.shape() != fused.shape() {
            comparison.shape = original.shape().to_vec();
            comparison.fused_shape = Some(fused.shape().to_vec());
            comparison.elements = original.len();
            comparison.outside = original.len();
            comparison.equal = false;
            return Ok(comparison);
        }
        let (Some(a), Some(b)) = (original.to_f64(), fused.to_f64()) else {
            // Text has no distance: it is the same or it is not.
            comparison.equal = original == fused;
            comparison.outside = usize::from(!comparison.equal);
            return Ok(comparison);
        };
        comparison.measure(&a, &b, Ulps::of(fused.element_type()), input_set);
        // The largest of some indices or counts says nothing of a class.
        if is_float(fused.element_type()) {
            comparison.top1_agreement = top1_agreement(original.shape(), &a, &b);
        }
        Ok(comparison)
    }

    fn unmeasured(name: &str, tensor: &Tensor, tolerance: Tolerance) -> OutputComparison {
        OutputComparison {
            name: name.to_owned(),
            element_type: tensor.element_type().name(),
            shape: tensor.shape().to_vec(),
            fused_shape: None,
            elements: tensor.len(),
            equal: true,
            decided: true,
            judged_by: JudgedBy::Tolerance,
            tolerance,
            max_abs: 0.0,
            max_rel: 0.0,
            max_ulp: 0,
            outside: 0,
            finite: 0,
            largest: 0.0,
            worst: None,
            top1_agreement: None,
            codes: None,
            rows: None,
        }
    }

    fn measure(&mut self, original: &[f64], fused: &[f64], ulps: Ulps, input_set: usize) {
        let finite = original.iter().filter(|value| value.is_finite());
        self.finite = finite.clone().count();
        self.largest = finite.fold(0.0, |most, value| most.max(value.abs()));
        let mut worst: Option<(f64, usize)> = None;
        let mut by_floor_alone = false;
        for (position, (&a, &b)) in original.iter().zip(fused).enumerate() {
            let difference = distance(a, b);
            if difference == 0.0 {
                continue;
            }
            self.max_abs = self.max_abs.max(difference);
            if a != 0.0 {
                self.max_rel = self.max_rel.max(number(difference / a.abs()));
            }
            self.max_ulp = self.max_ulp.max(ulps.between(a, b));
            let allowed = self.tolerance.allowed(a, self.largest);
            self.outside += usize::from(!difference.is_finite() || difference > allowed);
            by_floor_alone |= difference > self.tolerance.allowed_by_size(a, self.largest);
            // Of no tolerance, any difference is all and more; those farther off come first all the same.
            let used = if allowed == 0.0 {
                1.0 + difference
            } else {
                number(difference / allowed)
            };
            if used > worst.map_or(0.0, |(most, _)| most) {
                worst = Some((used, position));
            }
        }
        self.equal = self.outside == 0;
        let overlooked = self.largest <= self.tolerance.floor && by_floor_alone;
        self.decided = !(self.equal && overlooked);
        self.worst = worst.and_then(|(used, position)| {
            Some(Worst {
                index: unravel(position, &self.shape),
                original: *original.get(position)?,
                fused: *fused.get(position)?,
                used,
                input_set,
            })
        });
    }

    /// Whether the original gives floats and no number among them.
    pub fn is_without_numbers(&self) -> bool {
        let floats = self.element_type.contains("float") && self.fused_shape.is_none();
        floats && self.elements > 0 && self.finite == 0
    }

    /// Takes the excuse from rows that only one side keeps, if they differ in the fused model that was given the reference's rows,
    /// too; `again` compares its outputs.
    pub(super) fn settle_others(&mut self, again: &[OutputComparison]) {
        let Some(again) = again.iter().find(|again| again.name == self.name) else {
            return;
        };
        if again.equal {
            if let Some(rows) = &mut self.rows {
                rows.others_compared = true;
            }
            return;
        }
        self.equal = false;
        self.judged_by = again.judged_by;
        self.rows = None;
    }

    /// This output over one more set of inputs.
    pub(super) fn merge(&mut self, other: OutputComparison) {
        let used = |worst: &Option<Worst>| worst.as_ref().map_or(-1.0, |worst| worst.used);
        let rows = |this: &OutputComparison| this.elements as f64;
        self.top1_agreement = self
            .top1_agreement
            .zip(other.top1_agreement)
            .map(|(own, its)| {
                (own * rows(self) + its * rows(&other)) / (rows(self) + rows(&other)).max(1.0)
            });
        if used(&other.worst) > used(&self.worst) {
            self.worst = other.worst;
        }
        self.elements += other.elements;
        self.equal &= other.equal;
        // Larger values of another set of inputs say it of all.
        self.decided |= other.decided;
        self.judged_by = self.judged_by.max(other.judged_by);
        self.max_abs = self.max_abs.max(other.max_abs);
        self.max_rel = self.max_rel.max(other.max_rel);
        self.max_ulp = self.max_ulp.max(other.max_ulp);
        self.outside += other.outside;
        self.finite += other.finite;
        self.fused_shape = self.fused_shape.take().or(other.fused_shape);
        self.largest = self.largest.max(other.largest);
        self.codes = Codes::merged(self.codes.take(), other.codes);
        self.rows = self.rows.take().or(other.rows);
    }
}

fn comparable(name: &str, original: &Tensor, fused: &Tensor) -> Result<(), String> {
    let (a, b) = (original.element_type(), fused.element_type());
    let same_type = a == b || (is_float(a) && is_float(b));
    if same_type {
        return Ok(());
    }
    Err(format!(
        "output `{name}` is {a} {:?} by the reference and {b} {:?} in the fused model",
        original.shape(),
        fused.shape()
    ))
}

/// Whether a type has fractions.
pub(super) fn is_float(element_type: ElementType) -> bool {
    !matches!(Ulps::of(element_type), Ulps::Exact)
}

/// A quotient in which 0 over 0 or infinity over infinity counts as infinitely far.
fn number(quotient: f64) -> f64 {
    if quotient.is_nan() {
        f64::INFINITY
    } else {
        quotient
    }
}

fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let size = size.max(1);
            let own = position % size;
            position /= size;
            own
        })
        .collect();
    index.reverse();
    index
}

fn top1_agreement(shape: &[usize], a: &[f64], b: &[f64]) -> Option<f64> {
    let &[rows, classes] = shape else { return None };
    if rows == 0 || classes < 2 {
        return None;
    }
    let largest = |row: &[f64]| {
        let mut best = 0;
        for (index, value) in row.iter().enumerate() {
            if row.get(best).is_some_and(|largest| value > largest) {
                best = index;
            }
        }
        best
    };
    let pairs = a.chunks_exact(classes).zip(b.chunks_exact(classes));
    let agreeing = pairs.filter(|(a, b)| largest(a) == largest(b)).count();
    Some(agreeing as f64 / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{ArrayD, array};

    const TOLERANCE: Tolerance = Tolerance {
        rtol: 1e-3,
        atol: 1e-5,
        floor: 1e-6,
    };

    fn compare(
        original: impl Into<ArrayD<f32>>,
        fused: impl Into<ArrayD<f32>>,
    ) -> OutputComparison {
        let (original, fused) = (Tensor::from(original.into()), Tensor::from(fused.into()));
        OutputComparison::of("y", &original, &fused, TOLERANCE, 0).unwrap()
    }

    #[test]
    fn neighbours_are_one_ulp_apart_and_the_zeros_none() {
        let next = 1.0f32.next_up();
        let found = compare(
            array![1.0f32, 0.0].into_dyn(),
            array![next, -0.0].into_dyn(),
        );
        assert_eq!(found.max_ulp, 1);
        assert!(found.equal);
    }

    #[test]
    fn a_nan_on_one_side_is_never_equal_on_both_always() {
        let nan = f32::NAN;
        assert!(compare(array![nan, 1.0].into_dyn(), array![nan, 1.0].into_dyn()).equal);
        let one_side = compare(
            array![1.0f32, 2.0].into_dyn(),
            array![1.0f32, nan].into_dyn(),
        );
        assert!(!one_side.equal);
        assert_eq!(one_side.outside, 1);
        assert_eq!(one_side.max_ulp, u64::MAX);
        assert_eq!(one_side.worst.unwrap().index, [1]);
    }

    #[test]
    fn an_infinity_is_equal_to_itself_only() {
        let inf = f32::INFINITY;
        assert!(compare(array![inf].into_dyn(), array![inf].into_dyn()).equal);
        assert!(!compare(array![inf].into_dyn(), array![f32::MAX].into_dyn()).equal);
        assert!(!compare(array![inf].into_dyn(), array![-inf].into_dyn()).equal);
    }

    #[test]
    fn the_worst_element_is_the_one_that_uses_most_of_its_tolerance() {
        let original = array![[1000.0f32, 1.0], [1.0, 1.0]].into_dyn();
        let fused = array![[1000.5f32, 1.0], [1.0, 1.2]].into_dyn();
        let found = compare(original, fused);
        assert!(!found.equal);
        assert_eq!((found.outside, found.max_abs), (1, 0.5));
        assert_eq!(found.worst.unwrap().index, [1, 1]);
    }

    #[test]
    fn a_small_output_is_judged_by_its_own_size() {
        let wrong = compare(
            array![1e-2f32, 1e-3].into_dyn(),
            array![1e-2f32, 1.01e-3].into_dyn(),
        );
        assert!(!wrong.equal, "{wrong:?}");
    }

    #[test]
    fn an_output_smaller_than_the_tolerance_is_decided_by_its_own_size_or_not_at_all() {
        let of = |original: [f32; 2], fused: [f32; 2]| {
            let found = compare(array(&original), array(&fused));
            (found.equal, found.decided)
        };
        let small = [1e-9, -2e-9];
        assert_eq!(of(small, [1e-9, 2e-9]), (true, false));
        assert_eq!(of(small, [1e-9, 0.0]), (true, false));
        assert_eq!(of([0.0, 0.0], [0.0, 1e-9]), (true, false));
        // Equal in every bit, or to as many digits as are asked of any output.
        assert_eq!(of(small, small), (true, true));
        assert_eq!(of([0.0, 0.0], [0.0, 0.0]), (true, true));
        assert_eq!(of(small, [1e-9, -2.0001e-9]), (true, true));
        // Beyond the floor, or one number that is larger.
        assert_eq!(of(small, [1e-9, 1e-3]), (false, true));
        assert_eq!(of([1.0, 1e-9], [1.0, -1e-9]), (true, true));
    }

    fn array(values: &[f32]) -> ArrayD<f32> {
        ndarray::arr1(values).into_dyn()
    }

    #[test]
    fn a_tolerance_of_all_that_there_is_decides_nothing_of_what_is_smaller() {
        let all = Tolerance {
            atol: 2.0,
            floor: 2.0,
            ..TOLERANCE
        };
        let (original, fused) = (Tensor::from(array(&[0.5])), Tensor::from(array(&[-0.5])));
        let found = OutputComparison::of("y", &original, &fused, all, 0).unwrap();
        assert!(found.equal && !found.decided, "{found:?}");
    }

    #[test]
    fn what_one_set_of_inputs_decides_is_decided() {
        let mut found = compare(array(&[1e-9]), array(&[2e-9]));
        found.merge(compare(array(&[2e-9]), array(&[1e-9])));
        assert!(found.equal && !found.decided);
        found.merge(compare(array(&[1.0]), array(&[1.0])));
        assert!(found.equal && found.decided);
    }

    #[test]
    fn a_reference_that_is_no_number_is_not_called_small() {
        let found = compare(
            array![f32::NAN, f32::NAN].into_dyn(),
            array![0.5f32, 2.0].into_dyn(),
        );
        assert!(!found.equal && found.decided, "{found:?}");
    }

    #[test]
    fn indices_have_no_largest_class() {
        let indices = Tensor::from(array![[3i64, 7], [9, 2]]);
        let found = OutputComparison::of("i", &indices, &indices, TOLERANCE, 0).unwrap();
        assert_eq!(found.top1_agreement, None);
    }

    #[test]
    fn agreement_of_classes_is_counted_by_row() {
        let original = array![[0.1f32, 0.9], [0.6, 0.4]].into_dyn();
        let fused = array![[0.2f32, 0.8], [0.4, 0.6]].into_dyn();
        assert_eq!(compare(original, fused).top1_agreement, Some(0.5));
    }

    #[test]
    fn another_shape_is_a_difference() {
        let found = compare(array![1.0f32].into_dyn(), array![1.0f32, 2.0].into_dyn());
        assert!(!found.equal && found.outside == 1, "{found:?}");
        assert_eq!((found.shape, found.fused_shape), (vec![1], Some(vec![2])));
    }

    #[test]
    fn another_type_is_said_not_compared() {
        let (a, b) = (Tensor::from(array![1.0f32]), Tensor::from(array![1i64]));
        let reason = OutputComparison::of("y", &a, &b, TOLERANCE, 0).unwrap_err();
        assert!(reason.contains("int64"), "{reason}");
    }

    #[test]
    fn outputs_without_a_number_are_marked() {
        let nan = array![f32::NAN, f32::INFINITY].into_dyn();
        assert!(compare(nan.clone(), nan).is_without_numbers());
        let one = array![f32::NAN, 1.0].into_dyn();
        assert!(!compare(one.clone(), one).is_without_numbers());
    }
}
