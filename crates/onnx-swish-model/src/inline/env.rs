//! Names and attributes inside a function that is being written out.
//!
//! Given: a call and a function. Promises: parameters become the call's values, everything else a name that starts with
//! a prefix no other name has; attributes of the call, or their defaults, take the place of references to them.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use crate::model::Model;
use crate::schema::{AttributeProto, GraphProto};

/// An attribute, and the names that graphs in it are to be read with.
pub(super) type Value = (Rc<AttributeProto>, Rc<Env>);

/// What names and references mean in one body.
#[derive(Default)]
pub(super) struct Env {
    /// Put before every name that is not a parameter; `None` outside functions, where names stay.
    pub prefix: Option<Rc<str>>,
    /// Parameters and results, to the names they have outside.
    pub formals: HashMap<Bytes, Bytes>,
    pub attributes: Rc<HashMap<Bytes, Value>>,
}

impl Env {
    /// The name outside of a name inside.
    pub fn rename(&self, name: &Bytes) -> Bytes {
        if name.is_empty() {
            return Bytes::new();
        }
        match (&self.prefix, self.formals.get(name)) {
            (None, _) => name.clone(),
            (Some(_), Some(outside)) => outside.clone(),
            (Some(prefix), None) => prefixed(prefix, name),
        }
    }

    pub fn rename_in_place(&self, name: &mut Option<Bytes>) {
        if let Some(name) = name {
            *name = self.rename(name);
        }
    }

    /// The names of a nested graph: values that it declares hide parameters of the same name.
    pub fn inside(self: &Rc<Self>, graph: &GraphProto) -> Rc<Self> {
        let inputs = graph.input.iter().filter_map(|value| value.name.as_ref());
        let stored = graph
            .initializer
            .iter()
            .filter_map(|tensor| tensor.name.as_ref());
        let sparse = graph
            .sparse_initializer
            .iter()
            .filter_map(|s| s.values.as_ref()?.name.as_ref());
        let made = graph.node.iter().flat_map(|node| &node.output);
        let declared = inputs.chain(stored).chain(sparse).chain(made);
        let hidden: Vec<&Bytes> = declared
            .filter(|name| self.formals.contains_key(*name))
            .collect();
        if hidden.is_empty() {
            return Rc::clone(self);
        }
        let mut formals = self.formals.clone();
        for name in hidden {
            formals.remove(name);
        }
        Rc::new(Self {
            prefix: self.prefix.clone(),
            formals,
            attributes: Rc::clone(&self.attributes),
        })
    }
}

/// A name with a prefix.
pub(super) fn prefixed(prefix: &str, name: &[u8]) -> Bytes {
    [prefix.as_bytes(), name].concat().into()
}

/// The start of prefixes: a text that no name in the model starts with.
pub(super) fn unused_start(model: &Model) -> String {
    const START: &str = "inlined";
    // However many underscores names have after the word, ours has one more.
    let mut most = 0;
    let mut look = |name: &[u8]| {
        if let Some(rest) = name.strip_prefix(START.as_bytes()) {
            most = most.max(1 + rest.iter().take_while(|&&b| b == b'_').count());
        }
    };
    for scope in model.scopes() {
        for node in scope.nodes() {
            look(model.text(node.name()));
            for &span in model.inputs(node).iter().chain(model.outputs(node)) {
                look(model.text(span));
            }
        }
        for value in [scope.inputs(), scope.outputs(), scope.value_info()]
            .into_iter()
            .flatten()
        {
            look(model.text(value.name()));
        }
        for tensor in scope.initializers() {
            look(model.text(tensor.name()));
        }
        for sparse in scope.sparse_initializers() {
            look(model.text(sparse.name()));
        }
    }
    format!("{START}{}", "_".repeat(most.max(1)))
}
