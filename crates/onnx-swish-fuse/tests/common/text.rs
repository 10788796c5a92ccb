//! Nodes, values and constants from text.
//!
//! - nodes: `a, b = domain::Op[name=1.5, axes=0:1](x, , y); ...`
//! - values: `float[2,N] x; int64 i`, where a letter is a named dimension and no brackets mean a scalar
//! - constants: `float three = 3; float[2] b = 1,2`

use onnx_swish_model::schema;
use schema::attribute_proto::AttributeType;
use schema::tensor_shape_proto::{Dimension, dimension};

pub fn bytes(text: &str) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text.as_bytes())
}

pub fn opset(domain: &str, version: i64) -> schema::OperatorSetIdProto {
    schema::OperatorSetIdProto {
        domain: Some(bytes(domain)),
        version: Some(version),
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

pub fn nodes(body: &str) -> Vec<schema::NodeProto> {
    parts(body).map(node).collect()
}

fn node(text: &str) -> schema::NodeProto {
    let (outputs, call) = text.split_once(" = ").expect("outputs = call");
    let (head, arguments) = call
        .strip_suffix(')')
        .and_then(|call| call.split_once('('))
        .expect("op(arguments)");
    let (op, attributes) = match head.split_once('[') {
        Some((op, attributes)) => (op, attributes.trim_end_matches(']')),
        None => (head, ""),
    };
    let (domain, op) = op.split_once("::").unwrap_or(("", op));
    let names = |list: &str| match list.trim() {
        "" => Vec::new(),
        list => list.split(',').map(|name| bytes(name.trim())).collect(),
    };
    schema::NodeProto {
        input: names(arguments),
        output: names(outputs),
        op_type: Some(bytes(op.trim())),
        domain: (!domain.is_empty()).then(|| bytes(domain.trim())),
        name: Some(bytes(&format!(
            "{}_{}",
            op.trim(),
            outputs.split(',').next().unwrap_or_default().trim()
        ))),
        attribute: attributes
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(attribute)
            .collect(),
        ..Default::default()
    }
}

/// `alpha=1.5` is a float, `axis=1` an integer, `axes=0:1` integers, `values=1.5:2.5` floats, `to=@a` a reference,
/// `value=float[1] 3` a tensor.
fn attribute(text: &str) -> schema::AttributeProto {
    let (name, value) = text.split_once('=').expect("name=value");
    let mut attribute = schema::AttributeProto {
        name: Some(bytes(name.trim())),
        ..Default::default()
    };
    let value = value.trim();
    let mut is = |kind: AttributeType| attribute.r#type = Some(kind as i32);
    if let Some(reference) = value.strip_prefix('@') {
        is(AttributeType::Float);
        attribute.ref_attr_name = Some(bytes(reference));
    } else if value.contains(' ') {
        is(AttributeType::Tensor);
        let (kind, numbers) = value.rsplit_once(' ').expect("type numbers");
        attribute.t = Some(tensor("", kind, numbers));
    } else if value.contains(':') {
        let list: Vec<&str> = value.split(':').filter(|part| !part.is_empty()).collect();
        if value.contains('.') {
            is(AttributeType::Floats);
            attribute.floats = list
                .iter()
                .map(|number| number.parse().expect("a float"))
                .collect();
        } else {
            is(AttributeType::Ints);
            attribute.ints = list
                .iter()
                .map(|number| number.parse().expect("an integer"))
                .collect();
        }
    } else if value.contains('.') || ["inf", "nan"].contains(&value) {
        is(AttributeType::Float);
        attribute.f = Some(value.parse().expect("a float"));
    } else {
        is(AttributeType::Int);
        attribute.i = Some(value.parse().expect("an integer"));
    }
    attribute
}

/// Element type and dimensions of `float[2,N]`.
fn kind(text: &str) -> (i32, Vec<&str>) {
    let (name, dims) = match text.trim().split_once('[') {
        Some((name, dims)) => (
            name,
            dims.trim_end_matches(']')
                .split(',')
                .map(str::trim)
                .collect(),
        ),
        None => (text.trim(), Vec::new()),
    };
    let code = match name {
        "float" => 1,
        "uint8" => 2,
        "int8" => 3,
        "uint16" => 4,
        "int16" => 5,
        "int32" => 6,
        "int64" => 7,
        "bool" => 9,
        "float16" => 10,
        "double" => 11,
        "bfloat16" => 16,
        "float8" => 17,
        _ => panic!("unknown type {name}"),
    };
    (code, dims)
}

pub fn values(text: &str) -> Vec<schema::ValueInfoProto> {
    parts(text)
        .map(|part| {
            let (type_, name) = part.rsplit_once(' ').expect("type name");
            // `?` stands for a shape that is not even known by its rank.
            let unranked = type_.ends_with('?');
            let (code, dims) = kind(type_.trim_end_matches('?'));
            let dim = dims
                .into_iter()
                .map(|dim| Dimension {
                    value: Some(match dim.parse() {
                        Ok(size) => dimension::Value::DimValue(size),
                        Err(_) => dimension::Value::DimParam(bytes(dim)),
                    }),
                    ..Default::default()
                })
                .collect();
            let tensor = schema::type_proto::Tensor {
                elem_type: Some(code),
                shape: (!unranked).then_some(schema::TensorShapeProto { dim }),
            };
            schema::ValueInfoProto {
                name: Some(bytes(name)),
                r#type: Some(schema::TypeProto {
                    value: Some(schema::type_proto::Value::TensorType(tensor)),
                    ..Default::default()
                }),
                ..Default::default()
            }
        })
        .collect()
}

pub fn constants(text: &str) -> Vec<schema::TensorProto> {
    parts(text)
        .map(|part| {
            let (left, numbers) = part.split_once(" = ").expect("type name = numbers");
            let (type_, name) = left.trim().rsplit_once(' ').expect("type name");
            tensor(name, type_, numbers)
        })
        .collect()
}

/// A tensor; one number fills it.
pub fn tensor(name: &str, type_: &str, numbers: &str) -> schema::TensorProto {
    let (code, dims) = kind(type_);
    let dims: Vec<i64> = dims
        .iter()
        .map(|dim| dim.parse().expect("a size"))
        .collect();
    let count = dims.iter().product::<i64>() as usize;
    let mut numbers: Vec<f64> = numbers
        .split(',')
        .map(|number| number.trim().parse().expect("a number"))
        .collect();
    if let [only] = numbers[..] {
        numbers = vec![only; count];
    }
    assert_eq!(numbers.len(), count, "{name}");
    let mut tensor = schema::TensorProto {
        name: (!name.is_empty()).then(|| bytes(name)),
        dims,
        data_type: Some(code),
        ..Default::default()
    };
    match code {
        1 => tensor.float_data = numbers.iter().map(|&n| n as f32).collect(),
        7 => tensor.int64_data = numbers.iter().map(|&n| n as i64).collect(),
        10 => {
            tensor.int32_data = numbers
                .iter()
                .map(|&n| i32::from(half::f16::from_f64(n).to_bits()))
                .collect()
        }
        11 => {
            tensor.raw_data = Some(
                numbers
                    .iter()
                    .flat_map(|n| n.to_le_bytes())
                    .collect::<Vec<u8>>()
                    .into(),
            )
        }
        16 => {
            tensor.int32_data = numbers
                .iter()
                .map(|&n| i32::from(half::bf16::from_f64(n).to_bits()))
                .collect()
        }
        _ => tensor.int32_data = numbers.iter().map(|&n| n as i32).collect(),
    }
    tensor
}
