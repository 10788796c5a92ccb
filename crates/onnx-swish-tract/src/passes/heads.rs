//! Linear layers that read what attention heads made: products of a tensor and a constant over several axes.
//!
//! Given a graph whose weights are constants; promises that such a product is one over a single axis, of a tensor whose last axis it is,
//! with the same terms in the same order. Behind another product nothing is moved: that writes its axes in the order in which they are
//! read.
//!
//! tract 0.23.9 takes Transpose and Reshape in front of a MatMul into it, `bhnd,hdo->bno`, and has to undo them when it runs.

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::change_axes::perm_to_ops;
use tract_core::ops::einsum::EinSum;

use crate::conv::Convolutions;
use crate::conv::policy::Policy;

pub(super) fn merge(model: &mut TypedModel, asked: Convolutions) -> TractResult<()> {
    if Policy::new(asked).left(false).is_some() {
        return Ok(());
    }
    Rewriter::default()
        .with_rule_for::<EinSum>("heads", |_, model, node, _, op| merged(model, node, op))
        .rewrite(&(), model)
}

/// A product whose sums are over several axes.
struct OfHeads<'a> {
    data: OutletId,
    kernel: &'a Arc<Tensor>,
    /// The axes of each, by their letters.
    data_axes: Vec<char>,
    kernel_axes: Vec<char>,
    out_axes: Vec<char>,
    /// Summed over, in the order of the weights.
    summed: Vec<char>,
    /// The output's own.
    outer: char,
}

impl<'a> OfHeads<'a> {
    fn of(
        model: &'a TypedModel,
        node: &TypedNode,
        op: &EinSum,
    ) -> TractResult<Option<OfHeads<'a>>> {
        let &[left, right] = &*node.inputs else {
            return Ok(None);
        };
        if op.operating_dt != DatumType::F32 || op.q_params.is_some() {
            return Ok(None);
        }
        let (inputs, outputs) = op.axes.to_strs();
        let letters = |text: &String| text.chars().collect::<Vec<char>>();
        let (Some(left_axes), Some(right_axes), Some(out_axes)) = (
            inputs.first().map(letters),
            inputs.get(1).map(letters),
            outputs.first().map(letters),
        ) else {
            return Ok(None);
        };
        let sides = [
            (left, right, &left_axes, &right_axes),
            (right, left, &right_axes, &left_axes),
        ];
        for (data, kernel, data_axes, kernel_axes) in sides {
            let fact = model.outlet_fact(data)?;
            let constant = model.outlet_fact(kernel)?.konst.as_ref();
            let Some(kernel) = constant.filter(|it| it.datum_type() == DatumType::F32) else {
                continue;
            };
            if fact.konst.is_some() || fact.datum_type != DatumType::F32 || !fact.is_plain() {
                continue;
            }
            let (summed, outer): (Vec<char>, Vec<char>) = kernel_axes
                .iter()
                .partition(|axis| data_axes.contains(axis) && !out_axes.contains(axis));
            let &[outer] = &*outer else { continue };
            let found = OfHeads {
                data,
                kernel,
                data_axes: data_axes.clone(),
                kernel_axes: kernel_axes.clone(),
                out_axes: out_axes.clone(),
                summed,
                outer,
            };
            return Ok(found.is_covered().then_some(found));
        }
        Ok(None)
    }

    /// Whether each axis is one of the tensor's rows, or summed over, or the output's own, and is there once.
    fn is_covered(&self) -> bool {
        let rows = self.rows();
        let unique = |axes: &[char]| axes.iter().collect::<HashSet<_>>().len() == axes.len();
        let lists = [&self.data_axes, &self.kernel_axes, &self.out_axes];
        self.summed.len() > 1
            && lists.into_iter().all(|axes| unique(axes))
            && !self.data_axes.contains(&self.outer)
            && self.out_axes.contains(&self.outer)
            && rows.iter().all(|axis| self.data_axes.contains(axis))
            && self.data_axes.len() == rows.len() + self.summed.len()
    }

    /// The axes of the tensor that stay, in the order of the output.
    fn rows(&self) -> Vec<char> {
        let rows = self.out_axes.iter().copied();
        rows.filter(|axis| *axis != self.outer).collect()
    }

    /// The constant as a matrix: what is summed over, and the output's own axis.
    fn matrix(&self) -> TractResult<Tensor> {
        let order: Option<Vec<usize>> = self
            .summed
            .iter()
            .chain([&self.outer])
            .map(|axis| self.kernel_axes.iter().position(|it| it == axis))
            .collect();
        let order = order.context("axes of the constant's own")?;
        let ordered = (**self.kernel).clone().permute_axes(&order)?;
        let columns = *ordered.shape().last().context("a constant without axes")?;
        let depth = ordered.shape().iter().rev().skip(1).product();
        ordered.into_shape(&[depth, columns])
    }
}

fn merged(
    model: &TypedModel,
    node: &TypedNode,
    op: &EinSum,
) -> TractResult<Option<TypedModelPatch>> {
    let Some(heads) = OfHeads::of(model, node, op)? else {
        return Ok(None);
    };
    let rows = heads.rows();
    let wanted: Vec<char> = rows.iter().chain(&heads.summed).copied().collect();
    let order: Option<Vec<usize>> = wanted
        .iter()
        .map(|axis| heads.data_axes.iter().position(|it| it == axis))
        .collect();
    let order = order.context("axes of the tensor's own")?;
    let mut patch = TypedModelPatch::default();
    let mut data = match in_order(model, heads.data, &order, &mut patch)? {
        Some(written) => written,
        None => {
            let mut moved = patch.tap_model(model, heads.data)?;
            for (i, op) in perm_to_ops(&order).into_iter().enumerate() {
                let name = format!("{}.heads.{i}", node.name);
                moved = single(patch.wire_node(name, op, &[moved])?)?;
            }
            moved
        }
    };
    let sizes: TVec<TDim> = patch
        .outlet_fact(data)?
        .shape
        .iter()
        .skip(rows.len())
        .cloned()
        .collect();
    let matrix = heads.matrix()?;
    let depth: TVec<TDim> = tvec!(matrix.shape()[0].to_dim());
    let merge = AxisOp::Reshape(rows.len(), sizes, depth);
    data = single(patch.wire_node(format!("{}.heads", node.name), merge, &[data])?)?;
    let matrix = patch.add_const(format!("{}.matrix", node.name), matrix)?;
    let text = |axes: &[char]| axes.iter().collect::<String>();
    let depth = heads.summed[0];
    let axes = format!(
        "{}{depth},{depth}{}->{}",
        text(&rows),
        heads.outer,
        text(&heads.out_axes)
    );
    let product = EinSum::new(axes.parse()?, op.operating_dt);
    let output = patch.wire_node(&node.name, product, &[data, matrix])?;
    patch.shunt_outside(model, node.id.into(), single(output)?)?;
    Ok(Some(patch))
}

/// What a product writes, in another order of its axes, if nobody else reads it.
fn in_order(
    model: &TypedModel,
    outlet: OutletId,
    order: &[usize],
    patch: &mut TypedModelPatch,
) -> TractResult<Option<OutletId>> {
    let node = model.node(outlet.node);
    let Some(op) = node.op_as::<EinSum>().filter(|op| op.q_params.is_none()) else {
        return Ok(None);
    };
    let read_elsewhere =
        model.outlet_successors(outlet).len() != 1 || model.output_outlets()?.contains(&outlet);
    let (inputs, outputs) = op.axes.to_strs();
    let Some(letters) = outputs.first().filter(|_| !read_elsewhere) else {
        return Ok(None);
    };
    let letters: Vec<char> = letters.chars().collect();
    let written: Option<String> = order.iter().map(|at| letters.get(*at)).collect();
    let Some(written) = written else {
        return Ok(None);
    };
    let axes = format!("{}->{written}", inputs.join(","));
    let mut op = op.clone();
    op.axes = axes.parse()?;
    let taps = patch.taps(model, &node.inputs)?;
    single(patch.wire_node(&node.name, op, &taps)?).map(Some)
}

fn single(outlets: TVec<OutletId>) -> TractResult<OutletId> {
    outlets.first().copied().context("a node without outputs")
}

#[cfg(test)]
mod tests;
