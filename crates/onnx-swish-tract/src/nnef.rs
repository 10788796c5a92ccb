//! NNEF: models exported as tract's own archive and read back, our operators included.
//!
//! Given a decluttered graph or an archive; promises parameters of full precision on the way out and in.

use std::any::TypeId;

use tract_core::ops::element_wise::ElementWiseOp;
use tract_nnef::internal::*;
use tract_onnx::WithOnnx;

use crate::ops::{Activation, Gate, SwishBy};

/// The archive's name for all activations with constant parameters.
const ACTIVATION: &str = "onnx_swish_activation";
/// The archive's name for the gates.
const GATE: &str = "onnx_swish_gate";
/// The archive's name for Swish with beta as its second input.
const SWISH_BY: &str = "onnx_swish_by";

/// tract's NNEF reader and writer, knowing its ONNX operators and ours.
pub(crate) fn nnef() -> Nnef {
    tract_nnef::nnef().with_onnx().with_registry(registry())
}

/// Our operators for NNEF readers and writers that applications set up themselves.
///
/// Archives that use it hold `extension tract_registry onnx_swish`.
pub fn registry() -> Registry {
    let mut registry =
        Registry::new("onnx_swish").with_doc("Swish and HardSwish as single operators.");
    let parameters = vec![
        TypeName::Scalar.tensor().named("input"),
        TypeName::String.named("kind"),
        // Text, because NNEF's numbers are read as f32.
        TypeName::String.named("alpha").default("0"),
        TypeName::String.named("beta").default("0"),
    ];
    registry.register_element_wise(
        ACTIVATION,
        TypeId::of::<Activation>(),
        Box::new(dump),
        parameters.clone(),
        load,
    );
    registry.register_element_wise(
        GATE,
        TypeId::of::<Gate>(),
        Box::new(dump_gate),
        parameters,
        load_gate,
    );
    registry.register_binary(SWISH_BY, &SwishBy);
    registry
}

fn input(ast: &IntoAst, node: &TypedNode) -> TractResult<Arc<RValue>> {
    let input = node.inputs.first();
    let known = input.and_then(|input| ast.mapping.get(input));
    known.cloned().context("no input")
}

/// The shortest decimal that reads back as the same f64.
fn text(value: f64) -> RValue {
    string(format!("{value:?}"))
}

fn dump(ast: &mut IntoAst, node: &TypedNode) -> TractResult<Option<Arc<RValue>>> {
    let Some(activation) = node
        .op_as::<ElementWiseOp>()
        .and_then(|op| op.0.downcast_ref::<Activation>())
    else {
        return Ok(None);
    };
    let input = input(ast, node)?;
    let arguments = match *activation {
        Activation::Silu => vec![("kind", string("silu"))],
        Activation::HardSwish => vec![("kind", string("hard_swish"))],
        Activation::Swish { beta } => vec![("kind", string("swish")), ("beta", text(beta))],
        Activation::SlopedHardSwish { alpha, beta } => {
            vec![
                ("kind", string("sloped_hard_swish")),
                ("alpha", text(alpha)),
                ("beta", text(beta)),
            ]
        }
    };
    Ok(Some(invocation(ACTIVATION, &[input], &arguments)))
}

fn load(builder: &mut ModelBuilder, invocation: &ResolvedInvocation) -> TractResult<Value> {
    let input: OutletId = invocation.named_arg_as(builder, "input")?;
    let kind: String = invocation.named_arg_as(builder, "kind")?;
    let mut number = |name: &str| number(builder, invocation, name);
    let activation = match kind.as_str() {
        "silu" => Activation::Silu,
        "hard_swish" => Activation::HardSwish,
        "swish" => Activation::Swish {
            beta: number("beta")?,
        },
        "sloped_hard_swish" => Activation::SlopedHardSwish {
            alpha: number("alpha")?,
            beta: number("beta")?,
        },
        other => bail!("{ACTIVATION} has no kind {other:?}"),
    };
    builder.wire(activation.into_op(), &[input])
}

fn number(
    builder: &mut ModelBuilder,
    invocation: &ResolvedInvocation,
    name: &str,
) -> TractResult<f64> {
    let text: String = invocation.named_arg_as(builder, name)?;
    text.parse()
        .with_context(|| format!("an operator's {name} is no number: {text:?}"))
}

fn dump_gate(ast: &mut IntoAst, node: &TypedNode) -> TractResult<Option<Arc<RValue>>> {
    let gate = node
        .op_as::<ElementWiseOp>()
        .and_then(|op| op.0.downcast_ref::<Gate>());
    let arguments = match gate {
        None => return Ok(None),
        Some(Gate::Sigmoid) => vec![("kind", string("sigmoid"))],
        Some(Gate::HardSigmoid { alpha, beta }) => vec![
            ("kind", string("hard_sigmoid")),
            ("alpha", text(*alpha)),
            ("beta", text(*beta)),
        ],
    };
    Ok(Some(invocation(GATE, &[input(ast, node)?], &arguments)))
}

fn load_gate(builder: &mut ModelBuilder, invocation: &ResolvedInvocation) -> TractResult<Value> {
    let input: OutletId = invocation.named_arg_as(builder, "input")?;
    let kind: String = invocation.named_arg_as(builder, "kind")?;
    let gate = match kind.as_str() {
        "sigmoid" => Gate::Sigmoid,
        "hard_sigmoid" => Gate::HardSigmoid {
            alpha: number(builder, invocation, "alpha")?,
            beta: number(builder, invocation, "beta")?,
        },
        other => bail!("{GATE} has no kind {other:?}"),
    };
    builder.wire(gate.into_op(), &[input])
}
