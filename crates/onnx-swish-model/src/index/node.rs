//! `NodeProto` and the outline of `AttributeProto`.

use super::{Builder, Once, run_from};
use crate::error::{Error, Result};
use crate::node::{Node, NodeFlags};
use crate::scope::{Scope, ScopeKind, Subgraph};
use crate::span::{Located, Span};
use crate::wire::{Field, Reader, Value};

const NODE: &str = "NodeProto";
const ATTRIBUTE: &str = "AttributeProto";

impl Builder<'_> {
    pub(super) fn node(
        &mut self,
        scope: &mut Scope,
        id: u32,
        depth: u32,
        field: &Field,
    ) -> Result<()> {
        let Some(located) = field.located() else {
            return Ok(());
        };
        self.count()?;
        let position = scope.nodes.len() as u32;
        let wire = Error::wire(NODE);
        let mut reader = Reader::new(self.bytes, located.span);
        let mut once = Once::default();
        let mut node = Node {
            located,
            ..Node::default()
        };
        let inputs = self.index.names.len();
        let mut outputs = OutputNames::default();
        while let Some(field) = reader.next().map_err(&wire)? {
            let name = match (field.number, field.value) {
                (1, Value::Bytes(span)) => {
                    self.name(span)?;
                    continue;
                }
                (2, Value::Bytes(span)) => {
                    outputs.push(span);
                    continue;
                }
                (3, Value::Bytes(span)) => {
                    node.name = span;
                    "name"
                }
                (4, Value::Bytes(span)) => {
                    node.op_type = span;
                    "op_type"
                }
                (5, Value::Bytes(_)) => {
                    node.flags.insert(NodeFlags::ATTRIBUTES);
                    if let Some(located) = field.located() {
                        let flags = self.attribute(id, position, depth, located)?;
                        node.flags.insert(flags);
                    }
                    continue;
                }
                (6, Value::Bytes(_)) => {
                    node.flags.insert(NodeFlags::DOC_STRING);
                    "doc_string"
                }
                (7, Value::Bytes(span)) => {
                    node.domain = span;
                    "domain"
                }
                (8, Value::Bytes(span)) => {
                    node.overload = span;
                    "overload"
                }
                (9, Value::Bytes(_)) => {
                    node.flags.insert(NodeFlags::METADATA);
                    continue;
                }
                (10, Value::Bytes(_)) => {
                    node.flags.insert(NodeFlags::DEVICES);
                    continue;
                }
                _ => {
                    node.flags.insert(NodeFlags::UNKNOWN_FIELDS);
                    continue;
                }
            };
            once.check(NODE, field.number, name, field.start)?;
        }
        if node.op_type.is_empty() {
            return Err(Error::Missing {
                message: NODE,
                field: "op_type",
                at: located.span.start,
            });
        }
        node.inputs = run_from(inputs, &self.index.names);
        let start = self.index.names.len();
        for span in outputs.iter() {
            self.name(span)?;
        }
        node.outputs = run_from(start, &self.index.names);
        scope.nodes.push(node);
        Ok(())
    }

    /// Checks one attribute and enqueues the graphs in it.
    fn attribute(
        &mut self,
        scope: u32,
        node: u32,
        depth: u32,
        located: Located,
    ) -> Result<NodeFlags> {
        let mut flags = NodeFlags::default();
        for field in Outline::new(self.bytes, located.span) {
            let field = field?;
            match field.number {
                6 | 11 if field.bytes().is_some() => {
                    flags.insert(NodeFlags::SUBGRAPHS);
                    let subgraph = Subgraph {
                        parent: scope,
                        node,
                        attribute: located,
                    };
                    let graph = field.located().unwrap_or_default();
                    self.enqueue(ScopeKind::Subgraph(subgraph), graph, depth + 1)?;
                }
                // Every number that AttributeProto has; see the schema.
                1..=11 | 13..=15 | 20..=23 => {}
                _ => flags.insert(NodeFlags::UNKNOWN_FIELDS),
            }
        }
        Ok(flags)
    }

    /// Checks an attribute that belongs to no node: a function's default value.
    pub(super) fn attribute_is_sound(&mut self, located: Located) -> Result<()> {
        for field in Outline::new(self.bytes, located.span) {
            field?;
        }
        Ok(())
    }
}

/// The fields of an attribute, each singular one at most once.
struct Outline<'a> {
    reader: Reader<'a>,
    once: Once,
}

impl<'a> Outline<'a> {
    fn new(bytes: &'a [u8], span: Span) -> Self {
        Self {
            reader: Reader::new(bytes, span),
            once: Once::default(),
        }
    }
}

impl Iterator for Outline<'_> {
    type Item = Result<Field>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = match self.reader.next() {
            Ok(field) => field?,
            Err(e) => return Some(Err(Error::wire(ATTRIBUTE)(e))),
        };
        let name = match field.number {
            1 => "name",
            2 => "f",
            3 => "i",
            4 => "s",
            5 => "t",
            6 => "g",
            13 => "doc_string",
            14 => "tp",
            20 => "type",
            21 => "ref_attr_name",
            22 => "sparse_tensor",
            _ => return Some(Ok(field)),
        };
        Some(
            self.once
                .check(ATTRIBUTE, field.number, name, field.start)
                .map(|()| field),
        )
    }
}

/// Output names, held until the inputs are complete: nearly every node has one, and needs no allocation.
#[derive(Default)]
struct OutputNames {
    first: Option<Span>,
    rest: Vec<Span>,
}

impl OutputNames {
    fn push(&mut self, span: Span) {
        match self.first {
            None => self.first = Some(span),
            Some(_) => self.rest.push(span),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.first.into_iter().chain(self.rest.iter().copied())
    }
}
