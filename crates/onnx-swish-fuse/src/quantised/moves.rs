//! What a permutation of dimensions does to codes, and to the products that may be activations of them.
//! Given: a Transpose.
//! Promises: codes permuted are codes with the same numbers, and a product permuted may be what it was.

use super::{Claim, Quantised, Try};
use crate::facts::Facts;
use crate::forms::moves::Index;
use crate::graph::{Graph, Node, Value};

/// Reshapes are roots of their own here, so that a value has the shape of what it is a line of.
fn same_shape(_: Value, _: Value) -> bool {
    true
}

impl Quantised {
    /// The form of a Transpose's output. One whose permutation is not known starts anew.
    pub(super) fn transpose(
        &mut self,
        graph: &Graph<'_>,
        facts: &Facts,
        node: Node,
        output: Value,
    ) {
        let line = self.forms.transposed(graph, node, &same_shape);
        self.take_along();
        if let Some(line) = line {
            self.forms.set_linear(output, line);
            // Transposed codes are codes by another name, also those whose scale is not known yet; transposed numbers are not.
            if facts.element(output).is_not_float() {
                self.aliases.entry(line.root).or_default().push(output);
            }
        }
    }

    /// Whatever was known of values is known of them permuted.
    fn take_along(&mut self) {
        while let Some(moved) = self.forms.moves.next_created() {
            let base = self.forms.moves.origin(moved.twin);
            if let Some(&quantiser) = self.codes.get(&base) {
                self.codes.insert(moved.twin, quantiser);
            }
            if let Some(claims) = self.products.get(&moved.of).cloned() {
                let claims = claims.iter();
                let claims = claims.filter_map(|claim| self.moved_claim(claim, moved.by));
                let claims: Vec<Claim> = claims.collect();
                self.products.insert(moved.twin, claims);
            }
        }
    }

    fn moved_claim(&mut self, claim: &Claim, permutation: Index) -> Option<Claim> {
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

    fn moved_value(&mut self, value: Value, permutation: Index) -> Option<Value> {
        let line = self.forms.moved(value, permutation, &same_shape)?;
        let value = self.forms.fresh();
        self.forms.set_linear(value, line);
        Some(value)
    }
}
