//! Permutations of dimensions, as Transpose writes them.
//! Given: a Transpose node.
//! Promises: what two of them do one after the other, also where one reverses however many dimensions there are.

use crate::graph::{Attribute, Graph, Node};

/// Which dimension comes first, second and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Permutation {
    /// As they were.
    Identity,
    /// The last one first: what Transpose does when nothing is written.
    Reversed,
    /// These; never in their own order.
    Axes(Vec<i64>),
}

impl Permutation {
    /// The permutation of a Transpose; nothing if it cannot be known, or is none.
    pub(crate) fn of(graph: &Graph<'_>, node: Node) -> Option<Self> {
        match graph.ints(node, b"perm") {
            Attribute::Absent => Some(Self::Reversed),
            Attribute::Is(axes) => Self::listed(axes),
            Attribute::Unknown => None,
        }
    }

    /// Each axis once.
    fn listed(axes: Vec<i64>) -> Option<Self> {
        let count = axes.len() as i64;
        if !(0..count).all(|axis| axes.contains(&axis)) {
            return None;
        }
        let in_order = (0..).zip(&axes).all(|(at, &axis)| at == axis);
        Some(if in_order {
            Self::Identity
        } else {
            Self::Axes(axes)
        })
    }

    pub(crate) fn is_identity(&self) -> bool {
        *self == Self::Identity
    }

    /// `second` of what this one has permuted; nothing if they do not fit together.
    pub(crate) fn then(&self, second: &Self) -> Option<Self> {
        match (self, second) {
            (Self::Identity, other) | (other, Self::Identity) => Some(other.clone()),
            (Self::Reversed, Self::Reversed) => Some(Self::Identity),
            (Self::Axes(first), Self::Reversed) => {
                Self::listed(first.iter().rev().copied().collect())
            }
            (Self::Reversed, Self::Axes(second)) => {
                let last = second.len() as i64 - 1;
                Self::listed(second.iter().map(|&axis| last - axis).collect())
            }
            (Self::Axes(first), Self::Axes(second)) if first.len() == second.len() => {
                let at = |&axis: &i64| first.get(usize::try_from(axis).ok()?).copied();
                Self::listed(second.iter().map(at).collect::<Option<_>>()?)
            }
            (Self::Axes(_), Self::Axes(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Permutation;

    fn axes(axes: &[i64]) -> Permutation {
        Permutation::listed(axes.to_vec()).expect("a permutation")
    }

    #[test]
    fn there_and_back_is_nothing() {
        let (there, back) = (axes(&[0, 2, 3, 1]), axes(&[0, 3, 1, 2]));
        assert_eq!(there.then(&back), Some(Permutation::Identity));
        assert_eq!(there.then(&there), Some(axes(&[0, 3, 1, 2])));
        assert_eq!(
            Permutation::Reversed.then(&axes(&[2, 1, 0])),
            Some(Permutation::Identity)
        );
        assert_eq!(
            axes(&[1, 0, 2]).then(&Permutation::Reversed),
            Some(axes(&[2, 0, 1]))
        );
        assert_eq!(
            Permutation::Reversed.then(&axes(&[1, 0, 2])),
            Some(axes(&[1, 2, 0]))
        );
        assert_eq!(
            Permutation::Reversed.then(&Permutation::Reversed),
            Some(Permutation::Identity)
        );
    }

    #[test]
    fn what_is_none_is_not_taken_for_one() {
        assert_eq!(Permutation::listed(vec![0, 0]), None);
        assert_eq!(Permutation::listed(vec![1, 2]), None);
        assert_eq!(axes(&[1, 0]).then(&axes(&[0, 2, 1])), None);
    }
}
