//! `GraphProto`, `ValueInfoProto`, `SparseTensorProto` and the names in `TensorAnnotation`.

use super::{Builder, Once};
use crate::error::{Error, Result};
use crate::scope::{Scope, SparseTensor, ValueInfo};
use crate::span::{Located, Span};
use crate::tensor::Tensor;
use crate::wire::{Field, Reader, Value, fields};

impl Builder<'_> {
    pub(super) fn graph(&mut self, scope: &mut Scope, id: u32, depth: u32) -> Result<()> {
        const GRAPH: &str = "GraphProto";
        let wire = Error::wire(GRAPH);
        let mut reader = Reader::new(self.bytes, scope.located.span);
        let mut once = Once::default();
        while let Some(field) = reader.next().map_err(&wire)? {
            match (field.number, field.value) {
                (1, Value::Bytes(_)) => self.node(scope, id, depth, &field)?,
                (2, Value::Bytes(span)) => {
                    once.check(GRAPH, 2, "name", field.start)?;
                    scope.name = span;
                }
                (5, Value::Bytes(_)) => {
                    self.count()?;
                    if let Some(located) = field.located() {
                        scope.initializers.push(Tensor::index(self.bytes, located)?);
                    }
                }
                (10, Value::Bytes(_)) => once.check(GRAPH, 10, "doc_string", field.start)?,
                (11, Value::Bytes(_)) => self.value_info(&mut scope.inputs, &field)?,
                (12, Value::Bytes(_)) => self.value_info(&mut scope.outputs, &field)?,
                (13, Value::Bytes(_)) => self.value_info(&mut scope.value_info, &field)?,
                (14, Value::Bytes(span)) => self.annotation(scope, span)?,
                (15, Value::Bytes(_)) => {
                    self.count()?;
                    if let Some(located) = field.located() {
                        scope
                            .sparse_initializers
                            .push(SparseTensor::index(self.bytes, located)?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn value_info(&mut self, list: &mut Vec<ValueInfo>, field: &Field) -> Result<()> {
        const VALUE_INFO: &str = "ValueInfoProto";
        let Some(located) = field.located() else {
            return Ok(());
        };
        self.count()?;
        let mut info = ValueInfo::name_only(located, Span::default());
        let mut once = Once::default();
        let mut reader = Reader::new(self.bytes, located.span);
        while let Some(field) = reader.next().map_err(Error::wire(VALUE_INFO))? {
            let name = match (field.number, field.value) {
                (1, Value::Bytes(span)) => {
                    info.name = span;
                    "name"
                }
                (2, Value::Bytes(span)) => {
                    info.type_ = span;
                    "type"
                }
                (3, Value::Bytes(_)) => "doc_string",
                _ => continue,
            };
            once.check(VALUE_INFO, field.number, name, field.start)?;
        }
        list.push(info);
        Ok(())
    }

    /// The annotated value's name, and those of the tensors that hold its parameters.
    fn annotation(&mut self, scope: &mut Scope, span: Span) -> Result<()> {
        let wire = Error::wire("TensorAnnotation");
        let mut reader = Reader::new(self.bytes, span);
        while let Some(field) = reader.next().map_err(&wire)? {
            let Some(span) = field.bytes() else { continue };
            let name = match field.number {
                1 => Some(span),
                // Entries of key and value; the value is the name.
                2 => fields(self.bytes, span)
                    .filter(|f| f.number == 2)
                    .find_map(|f| f.bytes()),
                _ => None,
            };
            if let Some(name) = name {
                self.count()?;
                scope.annotated.push(name);
            }
        }
        Ok(())
    }
}

impl SparseTensor {
    /// Indexes a `SparseTensorProto`.
    pub(crate) fn index(bytes: &[u8], located: Located) -> Result<Self> {
        const SPARSE: &str = "SparseTensorProto";
        let mut sparse = SparseTensor {
            located,
            values: None,
            indices: None,
        };
        let mut once = Once::default();
        let mut reader = Reader::new(bytes, located.span);
        while let Some(field) = reader.next().map_err(Error::wire(SPARSE))? {
            let Some(located) = field.located() else {
                continue;
            };
            let name = match field.number {
                1 => {
                    sparse.values = Some(Tensor::index(bytes, located)?);
                    "values"
                }
                2 => {
                    sparse.indices = Some(Tensor::index(bytes, located)?);
                    "indices"
                }
                _ => continue,
            };
            once.check(SPARSE, field.number, name, field.start)?;
        }
        Ok(sparse)
    }
}
