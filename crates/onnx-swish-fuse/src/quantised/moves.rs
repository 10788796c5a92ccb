//! Forms behind permutations of dimensions.
//! Given: a value and the permutation of a Transpose.
//! Promises: a permutation changes no number, so that it is moved to the root: what is computed from a transposed value is
//! the transpose of what is computed from the value. There and back is the value itself. A bounded number of steps for each
//! Transpose.

use std::collections::HashMap;

use super::{Claim, Quantised, Try};
use crate::facts::Facts;
use crate::forms::{Core, Linear};
use crate::graph::{Attribute, Graph, Node, Value};

/// How many roots, one computed from the other, a permutation is moved over.
const MAX_ROOTS: usize = 24;

/// Index of a permutation.
pub(super) type Permutation = u32;

/// What is known of transposed values.
#[derive(Default)]
pub(super) struct Moves {
    permutations: Vec<Vec<i64>>,
    indices: HashMap<Vec<i64>, Permutation>,
    /// The root that is another one, permuted.
    twins: HashMap<(Value, Permutation), Value>,
    /// What a root was permuted from.
    origins: HashMap<Value, (Value, Permutation)>,
}

impl Moves {
    /// What a root was before it was permuted.
    pub(super) fn origin(&self, root: Value) -> Value {
        self.origins.get(&root).map_or(root, |&(base, _)| base)
    }

    fn intern(&mut self, axes: Vec<i64>) -> Permutation {
        let next = self.permutations.len() as Permutation;
        let index = *self.indices.entry(axes.clone()).or_insert(next);
        if index == next {
            self.permutations.push(axes);
        }
        index
    }

    /// `second` of what `first` has permuted; nothing if they do not fit together.
    fn then(&mut self, first: Permutation, second: Permutation) -> Option<Permutation> {
        let first = self.permutations.get(first as usize)?;
        let second = self.permutations.get(second as usize)?;
        if first.len() != second.len() {
            return None;
        }
        let axes: Option<Vec<i64>> = second
            .iter()
            .map(|&axis| first.get(usize::try_from(axis).ok()?).copied())
            .collect();
        Some(self.intern(axes?))
    }

    fn is_identity(&self, permutation: Permutation) -> bool {
        let axes = self.permutations.get(permutation as usize);
        axes.is_some_and(|axes| axes.iter().enumerate().all(|(at, &axis)| at as i64 == axis))
    }
}

impl Quantised {
    /// The form of a Transpose's output. One whose permutation is not written down starts anew.
    pub(super) fn transpose(
        &mut self,
        graph: &Graph<'_>,
        facts: &Facts,
        node: Node,
        output: Value,
    ) {
        let Some(&input) = graph.inputs(node).first() else {
            return;
        };
        let Attribute::Is(axes) = graph.ints(node, b"perm") else {
            return;
        };
        let permutation = self.moves.intern(axes);
        if let Some(line) = self.moved(input, permutation) {
            self.forms.set_linear(output, line);
            // Transposed codes are codes by another name, also those whose scale is not known yet; transposed numbers are not.
            if facts.element(output).is_not_float() {
                self.aliases.entry(line.root).or_default().push(output);
            }
        }
    }

    /// A value, permuted, as a line over its permuted root.
    fn moved(&mut self, value: Value, permutation: Permutation) -> Option<Linear> {
        let line = self.forms.linear(value);
        let root = self.moved_root(line.root, permutation)?;
        Some(Linear { root, ..line })
    }

    /// The root that is `root`, permuted.
    fn moved_root(&mut self, root: Value, permutation: Permutation) -> Option<Value> {
        // What was permuted before is permuted once, by both.
        let (root, permutation) = match self.moves.origins.get(&root) {
            Some(&(base, first)) => (base, self.moves.then(first, permutation)?),
            None => (root, permutation),
        };
        if self.moves.is_identity(permutation) {
            return Some(root);
        }
        // Back to what is known permuted, or is computed from nothing.
        let mut path = Vec::new();
        let mut at = root;
        let mut twin = loop {
            if let Some(&twin) = self.moves.twins.get(&(at, permutation)) {
                break twin;
            }
            match self.computed_from(at) {
                Some(of) if path.len() < MAX_ROOTS => {
                    path.push((at, of));
                    at = self.forms.linear(of).root;
                }
                _ => break self.moved_origin(at, permutation)?,
            }
        };
        for (at, of) in path.into_iter().rev() {
            let line = self.forms.linear(of);
            let inner = self.forms.fresh();
            self.forms.set_linear(inner, Linear { root: twin, ..line });
            twin = self.forms.fresh();
            self.forms
                .set_core(twin, with_input(self.forms.core(at), inner));
            if let Some(&quantiser) = self.codes.get(&at) {
                self.codes.insert(twin, quantiser);
            }
            self.moves.twins.insert((at, permutation), twin);
            self.moves.origins.insert(twin, (at, permutation));
        }
        Some(twin)
    }

    /// A root that is computed from nothing known, permuted; a product takes along what it may be.
    fn moved_origin(&mut self, root: Value, permutation: Permutation) -> Option<Value> {
        let (base, whole) = match self.moves.origins.get(&root) {
            Some(&(base, first)) => (base, self.moves.then(first, permutation)?),
            None => (root, permutation),
        };
        if self.moves.is_identity(whole) {
            return Some(base);
        }
        if let Some(&twin) = self.moves.twins.get(&(base, whole)) {
            return Some(twin);
        }
        let twin = self.forms.fresh();
        self.moves.twins.insert((base, whole), twin);
        self.moves.origins.insert(twin, (base, whole));
        if let Some(&quantiser) = self.codes.get(&base) {
            self.codes.insert(twin, quantiser);
        }
        if let Some(claims) = self.products.get(&root).cloned() {
            let claims = claims
                .iter()
                .filter_map(|claim| self.moved_claim(claim, permutation));
            let claims: Vec<Claim> = claims.collect();
            self.products.insert(twin, claims);
        }
        Some(twin)
    }

    fn moved_claim(&mut self, claim: &Claim, permutation: Permutation) -> Option<Claim> {
        let mut moved = *claim;
        moved.reading.root = self.moved_value(claim.reading.root, permutation)?;
        if let Some(attempt) = claim.attempt {
            moved.attempt = Some(Try {
                gate: self.moved_value(attempt.gate, permutation)?,
                partner: self.moved_value(attempt.partner, permutation)?,
                ..attempt
            });
        }
        Some(moved)
    }

    fn moved_value(&mut self, value: Value, permutation: Permutation) -> Option<Value> {
        let line = self.moved(value, permutation)?;
        let value = self.forms.fresh();
        self.forms.set_linear(value, line);
        Some(value)
    }

    /// The value of which a root is one function, element by element. What was permuted is not looked behind: back again it
    /// must be the value itself.
    fn computed_from(&self, root: Value) -> Option<Value> {
        if self.moves.origins.contains_key(&root) {
            return None;
        }
        match self.forms.core(root) {
            Core::Sigmoid(z)
            | Core::Tanh(z)
            | Core::Erf(z)
            | Core::Exp(z)
            | Core::Reciprocal(z, _)
            | Core::Degenerate(z, _)
            | Core::Raised(z)
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
        Core::Clamp(_, bounds) => Core::Clamp(z, bounds),
        Core::Code(_, quantisation) => Core::Code(z, quantisation),
        other => other,
    }
}
