//! What a NonMaxSuppression keeps on both sides.
//!
//! Given its scores and the boxes that it keeps; promises that other boxes are excused only where the other side keeps one of the same
//! class and of nearly the same score in their place: of two that tie, either may suppress the other. Anything else is named.

use std::collections::HashSet;

use super::choice::Choice;
use super::cuts::{Kept, Looked};
use super::judge::Judge;
use super::origin::Ranking;
use super::rows::Chosen;
use super::tolerance::{Tolerance, distance};
use crate::Tensor;

/// The numbers that say which box is kept: batch, class, box.
const NUMBERS: usize = 3;

/// A box that is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Survivor {
    /// Batch and class.
    list: usize,
    /// Where its score stands.
    position: usize,
    score: f64,
}

/// The boxes that one side keeps; `None` where there is no such box.
fn boxes(scores: &Tensor, indices: &Tensor) -> Option<Vec<Survivor>> {
    let &[batches, classes, count] = scores.shape() else {
        return None;
    };
    let all = scores.to_f64()?;
    let indices = indices.to_f64()?;
    let number = |value: f64, size: usize| {
        let inside = value >= 0.0 && value < size as f64;
        inside.then_some(value as usize)
    };
    let boxes = indices.chunks_exact(NUMBERS).map(|numbers| {
        let &[batch, class, own] = numbers else {
            return None;
        };
        let list = number(batch, batches)? * classes + number(class, classes)?;
        let position = list * count + number(own, count)?;
        Some(Survivor {
            list,
            position,
            score: *all.get(position)?,
        })
    });
    boxes.collect()
}

/// What was kept, or a sentence that says what should not have been. `None` where its values cannot be had.
pub(super) fn kept(
    ranking: &Ranking,
    looked_at: &Looked<'_>,
    judge: &Judge<'_>,
) -> Option<Result<Kept, String>> {
    let (expected, found) = looked_at.scores(&ranking.data)?;
    let own_indices = looked_at.found.get(&ranking.indices).ok()?;
    let (indices, is_known) = looked_at.kept(&ranking.indices, own_indices);
    if expected.shape() != found.shape() || indices.shape() != own_indices.shape() {
        return None;
    }
    let reference = boxes(expected, indices)?;
    let own = boxes(found, own_indices)?;
    let tolerance = (judge.tolerance)(found.element_type());
    let others = match others(&ranking.node, tolerance, &reference, &own) {
        Ok(others) => others,
        Err(wrong) => return Some(Err(wrong)),
    };
    let scores = |boxes: &[Survivor]| boxes.iter().map(|one| one.score).collect();
    let chosen = Chosen::new(
        format!("what `{}` ranks", ranking.node),
        vec![reference.len()],
        (scores(&reference), scores(&own)),
        tolerance,
    );
    let numbers = indices.to_f64()?.into_iter();
    let choice = is_known.then(|| Choice {
        indices: ranking.indices.clone(),
        shape: indices.shape().to_vec(),
        rows: numbers.map(|number| number as usize).collect(),
        scores: None,
    });
    Some(Ok(Kept {
        others,
        chosen: chosen.of_suppression(),
        choice,
        unknown: None,
    }))
}

/// How many boxes the reference keeps and the fused model does not, each of which has another in its place.
fn others(
    node: &str,
    tolerance: Tolerance,
    reference: &[Survivor],
    own: &[Survivor],
) -> Result<usize, String> {
    let positions = |boxes: &[Survivor]| boxes.iter().map(|it| it.position).collect::<HashSet<_>>();
    let largest = reference
        .iter()
        .fold(0.0, |most: f64, it| most.max(it.score.abs()));
    let (in_reference, in_own) = (positions(reference), positions(own));
    for (who, boxes, kept) in [
        ("the reference", reference, &in_reference),
        ("the fused model", own, &in_own),
    ] {
        if kept.len() != boxes.len() {
            return Err(format!("node `{node}` keeps a box twice in {who}"));
        }
    }
    let mut free: Vec<&Survivor> = own
        .iter()
        .filter(|it| !in_reference.contains(&it.position))
        .collect();
    let lone: Vec<&Survivor> = reference
        .iter()
        .filter(|it| !in_own.contains(&it.position))
        .collect();
    for one in &lone {
        let close =
            |it: &Survivor| distance(one.score, it.score) <= tolerance.allowed(one.score, largest);
        let place = free
            .iter()
            .position(|it| it.list == one.list && close(it))
            .ok_or_else(|| {
                format!(
                    "node `{node}` keeps a box of score {:.6e} in the reference, and no other of that class and score in the fused model",
                    one.score
                )
            })?;
        free.swap_remove(place);
    }
    Ok(lone.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ArrayD;

    const TOLERANCE: Tolerance = Tolerance {
        rtol: 1e-3,
        atol: 1e-4,
        floor: 1e-6,
    };

    fn kept_of(indices: &[i64]) -> Vec<Survivor> {
        // Two classes of three boxes.
        let scores = [0.9f32, 0.5, 0.5, 0.8, 0.5, 0.1];
        let scores = ArrayD::from_shape_vec(vec![1, 2, 3], scores.to_vec()).unwrap();
        let shape = vec![indices.len() / NUMBERS, NUMBERS];
        let indices = ArrayD::from_shape_vec(shape, indices.to_vec()).unwrap();
        boxes(&scores.into(), &indices.into()).unwrap()
    }

    #[test]
    fn of_two_boxes_that_tie_either_may_be_kept() {
        let reference = kept_of(&[0, 0, 0, 0, 0, 1, 0, 1, 0]);
        let found = |own: &[i64]| others("nms", TOLERANCE, &reference, &kept_of(own));
        assert_eq!(found(&[0, 0, 0, 0, 0, 1, 0, 1, 0]), Ok(0));
        assert_eq!(found(&[0, 0, 2, 0, 0, 0, 0, 1, 0]), Ok(1));
    }

    #[test]
    fn another_score_or_class_is_named() {
        let reference = kept_of(&[0, 0, 0, 0, 0, 1]);
        let found = |own: &[i64]| others("nms", TOLERANCE, &reference, &kept_of(own));
        for wrong in [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 0]] {
            let said = found(&wrong).unwrap_err();
            assert!(said.contains("`nms`") && said.contains("5.0"), "{said}");
        }
        assert!(found(&[0, 0, 0, 0, 0, 0]).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_box_that_is_none_says_nothing() {
        let scores = ArrayD::from_elem(vec![1, 1, 2], 0.5f32);
        let outside = ArrayD::from_shape_vec(vec![1, 3], vec![0i64, 0, 2]).unwrap();
        assert_eq!(boxes(&scores.into(), &outside.into()), None);
    }
}
