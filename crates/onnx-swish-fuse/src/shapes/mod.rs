//! Shapes as far as a fusion needs them: is the output's shape provably the input's?
//! Given: dimensions from the file and, operator by operator, from `infer`.
//! Promises: `same` is never true for shapes that could differ at run time. "Don't know" is an answer.

pub(crate) mod infer;
mod window;

use std::collections::HashMap;

/// Index of a shape. Two values with the same index have the same shape, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShapeId(u32);

/// One dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dim {
    /// Written in the file or computed.
    Known(i64),
    /// Unknown, but one number: equal symbols are equal sizes.
    Symbol(u32),
}

/// Ranks above this are taken as unknown: no model has them, and hostile files do.
const MAX_RANK: usize = 32;

const UNRANKED: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    rank: u32,
}

/// All shapes of a model. Most values share one with their neighbours.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    entries: Vec<Entry>,
    dims: Vec<Dim>,
    /// Names by the function they stand in: another function's `N` is another number.
    names: HashMap<(Option<u32>, Vec<u8>), u32>,
    symbols: u32,
    /// For each symbol, whether the file has a name for it.
    named: Vec<bool>,
}

impl Shapes {
    /// A shape of which nothing is known but that it is itself.
    pub(crate) fn opaque(&mut self) -> ShapeId {
        self.push(Entry {
            start: 0,
            rank: UNRANKED,
        })
    }

    /// The shape of values that nobody has looked at: equal to nothing, not even by index.
    pub(crate) fn nothing(&self) -> ShapeId {
        ShapeId(u32::MAX)
    }

    /// A shape with these dimensions.
    pub(crate) fn ranked(&mut self, dims: &[Dim]) -> ShapeId {
        if dims.len() > MAX_RANK {
            return self.opaque();
        }
        let start = self.dims.len() as u32;
        self.dims.extend_from_slice(dims);
        self.push(Entry {
            start,
            rank: dims.len() as u32,
        })
    }

    fn push(&mut self, entry: Entry) -> ShapeId {
        let id = ShapeId(self.entries.len() as u32);
        self.entries.push(entry);
        id
    }

    /// A size that nothing else is known to equal.
    pub(crate) fn fresh(&mut self) -> Dim {
        self.named.push(false);
        self.symbols += 1;
        Dim::Symbol(self.symbols - 1)
    }

    /// The size that `name` (a `dim_param`) stands for in a function, or in the model's graph and all graphs inside.
    pub(crate) fn named(&mut self, function: Option<u32>, name: &[u8]) -> Dim {
        let key = (function, name.to_vec());
        if let Some(&symbol) = self.names.get(&key) {
            return Dim::Symbol(symbol);
        }
        let symbol = self.symbols;
        self.named.push(true);
        self.symbols += 1;
        self.names.insert(key, symbol);
        Dim::Symbol(symbol)
    }

    /// The dimensions, if at least their number is known.
    pub(crate) fn dims(&self, shape: ShapeId) -> Option<&[Dim]> {
        let entry = self.entries.get(shape.0 as usize)?;
        if entry.rank == UNRANKED {
            return None;
        }
        self.dims
            .get(entry.start as usize..)?
            .get(..entry.rank as usize)
    }

    /// Number of dimensions, if known.
    pub(crate) fn rank(&self, shape: ShapeId) -> Option<usize> {
        self.dims(shape).map(<[Dim]>::len)
    }

    /// Whether two shapes are provably equal.
    pub(crate) fn same(&self, a: ShapeId, b: ShapeId) -> bool {
        (a == b && a != self.nothing())
            || match (self.dims(a), self.dims(b)) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            }
    }

    /// Whether every size is written or computed, so that nothing can be learned any more.
    pub(crate) fn is_fully_known(&self, shape: ShapeId) -> bool {
        self.dims(shape)
            .is_some_and(|dims| dims.iter().all(|dim| matches!(dim, Dim::Known(_))))
    }

    /// The shape of an element-wise operator's output, by numpy's rule.
    pub(crate) fn broadcast(&mut self, a: ShapeId, b: ShapeId) -> ShapeId {
        if self.same(a, b) || self.rank(b) == Some(0) {
            return a;
        }
        if self.rank(a) == Some(0) {
            return b;
        }
        let (Some(left), Some(right)) = (self.dims(a), self.dims(b)) else {
            return self.opaque();
        };
        let rank = left.len().max(right.len());
        let mut dims = Vec::with_capacity(rank);
        for i in 0..rank {
            // Aligned at the last dimension; a missing one counts as 1.
            let at = |dims: &[Dim]| {
                (i + dims.len())
                    .checked_sub(rank)
                    .and_then(|i| dims.get(i))
                    .copied()
                    .unwrap_or(Dim::Known(1))
            };
            dims.push(match (at(left), at(right)) {
                (l, r) if l == r => Some(l),
                (Dim::Known(1), d) | (d, Dim::Known(1)) => Some(d),
                (Dim::Known(n), _) | (_, Dim::Known(n)) => Some(Dim::Known(n)),
                _ => None,
            });
        }
        if dims
            .iter()
            .eq(left.iter().map(|&d| Some(d)).collect::<Vec<_>>().iter())
        {
            return a;
        }
        if dims
            .iter()
            .eq(right.iter().map(|&d| Some(d)).collect::<Vec<_>>().iter())
        {
            return b;
        }
        let dims: Vec<Dim> = dims
            .into_iter()
            .map(|dim| dim.unwrap_or_else(|| self.fresh()))
            .collect();
        self.ranked(&dims)
    }

    /// What two true statements about one shape say together. Where they disagree, the inferred one stands.
    pub(crate) fn merge(&mut self, inferred: ShapeId, declared: ShapeId) -> ShapeId {
        let (Some(mine), Some(theirs)) = (self.dims(inferred), self.dims(declared)) else {
            // What is said of one value holds for all that share its shape: it stays one shape.
            if self.dims(inferred).is_none() {
                let known = self.entries.get(declared.0 as usize).copied();
                let Some((known, entry)) = known.zip(self.entries.get_mut(inferred.0 as usize))
                else {
                    return declared;
                };
                *entry = known;
            }
            return inferred;
        };
        if mine.len() != theirs.len() {
            return inferred;
        }
        let named = |dim: &Dim| match dim {
            Dim::Known(_) => true,
            Dim::Symbol(symbol) => self.named.get(*symbol as usize).copied().unwrap_or(false),
        };
        let merged: Vec<Dim> = mine
            .iter()
            .zip(theirs)
            .map(|(mine, theirs)| match (mine, theirs) {
                (Dim::Known(_), _) => *mine,
                (_, Dim::Known(_)) => *theirs,
                _ if named(mine) || !named(theirs) => *mine,
                _ => *theirs,
            })
            .collect();
        if merged == mine {
            return inferred;
        }
        self.ranked(&merged)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dim, Shapes};

    #[test]
    fn a_scalar_never_changes_a_shape() {
        let mut shapes = Shapes::default();
        let (x, scalar) = (shapes.opaque(), shapes.ranked(&[]));
        let y = shapes.broadcast(x, scalar);
        assert!(shapes.same(x, y));
        let y = shapes.broadcast(scalar, x);
        assert!(shapes.same(x, y));
    }

    #[test]
    fn what_a_file_says_of_one_value_holds_for_all_of_its_shape() {
        let mut shapes = Shapes::default();
        let (x, two) = (shapes.opaque(), shapes.ranked(&[Dim::Known(2)]));
        let y = shapes.merge(x, two);
        assert!(shapes.same(x, y) && shapes.same(y, two));
        let unseen = shapes.nothing();
        assert!(shapes.merge(unseen, two) == two);
    }

    #[test]
    fn one_element_changes_a_scalar_and_so_proves_nothing_without_a_rank() {
        let mut shapes = Shapes::default();
        let (x, one) = (shapes.opaque(), shapes.ranked(&[Dim::Known(1)]));
        let y = shapes.broadcast(x, one);
        assert!(!shapes.same(x, y));
        let n = shapes.fresh();
        let x = shapes.ranked(&[n]);
        let y = shapes.broadcast(x, one);
        assert!(shapes.same(x, y));
    }

    #[test]
    fn channels_must_be_known_or_equal() {
        let mut shapes = Shapes::default();
        let (n, c, h) = (
            shapes.named(None, b"n"),
            shapes.named(None, b"c"),
            shapes.fresh(),
        );
        let one = Dim::Known(1);
        let x = shapes.ranked(&[n, c, h, h]);
        let beta = shapes.ranked(&[one, Dim::Known(8), one, one]);
        let y = shapes.broadcast(x, beta);
        assert!(!shapes.same(x, y), "c may be 1");
        let c = shapes.named(None, b"c");
        let beta = shapes.ranked(&[one, c, one, one]);
        let y = shapes.broadcast(beta, x);
        assert!(shapes.same(x, y));
    }
}
