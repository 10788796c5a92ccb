//! Outputs behind TopK or NonMaxSuppression whose rows come in another order.
//!
//! Given the outputs of two runs; promises that rows are taken for swapped only where their scores, which stand in one of the
//! outputs, are nearly equal, and in all outputs behind one ranking alike: an order that the scores do not excuse, or that is another
//! in the output beside it, stays a difference. Rows may lie side by side, or element by element where channels come first.

use serde::Serialize;

use super::layout::Layout;
use super::tolerance::{Tolerance, distance};

/// More rows than this out of place are not matched one by one: the work is quadratic in them.
const MOST_MOVED: usize = 4096;

/// Rows that changed places, or of which each side keeps others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// The axis along which the rows follow one another.
    pub axis: usize,
    /// How many stand in another place.
    pub moved: usize,
    /// How many are others: left out on one side where the K of a TopK cuts through nearly equal scores.
    pub others: usize,
    /// Whether what stands in those others was compared: the fused model ran once more, with the rows that the reference keeps.
    pub others_compared: bool,
    /// Where the scores were found that are nearly equal: an output, a column of the output itself, or what a TopK ranks.
    pub scores: String,
}

/// The scores that a ranking kept, on both sides.
#[derive(Debug)]
pub(super) struct Chosen {
    name: String,
    shape: Vec<usize>,
    values: (Vec<f64>, Vec<f64>),
    tolerance: Tolerance,
    largest: f64,
    suppressed: bool,
}

impl Chosen {
    /// The scores that a TopK keeps.
    pub fn new(
        name: String,
        shape: Vec<usize>,
        values: (Vec<f64>, Vec<f64>),
        tolerance: Tolerance,
    ) -> Chosen {
        let finite = values.0.iter().filter(|value| value.is_finite());
        let largest = finite.fold(0.0, |most: f64, value| most.max(value.abs()));
        Chosen {
            name,
            shape,
            values,
            tolerance,
            largest,
            suppressed: false,
        }
    }

    /// The scores of what a NonMaxSuppression keeps, of which any may have suppressed another of the same score.
    pub fn of_suppression(self) -> Chosen {
        Chosen {
            suppressed: true,
            ..self
        }
    }

    pub fn ranked(&self) -> Ranked<'_> {
        let (original, fused) = (&self.values.0, &self.values.1);
        let near =
            |(&a, &b): (&f64, &f64)| distance(a, b) <= self.tolerance.allowed(a, self.largest);
        Ranked {
            name: &self.name,
            shape: &self.shape,
            original,
            fused,
            tolerance: self.tolerance,
            largest: self.largest,
            equal: original.iter().zip(fused).all(near),
            float: true,
            output: false,
            ranking: None,
            suppressed: self.suppressed,
        }
    }
}

/// An output of two runs, ready to be looked at row by row.
pub(super) struct Ranked<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub original: &'a [f64],
    pub fused: &'a [f64],
    pub tolerance: Tolerance,
    /// The largest magnitude in the original.
    pub largest: f64,
    /// Whether every element is within the tolerance where it stands.
    pub equal: bool,
    /// Whether the elements are floats, and can be scores.
    pub float: bool,
    /// Whether it is an output of the models, or what a ranking kept.
    pub output: bool,
    /// The ranking that its rows follow.
    pub ranking: Option<usize>,
    /// Whether it is what a NonMaxSuppression keeps.
    pub suppressed: bool,
}

/// The score of every row, and where it stands.
struct Scores<'a> {
    values: Vec<f64>,
    close: f64,
    /// Whether they are what a node ranks. What only looks like scores must be in order.
    known: bool,
    /// Whether rows that only one side keeps may have any score, if the other side keeps others of the same.
    suppressed: bool,
    name: std::borrow::Cow<'a, str>,
}

impl Ranked<'_> {
    fn close(&self, a: f64, b: f64) -> bool {
        distance(a, b) <= self.tolerance.allowed(a, self.largest)
    }

    /// Whether all elements of two rows are close.
    fn same(&self, a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> bool {
        a.zip(b).all(|(a, b)| self.close(a, b))
    }
}

/// How the rows of `outputs[at]` moved, if their scores excuse it; up to `others` of them may be other rows of the lowest score.
pub(super) fn swapped(outputs: &[Ranked<'_>], at: usize, others: usize) -> Option<Rows> {
    let output = outputs.get(at)?;
    for layout in Layout::all(output.shape) {
        // What follows the same ranking is in the same order.
        let beside = outputs.iter().filter(|other| {
            other.ranking.is_some()
                && other.ranking == output.ranking
                && !std::ptr::eq(*other, output)
        });
        let beside = beside.filter_map(|other| Some((other, layout.of_same_lists(other.shape)?)));
        let together: Vec<_> = std::iter::once((output, layout)).chain(beside).collect();
        for scores in scores(outputs, output, layout) {
            if let Some((moved, others)) = matched(&together, &scores, others) {
                return Some(Rows {
                    axis: layout.axis,
                    moved,
                    others,
                    others_compared: false,
                    scores: scores.name.into_owned(),
                });
            }
        }
    }
    None
}

/// What can be the scores of these rows: floats that agree where they stand and never rise, or never fall, from one row to the next.
fn scores<'a>(
    outputs: &'a [Ranked<'a>],
    output: &'a Ranked<'a>,
    layout: Layout,
) -> impl Iterator<Item = Scores<'a>> {
    let rows = layout.lists * layout.rows;
    let others = outputs.iter().filter(move |other| {
        other.float && other.equal && other.original.len() == rows && !std::ptr::eq(*other, output)
    });
    let others = others.map(|other| Scores {
        values: other.original.to_vec(),
        close: other.tolerance.allowed(other.largest, other.largest),
        known: !other.output,
        suppressed: other.suppressed,
        name: if other.output {
            format!("output `{}`", other.name).into()
        } else {
            other.name.into()
        },
    });
    // Where channels come first, few rows of many elements are more likely few elements of many rows.
    let is_table = layout.before == 1 || layout.rows >= layout.width();
    let has_columns = output.float && layout.width() > 1 && is_table;
    let columns = (0..layout.width()).filter(move |_| has_columns);
    let columns = columns.filter_map(move |column| own_column(output, layout, column));
    others
        .chain(columns)
        .filter(move |scores| scores.known || scores.are_in_order(layout.rows))
}

impl Scores<'_> {
    /// Whether every list falls, or every list rises, as those of a TopK of the smallest do.
    fn are_in_order(&self, rows: usize) -> bool {
        let all = |in_order: fn(f64, f64, f64) -> bool| {
            self.values.chunks_exact(rows).all(|list| {
                let mut pairs = list.iter().zip(list.iter().skip(1));
                pairs.all(|(a, b)| in_order(*a, *b, self.close))
            })
        };
        all(|a, b, close| b <= a + close) || all(|a, b, close| b >= a - close)
    }
}

fn own_column<'a>(output: &'a Ranked<'a>, layout: Layout, column: usize) -> Option<Scores<'a>> {
    let (original, fused) = (
        layout.column(output.original, column),
        layout.column(output.fused, column),
    );
    let largest = original
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    let close = output.tolerance.allowed(largest, largest);
    let agrees = original
        .iter()
        .zip(&fused)
        .all(|(&a, &b)| distance(a, b) <= close);
    agrees.then(|| Scores {
        values: original,
        close,
        known: false,
        suppressed: false,
        name: format!("column {column} of each row").into(),
    })
}

/// How many rows moved when each row of one side, in all outputs together, is some row of the other of nearly the same score, and how
/// many are no row of the other; `None` if these are more than `others`, or of another score than the last.
fn matched(
    together: &[(&Ranked<'_>, Layout)],
    scores: &Scores<'_>,
    others: usize,
) -> Option<(usize, usize)> {
    let (mut moved, mut left) = (0, 0);
    let (_, layout) = together.first()?;
    for list in 0..layout.lists {
        let same = |row: usize, other: usize| {
            together.iter().all(|(output, layout)| {
                let original = layout.row(output.original, list, row);
                output.same(original, layout.row(output.fused, list, other))
            })
        };
        let score = |row: usize| scores.values.get(list * layout.rows + row).copied();
        let near = |row, other| {
            let both = score(row).zip(score(other));
            both.is_some_and(|(a, b)| distance(a, b) <= scores.close)
        };
        let out_of_place: Vec<usize> = (0..layout.rows).filter(|&row| !same(row, row)).collect();
        if out_of_place.len() > MOST_MOVED {
            return None;
        }
        let mut free = out_of_place.clone();
        let mut lone = Vec::new();
        for row in out_of_place {
            let fits = free
                .iter()
                .position(|&other| near(row, other) && same(row, other));
            match fits {
                Some(fits) => {
                    moved += 1;
                    free.swap_remove(fits);
                }
                None => lone.push(row),
            }
        }
        left += lone.len();
        let excused = if scores.suppressed {
            // One of two that tie suppresses the other.
            lone.iter().all(|&row| {
                let fits = free.iter().position(|&other| near(row, other));
                fits.map(|fits| free.swap_remove(fits)).is_some()
            })
        } else {
            let mut cut_off = lone.iter().chain(&free);
            cut_off.all(|&row| near(row, layout.rows - 1))
        };
        if left > others || !excused {
            return None;
        }
    }
    Some((moved, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance {
        rtol: 1e-3,
        atol: 1e-4,
        floor: 1e-6,
    };

    fn ranked<'a>(
        name: &'a str,
        shape: &'a [usize],
        original: &'a [f64],
        fused: &'a [f64],
        float: bool,
    ) -> Ranked<'a> {
        let largest = original
            .iter()
            .fold(0.0f64, |most, value| most.max(value.abs()));
        let allowed = |a: f64| TOLERANCE.allowed(a, largest);
        let pairs = original.iter().zip(fused);
        Ranked {
            name,
            shape,
            original,
            fused,
            tolerance: TOLERANCE,
            largest,
            equal: pairs
                .into_iter()
                .all(|(&a, &b)| distance(a, b) <= allowed(a)),
            float,
            output: true,
            ranking: Some(0),
            suppressed: false,
        }
    }

    #[test]
    fn rows_of_nearly_equal_score_may_change_places() {
        let scores = ranked(
            "scores",
            &[1, 3],
            &[0.9, 0.5, 0.49999],
            &[0.9, 0.5, 0.5],
            true,
        );
        let labels = ranked("labels", &[1, 3], &[4.0, 7.0, 2.0], &[4.0, 2.0, 7.0], false);
        let found = swapped(&[scores, labels], 1, 0).unwrap();
        assert_eq!((found.axis, found.moved), (1, 2));
        assert!(found.scores.contains("scores"));
    }

    #[test]
    fn all_outputs_of_a_ranking_are_in_one_order() {
        let found = |boxes: [f64; 6], ranking| {
            let scores = [0.9, 0.5, 0.49999];
            let all = [
                ranked("scores", &[1, 3], &scores, &scores, true),
                ranked("labels", &[1, 3], &[4.0, 7.0, 2.0], &[4.0, 2.0, 7.0], false),
                Ranked {
                    ranking,
                    ..ranked(
                        "boxes",
                        &[3, 2],
                        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                        &boxes,
                        true,
                    )
                },
            ];
            swapped(&all, 1, 0).is_some()
        };
        let (stay, follow) = (
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            [1.0, 2.0, 5.0, 6.0, 3.0, 4.0],
        );
        assert!(found(follow, Some(0)));
        assert!(!found(stay, Some(0)));
        assert!(found(stay, Some(1)), "another ranking's");
    }

    #[test]
    fn rows_of_different_scores_may_not() {
        let scores = ranked("scores", &[1, 3], &[0.9, 0.5, 0.1], &[0.9, 0.5, 0.1], true);
        let labels = ranked("labels", &[1, 3], &[4.0, 7.0, 2.0], &[4.0, 2.0, 7.0], false);
        assert_eq!(swapped(&[scores, labels], 1, 0), None);
    }

    #[test]
    fn rows_cut_off_by_a_tie_may_be_others() {
        let scores = || ranked("scores", &[1, 3], &[0.9, 0.5, 0.5], &[0.9, 0.5, 0.5], true);
        let labels = |fused| ranked("labels", &[1, 3], &[4.0, 7.0, 2.0], fused, false);
        let found = |fused, others| swapped(&[scores(), labels(fused)], 1, others);
        let one = found(&[4.0, 2.0, 8.0], 1).unwrap();
        assert_eq!((one.moved, one.others), (1, 1));
        // More than were cut off, or one of another score than the last.
        assert_eq!(found(&[4.0, 8.0, 9.0], 1), None);
        assert_eq!(found(&[5.0, 7.0, 2.0], 1), None);
    }

    #[test]
    fn the_smallest_may_be_ranked_too() {
        let scores = ranked("far", &[1, 3], &[0.1, 0.5, 0.5], &[0.1, 0.5, 0.5], true);
        let labels = ranked("labels", &[1, 3], &[4.0, 7.0, 2.0], &[4.0, 2.0, 7.0], false);
        assert!(swapped(&[scores, labels], 1, 0).is_some());
    }

    #[test]
    fn without_scores_an_order_is_a_difference() {
        let labels = ranked("labels", &[1, 3], &[4.0, 7.0, 2.0], &[4.0, 2.0, 7.0], false);
        assert_eq!(swapped(&[labels], 0, 0), None);
        // Scores that differ where they stand excuse nothing.
        let scores = ranked("scores", &[1, 3], &[0.9, 0.5, 0.5], &[0.9, 0.1, 0.5], true);
        let labels = ranked("labels", &[1, 3], &[4.0, 7.0, 2.0], &[4.0, 2.0, 7.0], false);
        assert_eq!(swapped(&[scores, labels], 1, 0), None);
    }

    #[test]
    fn a_column_may_hold_the_scores() {
        let original = [10.0, 20.0, 0.9, 30.0, 40.0, 0.5, 50.0, 60.0, 0.5];
        let fused = [10.0, 20.0, 0.9, 50.0, 60.0, 0.5, 30.0, 40.0, 0.5];
        let boxes = ranked("boxes", &[1, 3, 3], &original, &fused, true);
        let found = swapped(&[boxes], 0, 0).unwrap();
        assert_eq!((found.axis, found.moved), (1, 2));
        assert!(found.scores.contains("column 2"), "{}", found.scores);
        let mut wrong = fused;
        wrong[3] += 1.0;
        assert_eq!(
            swapped(
                &[ranked("boxes", &[1, 3, 3], &original, &wrong, true)],
                0,
                0
            ),
            None
        );
    }

    #[test]
    fn rows_may_lie_behind_their_channels() {
        // Three boxes as [1, 3, 4]: two coordinates and the score, which the last two share.
        let original = [
            1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0, 0.9, 0.7, 0.5, 0.5,
        ];
        let fused = [
            1.0, 2.0, 4.0, 3.0, 10.0, 20.0, 40.0, 30.0, 0.9, 0.7, 0.5, 0.5,
        ];
        let found =
            |fused: &[f64]| swapped(&[ranked("boxes", &[1, 3, 4], &original, fused, true)], 0, 0);
        let rows = found(&fused).unwrap();
        assert_eq!((rows.axis, rows.moved), (2, 2));
        assert!(rows.scores.contains("column 2"), "{}", rows.scores);
        // A coordinate that stays behind belongs to another box.
        let mut torn = fused;
        torn.swap(6, 7);
        assert_eq!(found(&torn), None);
        // Rows of other scores.
        let mut wrong = original;
        for channel in 0..3 {
            wrong.swap(channel * 4, channel * 4 + 1);
        }
        assert_eq!(found(&wrong), None);
    }

    #[test]
    fn one_ranking_may_be_in_outputs_of_either_layout() {
        let scores = [0.9, 0.5, 0.5];
        let boxes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let of = |fused_boxes: &[f64], at| {
            let all = [
                ranked("scores", &[1, 3], &scores, &scores, true),
                ranked("labels", &[3], &[4.0, 7.0, 2.0], &[4.0, 2.0, 7.0], false),
                ranked("boxes", &[1, 2, 3], &boxes, fused_boxes, true),
            ];
            swapped(&all, at, 0).is_some()
        };
        let follow = [1.0, 3.0, 2.0, 4.0, 6.0, 5.0];
        assert!(of(&follow, 1) && of(&follow, 2));
        assert!(!of(&boxes, 1), "boxes that stay where they are");
    }

    #[test]
    fn a_suppression_may_keep_others_of_the_same_score() {
        let scores = Chosen::new(
            "what `nms` ranks".to_owned(),
            vec![3],
            (vec![0.9, 0.5, 0.4], vec![0.9, 0.5, 0.4]),
            TOLERANCE,
        );
        let kept = [0.0, 0.0, 5.0, 0.0, 0.0, 2.0, 0.0, 0.0, 8.0];
        let others = [0.0, 0.0, 5.0, 0.0, 0.0, 3.0, 0.0, 0.0, 8.0];
        let indices = || ranked("indices", &[3, 3], &kept, &others, false);
        assert_eq!(swapped(&[indices(), scores.ranked()], 0, 1), None);
        let scores = scores.of_suppression();
        let found = swapped(&[indices(), scores.ranked()], 0, 1).unwrap();
        assert_eq!((found.moved, found.others), (0, 1));
    }
}
