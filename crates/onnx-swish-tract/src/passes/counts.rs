//! Outputs that say how much there is, and not what: the number of boxes that a detector keeps.
//!
//! Given a graph before declutter; promises that what is counted is computed though nothing else reads it. At fault: tract-core,
//! which makes a constant of a shape, sizes that the data decides among them, and then leaves out the node that decides them.

use std::collections::HashSet;

use tract_core::internal::*;

pub(super) fn keep_what_is_counted(model: &mut TypedModel) -> TractResult<()> {
    let counted = counted(model)?;
    if counted.is_empty() {
        return Ok(());
    }
    let mut outputs = model.output_outlets()?.to_vec();
    for output in &mut outputs {
        let ancestors = ancestors(model, *output);
        let mut named: Vec<&Symbol> = Vec::new();
        let nodes = ancestors.iter().flat_map(|id| &model.node(*id).outputs);
        let sizes: HashSet<Symbol> = nodes.flat_map(|it| symbols(&it.fact)).collect();
        let mut inputs = tvec!(*output);
        for (symbol, from) in &counted {
            let missing = sizes.contains(symbol) && !ancestors.contains(&from.node);
            if missing && !named.contains(&symbol) {
                named.push(symbol);
                inputs.push(*from);
            }
        }
        if inputs.len() == 1 {
            continue;
        }
        let label = model.outlet_label(*output).map(str::to_owned);
        let name = &model.node(output.node).name;
        let name = format!("{name}.output-{}.sizes", output.slot);
        let wires = model.wire_node(name, Beside, &inputs)?;
        *output = *wires.first().context("an output that is none")?;
        if let Some(label) = label {
            model.set_outlet_label(*output, label)?;
        }
    }
    model.select_output_outlets(&outputs)
}

/// The sizes that the data decides, and what first has each.
fn counted(model: &TypedModel) -> TractResult<Vec<(Symbol, OutletId)>> {
    let mut counted: Vec<(Symbol, OutletId)> = Vec::new();
    for node in model.nodes() {
        if !node.op.mints_runtime_symbols() || node.op_is::<tract_core::ops::source::TypedSource>()
        {
            continue;
        }
        for (slot, output) in node.outputs.iter().enumerate() {
            for size in output.fact.shape.iter() {
                if let TDim::Sym(symbol) = size
                    && !counted.iter().any(|(known, _)| known == symbol)
                {
                    counted.push((symbol.clone(), OutletId::new(node.id, slot)));
                }
            }
        }
    }
    Ok(counted)
}

/// A value's node and those before it.
fn ancestors(model: &TypedModel, value: OutletId) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let mut left = vec![value.node];
    while let Some(id) = left.pop() {
        if seen.insert(id) {
            left.extend(model.node(id).inputs.iter().map(|input| input.node));
        }
    }
    seen
}

/// The sizes that a value's shape and numbers are made of.
fn symbols(fact: &TypedFact) -> Vec<Symbol> {
    let mut found: Vec<Symbol> = fact.shape.iter().flat_map(|size| size.symbols()).collect();
    let numbers = fact.konst.as_ref().filter(|it| it.datum_type().is_tdim());
    if let Some(Ok(plain)) = numbers.map(|it| it.try_as_plain_ram())
        && let Ok(sizes) = plain.as_slice::<TDim>()
    {
        found.extend(sizes.iter().flat_map(TDim::symbols));
    }
    found
}

/// Its first input; the others are there to be computed. Sizes come out as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Beside;

impl Op for Beside {
    fn name(&self) -> StaticName {
        "Sizes".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Beside {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let value = inputs.into_iter().next().context("no output")?;
        if !value.datum_type().is_tdim() {
            return Ok(tvec!(value));
        }
        let sizes = value.to_plain_array_view::<TDim>()?;
        let numbers = sizes
            .iter()
            .map(|size| Ok(size.eval(ctx.symbols).to_i64()?));
        let numbers: Vec<i64> = numbers.collect::<TractResult<_>>()?;
        let numbers = Tensor::from_shape(value.shape(), &numbers)?;
        Ok(tvec!(numbers.into_tvalue()))
    }
}

impl TypedOp for Beside {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let value = inputs.first().context("no output")?;
        if value.datum_type.is_tdim() {
            return Ok(tvec!(DatumType::I64.fact(value.shape.clone())));
        }
        Ok(tvec!(value.without_value()))
    }

    as_op!();
}
