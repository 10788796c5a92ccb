//! Regions from one 8-bit code to another that compute a Swish or HardSwish.
//! Given: a code that was just made, and the products that are activations of codes.
//! Promises: the whole region is a function of the one code, made of nodes of one graph; what stands in the way of a table
//! is kept with its reason. A constant number of steps per code.

use std::collections::HashSet;

use super::chain::Without;
use super::judge::{Culprit, RESOLUTION, Steps, Verdict, verdicts};
use super::params::Flaw;
use super::readings::is_hard;
use super::{Claim, Quantised};
use crate::facts::Facts;
use crate::forms::Core;
use crate::forms::products::{Activation, Beta};
use crate::graph::{Graph, Node, Value};
use crate::ops::Op;
use crate::pattern::{Broken, MAX_NODES};

/// How many quantisers may stand between a product and the code that leaves: `x·clip(x + 3)`, quantised, divided by 6.
const MAX_LEVELS: usize = 8;

/// How many codes of one product are judged. A judgement takes 256 numbers through the region, so that its number must not
/// grow with what a file reads of one product. Activations of one code that are written alike are one product.
const MAX_RESULTS: u32 = 64;

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

impl Region {
    /// SiLU or HardSwish, with no factor left.
    fn is_plain(&self) -> bool {
        let (activation, factor) = (self.activation, self.factor);
        Verdict { activation, factor }.is_plain()
    }
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
    TensorBeta(Beta),
    /// The quantiser of this code ends at these numbers, and cuts off a part of the activation.
    Saturates(Value, f64, f64),
    /// The quantiser of this code has this step, too wide for what it stands for.
    Coarse(Value, f64),
    /// The quantiser of this code, in the place of a Clip, bounds the gate at the first number instead of the second.
    Open(Value, f64, f64),
    /// An activation of the code's number times the first number plus the second: the activations have no offset.
    Shifted(f64, f64),
    /// The code that leaves is in another order of dimensions than the one that enters.
    Transposed,
    /// The activation is one step of several between the two codes.
    Between,
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

impl Obstacle {
    /// A quantiser's rounding or its ends.
    fn is_rounding(self) -> bool {
        matches!(self, Self::Saturates(..) | Self::Coarse(..))
    }
}

/// The way from a code back to a product.
struct Way {
    product: Value,
    /// What the product is multiplied by on the way.
    factor: f64,
}

/// The nodes between two codes, which read nothing else but constants. Permutations among them cancel out: the form of the
/// code that leaves is one over the code that enters as it stands.
fn between(
    graph: &Graph<'_>,
    facts: &Facts,
    output: Value,
    input: Value,
    also: &[Value],
) -> Result<Vec<Node>, Broken> {
    let scope = graph.producer(output).map(|node| graph.scope(node));
    let mut nodes: Vec<Node> = Vec::new();
    let mut stack = vec![output];
    while let Some(value) = stack.pop() {
        let is_input = facts.numbering.same(value, input);
        if is_input || also.contains(&value) || facts.known_constant(value).is_some() {
            continue;
        }
        let node = graph.producer(value).ok_or(Broken::Foreign)?;
        if Some(graph.scope(node)) != scope {
            return Err(Broken::Captured(value));
        }
        if nodes.contains(&node) {
            continue;
        }
        if nodes.len() == MAX_NODES {
            return Err(Broken::TooLong);
        }
        nodes.push(node);
        // Ratio and mode of a Dropout are not part of the value.
        let read = match graph.op(node) {
            Op::Dropout => 1,
            _ => usize::MAX,
        };
        let inputs = graph.inputs(node).iter().take(read).copied();
        stack.extend(inputs.filter(|input| !input.is_absent()));
    }
    Ok(nodes)
}

/// What is the matter with a quantiser.
fn blame(steps: &Steps, culprit: Culprit) -> Obstacle {
    let Culprit {
        code,
        quantisation,
        without,
    } = culprit;
    match without {
        Without::Rounding => Obstacle::Coarse(code, quantisation.step),
        Without::Both if !steps.cuts_off(code) => Obstacle::Coarse(code, quantisation.step),
        Without::Ends | Without::Both => {
            Obstacle::Saturates(code, quantisation.lo, quantisation.hi)
        }
    }
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
        let Some(claims) = self.products.get(&way.product).cloned() else {
            return;
        };
        let Some(names) = claims.first().map(|claim| claim.names) else {
            return;
        };
        let results = self.results.entry(way.product).or_default();
        *results += 1;
        if *results > MAX_RESULTS {
            return;
        }
        match self.region(graph, facts, &way, &claims, of, output) {
            Some(Ok(region)) => self.keep(region, node),
            Some(Err(obstacle)) => self.unfinished.push(Unfinished {
                // Inside of an operator the file has no name for the product.
                output: if self.forms.moves.origin(way.product).index() < graph.value_count() {
                    self.forms.moves.origin(way.product)
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
            mut regions,
            mut unfinished,
            ..
        } = self;
        // x·clamp(x + 3, 0, 6), cut off before it is divided by 6, is six times a HardSwish to there. What is meant is the
        // HardSwish, and what is in its way says more.
        let spoilt: HashSet<Value> = unfinished
            .iter()
            .filter(|one| one.obstacle.is_rounding())
            .map(|one| one.product)
            .collect();
        regions.retain(|region| region.factor == 1.0 || !spoilt.contains(&region.product));
        let done: HashSet<Value> = regions.iter().map(|region| region.product).collect();
        let mut seen = HashSet::new();
        unfinished.retain(|one| !done.contains(&one.product) && seen.insert(one.product));
        (regions, unfinished)
    }

    /// Of regions of one product that lie within each other one: that with no factor left, else the first. Beside each other they are as
    /// many as there are codes.
    fn keep(&mut self, region: Region, end: Node) {
        let within = |node: &Node| {
            let index = *self.ends.get(node)?;
            let known = self.regions.get(index)?;
            (known.product == region.product).then_some(index)
        };
        match region.nodes.iter().find_map(within) {
            None => {
                self.ends.insert(end, self.regions.len());
                self.regions.push(region);
            }
            Some(index) => {
                if let Some(known) = self.regions.get_mut(index)
                    && known.factor != 1.0
                    && region.factor == 1.0
                {
                    *known = region;
                    self.ends.insert(end, index);
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
        claims: &[Claim],
        of: Value,
        output: Value,
    ) -> Option<Result<Region, Obstacle>> {
        let mut obstacle = None;
        let mut found: Option<Region> = None;
        for claim in claims {
            match self.claimed(graph, facts, way, claim, of, output) {
                Some(Ok(region)) if region.is_plain() => return Some(Ok(region)),
                Some(Ok(region)) if found.as_ref().is_none_or(|known| known.factor != 1.0) => {
                    found = Some(region);
                }
                Some(Err(why)) => obstacle = obstacle.or(Some(why)),
                Some(Ok(_)) | None => {}
            }
        }
        found.map(Ok).or(obstacle.map(Err))
    }

    /// The region of one reading, or why it is none.
    fn claimed(
        &self,
        graph: &Graph<'_>,
        facts: &Facts,
        way: &Way,
        claim: &Claim,
        of: Value,
        output: Value,
    ) -> Option<Result<Region, Obstacle>> {
        let input = self.forms.linear(claim.reading.root).root;
        let also = self.aliases.get(&input).map(Vec::as_slice);
        let also = also.unwrap_or_default();
        // A code that is another one transposed has a name only if codes were transposed, not the numbers behind them.
        let named = |value: &Value| value.index() < graph.value_count();
        let Some(input) = [input].iter().chain(also).copied().find(named) else {
            let explains = self.is_worth_explaining(claim);
            return explains.then_some(Err(Obstacle::Transposed));
        };
        if let Some(flaw) = self.flaw(graph, output, input, also) {
            let explains = self.is_worth_explaining(claim);
            return explains.then_some(Err(Obstacle::Flaw(flaw)));
        }
        if let Activation::Swish(beta @ (Beta::Times(..) | Beta::Over(..))) =
            claim.reading.activation
        {
            return Some(Err(Obstacle::TensorBeta(beta)));
        }
        let verdict = match self.judge(way, claim, of, output)? {
            Ok(verdict) => verdict,
            Err(obstacle) => return Some(Err(obstacle)),
        };
        let mut nodes = match between(graph, facts, output, input, also) {
            Ok(nodes) => nodes,
            Err(broken) => return Some(Err(Obstacle::Broken(broken))),
        };
        let ambiguous = |node: &Node| graph.outputs(*node).iter().any(|&v| graph.is_ambiguous(v));
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

    /// Whether a reading that is no table deserves a word: a product of two lines is an activation only if one of them is a
    /// hard sigmoid's.
    pub(super) fn is_worth_explaining(&self, claim: &Claim) -> bool {
        let gate = claim.attempt.map(|attempt| attempt.gate);
        claim.by_operator || gate.is_none_or(|gate| self.has_hard_line(gate))
    }

    /// The best of the readings that the numbers agree with.
    fn judge(
        &self,
        way: &Way,
        claim: &Claim,
        of: Value,
        output: Value,
    ) -> Option<Result<Verdict, Obstacle>> {
        let steps = self.steps(way, claim, of, output)?;
        let reading = claim.reading;
        if let Some(code) = steps.overflowing() {
            let flaw = Flaw::Quotients(self.codes.get(&code)?.scale_value);
            return Some(Err(Obstacle::Flaw(flaw)));
        }
        let verdicts = verdicts(reading.activation, reading.k * way.factor);
        let agrees =
            |verdict: &&Verdict| steps.is_bounded(**verdict) && steps.agree(**verdict, None);
        if let Some(verdict) = verdicts.iter().find(agrees) {
            let line = self.forms.linear(reading.root);
            let of_code = verdict.over(line.p);
            let is_of_code = line.q == 0.0 || steps.over_code().agree(of_code, None);
            return Some(if is_of_code {
                Ok(of_code)
            } else {
                Err(Obstacle::Shifted(line.p, line.q))
            });
        }
        if !self.is_worth_explaining(claim) {
            return None;
        }
        let culprit = verdicts
            .iter()
            .filter(|verdict| steps.is_bounded(**verdict))
            .find_map(|&verdict| steps.culprit(verdict));
        Some(Err(
            match culprit
                .map(|culprit| blame(&steps, culprit))
                .or_else(|| self.open_end(claim))
            {
                Some(obstacle) => obstacle,
                // More than one: the first that stands there.
                None => {
                    let (code, quantisation) = steps.first_code()?;
                    if steps.cuts_off(code) {
                        Obstacle::Saturates(code, quantisation.lo, quantisation.hi)
                    } else {
                        Obstacle::Coarse(code, quantisation.step)
                    }
                }
            },
        ))
    }

    /// A hard sigmoid's line that quantisers bound elsewhere than a Clip would have.
    fn open_end(&self, claim: &Claim) -> Option<Obstacle> {
        let gate = claim.attempt?.gate;
        let input = self.forms.linear(claim.reading.root).root;
        let bounded = self.forms.bounded(gate, input)?;
        if bounded.is_by_operator() || !is_hard(bounded.line) {
            return None;
        }
        let unit = 2.0 * bounded.line.q;
        let ends = bounded.codes.iter();
        let &(low, lo, _) = ends.clone().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let &(high, _, hi) = ends.min_by(|a, b| a.2.total_cmp(&b.2))?;
        if lo < -unit * RESOLUTION {
            Some(Obstacle::Open(low, lo, 0.0))
        } else if hi > unit * (1.0 + RESOLUTION) {
            Some(Obstacle::Open(high, hi, unit))
        } else {
            None
        }
    }

    /// The steps of a region that ends at `output`, the code of `of`.
    fn steps(&self, way: &Way, claim: &Claim, of: Value, output: Value) -> Option<Steps> {
        let root = claim.reading.root;
        let input = self.forms.linear(root).root;
        let Core::Code(_, index) = self.forms.core(output) else {
            return None;
        };
        let result = self.chain(of, way.product)?;
        let product = match claim.attempt {
            Some(one) => Some((
                self.chain(one.gate, input)?,
                self.chain(one.partner, input)?,
            )),
            None => None,
        };
        Some(Steps {
            codes: *self.codes.get(&input)?,
            x: self.chain(root, input)?,
            operator: match claim.attempt {
                Some(_) => None,
                None => Some((claim.reading.activation, self.chain(root, input)?)),
            },
            product,
            inverted: claim.attempt.is_some_and(|one| one.inverted),
            result: result.then_code(output, self.forms.quantisation(index)?),
            by_operator: claim.by_operator,
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
            // Behind a layer or a pooling lies the rest of the network.
            if graph.op(node).is_layer() || graph.op(node).is_pooling() {
                continue;
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
