//! Where the K of a TopK cuts through nearly equal scores, or one of two boxes of nearly equal score suppresses the other, so that two
//! correct runs keep different ones of them.
//!
//! Given both models and the sets of outputs that differ behind a ranking; promises that rows are excused only where what one side keeps
//! is, by the scores of the other side, nearly as good as the last that the other side keeps, and the fused model makes of those rows what
//! the reference makes of them. A wrong index stays a difference, and is named.

use super::OutputComparison;
use super::choice::{self, Choice};
use super::judge::{Judge, Judged};
use super::origin::{Ranking, Ranks};
use super::rows::Chosen;
use super::suppressions;
use super::tolerance::{Tolerance, distance};
use super::values::{Both, Models};
use crate::error::Result;
use crate::{ElementType, NamedTensors, Outputs, Tensor};

/// What the rankings of a model did on one set of inputs.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// How many rows one side keeps and the other does not, where nearly equal scores explain all of them, and else none.
    pub others: usize,
    /// What each ranking kept, which is what its rows are in the order of.
    pub chosen: Vec<Chosen>,
    /// What each ranking kept in the reference.
    pub choices: Vec<Choice>,
    /// A sentence for each ranking that keeps what it should not.
    pub wrong: Vec<String>,
    /// A sentence for each ranking that cuts through a tie, of which the reference does not say what it keeps.
    pub unknown: Vec<String>,
}

/// Judges the sets again whose outputs differ behind a ranking, and returns what to say of it.
pub(super) fn settle(
    models: &Models<'_>,
    rankings: &[Ranking],
    judge: &Judge<'_>,
    judged: &mut [Judged],
) -> Result<Vec<String>> {
    let names: Vec<&str> = rankings
        .iter()
        .flat_map(|ranking| [ranking.data.as_str(), ranking.indices.as_str()])
        .collect();
    let mut both = Both::load(models, &names)?;
    let mut said = Vec::new();
    for (set, (inputs, judged)) in models.inputs.iter().zip(judged).enumerate() {
        let Some((expected, found)) = &judged.unsettled else {
            continue;
        };
        let (all_expected, all_found) = both.run(set, inputs)?;
        let looked_at = Looked {
            expected: &all_expected,
            found: &all_found,
            inputs,
        };
        let cuts = Cuts::of(rankings, &looked_at, judge);
        judged.outputs = judge.compare(expected, found, set, &cuts)?;
        let has_others = |it: &OutputComparison| it.rows.as_ref().is_some_and(|it| it.others > 0);
        if judged.outputs.iter().any(has_others) {
            let chosen = choice::outputs(models, rankings, &cuts.choices, inputs);
            // What cannot be compared is said to be compared with nothing.
            if let Ok(Some(chosen)) = chosen {
                let again = judge.compare(expected, &chosen, set, &Cuts::default())?;
                let mut others = judged.outputs.iter_mut().filter(|it| has_others(it));
                others.by_ref().for_each(|it| it.settle_others(&again));
            }
        }
        said.extend(cuts.wrong);
        if judged.outputs.iter().any(|it| !it.equal) {
            said.extend(cuts.unknown);
        }
    }
    said.dedup();
    Ok(said)
}

/// The values of both sides.
pub(super) struct Looked<'a> {
    pub expected: &'a NamedTensors,
    pub found: &'a Outputs,
    pub inputs: &'a NamedTensors,
}

impl Looked<'_> {
    pub fn of<'t>(tensors: &'t NamedTensors, name: &str) -> Option<&'t Tensor> {
        let found = tensors.iter().find(|(own, _)| own == name);
        found.map(|(_, tensor)| tensor)
    }

    /// What the reference keeps, and whether it says so. Known outputs may be without it: then what the fused model keeps, of which the
    /// others have nothing to say but the order.
    pub fn kept<'t>(&'t self, name: &str, own: &'t Tensor) -> (&'t Tensor, bool) {
        match Self::of(self.expected, name) {
            Some(indices) => (indices, true),
            None => (own, false),
        }
    }

    /// A value of each side. Known outputs have no values before them: the scores are then the fused model's on both sides.
    pub fn scores(&self, name: &str) -> Option<(&Tensor, &Tensor)> {
        if let Some(input) = Self::of(self.inputs, name) {
            return Some((input, input));
        }
        let found = self.found.get(name).ok()?;
        Some((Self::of(self.expected, name).unwrap_or(found), found))
    }
}

impl Cuts {
    fn of(rankings: &[Ranking], looked_at: &Looked<'_>, judge: &Judge<'_>) -> Cuts {
        let mut cuts = Cuts::default();
        let mut explained = true;
        for ranking in rankings {
            let kept = match ranking.kind {
                Ranks::TopK { axis, largest } => kept(ranking, (axis, largest), looked_at, judge),
                Ranks::NonMaxSuppression => suppressions::kept(ranking, looked_at, judge),
            };
            match kept {
                Some(Ok(kept)) => {
                    cuts.others += kept.others;
                    cuts.chosen.push(kept.chosen);
                    cuts.choices.extend(kept.choice);
                    cuts.unknown.extend(kept.unknown);
                }
                Some(Err(wrong)) => {
                    cuts.wrong.push(wrong);
                    explained = false;
                }
                None => explained = false,
            }
        }
        if !explained {
            cuts.others = 0;
        }
        cuts
    }
}

/// One ranking's scores and indices on one side.
struct Side {
    scores: Vec<f64>,
    indices: Vec<usize>,
}

impl Side {
    /// `None` where an index lies outside.
    fn of(scores: &Tensor, indices: &Tensor, rows: usize) -> Option<Side> {
        let indices = indices.to_f64()?.into_iter();
        // Indices count from the end below zero, nowhere in a TopK: what is no row is wrong.
        let inside = |index: f64| (index >= 0.0 && index < rows as f64).then_some(index as usize);
        Some(Side {
            scores: scores.to_f64()?,
            indices: indices.map(inside).collect::<Option<Vec<_>>>()?,
        })
    }
}

impl Side {
    /// The largest magnitude of a score, which the tolerance goes by.
    fn largest(&self) -> f64 {
        let finite = self.scores.iter().filter(|score| score.is_finite());
        finite.fold(0.0, |most: f64, score| most.max(score.abs()))
    }
}

/// What a ranking kept.
pub(super) struct Kept {
    /// How many rows on one side that the other does not keep.
    pub others: usize,
    pub chosen: Chosen,
    pub choice: Option<Choice>,
    /// What to say if outputs differ, where only the fused model's rows are known.
    pub unknown: Option<String>,
}

/// What a ranking kept, or a sentence that says what it should not have kept. `None` where its values cannot be had.
fn kept(
    ranking: &Ranking,
    (axis, largest): (i64, bool),
    looked_at: &Looked<'_>,
    judge: &Judge<'_>,
) -> Option<Result<Kept, String>> {
    let (expected, found) = looked_at.scores(&ranking.data)?;
    let own_indices = looked_at.found.get(&ranking.indices).ok()?;
    let (indices, is_known) = looked_at.kept(&ranking.indices, own_indices);
    let shape = found.shape();
    if expected.shape() != shape || indices.shape() != own_indices.shape() {
        return None;
    }
    let axis = usize::try_from(match axis {
        axis if axis < 0 => axis + i64::try_from(shape.len()).ok()?,
        axis => axis,
    })
    .ok()?;
    let (rows, few) = (*shape.get(axis)?, *indices.shape().get(axis)?);
    let inner: usize = shape.get(axis + 1..)?.iter().product();
    let reference = Side::of(expected, indices, rows)?;
    let own = Side::of(found, own_indices, rows)?;
    let tolerance = (judge.tolerance)(found.element_type());
    let lists = Lists {
        rows,
        few,
        inner,
        largest,
        tolerance,
    };
    let others = match lists.others(ranking, &reference, &own) {
        Ok(others) => others,
        Err(wrong) => return Some(Err(wrong)),
    };
    let chosen = Chosen::new(
        format!("what `{}` ranks", ranking.node),
        indices.shape().to_vec(),
        (lists.chosen(&reference), lists.chosen(&own)),
        tolerance,
    );
    let unknown = (!is_known && lists.cuts_through_a_tie(&own)).then(|| {
        format!(
            "node `{}` keeps {few} of {rows}, and scores tie where it cuts: the reference may keep others, which nobody can tell \
             without its indices, `{}`; make that an output of the reference too",
            ranking.node, ranking.indices
        )
    });
    let choice = (is_known && found.element_type() == ElementType::F32).then(|| Choice {
        indices: ranking.indices.clone(),
        shape: indices.shape().to_vec(),
        scores: Some(lists.chosen(&reference)),
        rows: reference.indices,
    });
    Some(Ok(Kept {
        others,
        chosen,
        choice,
        unknown,
    }))
}

/// How the lists that are ranked lie in a tensor.
struct Lists {
    rows: usize,
    few: usize,
    inner: usize,
    /// Whether the largest are kept, not the smallest.
    largest: bool,
    tolerance: Tolerance,
}

impl Lists {
    /// Where the row of the kept element at `position` stands in the scores.
    fn position(&self, position: usize, index: usize) -> usize {
        let kept = self.few.max(1) * self.inner.max(1);
        let (list, inner) = (position / kept, position % self.inner.max(1));
        (list * self.rows + index) * self.inner + inner
    }

    /// The score of each kept element.
    fn chosen(&self, side: &Side) -> Vec<f64> {
        let score = |(at, &index): (usize, &usize)| {
            let score = side.scores.get(self.position(at, index));
            score.copied().unwrap_or(f64::NAN)
        };
        side.indices.iter().enumerate().map(score).collect()
    }

    /// How many elements the reference keeps and the fused model does not.
    fn others(&self, ranking: &Ranking, reference: &Side, own: &Side) -> Result<usize, String> {
        let (by_reference, by_fused) = ("the reference", "the fused model");
        self.all_differ(ranking, (by_reference, reference))?;
        self.all_differ(ranking, (by_fused, own))?;
        let others = self.not_in(ranking, (by_reference, reference), (by_fused, own))?;
        self.not_in(ranking, (by_fused, own), (by_reference, reference))?;
        Ok(others)
    }

    /// A ranking keeps no element twice.
    fn all_differ(&self, ranking: &Ranking, (who, side): (&str, &Side)) -> Result<(), String> {
        let mut seen = std::collections::HashSet::new();
        let twice = self
            .positions(side)
            .zip(&side.indices)
            .find(|(position, _)| !seen.insert(*position));
        match twice {
            Some((_, index)) => Err(format!(
                "node `{}` keeps index {index} twice in {who}",
                ranking.node
            )),
            None => Ok(()),
        }
    }

    /// How many `other` keeps that `side` does not, each nearly as good as the last that `side` keeps, by the scores of `side`.
    fn not_in(
        &self,
        ranking: &Ranking,
        (who, side): (&str, &Side),
        (other_who, other): (&str, &Side),
    ) -> Result<usize, String> {
        let largest = side.largest();
        let kept: std::collections::HashSet<usize> = self.positions(side).collect();
        let cuts = self.cuts(side);
        let mut not_in = 0;
        for (at, position) in self.positions(other).enumerate() {
            if kept.contains(&position) {
                continue;
            }
            not_in += 1;
            let cut = cuts.get(self.list(at)).copied().unwrap_or(f64::NAN);
            let score = side.scores.get(position).copied().unwrap_or(f64::NAN);
            let near = distance(score, cut) <= self.tolerance.allowed(cut, largest);
            if near {
                continue;
            }
            let index = other.indices.get(at).copied().unwrap_or_default();
            let node = &ranking.node;
            let better = if self.largest {
                score > cut
            } else {
                score < cut
            };
            return Err(if better {
                format!(
                    "node `{node}` leaves out index {index} in {who}, whose score {score:.6e} is better than the last that is kept there, {cut:.6e}"
                )
            } else {
                format!(
                    "node `{node}` keeps index {index} in {other_who}, whose score {score:.6e} is worse than the last that belongs there, {cut:.6e}"
                )
            });
        }
        Ok(not_in)
    }

    /// Whether a list leaves out an element that is nearly as good as the last that it keeps.
    fn cuts_through_a_tie(&self, side: &Side) -> bool {
        let kept: std::collections::HashSet<usize> = self.positions(side).collect();
        let largest = side.largest();
        let cuts = self.cuts(side);
        let inner = self.inner.max(1);
        let mut left = side
            .scores
            .iter()
            .enumerate()
            .filter(|(at, _)| !kept.contains(at));
        left.any(|(at, &score)| {
            let list = at / (self.rows.max(1) * inner) * inner + at % inner;
            cuts.get(list)
                .is_some_and(|&cut| distance(score, cut) <= self.tolerance.allowed(cut, largest))
        })
    }

    /// The list that the kept element at `position` is in.
    fn list(&self, position: usize) -> usize {
        let inner = self.inner.max(1);
        position / (self.few.max(1) * inner) * inner + position % inner
    }

    /// The worst score that each list keeps; they need not be sorted.
    fn cuts(&self, side: &Side) -> Vec<f64> {
        let mut cuts: Vec<f64> = Vec::new();
        for (at, score) in self.chosen(side).into_iter().enumerate() {
            let list = self.list(at);
            match cuts.get_mut(list) {
                Some(cut) if self.largest => *cut = cut.min(score),
                Some(cut) => *cut = cut.max(score),
                // Lists begin one after the other.
                None => cuts.push(score),
            }
        }
        cuts
    }

    fn positions<'s>(&'s self, side: &'s Side) -> impl Iterator<Item = usize> + 's {
        let indices = side.indices.iter().enumerate();
        indices.map(|(at, &index)| self.position(at, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Model, Reference, VerifyOptions, VerifyReport, verify};
    use onnx_swish_model::DataType;
    use onnx_swish_model::schema::tensor_shape_proto::dimension::Value;
    use onnx_swish_model::schema::{
        GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
        TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
    };
    use prost::Message as _;

    const TOLERANCE: Tolerance = Tolerance {
        rtol: 1e-3,
        atol: 1e-4,
        floor: 1e-6,
    };

    fn others(
        (rows, few, inner): (usize, usize, usize),
        scores: [&[f64]; 2],
        indices: [&[usize]; 2],
    ) -> Result<usize, String> {
        let ranking = Ranking {
            node: "top".to_owned(),
            data: "d".to_owned(),
            indices: "i".to_owned(),
            kind: Ranks::TopK {
                axis: -1,
                largest: true,
            },
        };
        let lists = Lists {
            rows,
            few,
            inner,
            largest: true,
            tolerance: TOLERANCE,
        };
        let [reference, own] = [0, 1].map(|side: usize| Side {
            scores: scores[side].to_vec(),
            indices: indices[side].to_vec(),
        });
        lists.others(&ranking, &reference, &own)
    }

    #[test]
    fn a_cut_through_equal_scores_may_keep_others() {
        let scores: &[f64] = &[0.9, 0.5, 0.5, 0.5, 0.1];
        assert_eq!(
            others((5, 3, 1), [scores; 2], [&[0, 1, 2], &[0, 3, 1]]),
            Ok(1)
        );
        let nearly: &[f64] = &[0.9, 0.5, 0.500_001, 0.5, 0.1];
        assert_eq!(
            others((5, 2, 1), [scores, nearly], [&[0, 1], &[0, 2]]),
            Ok(1)
        );
    }

    #[test]
    fn an_index_of_another_score_is_named() {
        let scores: &[f64] = &[0.9, 0.5, 0.5, 0.5, 0.1];
        let wrong = others((5, 3, 1), [scores; 2], [&[0, 1, 2], &[0, 1, 4]]).unwrap_err();
        assert!(
            wrong.contains("index 4") && wrong.contains("worse"),
            "{wrong}"
        );
        // The reference may be the one that is wrong.
        let wrong = others((5, 3, 1), [scores; 2], [&[1, 2, 3], &[0, 1, 2]]).unwrap_err();
        assert!(
            wrong.contains("index 0") && wrong.contains("better"),
            "{wrong}"
        );
    }

    #[test]
    fn an_index_that_is_kept_twice_is_named() {
        let scores: &[f64] = &[0.9, 0.5, 0.5, 0.5, 0.1];
        for kept in [[[0, 1, 1], [0, 1, 2]], [[0, 1, 2], [0, 1, 1]]] {
            let indices = [kept[0].as_slice(), kept[1].as_slice()];
            let wrong = others((5, 3, 1), [scores; 2], indices).unwrap_err();
            assert!(wrong.contains("index 1 twice"), "{wrong}");
        }
    }

    #[test]
    fn lists_lie_along_any_axis() {
        // Three rows of two lists, which lie side by side.
        let scores: &[f64] = &[0.9, 0.1, 0.5, 0.7, 0.5, 0.7];
        assert_eq!(
            others((3, 2, 2), [scores; 2], [&[0, 1, 1, 2], &[0, 2, 2, 1]]),
            Ok(1)
        );
        let wrong = others((3, 2, 2), [scores; 2], [&[0, 1, 1, 2], &[0, 2, 2, 0]]);
        assert!(wrong.unwrap_err().contains("index 0"));
    }

    /// A TopK of 2 of the four values of x, and `v`, `i` as somebody else's outputs.
    fn compared_with(x: [f32; 4], v: [f32; 2], i: [i64; 2]) -> VerifyReport {
        let node = NodeProto {
            op_type: Some("TopK".into()),
            name: Some("top".into()),
            input: vec!["x".into(), "k".into()],
            output: vec!["v".into(), "i".into()],
            ..NodeProto::default()
        };
        let k = TensorProto {
            name: Some("k".into()),
            data_type: Some(DataType::Int64 as i32),
            dims: vec![1],
            int64_data: vec![2],
            ..TensorProto::default()
        };
        let value = |name: &'static str, element_type: DataType, size| ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                    elem_type: Some(element_type as i32),
                    shape: Some(TensorShapeProto {
                        dim: vec![tensor_shape_proto::Dimension {
                            value: Some(Value::DimValue(size)),
                            ..Default::default()
                        }],
                    }),
                })),
                ..TypeProto::default()
            }),
            ..ValueInfoProto::default()
        };
        let graph = GraphProto {
            name: Some("g".into()),
            node: vec![node],
            initializer: vec![k],
            input: vec![value("x", DataType::Float, 4)],
            output: vec![
                value("v", DataType::Float, 2),
                value("i", DataType::Int64, 2),
            ],
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto {
                version: Some(13),
                ..OperatorSetIdProto::default()
            }],
            graph: Some(graph),
            ..ModelProto::default()
        };
        let model = Model::from_bytes(model.encode_to_vec()).unwrap();
        let expected = vec![
            ("v".to_owned(), ndarray::arr1(&v).into()),
            ("i".to_owned(), ndarray::arr1(&i).into()),
        ];
        let options = VerifyOptions {
            reference: Reference::Expected(vec![expected]),
            inputs: vec![vec![("x".to_owned(), ndarray::arr1(&x).into())]],
            ..VerifyOptions::default()
        };
        verify(&model, None, &options, |_| ()).unwrap()
    }

    #[test]
    fn a_top_k_that_cuts_through_a_tie_is_equal_as_a_set() {
        // One of the three halves is the second; which, nobody says.
        for second in [0, 2, 3] {
            let report = compared_with([0.5, 0.9, 0.5, 0.5], [0.9, 0.5], [1, second]);
            assert!(report.equal, "{second}: {:#?}", report.outputs);
        }
        let others = |second| {
            let report = compared_with([0.5, 0.9, 0.5, 0.5], [0.9, 0.5], [1, second]);
            let rows = report.outputs.into_iter().find_map(|output| output.rows);
            rows.map_or(0, |rows| rows.others)
        };
        assert_eq!([0, 2, 3].map(others).into_iter().sum::<usize>(), 2);
    }

    #[test]
    fn a_wrong_index_behind_a_top_k_is_different_and_named() {
        let report = compared_with([0.5, 0.9, 0.5, 0.1], [0.9, 0.5], [1, 3]);
        assert!(!report.equal);
        let named = |it: &String| {
            it.contains("`top` leaves out index 0 in the reference") && it.contains("better")
        };
        assert!(report.warnings.iter().any(named), "{:#?}", report.warnings);
    }
}
