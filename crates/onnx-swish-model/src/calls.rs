//! Which function calls which.
//!
//! Given: an indexed model. Promises: linear time and no recursion, whatever the functions do.

use std::collections::HashMap;

use crate::model::Model;
use crate::node::Node;
use crate::scope::ScopeKind;

/// What a call goes by: domain (the standard one in its short spelling), name and overload.
type Key<'m> = (&'m [u8], &'m [u8], &'m [u8]);

/// The functions of a model and their calls of each other.
#[derive(Debug)]
pub struct Calls<'m> {
    model: &'m Model,
    by_key: HashMap<Key<'m>, usize>,
    /// Functions that repeat the key of an earlier one.
    pub(crate) duplicates: Vec<usize>,
    /// For each function, those it calls, once for each call.
    pub(crate) callees: Vec<Vec<usize>>,
}

fn key<'m>(domain: &'m [u8], name: &'m [u8], overload: &'m [u8]) -> Key<'m> {
    let domain = if domain == b"ai.onnx" { b"" } else { domain };
    (domain, name, overload)
}

impl<'m> Calls<'m> {
    /// The calls of a model, in time linear in its nodes.
    pub fn new(model: &'m Model) -> Self {
        let mut by_key = HashMap::new();
        let mut duplicates = Vec::new();
        for (i, function) in model.functions().iter().enumerate() {
            let [domain, name, overload] =
                [function.domain(), function.name(), function.overload()]
                    .map(|span| model.text(span));
            if by_key.insert(key(domain, name, overload), i).is_some() {
                duplicates.push(i);
            }
        }
        let mut calls = Self {
            model,
            by_key,
            duplicates,
            callees: vec![Vec::new(); model.functions().len()],
        };
        // The function that each scope is part of; a nested graph comes after the one it hangs in.
        let mut part_of: Vec<Option<usize>> = Vec::with_capacity(model.scopes().len());
        for scope in model.scopes() {
            let function = match scope.kind() {
                ScopeKind::Main => None,
                ScopeKind::Function(function) => Some(function as usize),
                ScopeKind::Subgraph(subgraph) => {
                    part_of.get(subgraph.parent as usize).copied().flatten()
                }
            };
            part_of.push(function);
            let Some(function) = function else { continue };
            let called: Vec<usize> = scope
                .nodes()
                .iter()
                .filter_map(|node| calls.callee(node))
                .collect();
            if let Some(list) = calls.callees.get_mut(function) {
                list.extend(called);
            }
        }
        calls
    }

    /// The function that a node calls, if it calls one, by its position in [`Model::functions`].
    pub fn callee(&self, node: &Node) -> Option<usize> {
        if self.by_key.is_empty() {
            return None;
        }
        let [domain, name, overload] =
            [node.domain(), node.op_type(), node.overload()].map(|span| self.model.text(span));
        self.find(domain, name, overload)
    }

    /// The function of that domain, name and overload.
    pub fn find(&self, domain: &[u8], name: &[u8], overload: &[u8]) -> Option<usize> {
        self.by_key.get(&key(domain, name, overload)).copied()
    }

    /// The functions, callees first.
    ///
    /// # Errors
    /// A function that calls itself, directly or through others.
    pub fn order(&self) -> Result<Vec<usize>, usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut state = vec![State::New; self.callees.len()];
        let mut order = Vec::with_capacity(self.callees.len());
        for start in 0..self.callees.len() {
            if state.get(start) != Some(&State::New) {
                continue;
            }
            let mut path = vec![(start, 0)];
            while let Some((function, next)) = path.pop() {
                if let Some(state) = state.get_mut(function) {
                    *state = State::Open;
                }
                let callees = self.callees.get(function).map_or(&[][..], Vec::as_slice);
                match callees.get(next) {
                    None => {
                        if let Some(state) = state.get_mut(function) {
                            *state = State::Done;
                        }
                        order.push(function);
                    }
                    Some(&callee) => {
                        path.push((function, next + 1));
                        match state.get(callee) {
                            Some(State::New) => path.push((callee, 0)),
                            Some(State::Open) => return Err(callee),
                            Some(State::Done) | None => {}
                        }
                    }
                }
            }
        }
        Ok(order)
    }
}
