//! Edits: what to take out of a file and what to put in.
//!
//! Given: an indexed model and changes to it by position. Promises: everything not named by a change comes out as it
//! was, byte for byte; a change that would lose something is refused.

mod splice;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::node::NodeId;
use crate::schema;
use crate::span::{Located, Span};
use crate::wire::{put_header, put_varint};

pub use splice::{Segment, Spliced};

/// The outermost message in place of a scope.
pub(crate) const ROOT: u32 = u32::MAX;

/// Bytes of the file that give way to new ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The range of the file; empty to insert only.
    pub start: u32,
    pub end: u32,
    /// Where in [`Edit::new`] the replacement is.
    pub new: Span,
    /// The scope whose message holds the range, or [`ROOT`].
    pub owner: u32,
}

/// Changes to a model, by the positions that its index gives. Order matters only among insertions at one place, which
/// come out in the order they were asked for.
pub struct Edit<'m> {
    model: &'m Model,
    changes: Vec<Change>,
    new: Vec<u8>,
}

impl Model {
    /// Starts an edit. Finishing it without a change gives the same bytes.
    pub fn edit(&self) -> Edit<'_> {
        Edit {
            model: self,
            changes: Vec::new(),
            new: Vec::new(),
        }
    }
}

impl Edit<'_> {
    /// Takes a node out.
    ///
    /// # Errors
    /// There is no such node, or it carries fields this version does not know or a device configuration.
    pub fn remove_node(&mut self, id: NodeId) -> Result<()> {
        let located = self.removable(id)?;
        self.change(located.field, located.span.end(), Span::default(), id.scope);
        Ok(())
    }

    /// Puts nodes where one stood.
    ///
    /// # Errors
    /// As [`remove_node`](Self::remove_node).
    pub fn replace_node(&mut self, id: NodeId, with: &[schema::NodeProto]) -> Result<()> {
        self.removable(id)?;
        self.replace_node_and_all(id, with)
    }

    /// Puts nodes where one stood, whatever it carried.
    pub(crate) fn replace_node_and_all(
        &mut self,
        id: NodeId,
        with: &[schema::NodeProto],
    ) -> Result<()> {
        let located = self.located(id)?;
        let start = self.new.len();
        let field = self.node_field(id.scope);
        for node in with {
            self.encode(field, node)?;
        }
        let new = self.new_since(start)?;
        self.change(located.field, located.span.end(), new, id.scope);
        Ok(())
    }

    /// Puts a node behind another.
    ///
    /// # Errors
    /// There is no such node.
    pub fn insert_node_after(&mut self, id: NodeId, node: &schema::NodeProto) -> Result<()> {
        let at = self.located(id)?.span.end();
        self.insert(at, id.scope, self.node_field(id.scope), node)
    }

    /// Puts a node in front of another.
    ///
    /// # Errors
    /// There is no such node.
    pub fn insert_node_before(&mut self, id: NodeId, node: &schema::NodeProto) -> Result<()> {
        let at = self.located(id)?.field;
        self.insert(at, id.scope, self.node_field(id.scope), node)
    }

    /// Takes out what the file states of a value in between.
    ///
    /// # Errors
    /// There is no such entry.
    pub fn remove_value_info(&mut self, scope: u32, index: usize) -> Result<()> {
        let entry = self.scope(scope)?.value_info.get(index).map(|v| v.located);
        self.remove(entry, "value_info", index, scope)
    }

    /// Takes a graph input out.
    ///
    /// # Errors
    /// There is no such entry.
    pub fn remove_graph_input(&mut self, scope: u32, index: usize) -> Result<()> {
        let entry = self.scope(scope)?.inputs.get(index).map(|v| v.located);
        self.remove(entry, "graph input", index, scope)
    }

    /// Takes a stored tensor out.
    ///
    /// # Errors
    /// There is no such entry.
    pub fn remove_initializer(&mut self, scope: u32, index: usize) -> Result<()> {
        let entry = self
            .scope(scope)?
            .initializers
            .get(index)
            .map(|t| t.located);
        self.remove(entry, "initializer", index, scope)
    }

    /// Adds a stored tensor behind the others.
    ///
    /// # Errors
    /// There is no such graph; function bodies have no stored tensors.
    pub fn add_initializer(&mut self, scope: u32, tensor: &schema::TensorProto) -> Result<()> {
        let graph = self.graph(scope)?;
        let last = graph.initializers.last().map(|t| t.located.span.end());
        let at = last.unwrap_or(graph.located.span.end());
        self.insert(at, scope, 5, tensor)
    }

    /// Adds an input to a graph, behind the others.
    ///
    /// # Errors
    /// There is no such graph; function bodies list their inputs by name only.
    pub fn add_graph_input(&mut self, scope: u32, input: &schema::ValueInfoProto) -> Result<()> {
        let graph = self.graph(scope)?;
        let last = graph.inputs.last().map(|v| v.located.span.end());
        let at = last.unwrap_or(graph.located.span.end());
        self.insert(at, scope, 11, input)
    }

    /// Makes a value of a graph one of its outputs, behind the others.
    ///
    /// # Errors
    /// There is no such graph; function bodies list their outputs by name only.
    pub fn add_graph_output(&mut self, scope: u32, output: &schema::ValueInfoProto) -> Result<()> {
        let graph = self.graph(scope)?;
        let last = graph.outputs.last().map(|v| v.located.span.end());
        let at = last.unwrap_or(graph.located.span.end());
        self.insert(at, scope, 12, output)
    }

    /// Imports a version of a set of operators.
    ///
    /// # Errors
    /// The additions exceed the largest file there may be.
    pub fn add_opset_import(&mut self, domain: &str, version: i64) -> Result<()> {
        self.add_opset_import_bytes(domain.as_bytes(), version)
    }

    pub(crate) fn add_opset_import_bytes(&mut self, domain: &[u8], version: i64) -> Result<()> {
        let imports = self.model.opset_imports();
        let at = imports
            .last()
            .map_or(self.model.bytes().len() as u32, |i| i.located.span.end());
        self.insert(at, ROOT, 8, &opset_import(domain, version))
    }

    /// Stops importing; by position in [`Model::opset_imports`].
    ///
    /// # Errors
    /// There is no such import.
    pub fn remove_opset_import(&mut self, index: usize) -> Result<()> {
        let entry = self.model.opset_imports().get(index).map(|i| i.located);
        self.remove(entry, "opset import", index, ROOT)
    }

    /// Imports a version of a set of operators in a function.
    ///
    /// # Errors
    /// There is no such function.
    pub fn add_function_opset_import(
        &mut self,
        function: usize,
        domain: &str,
        version: i64,
    ) -> Result<()> {
        let f = self.function(function)?;
        let end = f.located.span.end();
        let (at, scope) = (
            f.opset_imports.last().map_or(end, |i| i.located.span.end()),
            f.scope,
        );
        self.insert(at, scope, 9, &opset_import(domain.as_bytes(), version))
    }

    /// Stops importing in a function; by positions.
    ///
    /// # Errors
    /// There is no such function or import.
    pub fn remove_function_opset_import(&mut self, function: usize, index: usize) -> Result<()> {
        let f = self.function(function)?;
        let (entry, scope) = (f.opset_imports.get(index).map(|i| i.located), f.scope);
        self.remove(entry, "opset import", index, scope)
    }

    /// Sets the version of the format.
    ///
    /// # Errors
    /// The additions exceed the largest file there may be.
    pub fn set_ir_version(&mut self, version: i64) -> Result<()> {
        let start = self.new.len();
        put_varint(&mut self.new, 1 << 3);
        put_varint(&mut self.new, version as u64);
        let new = self.new_since(start)?;
        let old = self.model.ir_version_field().unwrap_or_default();
        self.change(old.start, old.end(), new, ROOT);
        Ok(())
    }

    /// Adds a function before those that are there: some readers want a function before its callers.
    ///
    /// # Errors
    /// The additions exceed the largest file there may be.
    pub fn add_function_first(&mut self, function: &schema::FunctionProto) -> Result<()> {
        let functions = self.model.functions();
        let at = functions
            .first()
            .map_or(self.model.bytes().len() as u32, |f| f.located.field);
        self.insert(at, ROOT, 25, function)
    }

    /// Takes a function out.
    ///
    /// # Errors
    /// There is no such function.
    pub fn remove_function(&mut self, index: usize) -> Result<()> {
        let entry = self.model.functions().get(index).map(|f| f.located);
        self.remove(entry, "function", index, ROOT)
    }

    /// Whether nothing has been changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Puts the file together, without copying what stays.
    ///
    /// # Errors
    /// Two changes overlap, or the result exceeds the largest file there may be.
    pub fn finish(self) -> Result<Spliced> {
        splice::splice(self.model, self.changes, self.new)
    }

    fn scope(&self, scope: u32) -> Result<&crate::Scope> {
        self.model
            .scopes()
            .get(scope as usize)
            .ok_or(Error::NoSuch {
                what: "graph",
                index: scope as usize,
            })
    }

    /// A scope that is no function's body.
    fn graph(&self, scope: u32) -> Result<&crate::Scope> {
        let graph = self.scope(scope)?;
        if matches!(graph.kind, crate::ScopeKind::Function(_)) {
            return Err(Error::NoSuch {
                what: "graph",
                index: scope as usize,
            });
        }
        Ok(graph)
    }

    fn function(&self, index: usize) -> Result<&crate::Function> {
        let function = self.model.functions().get(index);
        function.ok_or(Error::NoSuch {
            what: "function",
            index,
        })
    }

    fn located(&self, id: NodeId) -> Result<Located> {
        Ok(self.model.existing_node(id)?.node.located)
    }

    fn removable(&self, id: NodeId) -> Result<Located> {
        let node = self.model.existing_node(id)?;
        let would_lose = |what| Error::WouldLose {
            node: node.describe(),
            what,
        };
        if node.node.has_unknown_fields() {
            return Err(would_lose("fields that this version does not know"));
        }
        if node.node.has_device_configurations() {
            return Err(would_lose("a device configuration"));
        }
        Ok(node.node.located)
    }

    /// Nodes are field 1 of a graph and field 7 of a function.
    fn node_field(&self, scope: u32) -> u32 {
        match self.model.scopes().get(scope as usize).map(|s| s.kind) {
            Some(crate::ScopeKind::Function(_)) => 7,
            _ => 1,
        }
    }

    fn remove(
        &mut self,
        entry: Option<Located>,
        what: &'static str,
        index: usize,
        owner: u32,
    ) -> Result<()> {
        let located = entry.ok_or(Error::NoSuch { what, index })?;
        self.change(located.field, located.span.end(), Span::default(), owner);
        Ok(())
    }

    fn insert(
        &mut self,
        at: u32,
        owner: u32,
        field: u32,
        message: &impl prost::Message,
    ) -> Result<()> {
        let start = self.new.len();
        self.encode(field, message)?;
        let new = self.new_since(start)?;
        self.change(at, at, new, owner);
        Ok(())
    }

    fn encode(&mut self, field: u32, message: &impl prost::Message) -> Result<()> {
        let message_len = message.encoded_len();
        // The longest header is ten bytes: checked before memory is taken.
        let len = self.new.len() as u64 + message_len as u64 + 10;
        if len > crate::limits::MAX_FILE_LEN {
            return Err(Error::TooLong { len });
        }
        put_header(&mut self.new, field, message_len);
        // A Vec grows as needed; encoding into it cannot fail.
        let _ = message.encode(&mut self.new);
        Ok(())
    }

    fn new_since(&self, start: usize) -> Result<Span> {
        if self.new.len() as u64 > crate::limits::MAX_FILE_LEN {
            return Err(Error::TooLong {
                len: self.new.len() as u64,
            });
        }
        Ok(Span {
            start: start as u32,
            len: (self.new.len() - start) as u32,
        })
    }

    fn change(&mut self, start: u32, end: u32, new: Span, owner: u32) {
        self.changes.push(Change {
            start,
            end,
            new,
            owner,
        });
    }
}

fn opset_import(domain: &[u8], version: i64) -> schema::OperatorSetIdProto {
    schema::OperatorSetIdProto {
        domain: Some(domain.to_vec().into()),
        version: Some(version),
    }
}
