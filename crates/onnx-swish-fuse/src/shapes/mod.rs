//! Shapes as far as a fusion needs them: is the output's shape provably the input's?
//! Given: dimensions from the file and, operator by operator, from `learn`.
//! Promises: `same` is never true for shapes that could differ at run time. "Don't know" is an answer, and so is "at least
//! these dimensions, at the end".

mod terms;

use std::collections::HashMap;

/// Index of a shape. Two values with the same index have the same shape, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ShapeId(u32);

/// One dimension, or an element of a tensor of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Dim {
    /// Written in the file or computed.
    Known(i64),
    /// Unknown, but one number: equal symbols are equal sizes.
    Symbol(u32),
}

/// Ranks above this are taken as unknown: no model has them, and hostile files do.
pub(crate) const MAX_RANK: usize = 32;

/// Dimensions from the last one backwards; `open` means that there may be more in front.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    count: u16,
    open: bool,
}

/// Bits of what is known of a symbol.
mod symbol {
    /// The file has a name for it.
    pub(super) const NAMED: u8 = 1;
    /// It has turned out to be another symbol or a number.
    pub(super) const BOUND: u8 = 2;
    /// It is the size of a dimension, so not negative.
    pub(super) const SIZE: u8 = 4;
}

/// All shapes of a model. Most values share one with their neighbours.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    entries: Vec<Entry>,
    dims: Vec<Dim>,
    /// Names by the function they stand in: another function's `N` is another number.
    names: HashMap<(Option<u32>, Vec<u8>), u32>,
    symbols: Vec<u8>,
    /// What symbols have turned out to be: numbers or named symbols, never another bound one.
    bound: HashMap<u32, Dim>,
    terms: terms::Terms,
}

impl Shapes {
    /// A shape of which nothing is known but that it is itself.
    pub(crate) fn opaque(&mut self) -> ShapeId {
        self.ending(&[])
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
        self.push(dims, false)
    }

    /// A shape with these sizes.
    pub(crate) fn known(&mut self, sizes: &[i64]) -> ShapeId {
        let dims: Vec<Dim> = sizes.iter().map(|&size| Dim::Known(size)).collect();
        self.ranked(&dims)
    }

    /// A shape with at least these dimensions, at the end.
    pub(crate) fn ending(&mut self, dims: &[Dim]) -> ShapeId {
        let last = dims.len().saturating_sub(MAX_RANK);
        self.push(dims.get(last..).unwrap_or_default(), true)
    }

    fn push(&mut self, dims: &[Dim], open: bool) -> ShapeId {
        let start = self.dims.len() as u32;
        self.dims.extend_from_slice(dims);
        let id = ShapeId(self.entries.len() as u32);
        self.entries.push(Entry {
            start,
            count: dims.len() as u16,
            open,
        });
        id
    }

    /// A size that nothing else is known to equal.
    pub(crate) fn fresh(&mut self) -> Dim {
        Dim::Symbol(self.symbol(symbol::SIZE))
    }

    fn symbol(&mut self, bits: u8) -> u32 {
        self.symbols.push(bits);
        self.symbols.len() as u32 - 1
    }

    /// The size that `name` (a `dim_param`) stands for in a function, or in the model's graph and all graphs inside.
    pub(crate) fn named(&mut self, function: Option<u32>, name: &[u8]) -> Dim {
        let key = (function, name.to_vec());
        if let Some(&symbol) = self.names.get(&key) {
            return Dim::Symbol(symbol);
        }
        let symbol = self.symbol(symbol::NAMED | symbol::SIZE);
        self.names.insert(key, symbol);
        Dim::Symbol(symbol)
    }

    /// The names that the file has for open sizes, by the number of their symbol.
    pub(crate) fn names(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let names = self.names.iter();
        names.map(|((_, name), &symbol)| (symbol, name.as_slice()))
    }

    fn has(&self, symbol: u32, bit: u8) -> bool {
        self.symbols
            .get(symbol as usize)
            .is_some_and(|bits| bits & bit != 0)
    }

    /// What a dimension has turned out to be.
    pub(crate) fn resolve(&self, dim: Dim) -> Dim {
        match dim {
            Dim::Symbol(symbol) if self.has(symbol, symbol::BOUND) => {
                self.bound.get(&symbol).copied().unwrap_or(dim)
            }
            _ => dim,
        }
    }

    /// Whether an element of a tensor of sizes is certainly not negative.
    pub(crate) fn is_size(&self, dim: Dim) -> bool {
        match self.resolve(dim) {
            Dim::Known(size) => size >= 0,
            Dim::Symbol(symbol) => self.has(symbol, symbol::SIZE),
        }
    }

    /// Records what a symbol is that has no name of its own.
    fn bind(&mut self, symbol: u32, dim: Dim) {
        if let Some(bits) = self.symbols.get_mut(symbol as usize) {
            *bits |= symbol::BOUND;
            self.bound.insert(symbol, dim);
        }
    }

    /// The dimensions that are known, as they are stored, and whether there may be more in front.
    fn stored(&self, shape: ShapeId) -> Option<(&[Dim], bool)> {
        let entry = self.entries.get(shape.0 as usize)?;
        let dims = self.dims.get(entry.start as usize..)?;
        Some((dims.get(..usize::from(entry.count))?, entry.open))
    }

    /// The last dimensions, as far as they are known, and whether there may be more in front.
    pub(crate) fn suffix(&self, shape: ShapeId) -> (Vec<Dim>, bool) {
        let Some((dims, open)) = self.stored(shape) else {
            return (Vec::new(), true);
        };
        (dims.iter().map(|&dim| self.resolve(dim)).collect(), open)
    }

    /// The dimensions, if at least their number is known.
    pub(crate) fn dims(&self, shape: ShapeId) -> Option<Vec<Dim>> {
        let (dims, open) = self.stored(shape)?;
        (!open).then(|| dims.iter().map(|&dim| self.resolve(dim)).collect())
    }

    /// Number of dimensions, if known.
    pub(crate) fn rank(&self, shape: ShapeId) -> Option<usize> {
        let (dims, open) = self.stored(shape)?;
        (!open).then_some(dims.len())
    }

    /// Whether two shapes are provably equal.
    pub(crate) fn same(&self, a: ShapeId, b: ShapeId) -> bool {
        if a == b {
            return a != self.nothing();
        }
        match (self.stored(a), self.stored(b)) {
            (Some((a, false)), Some((b, false))) => {
                a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| self.equal(a, b))
            }
            _ => false,
        }
    }

    fn equal(&self, a: Dim, b: Dim) -> bool {
        a == b || self.resolve(a) == self.resolve(b)
    }

    /// Whether every size is written or computed, so that nothing can be learned any more.
    pub(crate) fn is_fully_known(&self, shape: ShapeId) -> bool {
        self.stored(shape).is_some_and(|(dims, open)| {
            !open && dims.iter().all(|dim| matches!(dim, Dim::Known(_)))
        })
    }

    /// The shape of an element-wise operator's output, by numpy's rule.
    pub(crate) fn broadcast(&mut self, a: ShapeId, b: ShapeId) -> ShapeId {
        if self.same(a, b) || self.rank(b) == Some(0) {
            return a;
        }
        if self.rank(a) == Some(0) {
            return b;
        }
        let ((left, left_open), (right, right_open)) = (self.suffix(a), self.suffix(b));
        let dims = broadcast(&left, left_open, &right, right_open);
        // What the other one does not change is still the same shape, known or not.
        let unchanged = |own: &[Dim], other: &[Dim], other_open: bool| {
            !other_open
                && other.len() <= own.len()
                && dims
                    .iter()
                    .rev()
                    .zip(own.iter().rev())
                    .all(|(dim, own)| *dim == Some(*own))
        };
        if unchanged(&left, &right, right_open) {
            return a;
        }
        if unchanged(&right, &left, left_open) {
            return b;
        }
        let dims: Vec<Dim> = dims
            .into_iter()
            .map(|dim| dim.unwrap_or_else(|| self.fresh()))
            .collect();
        if left_open || right_open {
            self.ending(&dims)
        } else {
            self.ranked(&dims)
        }
    }

    /// What two true statements about one shape say together. Where they disagree, the inferred one stands.
    pub(crate) fn merge(&mut self, inferred: ShapeId, declared: ShapeId) -> ShapeId {
        let Some(theirs) = self.dims(declared) else {
            return inferred;
        };
        if inferred == self.nothing() {
            return declared;
        }
        let (mine, open) = self.suffix(inferred);
        let Some(more) = theirs.len().checked_sub(mine.len()) else {
            return inferred;
        };
        if more > 0 && !open {
            return inferred;
        }
        let mut merged: Vec<Dim> = theirs.get(..more).unwrap_or_default().to_vec();
        let ends = theirs.get(more..).unwrap_or_default();
        merged.extend(
            mine.iter()
                .zip(ends)
                .map(|(&mine, &theirs)| self.meet(mine, theirs)),
        );
        if open {
            // What is said of one value holds for all that share its shape: it stays one shape.
            let known = self.ranked(&merged);
            let known = self.entries.get(known.0 as usize).copied();
            if let Some((known, entry)) = known.zip(self.entries.get_mut(inferred.0 as usize)) {
                *entry = known;
            }
            return inferred;
        }
        let unchanged = merged.iter().zip(&mine).all(|(&a, &b)| self.equal(a, b));
        if unchanged {
            inferred
        } else {
            self.ranked(&merged)
        }
    }

    /// A dimension of which the file says something, too. A symbol without a name becomes what is said, wherever it
    /// stands; a named one stays what it is elsewhere, since files are careless with numbers where they mean a name.
    fn meet(&mut self, mine: Dim, theirs: Dim) -> Dim {
        match (mine, theirs) {
            (Dim::Known(_), _) => mine,
            (Dim::Symbol(symbol), _) if self.has(symbol, symbol::NAMED) => match theirs {
                Dim::Known(_) => theirs,
                Dim::Symbol(_) => mine,
            },
            (Dim::Symbol(symbol), Dim::Known(_)) => {
                self.bind(symbol, theirs);
                theirs
            }
            (Dim::Symbol(symbol), Dim::Symbol(other)) => {
                if self.has(other, symbol::NAMED) {
                    self.bind(symbol, theirs);
                }
                self.resolve(mine)
            }
        }
    }
}

/// The last dimensions of a broadcast, each if it is known. Without `open`, dimensions in front count as 1.
fn broadcast(left: &[Dim], left_open: bool, right: &[Dim], right_open: bool) -> Vec<Option<Dim>> {
    let count = left.len().max(right.len());
    let at = |dims: &[Dim], open: bool, i: usize| {
        let dim = (i + dims.len())
            .checked_sub(count)
            .and_then(|i| dims.get(i));
        dim.copied().or((!open).then_some(Dim::Known(1)))
    };
    let dim = |i: usize| match (at(left, left_open, i), at(right, right_open, i)) {
        (Some(l), Some(r)) if l == r => Some(l),
        (Some(Dim::Known(1)), d) | (d, Some(Dim::Known(1))) => d,
        (Some(Dim::Known(n)), _) | (_, Some(Dim::Known(n))) => Some(Dim::Known(n)),
        _ => None,
    };
    (0..count).map(dim).collect()
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
    fn a_bias_says_that_there_are_dimensions() {
        let mut shapes = Shapes::default();
        let (x, bias) = (shapes.opaque(), shapes.ranked(&[Dim::Known(240)]));
        let x = shapes.broadcast(x, bias);
        assert_eq!(shapes.rank(x), None);
        let one = shapes.ranked(&[Dim::Known(1)]);
        let y = shapes.broadcast(x, one);
        assert!(shapes.same(x, y), "one element cannot raise rank 1 or more");
        let y = shapes.broadcast(bias, x);
        assert!(shapes.same(x, y), "nor can the bias itself");
        let channels = shapes.ranked(&[Dim::Known(240), Dim::Known(1), Dim::Known(1)]);
        let y = shapes.broadcast(x, channels);
        assert!(!shapes.same(x, y), "three dimensions can");
        let other = shapes.opaque();
        let y = shapes.broadcast(x, other);
        assert!(!shapes.same(x, y), "a shape that nobody knows can");
    }

    #[test]
    fn an_unknown_size_becomes_what_the_file_says_wherever_it_stands() {
        let mut shapes = Shapes::default();
        let (size, four) = (shapes.fresh(), Dim::Known(4));
        let (z, y) = (shapes.ranked(&[size, four]), shapes.ranked(&[size, four]));
        let a = shapes.named(None, b"a");
        let declared = shapes.ranked(&[a, four]);
        let y = shapes.merge(y, declared);
        assert!(shapes.same(z, y));
        let n = shapes.named(None, b"n");
        let (x, one) = (shapes.ranked(&[n]), shapes.ranked(&[Dim::Known(1)]));
        let y = shapes.merge(x, one);
        assert!(!shapes.same(x, y), "a name stays a name elsewhere");
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
