//! The index: where everything is in a file, and as little more as can be.
//!
//! Given: any bytes. Promises: one pass, linear time, no recursion, memory bounded before it is taken, and that every
//! message it reports is well-formed protobuf within [`limits`](crate::limits).

mod graph;
mod model;
mod node;
mod training;

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::limits::{MAX_DEPTH, MAX_ENTRIES, MAX_SCOPES};
use crate::scope::{Function, OpsetImport, Scope, ScopeKind};
use crate::span::{Located, Run, Span};

/// Everything the index knows.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Value and field of the version, if it is given.
    pub ir_version: Option<(i64, Span)>,
    pub producer: [Span; 2],
    pub opset_imports: Vec<OpsetImport>,
    pub functions: Vec<Function>,
    pub scopes: Vec<Scope>,
    /// Names of inputs and outputs, node by node.
    pub names: Vec<Span>,
    /// Training graphs, kept for their stored tensors; never edited.
    pub training_scopes: Vec<Scope>,
    /// Names that training reads or sets.
    pub pinned: Vec<Span>,
    pub entries: usize,
}

/// A graph or function body that is still to be read.
struct Pending {
    kind: ScopeKind,
    located: Located,
    depth: u32,
}

/// An index under construction.
struct Builder<'a> {
    bytes: &'a [u8],
    index: Index,
    queue: VecDeque<Pending>,
}

/// Indexes a whole file.
pub(crate) fn build(bytes: &[u8]) -> Result<Index> {
    let mut builder = Builder {
        bytes,
        index: Index::default(),
        queue: VecDeque::new(),
    };
    let training = builder.model()?;
    builder.drain()?;
    builder.training(&training)?;
    Ok(builder.index)
}

impl Builder<'_> {
    /// Reads pending graphs, first found first: a graph comes before those nested in it.
    fn drain(&mut self) -> Result<()> {
        while let Some(next) = self.queue.pop_front() {
            let id = self.index.scopes.len() as u32;
            let mut scope = Scope::new(next.kind, next.located);
            match next.kind {
                ScopeKind::Function(function) => self.function(&mut scope, id, function)?,
                ScopeKind::Main | ScopeKind::Subgraph(_) => {
                    self.graph(&mut scope, id, next.depth)?
                }
            }
            self.index.scopes.push(scope);
        }
        Ok(())
    }

    fn enqueue(&mut self, kind: ScopeKind, located: Located, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        if self.index.scopes.len() + self.queue.len() >= MAX_SCOPES {
            return Err(Error::TooMany {
                what: "graphs",
                limit: MAX_SCOPES,
            });
        }
        self.queue.push_back(Pending {
            kind,
            located,
            depth,
        });
        Ok(())
    }

    /// Counts one more entry of a table.
    fn count(&mut self) -> Result<()> {
        self.index.entries += 1;
        if self.index.entries > MAX_ENTRIES {
            return Err(Error::TooMany {
                what: "nodes, stored tensors and value types",
                limit: MAX_ENTRIES,
            });
        }
        Ok(())
    }

    fn name(&mut self, span: Span) -> Result<()> {
        if self.index.names.len() >= 4 * MAX_ENTRIES {
            return Err(Error::TooMany {
                what: "names of inputs and outputs",
                limit: 4 * MAX_ENTRIES,
            });
        }
        self.index.names.push(span);
        Ok(())
    }
}

/// Refuses the second of a field that may stand once. `seen` has one bit for each field number met.
#[derive(Default)]
pub(crate) struct Once(u32);

impl Once {
    pub fn check(
        &mut self,
        message: &'static str,
        number: u32,
        field: &'static str,
        at: u32,
    ) -> Result<()> {
        let bit = 1u32.checked_shl(number).unwrap_or(0);
        if self.0 & bit != 0 {
            return Err(Error::Duplicate { message, field, at });
        }
        self.0 |= bit;
        Ok(())
    }
}

/// A run of the table of names that starts at `start` and ends where the table ends now.
fn run_from(start: usize, table: &[Span]) -> Run {
    Run {
        start: start as u32,
        len: (table.len() - start) as u32,
    }
}
