//! What a model takes and gives: names, element types, shapes.
//!
//! Given a decoded model; promises its real inputs (initializers that are also inputs are constants to tract) in file order.

use std::collections::HashMap;
use std::fmt;

use tract_core::internal::{DimLike, OutletId, TractResult, TypedModel};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::{ModelProto, TensorProto, ValueInfoProto, type_proto};

use crate::error::{Error, Result};
use crate::tensor::ElementType;

/// One dimension of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// A size.
    Fixed(usize),
    /// A size with a name, free until the model runs.
    Named(String),
    /// A size about which the file says nothing.
    Unknown,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(size) => size.fmt(f),
            Dim::Named(name) => name.fmt(f),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

/// An input or an output of a model, as the file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements; `None` only for outputs that declare none.
    pub element_type: Option<ElementType>,
    /// Its dimensions; `None` when even their number is open.
    pub shape: Option<Vec<Dim>>,
}

impl Port {
    /// The shape as people write it: `[batch, 3, 224, ?]`.
    pub fn shape_text(&self) -> String {
        match &self.shape {
            None => "of any rank".to_owned(),
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
                format!("[{}]", dims.join(", "))
            }
        }
    }

    /// The shape when nothing in it is free.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        let sizes = self.shape.as_ref()?.iter().map(|dim| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Named(_) | Dim::Unknown => None,
        });
        sizes.collect()
    }

    /// Whether a concrete shape agrees with the declared one.
    pub fn accepts(&self, shape: &[usize]) -> bool {
        self.shape.as_ref().is_none_or(|dims| {
            dims.len() == shape.len()
                && dims
                    .iter()
                    .zip(shape)
                    .all(|(dim, size)| !matches!(dim, Dim::Fixed(fixed) if fixed != size))
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element_type = self
            .element_type
            .map_or("of unknown type", ElementType::name);
        write!(f, "{} {element_type} {}", self.name, self.shape_text())
    }
}

/// A model's inputs and outputs.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub inputs: Vec<Port>,
    /// Inputs whose value the file stores.
    pub stored: Vec<String>,
    pub outputs: Vec<Port>,
}

impl Signature {
    pub fn of(model: &ModelProto) -> Result<Signature> {
        let graph = model
            .graph
            .as_ref()
            .ok_or_else(|| Error::Decode("it contains no graph".to_owned()))?;
        let constants: std::collections::HashSet<&str> = graph
            .initializer
            .iter()
            .map(|initializer| initializer.name.as_str())
            .collect();
        let inputs = graph
            .input
            .iter()
            .filter(|input| !constants.contains(input.name.as_str()));
        let stored = graph
            .input
            .iter()
            .filter(|input| constants.contains(input.name.as_str()));
        let stored = stored.map(|input| input.name.clone()).collect();
        let mut inputs = inputs
            .map(|input| port("input", input))
            .collect::<Result<Vec<_>>>()?;
        for input in &mut inputs {
            if input.element_type.is_none() {
                return Err(Error::UnsupportedType {
                    role: "input",
                    name: std::mem::take(&mut input.name),
                    found: "something that is no tensor".to_owned(),
                });
            }
        }
        // A graph output that nothing produces panics in tract.
        let mut produced = constants;
        produced.extend(graph.input.iter().map(|input| input.name.as_str()));
        produced.extend(
            graph
                .node
                .iter()
                .flat_map(|node| &node.output)
                .map(String::as_str),
        );
        for output in &graph.output {
            if !produced.contains(output.name.as_str()) {
                return Err(Error::Build {
                    node: None,
                    reason: format!(
                        "the model's output `{}` is produced by no node",
                        output.name
                    ),
                });
            }
        }
        let outputs = graph
            .output
            .iter()
            .map(|output| port("output", output))
            .collect::<Result<_>>()?;
        Ok(Signature {
            inputs,
            stored,
            outputs,
        })
    }

    /// The error that inputs give one dimension two sizes, if they do. Exporters are careless with names: it says why only where a
    /// model fails.
    pub fn two_sizes(&self, shapes: &[Vec<usize>]) -> Option<Error> {
        let mut seen: HashMap<&str, (&str, usize)> = HashMap::new();
        for (port, shape) in self.inputs.iter().zip(shapes) {
            for (dim, size) in port.shape.iter().flatten().zip(shape) {
                let Dim::Named(dimension) = dim else {
                    continue;
                };
                let (one, one_size) = *seen.entry(dimension).or_insert((&port.name, *size));
                if one_size != *size {
                    return Some(Error::FreeDimension {
                        dimension: dimension.clone(),
                        one: one.to_owned(),
                        one_size,
                        other: port.name.clone(),
                        other_size: *size,
                    });
                }
            }
        }
        None
    }

    pub fn of_typed(model: &TypedModel) -> TractResult<Signature> {
        let port = |outlet: &OutletId| -> TractResult<Port> {
            let fact = model.outlet_fact(*outlet)?;
            let label = model.outlet_label(*outlet).map(str::to_owned);
            let dims = fact.shape.iter().map(|dim| match dim.to_usize() {
                Ok(size) => Dim::Fixed(size),
                Err(_) => Dim::Named(dim.to_string()),
            });
            Ok(Port {
                name: label.unwrap_or_else(|| model.node(outlet.node).name.clone()),
                element_type: ElementType::of(fact.datum_type),
                shape: Some(dims.collect()),
            })
        };
        Ok(Signature {
            stored: Vec::new(),
            inputs: model
                .input_outlets()?
                .iter()
                .map(port)
                .collect::<TractResult<_>>()?,
            outputs: model
                .output_outlets()?
                .iter()
                .map(port)
                .collect::<TractResult<_>>()?,
        })
    }
}

fn port(role: &'static str, info: &ValueInfoProto) -> Result<Port> {
    let name = info.name.clone();
    let Some(type_proto::Value::TensorType(tensor)) =
        info.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Ok(Port {
            name,
            element_type: None,
            shape: None,
        });
    };
    let element_type = element_type(tensor.elem_type).map_err(|found| Error::UnsupportedType {
        role,
        name: name.clone(),
        found,
    })?;
    let shape = tensor.shape.as_ref().map(|shape| {
        let dims = shape.dim.iter().map(|dim| match &dim.value {
            Some(DimValue::DimValue(size)) => {
                usize::try_from(*size).map_or(Dim::Unknown, Dim::Fixed)
            }
            Some(DimValue::DimParam(name)) if !name.is_empty() && name != "?" => {
                Dim::Named(name.clone())
            }
            _ => Dim::Unknown,
        });
        dims.collect()
    });
    Ok(Port {
        name,
        element_type,
        shape,
    })
}

/// Refuses a constant of a type that tract lacks.
pub(super) fn check_constant(tensor: &TensorProto) -> Result<()> {
    let known = element_type(tensor.data_type);
    known.map(drop).map_err(|found| Error::UnsupportedType {
        role: "constant",
        name: tensor.name.clone(),
        found,
    })
}

/// The element type of an ONNX code; `Ok(None)` for "undefined", the name of one that tract lacks as the error.
fn element_type(code: i32) -> Result<Option<ElementType>, String> {
    let known = DataType::try_from(code).map_err(|_| format!("number {code}"))?;
    Ok(Some(match known {
        DataType::Undefined => return Ok(None),
        DataType::Bool => ElementType::Bool,
        DataType::Uint8 => ElementType::U8,
        DataType::Uint16 => ElementType::U16,
        DataType::Uint32 => ElementType::U32,
        DataType::Uint64 => ElementType::U64,
        DataType::Int8 => ElementType::I8,
        DataType::Int16 => ElementType::I16,
        DataType::Int32 => ElementType::I32,
        DataType::Int64 => ElementType::I64,
        DataType::Float16 => ElementType::F16,
        DataType::Bfloat16 => ElementType::BF16,
        DataType::Float => ElementType::F32,
        DataType::Double => ElementType::F64,
        DataType::String => ElementType::String,
        other => return Err(other.as_str_name().to_lowercase()),
    }))
}
