//! What a region computes, in words.
//!
//! Given a region; promises the name of the activation where its nodes are one, looking through codes and casts in between, and the
//! operators' names elsewhere. For people only: nothing is decided by it.

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::identity::Identity;
use tract_core::ops::math;
use tract_core::ops::nn;

use super::regions::{Region, is_single};
use onnx_swish_kernels::codes::Linear;

use crate::ops::{
    Activation, Dequantize, Exact, Gate, QLinear, Quantize, Stepwise, number as number_of,
};

const ANOTHER_SCALE: &str = "another scale";
const SILU: &str = "SiLU";
const SWISH: &str = "Swish";
const HARD_SWISH: &str = "HardSwish";

/// What a value is, as a function of the root's float.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// The float, times this.
    Line(f64),
    /// `σ(βx)`.
    Sigmoid(f64),
    /// `αx + β`.
    Shifted(f64, f64),
    /// `max(αx + β, 0)`.
    Floored(f64, f64),
    /// `min(αx + β, top)`, the last of these.
    Capped(f64, f64, f64),
    /// The first of these times `clamp(αx + β, 0, 1)`.
    Clamped(f64, f64, f64),
    /// The first of these times `x·clamp(αx + β, 0, 1)`.
    Gated(f64, f64, f64),
    /// An activation with a name.
    Named(String),
    /// Whatever these operators make of it.
    Operators(Vec<String>),
}

pub(super) fn of(model: &TypedModel, region: &Region) -> TractResult<String> {
    let mut forms: HashMap<OutletId, Form> = HashMap::new();
    forms.insert(region.root, Form::Line(1.0));
    let mut last = Form::Line(1.0);
    for id in &region.nodes {
        let node = model.node(*id);
        let inputs = node.inputs.iter().map(|input| {
            let form = forms.get(input).cloned();
            let constant = model.outlet_fact(*input)?.konst.as_deref().and_then(number);
            Ok((form, constant))
        });
        let inputs = inputs.collect::<TractResult<TVec<_>>>()?;
        last = form(node, &inputs);
        forms.insert(OutletId::new(*id, 0), last.clone());
    }
    Ok(match last {
        Form::Line(_) => ANOTHER_SCALE.to_owned(),
        Form::Sigmoid(1.0) => "Sigmoid".to_owned(),
        Form::Sigmoid(beta) => format!("Sigmoid of {beta}x"),
        Form::Clamped(top, alpha, beta) if is_one(top) => {
            format!("HardSigmoid of {alpha}x + {beta}")
        }
        Form::Gated(factor, alpha, beta) if is_one(factor) => hard_swish(alpha, beta),
        Form::Named(name) => name,
        other => words_of(&other).join(", "),
    })
}

/// What the nodes of a region compute that reads several values, its quantisation last.
pub(super) fn of_several(
    model: &TypedModel,
    nodes: &[usize],
    inputs: &[OutletId],
) -> TractResult<String> {
    let mut constants = 0;
    for input in inputs {
        constants += usize::from(model.outlet_fact(*input)?.konst.is_some());
    }
    let tensors = match inputs.len() - constants {
        1 => "one tensor".to_owned(),
        2 => "two tensors".to_owned(),
        3 => "three tensors".to_owned(),
        n => format!("{n} tensors"),
    };
    let with = match constants {
        0 => tensors,
        1 => format!("{tensors} and a constant"),
        _ => format!("{tensors} and {constants} constants"),
    };
    let (joined, rest) = nodes.split_at(joined(model, nodes)?);
    let binary = |id: &usize| model.node(*id).op_as::<TypedBinOp>().map(Exact::behind);
    let head = match joined {
        [only] if binary(only).is_some_and(|op| op.is::<math::Add>()) => format!("sum of {with}"),
        [only] if binary(only).is_some_and(|op| op.is::<math::Mul>()) => {
            format!("product of {with}")
        }
        _ => {
            let mut names: Vec<String> = Vec::new();
            for id in joined {
                let form = operators(model.node(*id), &[]);
                let new = words_of(&form).into_iter();
                let new: Vec<String> = new.filter(|name| !names.contains(name)).collect();
                names.extend(new);
            }
            [with, names.join(", ")].join(", ")
        }
    };
    let (Some(last), Some(end)) = (joined.last(), rest.last()) else {
        return Ok(format!("{head},"));
    };
    let region = Region {
        root: (*last).into(),
        end: (*end).into(),
        nodes: rest.to_vec(),
    };
    Ok(match &*of(model, &region)? {
        ANOTHER_SCALE => head,
        what => format!("{head}, {what},"),
    })
}

/// How many nodes there are up to the first behind which all is a function of it.
fn joined(model: &TypedModel, nodes: &[usize]) -> TractResult<usize> {
    for (at, root) in nodes.iter().enumerate() {
        let (before, behind) = nodes.split_at(at + 1);
        let mut alone = true;
        for id in behind {
            for input in &model.node(*id).inputs {
                let known = input.node == *root || behind.contains(&input.node);
                alone &= known || is_single(model.outlet_fact(*input)?);
            }
        }
        if alone {
            return Ok(before.len());
        }
    }
    Ok(nodes.len())
}

/// Whether these words name a SiLU, Swish or HardSwish.
pub(super) fn is_swish(what: &str) -> bool {
    what == SILU
        || [SWISH, HARD_SWISH]
            .iter()
            .any(|name| what.starts_with(name))
}

/// A constant's only element.
fn number(constant: &Tensor) -> Option<f64> {
    let wide = constant.cast_to::<f64>().ok()?;
    let plain = wide.try_as_plain_ram().ok()?;
    plain.as_slice::<f64>().ok()?.first().copied()
}

fn form(node: &TypedNode, inputs: &[(Option<Form>, Option<f64>)]) -> Form {
    let first = inputs.first().and_then(|(form, _)| form.clone());
    if node.op_is::<Cast>() || node.op_is::<Identity>() {
        return first.unwrap_or_else(|| operators(node, inputs));
    }
    if let (Some(op), Some(x)) = (node.op_as::<ElementWiseOp>(), &first)
        && let Some(form) = unary(op, x)
    {
        return form;
    }
    if let (Some(op), [a, b]) = (node.op_as::<TypedBinOp>(), inputs) {
        let op = Exact::behind(op);
        let form = match (&a.0, a.1, &b.0, b.1) {
            (Some(x), _, Some(gate), _) if op.is::<math::Mul>() => {
                product(x, gate).or_else(|| product(gate, x))
            }
            (Some(x), _, None, Some(by)) | (None, Some(by), Some(x), _) if op.is::<math::Mul>() => {
                multiple(x, by)
            }
            (Some(x), _, None, Some(by)) if op.is::<math::Div>() => multiple(x, by.recip()),
            (Some(x), _, None, Some(by)) | (None, Some(by), Some(x), _)
                if op.is::<math::Max>() || op.is::<math::Min>() =>
            {
                bounded(x, by, op.is::<math::Max>())
            }
            (Some(Form::Line(factor)), _, None, Some(by))
            | (None, Some(by), Some(Form::Line(factor)), _)
                if op.is::<math::Add>() =>
            {
                Some(Form::Shifted(*factor, by))
            }
            _ => None,
        };
        if let Some(form) = form {
            return form;
        }
    }
    if let (Some(op), [a, b]) = (node.op_as::<QLinear>(), inputs)
        && let Some(form) = combined(op, a, b)
    {
        return form;
    }
    operators(node, inputs)
}

/// What ONNX Runtime's operators make of codes, each of them a value of the root's or a constant.
fn combined(
    op: &QLinear,
    a: &(Option<Form>, Option<f64>),
    b: &(Option<Form>, Option<f64>),
) -> Option<Form> {
    let (x, by) = match (a, b) {
        ((Some(x), _), (Some(gate), _)) if !op.is_sum() => {
            return product(x, gate).or_else(|| product(gate, x));
        }
        ((Some(x), _), (None, Some(code))) => (x, number_of(op.by.b(), *code)),
        ((None, Some(code)), (Some(x), _)) => (x, number_of(op.by.a(), *code)),
        _ => return None,
    };
    match (x, op.is_sum()) {
        (x, false) => multiple(x, by),
        (&Form::Line(factor), true) => Some(saturated(op.by.to(), factor, by)),
        _ => None,
    }
}

fn unary(op: &ElementWiseOp, x: &Form) -> Option<Form> {
    if let Some(plain) = Stepwise::undone(op) {
        return unary(&plain, x);
    }
    let op = &op.0;
    if let (Some(quantize), Form::Shifted(alpha, beta)) = (op.downcast_ref::<Quantize>(), x) {
        return Some(match quantize.linear() {
            Some(linear) => saturated(linear, *alpha, *beta),
            None => x.clone(),
        });
    }
    if op.is::<Quantize>() || op.is::<Dequantize>() {
        return Some(x.clone());
    }
    let Form::Line(factor) = *x else {
        return None;
    };
    if op.is::<nn::Sigmoid>() {
        return Some(Form::Sigmoid(factor));
    }
    let named = match (op.downcast_ref::<Gate>(), op.downcast_ref::<Activation>()) {
        (Some(Gate::Sigmoid), _) => return Some(Form::Sigmoid(factor)),
        (Some(Gate::HardSigmoid { alpha, beta }), _) => {
            return Some(Form::Clamped(1.0, alpha * factor, *beta));
        }
        (_, Some(Activation::Silu)) => SILU.to_owned(),
        (_, Some(Activation::Swish { beta })) => format!("{SWISH} of beta {beta}"),
        (_, Some(Activation::HardSwish)) => HARD_SWISH.to_owned(),
        (_, Some(Activation::SlopedHardSwish { alpha, beta })) => hard_swish(*alpha, *beta),
        _ => return None,
    };
    (factor == 1.0).then_some(Form::Named(named))
}

/// The product of a value and a gate of it.
fn product(x: &Form, gate: &Form) -> Option<Form> {
    match (x, gate) {
        (Form::Line(1.0), Form::Sigmoid(1.0)) => Some(Form::Named(SILU.to_owned())),
        (Form::Line(1.0), Form::Sigmoid(beta)) => {
            Some(Form::Named(format!("{SWISH} of beta {beta}")))
        }
        (Form::Line(factor), Form::Clamped(top, alpha, beta)) => {
            Some(Form::Gated(factor * top, *alpha, *beta))
        }
        _ => None,
    }
}

/// A form times a constant.
fn multiple(x: &Form, by: f64) -> Option<Form> {
    match *x {
        Form::Line(factor) => Some(Form::Line(factor * by)),
        Form::Clamped(top, alpha, beta) => Some(Form::Clamped(top * by, alpha, beta)),
        Form::Gated(factor, alpha, beta) => Some(Form::Gated(factor * by, alpha, beta)),
        _ => None,
    }
}

/// A form and its bound from below, if `is_floor`, or from above.
fn bounded(x: &Form, by: f64, is_floor: bool) -> Option<Form> {
    match (x, is_floor) {
        (Form::Line(1.0), true) if by == 0.0 => Some(Form::Named("ReLU".to_owned())),
        (&Form::Shifted(alpha, beta), true) if by == 0.0 => Some(Form::Floored(alpha, beta)),
        (&Form::Shifted(alpha, beta), false) => Some(Form::Capped(alpha, beta, by)),
        (&Form::Floored(alpha, beta), false) if by > 0.0 => Some(clamped(alpha, beta, by)),
        (&Form::Capped(alpha, beta, top), true) if by == 0.0 && top > 0.0 => {
            Some(clamped(alpha, beta, top))
        }
        // Bounds that a HardSwish's gate keeps anyway.
        (Form::Clamped(..), true) if by <= 0.0 => Some(x.clone()),
        (Form::Clamped(top, ..), false) if by >= *top => Some(x.clone()),
        _ => None,
    }
}

/// `αx + β` from zero to `top`.
fn clamped(alpha: f64, beta: f64, top: f64) -> Form {
    Form::Clamped(top, alpha / top, beta / top)
}

/// Where the lowest code is zero, codes end a sum as a Clip from zero to what the highest stands for: quantisers leave such a Clip out.
fn saturated(linear: Linear, alpha: f64, beta: f64) -> Form {
    let sum = Form::Shifted(alpha, beta);
    let (low, high) = linear.zero_point.range();
    let zero = linear.zero_point.value();
    let top = f64::from(high - zero) * f64::from(linear.scale);
    if low == zero && top > 0.0 {
        clamped(alpha, beta, top)
    } else {
        sum
    }
}

/// Whether a factor is one but for the rounding of constants.
fn is_one(factor: f64) -> bool {
    (factor - 1.0).abs() < 1e-5
}

fn hard_swish(alpha: f64, beta: f64) -> String {
    // Files write the sixth with eight digits.
    if (alpha - 1.0 / 6.0).abs() < 1e-6 && (beta - 0.5).abs() < 1e-6 {
        HARD_SWISH.to_owned()
    } else {
        format!("{HARD_SWISH} of {alpha}x + {beta}")
    }
}

/// The names of all operators so far, in order.
fn operators(node: &TypedNode, inputs: &[(Option<Form>, Option<f64>)]) -> Form {
    let mut names: Vec<String> = Vec::new();
    for form in inputs.iter().filter_map(|(form, _)| form.as_ref()) {
        let own = words_of(form);
        let new = own.into_iter().filter(|name| !names.contains(name));
        let new: Vec<String> = new.collect();
        names.extend(new);
    }
    let own = match node.op_as::<TypedBinOp>() {
        Some(op) => op.0.name().to_owned(),
        None => node.op.name().into_owned(),
    };
    if !names.contains(&own) {
        names.push(own);
    }
    Form::Operators(names)
}

/// What made a form, by the operators' names.
fn words_of(form: &Form) -> Vec<String> {
    let named = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match form {
        Form::Line(1.0) => vec![],
        Form::Line(_) => named(&["Mul"]),
        Form::Sigmoid(_) => named(&["Sigmoid"]),
        Form::Shifted(..) => named(&["Add"]),
        Form::Floored(..) => named(&["Add", "Max"]),
        Form::Capped(..) => named(&["Add", "Min"]),
        Form::Clamped(top, ..) if is_one(*top) => named(&["HardSigmoid"]),
        Form::Clamped(..) => named(&["Add", "clamp"]),
        Form::Gated(factor, alpha, beta) if is_one(*factor) => vec![hard_swish(*alpha, *beta)],
        Form::Gated(..) => named(&["Add", "clamp", "Mul"]),
        Form::Named(name) => vec![name.clone()],
        Form::Operators(names) => names.clone(),
    }
}
