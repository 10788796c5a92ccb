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
    let given = |port: &Port| shapes.get(&port.name).or(anonymous);
    let open = |port: &&Port| given(port).is_none() && port.fixed_shape().is_none();
    let mut open = ports.iter().filter(open);
    if let Some(first) = open.next() {
        return Err(Error::ShapeNeeded {
            input: first.name.clone(),
            declared: first.shape_text(),
            example: example(first),
            others: open
                .map(|port| (port.name.clone(), example(port)))
                .collect(),
        });
    }
    ports
        .iter()
        .map(|port| concrete_shape(port, given(port)))
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
        others: Vec::new(),
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
            let len = room_for(port, &shape)?;
            let values: Vec<f64> = match element_type {
                ElementType::F16 | ElementType::BF16 | ElementType::F32 | ElementType::F64 => {
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

/// How many elements a tensor of this shape has, if there is memory to make it: an allocation that fails ends the process.
fn room_for(port: &Port, shape: &[usize]) -> Result<usize> {
    /// A random number, its conversion, and what the converting takes.
    const BYTES_OF_AN_ELEMENT: u128 = 16;
    let elements = shape
        .iter()
        .try_fold(1u128, |product, &dim| product.checked_mul(dim as u128));
    let bytes = elements
        .unwrap_or(u128::MAX)
        .saturating_mul(BYTES_OF_AN_ELEMENT);
    room(
        || format!("a random tensor for input `{}`", port.name),
        bytes,
    )?;
    Ok(shape.iter().product())
}

/// Refuses what no allocation could hold.
///
/// The system may still promise more than it has; what is far beyond the machine it does not.
fn room(what: impl FnOnce() -> String, bytes: u128) -> Result<()> {
    let mut probe = Vec::<u8>::new();
    let granted = usize::try_from(bytes).is_ok_and(|bytes| probe.try_reserve_exact(bytes).is_ok());
    std::hint::black_box(&mut probe); // An allocation that nobody looks at may be left out, and then always succeeds.
    if granted {
        Ok(())
    } else {
        Err(Error::Memory {
            what: what(),
            bytes,
        })
    }
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
    fn all_inputs_without_a_size_are_named_at_once() {
        let free = |name: &str| Port {
            name: name.to_owned(),
            ..port(vec![Dim::Unknown, Dim::Fixed(2)])
        };
        let ports = [free("a"), port(vec![Dim::Fixed(3)]), free("b"), free("c")];
        let shapes = Shapes::from([("b".to_owned(), vec![4, 2])]);
        let error = random(&ports, &shapes, 0, 1.0).unwrap_err().to_string();
        assert!(error.ends_with("a=1,2, and c=1,2"), "{error}");
    }

    #[test]
    fn tensors_beyond_memory_are_refused() {
        let ports = [port(vec![Dim::Unknown, Dim::Unknown, Dim::Unknown])];
        for shape in [[1 << 30, 1 << 20, 3], [1 << 40, 1 << 40, 1 << 40]] {
            let shapes = Shapes::from([("x".to_owned(), shape.to_vec())]);
            let error = random(&ports, &shapes, 0, 1.0).unwrap_err().to_string();
            assert!(
                error.contains("input `x`") && error.contains("give smaller shapes"),
                "{error}"
            );
        }
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
