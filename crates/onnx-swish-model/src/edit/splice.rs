//! Splicing: the file put together again from what stays and what is new.
//!
//! Given: changes to ranges of a file. Promises: the lengths of all enclosing messages are right again, innermost first,
//! and every byte that no change names and no length is part of stays as it is; nothing is copied until it is written.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{Change, ROOT};
use crate::error::{Error, Result};
use crate::limits::MAX_FILE_LEN;
use crate::model::Model;
use crate::scope::ScopeKind;
use crate::span::{Located, Span};
use crate::wire::{length_prefix, put_varint};

/// A piece of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A range of the original file.
    Original(Span),
    /// A range of the new bytes.
    New(Span),
}

/// An edited file, not yet copied together.
#[derive(Clone)]
pub struct Spliced {
    original: Bytes,
    /// What `original` was made of.
    pieces: Arc<[Bytes]>,
    /// The file that `original` maps, if it does.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    file: Option<Arc<File>>,
    new: Bytes,
    segments: Vec<Segment>,
    len: u64,
    path: Option<PathBuf>,
    base_dir: Option<PathBuf>,
}

impl std::fmt::Debug for Spliced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spliced")
            .field("len", &self.len)
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

impl Spliced {
    /// The length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: a model has at least a graph.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the result is the original, byte for byte.
    pub fn is_unchanged(&self) -> bool {
        matches!(self.segments.as_slice(), [Segment::Original(span)] if *span == crate::model::whole(&self.original))
    }

    /// The pieces, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The bytes of a piece.
    pub fn bytes_of(&self, segment: Segment) -> &[u8] {
        match segment {
            Segment::Original(span) => span.of(&self.original),
            Segment::New(span) => span.of(&self.new),
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn original_file(&self) -> Option<&File> {
        self.file.as_deref()
    }

    /// Where the original was opened.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The folder of the original's external data.
    pub fn base_dir(&self) -> Option<&Path> {
        self.base_dir.as_deref()
    }

    /// Writes the file. Small pieces are gathered first, large ones go out as they are.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_to(&self, out: impl Write) -> std::io::Result<()> {
        let mut out = std::io::BufWriter::with_capacity(1 << 18, out);
        for &segment in &self.segments {
            // BufWriter passes anything longer than its buffer through without a copy.
            out.write_all(self.bytes_of(segment))?;
        }
        out.flush()
    }

    /// The file in memory.
    pub fn to_bytes(&self) -> Bytes {
        if self.is_unchanged() {
            return self.original.clone();
        }
        let mut out = Vec::with_capacity(self.len as usize);
        for &segment in &self.segments {
            out.extend_from_slice(self.bytes_of(segment));
        }
        out.into()
    }

    /// The file in memory as a model again. Its external data is still the original's.
    ///
    /// # Errors
    /// An edit put in something that is no model.
    pub fn into_model(self) -> Result<Model> {
        let model = Model::from_bytes(self.to_bytes())?.of_pieces(self.pieces());
        Ok(model.with_origin(self.path, self.base_dir))
    }

    /// The file in pieces of what the original was made of, without a copy.
    fn pieces(&self) -> Vec<Bytes> {
        let mut pieces = Vec::with_capacity(self.segments.len());
        // Ranges of the original come in its order.
        let mut original = self.pieces.iter();
        let (mut piece, mut begins) = (Bytes::new(), 0);
        for &segment in &self.segments {
            let (Segment::Original(span) | Segment::New(span)) = segment;
            let (mut start, end) = (span.start as usize, span.end() as usize);
            if matches!(segment, Segment::New(_)) {
                pieces.push(self.new.slice(start..end));
                continue;
            }
            while start < end {
                let ends = begins + piece.len();
                if start < ends {
                    let until = end.min(ends);
                    pieces.push(piece.slice(start - begins..until - begins));
                    start = until;
                } else if let Some(next) = original.next() {
                    (piece, begins) = (next.clone(), ends);
                } else {
                    break;
                }
            }
        }
        pieces
    }
}

/// A message whose length changes with what is in it.
struct Container {
    located: Located,
    /// The tag of the enclosing message, or `None` for the outermost.
    parent: Option<u32>,
    delta: i64,
}

pub(super) fn splice(model: &Model, mut changes: Vec<Change>, mut new: Vec<u8>) -> Result<Spliced> {
    resize(model, &mut changes, &mut new)?;
    order(model, &mut changes);
    let original = model.bytes().clone();
    let mut segments = Vec::with_capacity(2 * changes.len() + 1);
    let mut len = 0u64;
    let mut push = |segment: Segment| {
        let (Segment::Original(span) | Segment::New(span)) = segment;
        if !span.is_empty() {
            segments.push(segment);
            len += u64::from(span.len);
        }
    };
    let mut kept_until = 0u32;
    for change in &changes {
        let Some(kept) = change.start.checked_sub(kept_until) else {
            return Err(Error::Conflict { at: change.start });
        };
        push(Segment::Original(Span {
            start: kept_until,
            len: kept,
        }));
        push(Segment::New(change.new));
        kept_until = change.end;
    }
    push(Segment::Original(Span {
        start: kept_until,
        len: original.len() as u32 - kept_until,
    }));
    if len > MAX_FILE_LEN {
        return Err(Error::TooLong { len });
    }
    Ok(Spliced {
        original,
        pieces: model.pieces().clone(),
        file: model.file().cloned(),
        new: new.into(),
        segments,
        len,
        path: model.path().map(Path::to_path_buf),
        base_dir: model.base_dir().map(Path::to_path_buf),
    })
}

/// Adds a change for the length of every message around a change.
fn resize(model: &Model, changes: &mut Vec<Change>, new: &mut Vec<u8>) -> Result<()> {
    // By the position of the tag: a message starts before anything in it, so the last entry is an innermost one.
    let mut containers = BTreeMap::new();
    for change in changes.iter() {
        let delta = i64::from(change.new.len) - i64::from(change.end - change.start);
        let key = enclose(model, change.owner, &mut containers);
        if let Some(container) = key.and_then(|key| containers.get_mut(&key)) {
            container.delta += delta;
        }
    }
    while let Some((_, container)) = containers.pop_last() {
        if container.delta == 0 {
            continue;
        }
        let prefix =
            length_prefix(model.bytes(), container.located).map_err(Error::wire("length"))?;
        let len = i64::from(container.located.span.len) + container.delta;
        // Overlapping removals could add up to more than there is; the overlap is reported with its place later.
        let len = len.max(0) as u64;
        if len > MAX_FILE_LEN {
            return Err(Error::TooLong { len });
        }
        let start = new.len();
        put_varint(new, len);
        let new_len = (new.len() - start) as u32;
        changes.push(Change {
            start: prefix.start,
            end: prefix.end(),
            new: Span {
                start: start as u32,
                len: new_len,
            },
            owner: ROOT,
        });
        if let Some(parent) = container
            .parent
            .and_then(|parent| containers.get_mut(&parent))
        {
            parent.delta += container.delta + i64::from(new_len) - i64::from(prefix.len);
        }
    }
    Ok(())
}

/// Enters a scope and all messages around it; returns the scope's own key.
fn enclose(model: &Model, owner: u32, containers: &mut BTreeMap<u32, Container>) -> Option<u32> {
    let mut scope = model.scopes().get(owner as usize)?;
    let key = scope.located.field;
    loop {
        if containers.contains_key(&scope.located.field) {
            return Some(key);
        }
        let outer = match scope.kind {
            ScopeKind::Main | ScopeKind::Function(_) => None,
            ScopeKind::Subgraph(subgraph) => {
                let parent = model.scopes().get(subgraph.parent as usize)?;
                let node = parent.nodes.get(subgraph.node as usize)?;
                Some((subgraph.attribute, node.located, parent))
            }
        };
        let mut enter = |located: Located, parent| {
            containers.entry(located.field).or_insert(Container {
                located,
                parent,
                delta: 0,
            });
        };
        let Some((attribute, node, parent)) = outer else {
            enter(scope.located, None);
            return Some(key);
        };
        enter(scope.located, Some(attribute.field));
        enter(attribute, Some(node.field));
        enter(node, Some(parent.located.field));
        scope = parent;
    }
}

/// By place. At one place, insertions come before what is taken out, and those of an inner message, which ends there,
/// before those of an outer one.
fn order(model: &Model, changes: &mut [Change]) {
    let depth = |owner: u32| {
        let mut depth = 0;
        let mut scope = model.scopes().get(owner as usize);
        while let Some(here) = scope {
            depth += 1;
            scope = match here.kind {
                ScopeKind::Subgraph(subgraph) => model.scopes().get(subgraph.parent as usize),
                ScopeKind::Main | ScopeKind::Function(_) => None,
            };
        }
        depth
    };
    // A stable sort keeps the order in which insertions were asked for.
    changes.sort_by(|a, b| {
        (a.start, a.end)
            .cmp(&(b.start, b.end))
            .then_with(|| Reverse(depth(a.owner)).cmp(&Reverse(depth(b.owner))))
    });
}
