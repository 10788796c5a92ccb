//! What a model computes: element by element in f64, straight from the operators' definitions.

use std::collections::HashMap;

use onnx_swish_model::schema;

#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub dims: Vec<usize>,
    pub data: Vec<f64>,
}

pub type Values = HashMap<Vec<u8>, Tensor>;

/// Seeded inputs between -8 and 8, with the corners of HardSwish among them. A named dimension is as long as its name's
/// first letter says: N is 2, C is 8, everything else 4.
pub fn inputs(model: &schema::ModelProto, seed: u64) -> Values {
    let graph = model.graph.as_ref().expect("a graph");
    let stored: Vec<&[u8]> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name())
        .collect();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    graph
        .input
        .iter()
        .filter(|value| !stored.contains(&value.name()))
        .map(|value| {
            let dims = dims(value);
            let count: usize = dims.iter().product();
            let corners = [-3.0, 3.0, 0.0, -8.0, 8.0, -2.5];
            let data = (0..count)
                .map(|i| {
                    corners
                        .get(i / 2)
                        .copied()
                        .unwrap_or_else(|| random() * 16.0 - 8.0)
                })
                .collect();
            (value.name().to_vec(), Tensor { dims, data })
        })
        .collect()
}

fn dims(value: &schema::ValueInfoProto) -> Vec<usize> {
    use schema::tensor_shape_proto::dimension::Value;
    let Some(schema::type_proto::Value::TensorType(tensor)) =
        value.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        panic!("not a tensor");
    };
    let shape = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    shape
        .iter()
        .map(|dim| match &dim.value {
            Some(Value::DimValue(size)) => *size as usize,
            Some(Value::DimParam(name)) if name.starts_with(b"N") => 2,
            Some(Value::DimParam(name)) if name.starts_with(b"C") => 8,
            _ => 4,
        })
        .collect()
}

/// The outputs of a model.
pub fn run(model: &schema::ModelProto, inputs: &Values) -> Vec<Tensor> {
    let graph = model.graph.as_ref().expect("a graph");
    let mut values = inputs.clone();
    values.extend(
        graph
            .initializer
            .iter()
            .map(|tensor| (tensor.name().to_vec(), stored(tensor))),
    );
    nodes(model, &graph.node, &mut values, &HashMap::new());
    graph
        .output
        .iter()
        .map(|output| values[output.name()].clone())
        .collect()
}

fn stored(tensor: &schema::TensorProto) -> Tensor {
    let mut proto = tensor.clone();
    proto.name = Some(super::text::bytes("t"));
    // The model crate is the reader of tensors; this is not the place for a second one.
    let graph = schema::GraphProto {
        initializer: vec![proto],
        ..Default::default()
    };
    let model = super::model(&schema::ModelProto {
        graph: Some(graph),
        ..Default::default()
    });
    let entry = model.scopes()[0].initializers()[0];
    Tensor {
        dims: model.dims(&entry).iter().map(|&dim| dim as usize).collect(),
        data: model
            .tensor_f64(&entry, 1 << 20)
            .expect("a readable tensor"),
    }
}

fn nodes(
    model: &schema::ModelProto,
    list: &[schema::NodeProto],
    values: &mut Values,
    attributes: &HashMap<Vec<u8>, f64>,
) {
    let mut left: Vec<&schema::NodeProto> = list.iter().collect();
    // Nodes in any order, as long as there is one.
    while !left.is_empty() {
        let ready = left.iter().position(|node| {
            node.input
                .iter()
                .all(|name| name.is_empty() || values.contains_key(&name[..]))
        });
        let node = left.remove(ready.expect("a node whose inputs are known"));
        let results = call(model, node, values, attributes);
        for (name, result) in node.output.iter().zip(results) {
            values.insert(name.to_vec(), result);
        }
    }
}

fn call(
    model: &schema::ModelProto,
    node: &schema::NodeProto,
    values: &Values,
    outer: &HashMap<Vec<u8>, f64>,
) -> Vec<Tensor> {
    let number = |attribute: &schema::AttributeProto| {
        if attribute.ref_attr_name().is_empty() {
            if attribute.f.is_some() {
                f64::from(attribute.f())
            } else {
                attribute.i() as f64
            }
        } else {
            outer[attribute.ref_attr_name()]
        }
    };
    let given: HashMap<Vec<u8>, f64> = node
        .attribute
        .iter()
        .map(|attribute| (attribute.name().to_vec(), number(attribute)))
        .collect();
    let function = model
        .functions
        .iter()
        .find(|f| f.name() == node.op_type() && f.domain() == node.domain());
    let inputs: Vec<Option<&Tensor>> = node
        .input
        .iter()
        .map(|name| values.get(&name[..]))
        .collect();
    if let Some(function) = function {
        let mut inside = Values::new();
        for (name, value) in function.input.iter().zip(&inputs) {
            inside.insert(
                name.to_vec(),
                value.expect("no optional inputs here").clone(),
            );
        }
        nodes(model, &function.node, &mut inside, &given);
        return function
            .output
            .iter()
            .map(|name| inside[&name[..]].clone())
            .collect();
    }
    let attribute =
        |name: &str, default: f64| given.get(name.as_bytes()).copied().unwrap_or(default);
    let ints = |name: &str| {
        node.attribute
            .iter()
            .find(|a| a.name() == name.as_bytes())
            .map(|a| a.ints.clone())
    };
    let at = |index: usize| inputs[index].expect("an input");
    let scalar = |index: usize| {
        inputs
            .get(index)
            .copied()
            .flatten()
            .map(|tensor| tensor.data[0])
    };
    let map = |f: &dyn Fn(f64) -> f64| Tensor {
        dims: at(0).dims.clone(),
        data: at(0).data.iter().map(|&x| f(x)).collect(),
    };
    let fold = |f: &dyn Fn(f64, f64) -> f64| {
        inputs[1..].iter().fold(at(0).clone(), |sum, next| {
            broadcast(&sum, next.expect("an input"), f)
        })
    };
    let result = match std::str::from_utf8(node.op_type()).expect("a name") {
        "Identity" | "Cast" | "CastLike" => at(0).clone(),
        "Dropout" => return vec![at(0).clone(), at(0).clone()],
        "Sigmoid" => map(&|x| 1.0 / (1.0 + (-x).exp())),
        "Tanh" => map(&f64::tanh),
        "Exp" => map(&f64::exp),
        "Neg" => map(&|x| -x),
        "Sqrt" => map(&f64::sqrt),
        "Reciprocal" => map(&|x| 1.0 / x),
        "Relu" => map(&|x| x.max(0.0)),
        "Softplus" => map(&|x| x.exp().ln_1p()),
        "HardSigmoid" => {
            let (alpha, beta) = (
                attribute("alpha", f64::from(0.2_f32)),
                attribute("beta", 0.5),
            );
            map(&|x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "HardSwish" => map(&|x| x * (f64::from(1.0_f32 / 6.0) * x + 0.5).clamp(0.0, 1.0)),
        "Swish" => {
            let alpha = attribute("alpha", 1.0);
            map(&|x| x / (1.0 + (-alpha * x).exp()))
        }
        "QuickGelu" => {
            let alpha = attribute("alpha", f64::from(1.702_f32));
            map(&|x| x / (1.0 + (-alpha * x).exp()))
        }
        "Clip" => {
            let lo = scalar(1).unwrap_or_else(|| attribute("min", f64::NEG_INFINITY));
            let hi = scalar(2).unwrap_or_else(|| attribute("max", f64::INFINITY));
            map(&|x| x.max(lo).min(hi))
        }
        "Add" | "Sum" => fold(&|a, b| a + b),
        "Sub" => fold(&|a, b| a - b),
        "Mul" => fold(&|a, b| a * b),
        "Div" => fold(&|a, b| a / b),
        "Pow" => fold(&f64::powf),
        "Min" => fold(&f64::min),
        "Max" => fold(&f64::max),
        "Shape" => Tensor {
            dims: vec![at(0).dims.len()],
            data: at(0).dims.iter().map(|&dim| dim as f64).collect(),
        },
        "Constant" => constant(node),
        "ConstantOfShape" => {
            let value = match node.attribute.first() {
                Some(_) => constant(node).data[0],
                None => 0.0,
            };
            let dims: Vec<usize> = at(0).data.iter().map(|&dim| dim as usize).collect();
            Tensor {
                data: vec![value; dims.iter().product()],
                dims,
            }
        }
        "Reshape" => Tensor {
            dims: at(1).data.iter().map(|&dim| dim as usize).collect(),
            data: at(0).data.clone(),
        },
        "Expand" => {
            let dims: Vec<usize> = at(1).data.iter().map(|&dim| dim as usize).collect();
            let ones = Tensor {
                data: vec![1.0; dims.iter().product()],
                dims,
            };
            broadcast(at(0), &ones, &|a, b| a * b)
        }
        "Unsqueeze" => {
            let axes = ints("axes")
                .unwrap_or_else(|| at(1).data.iter().map(|&axis| axis as i64).collect());
            let mut dims = at(0).dims.clone();
            axes.iter().for_each(|&axis| dims.insert(axis as usize, 1));
            Tensor {
                dims,
                data: at(0).data.clone(),
            }
        }
        "Split" => {
            let [rows, columns] = at(0).dims[..] else {
                panic!("split is for matrices here")
            };
            let part = columns / node.output.len();
            return (0..node.output.len())
                .map(|i| Tensor {
                    dims: vec![rows, part],
                    data: (0..rows)
                        .flat_map(|r| at(0).data[r * columns + i * part..][..part].to_vec())
                        .collect(),
                })
                .collect();
        }
        "Transpose" => transpose(at(0), &ints("perm").expect("a permutation")),
        "DequantizeLinear" => {
            map(&|q| (q - scalar(2).unwrap_or(0.0)) * scalar(1).expect("a scale"))
        }
        "QuantizeLinear" => {
            let (scale, zero) = (scalar(1).expect("a scale"), scalar(2).unwrap_or(0.0));
            quantised(at(0), scale, zero, codes(model, node.input.get(2)))
        }
        "QLinearSigmoid" => {
            let (scale, zero) = (scalar(3).expect("a scale"), scalar(4).unwrap_or(0.0));
            let x = numbers(at(0), scalar(1), scalar(2));
            let y = Tensor {
                data: x.data.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
                ..x
            };
            quantised(&y, scale, zero, codes(model, node.input.get(4)))
        }
        "QLinearMul" | "QLinearAdd" => {
            let a = numbers(at(0), scalar(1), scalar(2));
            let b = numbers(at(3), scalar(4), scalar(5));
            let y = if node.op_type() == b"QLinearMul" {
                broadcast(&a, &b, &|a, b| a * b)
            } else {
                broadcast(&a, &b, &|a, b| a + b)
            };
            let (scale, zero) = (scalar(6).expect("a scale"), scalar(7).unwrap_or(0.0));
            quantised(&y, scale, zero, codes(model, node.input.get(7)))
        }
        other => panic!("the interpreter does not know {other}"),
    };
    vec![result]
}

/// The smallest and the largest code of the type that a zero point has.
fn codes(model: &schema::ModelProto, zero: Option<&bytes::Bytes>) -> (f64, f64) {
    const INT8: i32 = 3;
    let stored = model.graph.iter().flat_map(|graph| &graph.initializer);
    let mut named = stored.filter(|tensor| zero.is_some_and(|zero| tensor.name() == &zero[..]));
    match named.next().map(|tensor| tensor.data_type()) {
        Some(INT8) => (-128.0, 127.0),
        _ => (0.0, 255.0),
    }
}

fn quantised(x: &Tensor, scale: f64, zero: f64, (lo, hi): (f64, f64)) -> Tensor {
    let code = |&x: &f64| ((x / scale).round_ties_even() + zero).clamp(lo, hi);
    Tensor {
        dims: x.dims.clone(),
        data: x.data.iter().map(code).collect(),
    }
}

fn numbers(codes: &Tensor, scale: Option<f64>, zero: Option<f64>) -> Tensor {
    let (scale, zero) = (scale.expect("a scale"), zero.unwrap_or(0.0));
    Tensor {
        dims: codes.dims.clone(),
        data: codes.data.iter().map(|q| (q - zero) * scale).collect(),
    }
}

/// The value that a model with these inputs gives a name of its main graph.
pub fn value(model: &schema::ModelProto, inputs: &Values, name: &str) -> Tensor {
    let mut cut = model.clone();
    let graph = cut.graph.as_mut().expect("a graph");
    graph.output = vec![schema::ValueInfoProto {
        name: Some(super::text::bytes(name)),
        ..Default::default()
    }];
    run(&cut, inputs).remove(0)
}

fn constant(node: &schema::NodeProto) -> Tensor {
    let attribute = node.attribute.first().expect("a value");
    let list = |data: Vec<f64>| Tensor {
        dims: vec![data.len()],
        data,
    };
    match attribute.name() {
        b"value" => stored(attribute.t.as_ref().expect("a tensor")),
        b"value_float" => Tensor {
            dims: Vec::new(),
            data: vec![f64::from(attribute.f())],
        },
        b"value_int" => Tensor {
            dims: Vec::new(),
            data: vec![attribute.i() as f64],
        },
        b"value_floats" => list(attribute.floats.iter().map(|&x| f64::from(x)).collect()),
        b"value_ints" => list(attribute.ints.iter().map(|&x| x as f64).collect()),
        other => panic!("the interpreter does not know {other:?}"),
    }
}

fn transpose(tensor: &Tensor, perm: &[i64]) -> Tensor {
    let dims: Vec<usize> = perm
        .iter()
        .map(|&axis| tensor.dims[axis as usize])
        .collect();
    let strides: Vec<usize> = (0..tensor.dims.len())
        .map(|i| tensor.dims[i + 1..].iter().product())
        .collect();
    let data = (0..tensor.data.len())
        .map(|flat| {
            let mut rest = flat;
            let mut from = 0;
            for (i, &dim) in dims.iter().enumerate().rev() {
                from += rest % dim * strides[perm[i] as usize];
                rest /= dim;
            }
            tensor.data[from]
        })
        .collect();
    Tensor { dims, data }
}

fn broadcast(a: &Tensor, b: &Tensor, f: &dyn Fn(f64, f64) -> f64) -> Tensor {
    let rank = a.dims.len().max(b.dims.len());
    let dim = |dims: &[usize], i: usize| (i + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    let dims: Vec<usize> = (0..rank)
        .map(|i| match (dim(&a.dims, i), dim(&b.dims, i)) {
            (1, n) | (n, 1) => n,
            (n, m) => {
                assert_eq!(n, m, "shapes do not broadcast");
                n
            }
        })
        .collect();
    let index = |tensor: &Tensor, mut flat: usize| {
        let (mut at, mut stride) = (0, 1);
        for i in (0..rank).rev() {
            let position = flat % dims[i];
            flat /= dims[i];
            let own = dim(&tensor.dims, i);
            at += if own == 1 { 0 } else { position * stride };
            stride *= own;
        }
        tensor.data[at]
    };
    let count = dims.iter().product();
    let data = (0..count)
        .map(|flat| f(index(a, flat), index(b, flat)))
        .collect();
    Tensor { dims, data }
}

/// Equal shapes, and values within `tolerance` of the larger magnitude.
pub fn assert_close(
    wanted: &[Tensor],
    found: &[Tensor],
    tolerance: f64,
    what: &str,
    net: &super::Net,
) {
    assert_eq!(wanted.len(), found.len());
    for (wanted, found) in wanted.iter().zip(found) {
        assert_eq!(wanted.dims, found.dims, "{what}: {net:?}");
        for (i, (&a, &b)) in wanted.data.iter().zip(&found.data).enumerate() {
            let close = (a - b).abs() <= tolerance * (1.0 + a.abs()) || (a.is_nan() && b.is_nan());
            assert!(close, "{what}: element {i} is {b} instead of {a}: {net:?}");
        }
    }
}
