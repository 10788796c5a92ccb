//! Regions from one 8-bit code to another that compute a Swish or HardSwish.
//! Given: a code that was just made, and the products that are activations of codes.
//! Promises: the whole region is a function of the one code, made of nodes of one graph; what stands in the way of a table
//! is kept with its reason. A constant number of steps per code.

use super::Quantised;
use super::judge::{Steps, Verdict, verdicts};
use super::params::Flaw;
use crate::facts::Facts;
use crate::forms::Core;
use crate::forms::products::{Activation, Beta, Reading};
use crate::graph::{Graph, Node, Value};
use crate::pattern::{Broken, MAX_NODES, Pattern, walk};

/// How many quantisers may stand between a product and the code that leaves: `x·clip(x + 3)`, quantised, divided by 6.
const MAX_LEVELS: usize = 8;

/// How many codes of one product are judged. A judgement takes 256 numbers through the region, so that its number must not
/// grow with what a file reads of one product.
const MAX_RESULTS: u32 = 8;

/// A region that is a table.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    /// What it computes, with settled numbers.
    pub(crate) activation: Activation,
    /// A factor before it.
    pub(crate) factor: f64,
    /// The code that enters.
    pub(crate) input: Value,
    /// The code that leaves.
    pub(crate) output: Value,
    /// The nodes in between.
    pub(crate) nodes: Vec<Node>,
    /// The product that is the activation; not always a value of the file.
    product: Value,
}

/// Why a quantised activation is no table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Obstacle {
    /// A quantiser's numbers.
    Flaw(Flaw),
    /// The gate was quantised, what it multiplies was not.
    FloatPartner,
    /// The result is not quantised, or not only rescaled before that.
    FloatResult,
    /// beta is a tensor: a table holds one function.
    TensorBeta(Value),
    /// The quantiser of this code cuts off or rounds away a part of the gate.
    Saturates(Value),
    /// The nodes do not stand as they should.
    Broken(Broken),
}

/// An activation of a code that is no table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfinished {
    pub(crate) output: Value,
    pub(crate) gate: Value,
    pub(crate) partner: Value,
    pub(crate) obstacle: Obstacle,
    product: Value,
}

/// The way from a code back to a product.
struct Way {
    product: Value,
    /// What the product is multiplied by on the way.
    factor: f64,
}

impl Quantised {
    /// Looks whether the code `output` of `of` ends a region.
    pub(super) fn finish(
        &mut self,
        graph: &Graph<'_>,
        facts: &Facts,
        node: Node,
        of: Value,
        output: Value,
    ) {
        let Some(way) = self.way(of) else {
            return;
        };
        let Some((readings, names)) = self.products.get(&way.product).cloned() else {
            return;
        };
        let results = self.results.entry(way.product).or_default();
        *results += 1;
        if *results > MAX_RESULTS {
            return;
        }
        match self.region(graph, facts, &way, &readings, of, output) {
            Some(Ok(region)) => self.keep(region),
            Some(Err(obstacle)) => self.unfinished.push(Unfinished {
                // Inside of an operator the file has no name for the product.
                output: if way.product.index() < graph.value_count() {
                    way.product
                } else {
                    graph.outputs(node).first().copied().unwrap_or(output)
                },
                gate: names.0,
                partner: names.1,
                obstacle,
                product: way.product,
            }),
            None => {}
        }
    }

    /// What was found, once every node has been seen. An activation that became a table in another way is no near miss.
    pub(crate) fn found(self) -> (Vec<Region>, Vec<Unfinished>) {
        let Self {
            regions,
            mut unfinished,
            ..
        } = self;
        let done: std::collections::HashSet<Value> =
            regions.iter().map(|region| region.product).collect();
        let mut seen = std::collections::HashSet::new();
        unfinished.retain(|one| !done.contains(&one.product) && seen.insert(one.product));
        (regions, unfinished)
    }

    /// One region per product: the one with no factor left, else the first.
    fn keep(&mut self, region: Region) {
        match self.by_product.get(&region.product) {
            None => {
                self.by_product.insert(region.product, self.regions.len());
                self.regions.push(region);
            }
            Some(&index) => {
                if let Some(known) = self.regions.get_mut(index)
                    && known.factor != 1.0
                    && region.factor == 1.0
                {
                    *known = region;
                }
            }
        }
    }

    /// From a code back over constant factors and quantisers to a product. What the quantisers cut off here they cut off
    /// behind the activation, as every quantiser does.
    fn way(&self, of: Value) -> Option<Way> {
        let mut way = Way {
            product: of,
            factor: 1.0,
        };
        for _ in 0..MAX_LEVELS {
            let line = self.forms.linear(way.product);
            if line.q != 0.0 {
                return None;
            }
            way.product = line.root;
            way.factor *= line.p;
            if self.products.contains_key(&line.root) {
                return Some(way);
            }
            let Core::Code(of, _) = self.forms.core(line.root) else {
                return None;
            };
            way.product = of;
        }
        None
    }

    /// The region of the best of these readings.
    fn region(
        &self,
        graph: &Graph<'_>,
        facts: &Facts,
        way: &Way,
        readings: &[Reading],
        of: Value,
        output: Value,
    ) -> Option<Result<Region, Obstacle>> {
        let reading = readings.first()?;
        let input = self.forms.linear(reading.root).root;
        let also = self
            .aliases
            .get(&input)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if let Some(flaw) = self.flaw(graph, output, input, also) {
            return Some(Err(Obstacle::Flaw(flaw)));
        }
        if let Activation::Swish(Beta::Times(_, tensor) | Beta::Over(_, tensor)) =
            reading.activation
        {
            return Some(Err(Obstacle::TensorBeta(tensor)));
        }
        let verdict = match self.judge(way, readings, of, output)? {
            Ok(verdict) => verdict,
            Err(obstacle) => return Some(Err(obstacle)),
        };
        let pattern = match walk(graph, facts, output, input, also) {
            Ok(pattern) => pattern,
            Err(broken) => return Some(Err(Obstacle::Broken(broken))),
        };
        let ambiguous = |node: &Node| graph.outputs(*node).iter().any(|&v| graph.is_ambiguous(v));
        let Pattern { mut nodes, .. } = pattern;
        if nodes.iter().any(ambiguous) {
            return None;
        }
        nodes.sort_unstable();
        Some(Ok(Region {
            activation: verdict.activation,
            factor: verdict.factor,
            input,
            output,
            nodes,
            product: way.product,
        }))
    }

    /// The best of the readings that the numbers agree with.
    fn judge(
        &self,
        way: &Way,
        readings: &[Reading],
        of: Value,
        output: Value,
    ) -> Option<Result<Verdict, Obstacle>> {
        let mut agreed: Option<Verdict> = None;
        let mut cut = None;
        let mut by_operator = false;
        for reading in readings {
            let steps = self.steps(way, reading, of, output)?;
            if let Some(code) = steps.overflowing(reading.activation) {
                let flaw = Flaw::Quotients(self.codes.get(&code)?.scale_value);
                return Some(Err(Obstacle::Flaw(flaw)));
            }
            cut = cut.or_else(|| steps.product.as_ref()?.0.code());
            by_operator |= steps.by_operator;
            let mut verdicts = verdicts(reading.activation, reading.k * way.factor).into_iter();
            let Some(verdict) = verdicts.find(|&verdict| steps.agree(verdict)) else {
                continue;
            };
            if agreed.is_none_or(|known| known.factor != 1.0 && verdict.factor == 1.0) {
                agreed = Some(verdict);
            }
        }
        match (agreed, cut) {
            (Some(verdict), _) => Some(Ok(verdict)),
            // Nothing but quantisers: a product of two numbers, and no activation.
            (None, Some(code)) if by_operator => Some(Err(Obstacle::Saturates(code))),
            (None, _) => None,
        }
    }

    /// The steps of a region that ends at `output`, the code of `of`.
    fn steps(&self, way: &Way, reading: &Reading, of: Value, output: Value) -> Option<Steps> {
        let input = self.forms.linear(reading.root).root;
        let Core::Code(_, index) = self.forms.core(output) else {
            return None;
        };
        let result = self.chain(of, way.product)?;
        let gate = self.gates.get(&way.product);
        let product = match gate {
            Some(one) => Some((
                self.chain(one.gate, input)?,
                self.chain(one.partner, input)?,
            )),
            None => None,
        };
        Some(Steps {
            codes: *self.codes.get(&input)?,
            x: self.chain(reading.root, input)?,
            product,
            inverted: gate.is_some_and(|one| one.inverted),
            result: result.then_code(output, self.forms.quantisation(index)?),
            factor: way.factor,
            by_operator: gate.is_none_or(|one| self.forms.has_gate_operator(one.gate, input)),
        })
    }

    /// The first quantiser between two codes that admits no table.
    fn flaw(&self, graph: &Graph<'_>, output: Value, input: Value, also: &[Value]) -> Option<Flaw> {
        if self.flaws.is_empty() {
            return None;
        }
        let mut nodes: Vec<Node> = graph.producer(output).into_iter().collect();
        let mut next = 0;
        while let Some(&node) = nodes.get(next) {
            next += 1;
            if let Some(&flaw) = self.flaws.get(&node) {
                return Some(flaw);
            }
            for &value in graph.inputs(node) {
                if let Some(producer) = graph.producer(value)
                    && value != input
                    && !also.contains(&value)
                    && nodes.len() < MAX_NODES
                    && !nodes.contains(&producer)
                {
                    nodes.push(producer);
                }
            }
        }
        None
    }
}
