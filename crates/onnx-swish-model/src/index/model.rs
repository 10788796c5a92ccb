//! `ModelProto`, `OperatorSetIdProto` and the head of `FunctionProto`.

use super::{Builder, Once, run_from};
use crate::error::{Error, Result};
use crate::scope::{Function, OpsetImport, Scope, ScopeKind, ValueInfo};
use crate::span::{Located, Run};
use crate::wire::{Field, Reader, Value};

impl Builder<'_> {
    /// Reads the outermost message and enqueues its graphs; returns the training information.
    pub(super) fn model(&mut self) -> Result<Vec<Located>> {
        const MODEL: &str = "ModelProto";
        let wire = Error::wire(MODEL);
        let mut reader = Reader::new(self.bytes, crate::model::whole(self.bytes));
        let mut once = Once::default();
        let mut training = Vec::new();
        let mut graph = None;
        let mut functions = Vec::new();
        while let Some(field) = reader.next().map_err(&wire)? {
            let name = match (field.number, field.value) {
                (1, Value::Varint(version)) => {
                    let span = crate::span::Span {
                        start: field.start,
                        len: field.end - field.start,
                    };
                    self.index.ir_version = Some((version as i64, span));
                    "ir_version"
                }
                (2, Value::Bytes(span)) => {
                    self.index.producer[0] = span;
                    "producer_name"
                }
                (3, Value::Bytes(span)) => {
                    self.index.producer[1] = span;
                    "producer_version"
                }
                (4, Value::Bytes(_)) => "domain",
                (5, Value::Varint(_)) => "model_version",
                (6, Value::Bytes(_)) => "doc_string",
                (7, Value::Bytes(_)) => {
                    graph = field.located();
                    "graph"
                }
                (8, Value::Bytes(_)) => {
                    self.count()?;
                    let import = opset_import(self.bytes, &field)?;
                    self.index.opset_imports.extend(import);
                    continue;
                }
                (20, Value::Bytes(_)) => {
                    training.extend(field.located());
                    continue;
                }
                (25, Value::Bytes(_)) => {
                    self.count()?;
                    functions.extend(field.located());
                    continue;
                }
                _ => continue,
            };
            once.check(MODEL, field.number, name, field.start)?;
        }
        self.enqueue(ScopeKind::Main, graph.ok_or(Error::NoGraph)?, 0)?;
        for (i, &located) in functions.iter().enumerate() {
            self.index
                .functions
                .push(Function::new(i as u32 + 1, located));
            self.enqueue(ScopeKind::Function(i as u32), located, 0)?;
        }
        Ok(training)
    }

    pub(super) fn function(&mut self, scope: &mut Scope, id: u32, function: u32) -> Result<()> {
        const FUNCTION: &str = "FunctionProto";
        let wire = Error::wire(FUNCTION);
        let located = scope.located;
        let mut head = Function::new(id, located);
        let mut reader = Reader::new(self.bytes, located.span);
        let mut once = Once::default();
        let mut attributes = Vec::new();
        while let Some(field) = reader.next().map_err(&wire)? {
            let name = match (field.number, field.value) {
                (1, Value::Bytes(span)) => {
                    head.name = span;
                    "name"
                }
                (8, Value::Bytes(_)) => "doc_string",
                (10, Value::Bytes(span)) => {
                    head.domain = span;
                    "domain"
                }
                (13, Value::Bytes(span)) => {
                    head.overload = span;
                    "overload"
                }
                (4 | 5, Value::Bytes(span)) => {
                    self.count()?;
                    let list = if field.number == 4 {
                        &mut scope.inputs
                    } else {
                        &mut scope.outputs
                    };
                    list.push(ValueInfo::name_only(
                        field.located().unwrap_or_default(),
                        span,
                    ));
                    continue;
                }
                (6, Value::Bytes(span)) => {
                    attributes.push(span);
                    continue;
                }
                (7, Value::Bytes(_)) => {
                    self.node(scope, id, 0, &field)?;
                    continue;
                }
                (9, Value::Bytes(_)) => {
                    self.count()?;
                    head.opset_imports.extend(opset_import(self.bytes, &field)?);
                    continue;
                }
                (11, Value::Bytes(_)) => {
                    self.count()?;
                    if let Some(located) = field.located() {
                        self.attribute_is_sound(located)?;
                        head.attribute_protos.push(located);
                    }
                    continue;
                }
                (12, Value::Bytes(_)) => {
                    self.value_info(&mut scope.value_info, &field)?;
                    continue;
                }
                _ => continue,
            };
            once.check(FUNCTION, field.number, name, field.start)?;
        }
        let start = self.index.names.len();
        for span in attributes {
            self.name(span)?;
        }
        head.attributes = run_from(start, &self.index.names);
        scope.name = head.name;
        if let Some(slot) = self.index.functions.get_mut(function as usize) {
            *slot = head;
        }
        Ok(())
    }
}

impl Function {
    fn new(scope: u32, located: Located) -> Self {
        Self {
            scope,
            located,
            name: Default::default(),
            domain: Default::default(),
            overload: Default::default(),
            attributes: Run::default(),
            attribute_protos: Vec::new(),
            opset_imports: Vec::new(),
        }
    }
}

fn opset_import(bytes: &[u8], field: &Field) -> Result<Option<OpsetImport>> {
    const IMPORT: &str = "OperatorSetIdProto";
    let Some(located) = field.located() else {
        return Ok(None);
    };
    let mut import = OpsetImport {
        located,
        domain: Default::default(),
        version: 0,
    };
    let mut once = Once::default();
    let mut reader = Reader::new(bytes, located.span);
    while let Some(field) = reader.next().map_err(Error::wire(IMPORT))? {
        let name = match (field.number, field.value) {
            (1, Value::Bytes(span)) => {
                import.domain = span;
                "domain"
            }
            (2, Value::Varint(version)) => {
                import.version = version as i64;
                "version"
            }
            _ => continue,
        };
        once.check(IMPORT, field.number, name, field.start)?;
    }
    Ok(Some(import))
}
