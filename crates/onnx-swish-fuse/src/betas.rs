//! The numbers of betas that are tensors, for those who draw curves.
//! Given: a plan.
//! Promises: the betas of the activation as it is computed, factors included; what an input may replace, or a run computes, has none.

use crate::constants::Content;
use crate::forms::products::{Activation, Beta};
use crate::graph::{Source, Value};
use crate::ops::Op;
use crate::plan::{Fusion, Plan};
use crate::report::readable;

/// Of more elements nothing is read: a beta has one for each channel.
const MOST: usize = 1 << 20;
/// Nodes between the beta and the tensor in the file.
const STEPS: usize = 16;

/// What is known of a beta that is a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Betas {
    /// Its elements are in the file.
    Known {
        /// The smallest.
        min: f64,
        /// The one in the middle once they are in order; of two, the smaller one.
        median: f64,
        /// The largest.
        max: f64,
    },
    /// It is stored, but not in the file, or in a way that is not read.
    Elsewhere,
    /// Runs compute it, or may be given another.
    Computed,
}

impl Plan<'_> {
    /// What is known of the beta of each fusion, in the order of [`report`](Self::report)'s; none where it is a number, or there is no beta.
    pub fn betas(&self) -> Vec<Option<Betas>> {
        let fusions = self.fusions.iter();
        fusions.map(|fusion| self.betas_of(fusion)).collect()
    }

    fn betas_of(&self, fusion: &Fusion) -> Option<Betas> {
        let (tensor, beta): (Value, Box<dyn Fn(f64) -> f64>) = match fusion.activation {
            Activation::Swish(Beta::Times(factor, tensor)) => {
                (tensor, Box::new(move |element| factor * element))
            }
            Activation::Swish(Beta::Over(number, tensor)) => {
                (tensor, Box::new(move |element| number / element))
            }
            Activation::Swish(Beta::Number(_)) | Activation::HardSwish { .. } => return None,
        };
        let mut betas: Vec<f64> = match self.elements(tensor) {
            Ok(elements) => elements.into_iter().map(beta).collect(),
            Err(why) => return Some(why),
        };
        betas.sort_by(f64::total_cmp);
        let number = |beta: &f64| readable(*beta, fusion.element);
        let known = (|| {
            Some(Betas::Known {
                min: betas.first().map(number)?,
                median: betas.get(betas.len().checked_sub(1)? / 2).map(number)?,
                max: betas.last().map(number)?,
            })
        })();
        Some(known.unwrap_or(Betas::Elsewhere))
    }

    /// The elements that a value has in every run, in any order, or why there are none.
    fn elements(&self, mut value: Value) -> Result<Vec<f64>, Betas> {
        let graph = &self.graph;
        for _ in 0..STEPS {
            match self.facts.known_constant(value).map(|known| &known.content) {
                Some(Content::Uniform(number)) => return Ok(vec![*number]),
                Some(Content::Few(numbers)) => return Ok(numbers.to_vec()),
                Some(Content::Many) | None => {}
            }
            let node = match graph.source(value) {
                Source::Initializer(_) if !graph.is_overridable(value) => {
                    let elements = graph.initializer_values(value, MOST);
                    return elements.ok_or(Betas::Elsewhere);
                }
                Source::Node(node) => node,
                _ => return Err(Betas::Computed),
            };
            if graph.op(node) == Op::Constant {
                let content = graph.constant_attribute(node, MOST);
                let elements = content.and_then(|(_, elements)| elements);
                return elements.ok_or(Betas::Elsewhere);
            }
            let is_the_same = matches!(graph.op(node), Op::Identity | Op::Transpose);
            if !is_the_same && !graph.op(node).keeps_order() {
                return Err(Betas::Computed);
            }
            value = *graph.inputs(node).first().ok_or(Betas::Computed)?;
        }
        Err(Betas::Computed)
    }
}
