//! Regions that read several codes, or one beside constants of several elements, as one operator.
//!
//! Given a graph behind the rewrites that know more of what they replace; promises the same codes, bit for bit: the steps are the region's own
//! nodes, lowered as the graph's are. What a product of tract's could take along is left to it.

mod steps;
#[cfg(test)]
mod tests;
mod untouched;

use std::collections::{BTreeSet, HashSet};

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::identity::Identity;
use tract_core::ops::logic::Iff;

use super::regions::{MOST_NODES, is_single};
use super::{CodeTable, element_wise, is_sane, words};
use crate::ops::elementwise::Load;
use crate::ops::{Dequantize, Exact, QElementwise, Quantize, is_code};
use steps::arithmetic;
use untouched::Untouched;

/// Attempts at a region before it is left.
const MOST_ATTEMPTS: usize = 8;

/// What is computed from several values and quantised.
struct Region {
    /// The QuantizeLinear.
    end: usize,
    /// What is between, in the order of evaluation.
    nodes: Vec<usize>,
    /// The floats that come in from elsewhere, and where they are from.
    inputs: Vec<(OutletId, (OutletId, Load))>,
}

pub(in crate::passes) fn take_over(
    model: &mut TypedModel,
    found: &mut Vec<CodeTable>,
) -> TractResult<()> {
    let quantises = |node: &TypedNode| element_wise::<Quantize>(node).is_some();
    if !model.nodes().iter().any(quantises) {
        return Ok(());
    }
    let order = model.eval_order()?;
    let places: HashMap<usize, usize> = order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let finder = Finder {
        untouched: Untouched::of(model, &order)?,
        order,
        places,
    };
    for id in &finder.order {
        let Some(region) = finder.region(model, *id)? else {
            continue;
        };
        let Some((op, table)) = operator(model, &region)? else {
            continue;
        };
        found.retain(|other| other.node != table.node);
        let mut patch = TypedModelPatch::new("onnx-swish region of several codes");
        let taps = region.inputs.iter().map(|(_, (from, _))| *from);
        let taps = patch.taps(model, &taps.collect::<Vec<_>>())?;
        let wire = patch.wire_node(&*table.node, op, &taps)?[0];
        patch.shunt_outside(model, region.end.into(), wire)?;
        patch.obliterate(region.end)?;
        patch.apply(model)?;
        found.push(table);
    }
    model.compact()
}

fn operator(model: &TypedModel, region: &Region) -> TractResult<Option<(QElementwise, CodeTable)>> {
    let Some(quantize) = element_wise::<Quantize>(model.node(region.end)) else {
        return Ok(None);
    };
    let floats: Vec<OutletId> = region.inputs.iter().map(|(floats, _)| *floats).collect();
    let (Some(to), Some(steps)) = (
        quantize.linear(),
        steps::of(model, &region.nodes, region.end, &floats)?,
    ) else {
        return Ok(None);
    };
    let loads = region.inputs.iter().map(|(_, (_, load))| *load).collect();
    let mut nodes = region.nodes.clone();
    nodes.push(region.end);
    let what = words::of_several(model, &nodes, &floats)?;
    let op = QElementwise::new(loads, steps, to, what.clone());
    let names = nodes.iter().map(|id| model.node(*id).name.clone());
    let table = CodeTable {
        node: model.node(region.end).name.clone(),
        what,
        between_codes: true,
        table: false,
        left: None,
        nodes: names.collect(),
    };
    Ok(op.map(|op| (op, table)))
}

/// Looks for regions in one state of a graph.
struct Finder {
    order: Vec<usize>,
    places: HashMap<usize, usize>,
    untouched: Untouched,
}

impl Finder {
    /// That ends here, if one does.
    fn region(&self, model: &TypedModel, end: usize) -> TractResult<Option<Region>> {
        let node = model.node(end);
        let (Some(op), &[last]) = (element_wise::<Quantize>(node), &*node.inputs) else {
            return Ok(None);
        };
        let fact = model.outlet_fact(last)?;
        let single = fact.datum_type == DatumType::F32 && fact.is_plain() && fact.rank() > 0;
        if !is_sane(op.scale) || op.linear().is_none() || !single || !self.untouched.has(model, end)
        {
            return Ok(None);
        }
        let mut refused = HashSet::new();
        for _ in 0..MOST_ATTEMPTS {
            let Some(nodes) = self.grown(model, end, &refused)? else {
                return Ok(None);
            };
            match inputs(model, &nodes, end)? {
                Inputs::Of(inputs) => {
                    let of_codes = |(_, (_, load)): &(_, (_, Load))| *load != Load::Floats;
                    let worth_it = nodes.contains(&last.node) && inputs.iter().any(of_codes);
                    return Ok(worth_it.then_some(Region { end, nodes, inputs }));
                }
                Inputs::NotTo(reader) => refused.insert(reader),
            };
        }
        Ok(None)
    }

    /// The nodes that end there only, and cheap ones that somebody else reads, too, in the order of evaluation.
    fn grown(
        &self,
        model: &TypedModel,
        end: usize,
        refused: &HashSet<usize>,
    ) -> TractResult<Option<Vec<usize>>> {
        let shape = &model.node(end).outputs[0].fact.shape;
        let mut nodes = BTreeSet::new();
        let mut ahead = BTreeSet::new();
        let place = |outlet: &OutletId| self.places.get(&outlet.node).copied();
        ahead.extend(model.node(end).inputs.iter().filter_map(place));
        while let Some(at) = ahead.pop_last() {
            let node = model.node(self.order[at]);
            if refused.contains(&node.id)
                || !is_step(model, node, shape)?
                || !self.untouched.has(model, node.id)
            {
                continue;
            }
            let readers = node.outputs.iter().flat_map(|output| &output.successors);
            let within = |reader: &InletId| {
                let at = self.places.get(&reader.node);
                reader.node == end || at.is_some_and(|at| nodes.contains(at))
            };
            let is_output = model.output_outlets()?.contains(&node.id.into());
            let is_alone = !is_output && readers.into_iter().all(within);
            if !is_alone && !is_cheap(model, node)? {
                continue;
            }
            nodes.insert(at);
            if nodes.len() > MOST_NODES {
                return Ok(None);
            }
            ahead.extend(node.inputs.iter().filter_map(place));
        }
        Ok(Some(nodes.into_iter().map(|at| self.order[at]).collect()))
    }
}

/// What a region reads, or a node of it that reads what no region can.
enum Inputs {
    Of(Vec<(OutletId, (OutletId, Load))>),
    NotTo(usize),
}

fn inputs(model: &TypedModel, nodes: &[usize], end: usize) -> TractResult<Inputs> {
    let shape = &model.node(end).outputs[0].fact.shape;
    let mut inputs: Vec<(OutletId, (OutletId, Load))> = Vec::new();
    for id in nodes {
        for input in &model.node(*id).inputs {
            let fact = model.outlet_fact(*input)?;
            let known = inputs.iter().any(|(known, _)| known == input);
            if nodes.contains(&input.node) || is_single(fact) || known {
                continue;
            }
            let Some(load) = load(model, *input)? else {
                return Ok(Inputs::NotTo(*id));
            };
            let fact = model.outlet_fact(load.0)?;
            if !broadcasts(&fact.shape, shape) {
                return Ok(Inputs::NotTo(*id));
            }
            inputs.push((*input, load));
        }
    }
    Ok(Inputs::Of(inputs))
}

/// Where floats are from.
fn load(model: &TypedModel, floats: OutletId) -> TractResult<Option<(OutletId, Load)>> {
    let node = model.node(floats.node);
    if let (Some(op), &[codes]) = (element_wise::<Dequantize>(node), &*node.inputs) {
        let fact = model.outlet_fact(codes)?;
        let ours = is_code(fact.datum_type) && fact.is_plain() && fact.konst.is_none();
        if let Some(linear) = op.linear(fact.datum_type)
            && ours
            && is_sane(op.scale)
            && op.to == DatumType::F32
        {
            return Ok(Some((codes, Load::Codes(linear))));
        }
    }
    let fact = model.outlet_fact(floats)?;
    let single = fact.datum_type == DatumType::F32 && fact.is_plain();
    Ok(single.then_some((floats, Load::Floats)))
}

fn broadcasts(shape: &ShapeFact, whole: &ShapeFact) -> bool {
    let one = TDim::Val(1);
    let fits = |(own, size): (&TDim, &TDim)| own == size || *own == one;
    shape.rank() == whole.rank() && shape.iter().zip(whole.iter()).all(fits)
}

/// Whether a node computes floats or truth values of this shape, element by element.
fn is_step(model: &TypedModel, node: &TypedNode, shape: &ShapeFact) -> TractResult<bool> {
    let [output] = &*node.outputs else {
        return Ok(false);
    };
    let is_value = |fact: &TypedFact| {
        matches!(fact.datum_type, DatumType::F32 | DatumType::Bool) && fact.is_plain()
    };
    let fact = &output.fact;
    let computed = is_value(fact) && fact.konst.is_none() && fact.shape == *shape;
    let inputs = model.node_input_facts(node.id)?;
    if !computed || !inputs.iter().all(|fact| is_value(fact)) {
        return Ok(false);
    }
    let unary = node.op_as::<ElementWiseOp>();
    let binary = node.op_as::<TypedBinOp>();
    Ok(unary.is_some_and(|op| op.1.is_none())
        || binary.is_some_and(|op| op.1.is_none())
        || node.op_is::<Cast>()
        || node.op_is::<Identity>()
        || node.op_is::<Iff>())
}

/// Whether a node is computed again as fast as its result is read: a sum or product of what was dequantised, or of constants.
fn is_cheap(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let op = node.op_as::<TypedBinOp>();
    if op.is_none_or(|op| arithmetic(Exact::behind(op)).is_none()) {
        return Ok(false);
    }
    for input in &node.inputs {
        let is_constant = model.outlet_fact(*input)?.konst.is_some();
        let of_codes = |(_, load)| load != Load::Floats;
        if !is_constant && !load(model, *input)?.is_some_and(of_codes) {
            return Ok(false);
        }
    }
    Ok(true)
}
