//! Forms behind permutations of dimensions.
//! Given: a value and the permutation of a Transpose.
//! Promises: a permutation changes no number, so that it is moved to the root: what is computed from a transposed value is
//! the transpose of what is computed from the value. There and back is the value itself. A bounded number of steps for each
//! Transpose.

use std::collections::HashMap;

use super::{Core, Forms, Linear};
use crate::graph::{Graph, Node, Value};
use crate::permutation::Permutation;

/// How many roots, one computed from the other, a permutation is moved over.
const MAX_ROOTS: usize = 24;

/// Index of a permutation.
pub(crate) type Index = u32;

/// A value that no name in the file stands for: the permutation of another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) twin: Value,
    /// What was permuted.
    pub(crate) of: Value,
    pub(crate) by: Index,
}

/// What is known of transposed values.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    permutations: Vec<Permutation>,
    indices: HashMap<Permutation, Index>,
    /// For each root the first one that is the same, permuted.
    twins: Vec<Option<(Index, Value)>>,
    /// Further ones, of roots that are permuted in several ways.
    more_twins: HashMap<(Value, Index), Value>,
    /// What each value that no name in the file stands for was permuted from, if it was, from the first of them on.
    origins: Vec<Option<(Value, Index)>>,
    first: usize,
    /// Twins that nobody has asked about yet.
    created: Vec<Moved>,
}

impl Moves {
    /// Nothing known yet; the file has names for this many values.
    pub(super) fn new(named: usize) -> Self {
        Self {
            first: named,
            ..Self::default()
        }
    }

    fn moved_from(&self, root: Value) -> Option<(Value, Index)> {
        let at = root.index().checked_sub(self.first)?;
        self.origins.get(at).copied().flatten()
    }

    /// What a root was before it was permuted.
    pub(crate) fn origin(&self, root: Value) -> Value {
        self.moved_from(root).map_or(root, |(base, _)| base)
    }

    /// Whether a root is another one, permuted.
    pub(crate) fn is_moved(&self, root: Value) -> bool {
        self.moved_from(root).is_some()
    }

    /// The next value that was made for a permutation, the first one first.
    pub(crate) fn next_created(&mut self) -> Option<Moved> {
        (!self.created.is_empty()).then(|| self.created.remove(0))
    }

    /// Forgets what was made: nobody wants to know.
    pub(crate) fn forget_created(&mut self) {
        self.created.clear();
    }

    fn intern(&mut self, permutation: Permutation) -> Index {
        if let Some(&index) = self.indices.get(&permutation) {
            return index;
        }
        let index = self.permutations.len() as Index;
        self.permutations.push(permutation.clone());
        self.indices.insert(permutation, index);
        index
    }

    /// `second` of what `first` has permuted; nothing if they do not fit together.
    fn then(&mut self, first: Index, second: Index) -> Option<Index> {
        let first = self.permutations.get(first as usize)?;
        let second = self.permutations.get(second as usize)?;
        let both = first.then(second)?;
        Some(self.intern(both))
    }

    fn is_identity(&self, index: Index) -> bool {
        let permutation = self.permutations.get(index as usize);
        permutation.is_some_and(Permutation::is_identity)
    }

    /// The root that is another one, permuted.
    fn twin(&self, of: Value, by: Index) -> Option<Value> {
        match self.twins.get(of.index()).copied().flatten()? {
            (first, twin) if first == by => Some(twin),
            _ => self.more_twins.get(&(of, by)).copied(),
        }
    }

    fn keep(&mut self, twin: Value, of: Value, by: Index) {
        if self.twins.len() <= of.index() {
            self.twins.resize(of.index() + 1, None);
        }
        match self.twins.get_mut(of.index()) {
            Some(slot @ None) => *slot = Some((by, twin)),
            _ => {
                self.more_twins.insert((of, by), twin);
            }
        }
        let Some(at) = twin.index().checked_sub(self.first) else {
            return;
        };
        if self.origins.len() <= at {
            self.origins.resize(at + 1, None);
        }
        if let Some(slot) = self.origins.get_mut(at) {
            *slot = Some((of, by));
        }
    }
}

impl Forms {
    /// The form of a Transpose's output, as a line over its permuted root; nothing if the permutation is not known, or if the
    /// value has another shape than what it is a line of: then its axes are others. `is_same_shape` judges that.
    pub(crate) fn transposed(
        &mut self,
        graph: &Graph<'_>,
        node: Node,
        is_same_shape: &dyn Fn(Value, Value) -> bool,
    ) -> Option<Linear> {
        let input = *graph.inputs(node).first()?;
        let permutation = self.moves.intern(Permutation::of(graph, node)?);
        self.moved(input, permutation, is_same_shape)
    }

    /// A value, permuted, as a line over its permuted root.
    pub(crate) fn moved(
        &mut self,
        value: Value,
        permutation: Index,
        is_same_shape: &dyn Fn(Value, Value) -> bool,
    ) -> Option<Linear> {
        let line = self.linear(value);
        // Permuted values have no shapes of their own: nothing but permutations and lines lies behind them.
        if !self.is_of_shape(value, line.root, is_same_shape) {
            return None;
        }
        let root = self.moved_root(line.root, permutation, is_same_shape)?;
        Some(Linear { root, ..line })
    }

    fn is_of_shape(
        &self,
        value: Value,
        root: Value,
        is_same_shape: &dyn Fn(Value, Value) -> bool,
    ) -> bool {
        let shaped = |value| self.shaped.get(&value).copied().unwrap_or(value);
        value == root || self.moves.is_moved(root) || is_same_shape(shaped(value), shaped(root))
    }

    /// The root that is `root`, permuted.
    fn moved_root(
        &mut self,
        root: Value,
        permutation: Index,
        is_same_shape: &dyn Fn(Value, Value) -> bool,
    ) -> Option<Value> {
        // What was permuted before is permuted once, by both.
        let (root, permutation) = match self.moves.moved_from(root) {
            Some((base, first)) => (base, self.moves.then(first, permutation)?),
            None => (root, permutation),
        };
        if self.moves.is_identity(permutation) {
            return Some(root);
        }
        // Back to what is known permuted, or is computed from nothing.
        let mut path = Vec::new();
        let mut at = root;
        let mut twin = loop {
            if let Some(twin) = self.moves.twin(at, permutation) {
                break twin;
            }
            match self.computed_from(at) {
                Some(of) if path.len() < MAX_ROOTS => {
                    let before = self.linear(of).root;
                    if !self.is_of_shape(at, before, is_same_shape) {
                        return None;
                    }
                    path.push((at, of));
                    at = before;
                }
                _ => break self.moved_origin(at, permutation)?,
            }
        };
        for (at, of) in path.into_iter().rev() {
            let line = self.linear(of);
            let inner = self.fresh();
            self.set_linear(inner, Linear { root: twin, ..line });
            twin = self.fresh();
            self.set_core(twin, with_input(self.core(at), inner));
            self.moves.keep(twin, at, permutation);
            self.moves.created.push(Moved {
                twin,
                of: at,
                by: permutation,
            });
        }
        Some(twin)
    }

    /// A root that is computed from nothing known, permuted.
    fn moved_origin(&mut self, root: Value, permutation: Index) -> Option<Value> {
        let (base, whole) = match self.moves.moved_from(root) {
            Some((base, first)) => (base, self.moves.then(first, permutation)?),
            None => (root, permutation),
        };
        if self.moves.is_identity(whole) {
            return Some(base);
        }
        if let Some(twin) = self.moves.twin(base, whole) {
            return Some(twin);
        }
        let twin = self.fresh();
        self.moves.keep(twin, base, whole);
        self.moves.created.push(Moved {
            twin,
            of: root,
            by: permutation,
        });
        Some(twin)
    }

    /// The value of which a root is one function, element by element. What was permuted is not looked behind: back again it
    /// must be the value itself.
    fn computed_from(&self, root: Value) -> Option<Value> {
        if self.moves.is_moved(root) {
            return None;
        }
        match self.core(root) {
            Core::Sigmoid(z)
            | Core::Tanh(z)
            | Core::Erf(z)
            | Core::Exp(z)
            | Core::Reciprocal(z, _)
            | Core::Degenerate(z, _)
            | Core::Raised(z)
            | Core::Softplus(z)
            | Core::Closed(z)
            | Core::Clamp(z, _)
            | Core::Code(z, _) => Some(z),
            _ => None,
        }
    }
}

/// The same function of another value.
fn with_input(core: Core, z: Value) -> Core {
    match core {
        Core::Sigmoid(_) => Core::Sigmoid(z),
        Core::Tanh(_) => Core::Tanh(z),
        Core::Erf(_) => Core::Erf(z),
        Core::Exp(_) => Core::Exp(z),
        Core::Reciprocal(_, c) => Core::Reciprocal(z, c),
        Core::Degenerate(_, c) => Core::Degenerate(z, c),
        Core::Raised(_) => Core::Raised(z),
        Core::Softplus(_) => Core::Softplus(z),
        Core::Closed(_) => Core::Closed(z),
        Core::Clamp(_, bounds) => Core::Clamp(z, bounds),
        Core::Code(_, quantisation) => Core::Code(z, quantisation),
        other => other,
    }
}
