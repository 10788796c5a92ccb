//! Inputs when the caller has none: random, seeded, of the model's own types and shapes.
//!
//! Given a model's input ports; promises the same tensors for the same seed on every machine.

use std::collections::BTreeMap;

use onnx_swish_tract::{Dim, ElementType, Port, Tensor};

use crate::error::{Error, Result};

/// Shapes for inputs with free dimensions, by input name. The empty name stands for the only such input of a model.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The concrete shape of each port, from its own dimensions or from `shapes`.
pub(crate) fn concrete(ports: &[Port], shapes: &Shapes) -> Result<Vec<Vec<usize>>> {
    for name in shapes.keys().filter(|name| !name.is_empty()) {
        if !ports.iter().any(|port| port.name == *name) {
            let known = ports
                .iter()
                .map(|port| format!("`{}`", port.name))
                .collect::<Vec<_>>()
                .join(", ");
            return Err(onnx_swish_tract::Error::UnknownInput {
                name: name.clone(),
                known,
            }
            .into());
        }
    }
    let anonymous = shapes.get("");
    if anonymous.is_some() && ports.len() != 1 {
        let known = ports
            .iter()
            .map(|port| port.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(onnx_swish_tract::Error::WhichInput { known }.into());
    }
    ports
        .iter()
        .map(|port| concrete_shape(port, shapes.get(&port.name).or(anonymous)))
        .collect()
}

fn concrete_shape(port: &Port, given: Option<&Vec<usize>>) -> Result<Vec<usize>> {
    if let Some(given) = given {
        if !port.accepts(given) {
            return Err(onnx_swish_tract::Error::InputShape {
                name: port.name.clone(),
                expected: port.shape_text(),
                found: given.clone(),
            }
            .into());
        }
        return Ok(given.clone());
    }
    port.fixed_shape().ok_or_else(|| Error::ShapeNeeded {
        input: port.name.clone(),
        declared: port.shape_text(),
        example: example(port),
    })
}

/// A shape that would do, to show how to write one.
fn example(port: &Port) -> String {
    let dims = port.shape.iter().flatten().map(|dim| match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Named(_) | Dim::Unknown => "1".to_owned(),
    });
    dims.collect::<Vec<_>>().join(",")
}

/// Random tensors for every port: floats normally distributed with the given standard deviation, integers 0 or 1, truths
/// by the toss of a coin.
///
/// Integers stay that small because they are indices, lengths and token numbers as often as quantities.
pub(crate) fn random(
    ports: &[Port],
    shapes: &Shapes,
    seed: u64,
    scale: f64,
) -> Result<Vec<(String, Tensor)>> {
    let shapes = concrete(ports, shapes)?;
    let mut random = fastrand::Rng::with_seed(seed);
    ports
        .iter()
        .zip(shapes)
        .map(|(port, shape)| {
            let element_type = port.element_type.unwrap_or(ElementType::F32);
            let len = shape.iter().product();
            let values: Vec<f64> = match element_type {
                ElementType::F16 | ElementType::F32 | ElementType::F64 => {
                    (0..len).map(|_| normal(&mut random) * scale).collect()
                }
                _ => (0..len)
                    .map(|_| f64::from(u8::from(random.bool())))
                    .collect(),
            };
            let values =
                ndarray::ArrayD::from_shape_vec(shape, values).map_err(|error| Error::Input {
                    input: port.name.clone(),
                    reason: error.to_string(),
                })?;
            Ok((port.name.clone(), Tensor::from(values).cast(element_type)?))
        })
        .collect()
}

/// A standard normal number, by the Box-Muller transform (Annals of Mathematical Statistics 29, 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(dims: Vec<Dim>) -> Port {
        Port {
            name: "x".to_owned(),
            element_type: Some(ElementType::F32),
            shape: Some(dims),
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_tensors() {
        let ports = [port(vec![Dim::Fixed(2), Dim::Fixed(50)])];
        let make = |seed| random(&ports, &Shapes::new(), seed, 1.0).unwrap();
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn a_free_dimension_without_a_size_says_how_to_give_one() {
        let ports = [port(vec![Dim::Named("batch".to_owned()), Dim::Fixed(3)])];
        let error = random(&ports, &Shapes::new(), 0, 1.0)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("[batch, 3]") && error.contains("x=1,3"),
            "{error}"
        );
    }

    #[test]
    fn the_name_may_be_left_out_for_an_only_input() {
        let shapes = Shapes::from([(String::new(), vec![5, 3])]);
        let ports = [port(vec![Dim::Unknown, Dim::Fixed(3)])];
        assert_eq!(
            random(&ports, &shapes, 0, 1.0).unwrap()[0].1.shape(),
            [5, 3]
        );
    }
}
