//! Constants that nodes make of constants.
//! Given: a node whose inputs have been dealt with.
//! Promises: numbers rounded as the node itself would round them, or nothing.

use super::{Constant, MAX_ELEMENTS, Oddities};
use crate::element::Element;
use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::Op;
use crate::quantised::params::Quantiser;

impl Facts {
    /// The constant that a node makes, if all that matters of its inputs is constant.
    pub(crate) fn fold(&mut self, graph: &Graph<'_>, node: Node) -> Option<Constant> {
        let inputs = graph.inputs(node);
        let input = |index: usize| {
            inputs
                .get(index)
                .copied()
                .filter(|value| !value.is_absent())
        };
        match graph.op(node) {
            Op::Constant => {
                let (code, values) = graph.constant_attribute(node, MAX_ELEMENTS)?;
                Some(match values {
                    Some(values) => Constant::new(Element::from_code(code), &values),
                    None => Constant::many(Element::from_code(code), Oddities::default()),
                })
            }
            Op::Identity | Op::Reshape | Op::Unsqueeze | Op::Squeeze | Op::Flatten => {
                self.constant(graph, input(0)?).cloned()
            }
            Op::Expand | Op::Transpose | Op::Tile => {
                let constant = self.constant(graph, input(0)?)?;
                let (element, number) = (constant.element, constant.number());
                let oddities = constant.oddities;
                Some(match number {
                    Some(number) => Constant::uniform(element, number),
                    None => Constant::many(element, oddities),
                })
            }
            Op::Cast => {
                let Attribute::Is(to) = graph.int(node, b"to") else {
                    return None;
                };
                let to = Element::from_code(i32::try_from(to).ok()?);
                Some(self.constant(graph, input(0)?)?.clone().cast(to))
            }
            Op::CastLike => {
                let like = self.element(input(1)?);
                Some(self.constant(graph, input(0)?)?.clone().cast(like))
            }
            Op::ConstantOfShape => {
                let (code, values) = graph
                    .constant_attribute(node, 1)
                    .unwrap_or((1, Some(vec![0.0])));
                // However many there are: `zeros_like`, `full_like`.
                input(0)?;
                Some(Constant::uniform(
                    Element::from_code(code),
                    *values?.first()?,
                ))
            }
            Op::DequantizeLinear => {
                let stored = self.constant(graph, input(0)?)?.number();
                let zero = match input(2) {
                    Some(zero) => self.number(graph, zero),
                    None => Some(0.0),
                };
                let scale = self.constant(graph, input(1)?)?;
                match (stored, zero, scale.number()) {
                    (Some(stored), Some(zero), Some(_)) => {
                        scale.map(|scale| (stored - zero) * scale)
                    }
                    // Weights, and betas for each channel: no number, and yet a constant.
                    _ => Some(Constant::many(scale.element, Oddities::default())),
                }
            }
            Op::QuantizeLinear => self.quantised_constant(graph, node),
            Op::Neg => self.constant(graph, input(0)?)?.map(|a| -a),
            Op::Reciprocal => self.constant(graph, input(0)?)?.map(|a| 1.0 / a),
            Op::Sqrt => self.constant(graph, input(0)?)?.map(f64::sqrt),
            Op::Exp => self.constant(graph, input(0)?)?.map(f64::exp),
            Op::Add => self.fold_two(graph, input(0)?, input(1)?, |a, b| a + b),
            Op::Sub => self.fold_two(graph, input(0)?, input(1)?, |a, b| a - b),
            Op::Mul => self.fold_two(graph, input(0)?, input(1)?, |a, b| a * b),
            Op::Div => self.fold_two(graph, input(0)?, input(1)?, |a, b| a / b),
            Op::Pow => self.fold_two(graph, input(0)?, input(1)?, f64::powf),
            _ => None,
        }
    }

    /// A constant that is quantised at run time is the code that QuantizeLinear makes of it, and a list of codes if it is many
    /// numbers.
    fn quantised_constant(&mut self, graph: &Graph<'_>, node: Node) -> Option<Constant> {
        let Some(number) = self.constant(graph, *graph.inputs(node).first()?)?.number() else {
            return Some(Constant::many(Element::Integer, Oddities::default()));
        };
        let code = Quantiser::of_node(graph, self, node)?.code(number)?;
        Some(Constant::uniform(Element::Integer, code))
    }

    fn fold_two(
        &mut self,
        graph: &Graph<'_>,
        a: Value,
        b: Value,
        f: impl FnOnce(f64, f64) -> f64,
    ) -> Option<Constant> {
        self.constant(graph, a)?.number()?;
        let a = self.constant(graph, a)?.clone();
        let folded = a.zip(self.constant(graph, b)?, f)?;
        // Integer division rounds its own way; sizes of tensors are of no interest here.
        (!folded.element.is_not_float()).then_some(folded)
    }
}
