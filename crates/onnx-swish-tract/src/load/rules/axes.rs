//! Axes that a node names, by an attribute or an input: there must be such an axis.
//!
//! Given what is known of the ranks; promises an error that names node, axis and rank.

use tract_onnx::pb::NodeProto;

use super::{Known, Node, listed};
use crate::error::Error;

/// Which numbers name an axis of a tensor of `r` axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// From `-r` to `r - 1`.
    Existing,
    /// Existing ones, each once.
    Distinct,
    /// From `-r` to `r`: a place between axes, or at either end.
    Gap,
    /// An axis of what comes out, which has as many more as are named, each once.
    Inserted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    By(&'static str),
    /// The input of this number.
    In(usize),
}

/// Axes that a node names, of its first input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axes {
    named: Named,
    span: Span,
}

const REDUCE: [&str; 10] = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
];

const BY_AXIS: [&str; 17] = [
    "ArgMax",
    "ArgMin",
    "Compress",
    "Concat",
    "Gather",
    "GatherElements",
    "Hardmax",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "QLinearSoftmax",
    "RMSNormalization",
    "Scatter",
    "ScatterElements",
    "Softmax",
    "Split",
    "TopK",
];

const TABLE: &[(&[&str], Named, Span)] = &[
    (&BY_AXIS, Named::By("axis"), Span::Existing),
    (&["Flatten"], Named::By("axis"), Span::Gap),
    (&["OneHot"], Named::By("axis"), Span::Inserted),
    (&REDUCE, Named::By("axes"), Span::Distinct),
    (&REDUCE, Named::In(1), Span::Distinct),
    (
        &["MeanVarianceNormalization", "Resize", "Slice", "Squeeze"],
        Named::By("axes"),
        Span::Existing,
    ),
    (&["CumSum", "Squeeze"], Named::In(1), Span::Existing),
    (&["DFT"], Named::In(2), Span::Existing),
    (&["Pad", "Slice"], Named::In(3), Span::Existing),
    (&["Unsqueeze"], Named::By("axes"), Span::Inserted),
    (&["Unsqueeze"], Named::In(1), Span::Inserted),
];

pub(super) fn of(node: &NodeProto) -> Vec<Axes> {
    let own = TABLE
        .iter()
        .filter(|(operators, ..)| operators.contains(&node.op_type.as_str()));
    own.map(|(_, named, span)| Axes {
        named: *named,
        span: *span,
    })
    .collect()
}

pub(super) fn check(node: &Node, known: &Known<'_>) -> Result<(), Error> {
    for axes in &node.axes {
        let named = match axes.named {
            Named::By(attribute) => node.attribute(attribute).map(<[i64]>::to_vec),
            Named::In(slot) => known.integers(slot),
        };
        let (Some(named), Some(rank)) = (named, known.rank(0)) else {
            continue;
        };
        if let Some(rule) = broken(axes.span, &named, rank) {
            let value = listed(&named);
            return Err(match axes.named {
                Named::By(attribute) => Error::Attribute {
                    node: node.name.clone(),
                    operator: node.operator.clone(),
                    attribute,
                    value,
                    rule: format!("{rule}, because `{}` has {rank} axes", node.input_name(0)),
                },
                Named::In(slot) => node.mismatch(format!(
                    "`{}` names the axes {value}, which must be {rule}, because `{}` has {rank} axes",
                    node.input_name(slot),
                    node.input_name(0)
                )),
            });
        }
    }
    Ok(())
}

/// The rule that these axes of a tensor of so many axes break.
fn broken(span: Span, named: &[i64], rank: usize) -> Option<String> {
    let size = i64::try_from(rank).ok()?;
    let (low, high, once) = match span {
        // Of a scalar ONNX Runtime takes both.
        Span::Existing if size == 0 => (-1, 0, false),
        Span::Distinct if size == 0 => (-1, 0, false),
        Span::Existing => (-size, size - 1, false),
        Span::Distinct => (-size, size - 1, true),
        Span::Gap => (-size, size, false),
        Span::Inserted => {
            let size = size.checked_add(i64::try_from(named.len()).ok()?)?;
            (-size, size - 1, true)
        }
    };
    if named.iter().any(|axis| !(low..=high).contains(axis)) {
        return Some(format!("from {low} to {high}"));
    }
    let mut from_front: Vec<i64> = named
        .iter()
        .map(|axis| if *axis < 0 { axis + high + 1 } else { *axis })
        .collect();
    from_front.sort_unstable();
    let twice = from_front.windows(2).any(|pair| pair[0] == pair[1]);
    (once && twice).then(|| "another axis each".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_counted_from_either_end() {
        for (span, named, rank, kept) in [
            (Span::Existing, &[-2, 1][..], 2, true),
            (Span::Existing, &[2], 2, false),
            (Span::Existing, &[-3], 2, false),
            (Span::Existing, &[i64::MIN], 2, false),
            (Span::Existing, &[0], 0, true),
            (Span::Existing, &[1, -1], 2, true),
            (Span::Distinct, &[1, -1], 2, false),
            (Span::Distinct, &[0, 1], 2, true),
            (Span::Gap, &[2], 2, true),
            (Span::Gap, &[3], 2, false),
            (Span::Inserted, &[0, 3], 2, true),
            (Span::Inserted, &[0, 4], 2, false),
            (Span::Inserted, &[0, 0], 2, false),
            (Span::Inserted, &[0, -4], 2, false),
        ] {
            assert_eq!(
                broken(span, named, rank).is_none(),
                kept,
                "{span:?} {named:?}"
            );
        }
    }
}
