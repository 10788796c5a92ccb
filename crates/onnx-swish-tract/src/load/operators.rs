//! Which operator a node means, and who computes it.
//!
//! Given a node's domain and type; promises that tract, which looks operators up by type alone, never runs one of another
//! domain or a model's own function under a builtin's name.

use std::collections::HashSet;

use onnx_swish_kernels::codes::Operator;
use tract_hir::internal::*;
use tract_onnx::Onnx;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{ModelProto, NodeProto};

use crate::error::{Error, Result};
use crate::load::graphs::{graphs, plain_domain};
use crate::load::repairs::{
    Builder, Built, code_average, code_softmax, combined::combined, quantize, round,
};
use crate::load::rules::{GATES, check_attributes, display_name};
use crate::load::signature::check_constant;
use crate::load::widen::ROUNDINGS;
use crate::ops::{Activation, Form, Gate, Reference, SwishBy, UnfusedSigmoid};

/// The domain of the fused operators.
const OUR_DOMAIN: &str = "onnx_swish";
/// The alpha of `com.microsoft::QuickGelu` where a node gives none (its schema's default).
const QUICK_GELU_ALPHA: f32 = 1.702;

/// Operators of the com.microsoft domain that tract implements with that domain's meaning.
const CONTRIB: [&str; 20] = [
    "BiasGelu",
    "DequantizeLinear",
    "DynamicQuantizeLSTM",
    "FastGelu",
    "FusedMatMul",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearMul",
    "QLinearSoftmax",
    "QuantizeLinear",
    "QuickGelu",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Operators of the ai.onnx.ml domain that tract implements.
const CLASSIC_ML: [&str; 7] = [
    "ArrayFeatureExtractor",
    "CategoryMapper",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "Scaler",
    "TreeEnsembleClassifier",
];

/// Operators of ours that a file may hold.
const OURS: [&str; 4] = [
    "FusedSilu",
    "FusedSwish",
    "FusedHardSwish",
    "FusedSlopedHardSwish",
];

/// Operators of the family in other domains.
const THEIRS: [&str; 3] = ["Swish", "HardSwish", "QuickGelu"];

/// Operators whose arithmetic is ours, but for tract as it is.
const QUANTISED: [(&str, Builder); 5] = [
    ("DequantizeLinear", quantize::dequantize),
    ("QLinearAveragePool", code_average::average),
    ("QLinearGlobalAveragePool", code_average::global_average),
    ("QLinearSoftmax", code_softmax::softmax),
    ("QuantizeLinear", quantize::quantize),
];

/// Who computes the activations, and softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Operators {
    /// This crate's operators and kernels, in place of tract's wherever the two overlap.
    #[default]
    OnnxSwish,
    /// tract as it is, with its own SiLU detection and kernels; the fused operators are unknown to it.
    Stock,
    /// tract's plain Mul, Add, Sigmoid, Min and Max, nothing fused by anyone: the reference of `verify`.
    Reference,
}

impl Operators {
    /// tract's ONNX loader with this set of operators.
    pub(crate) fn loader(self) -> Onnx {
        // Exporters' value_info repeats what shape inference finds, with symbols where the caller may want numbers
        // ("Impossible to unify"), and may name types that tract lacks on values that it never touches.
        let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
        self.register(&mut onnx.op_register);
        onnx
    }

    /// Replaces tract's builders of operators by ours.
    pub(crate) fn register(self, register: &mut OnnxOpRegister) {
        super::repairs::register(register);
        for (name, _) in ROUNDINGS {
            register.insert(name, round::round);
        }
        if self != Operators::Stock {
            for (name, builder) in QUANTISED {
                register.insert(name, builder);
            }
        }
        match self {
            Operators::Stock => {}
            Operators::OnnxSwish => {
                for name in OURS.into_iter().chain(THEIRS) {
                    register.insert(name, fused);
                }
                register.insert("HardSigmoid", hard_sigmoid);
                register.insert("QLinearAdd", |_, node| combined(node, Operator::Add, false));
                register.insert("QLinearMul", |_, node| combined(node, Operator::Mul, false));
            }
            Operators::Reference => {
                for name in OURS.into_iter().chain(THEIRS) {
                    register.insert(name, reference);
                }
                register.insert("QLinearAdd", |_, node| combined(node, Operator::Add, true));
                register.insert("QLinearMul", |_, node| combined(node, Operator::Mul, true));
                register.insert("Sigmoid", |_, _| {
                    Ok((UnfusedSigmoid.into_op().into_hir(), vec![]))
                });
            }
        }
        super::rules::register(register);
    }

    /// Refuses a model with a node that tract lacks or would take for another, or with constants of a type that it lacks.
    pub(crate) fn check(self, model: &ModelProto) -> Result<()> {
        let loader = self.loader();
        let functions: HashSet<(&str, &str)> = model
            .functions
            .iter()
            .map(|function| {
                (
                    plain_domain(function.domain.as_deref().unwrap_or("")),
                    function.name.as_deref().unwrap_or(""),
                )
            })
            .collect();
        for graph in graphs(model) {
            graph.initializer.iter().try_for_each(check_constant)?;
            for node in &graph.node {
                let domain = plain_domain(&node.domain);
                let op_type = node.op_type.as_str();
                if functions.contains(&(domain, op_type)) && !is_ours(domain, op_type) {
                    return Err(Error::ModelFunction {
                        node: display_name(node),
                        function: qualified(domain, op_type),
                    });
                }
                let known_here = match domain {
                    // Under names with colons tract's own builders stay reachable for those that repair them.
                    "" => !OURS.contains(&op_type) && !op_type.contains(':'),
                    "com.microsoft" => CONTRIB.contains(&op_type),
                    "ai.onnx.ml" => CLASSIC_ML.contains(&op_type),
                    OUR_DOMAIN => OURS.contains(&op_type),
                    // Decoding has refused those of a file.
                    GATES => true,
                    _ => false,
                };
                if !known_here || !loader.op_register.0.contains_key(op_type) {
                    return Err(Error::UnsupportedOperator {
                        node: display_name(node),
                        operator: qualified(domain, op_type),
                    });
                }
                check_attributes(node)?;
                for attribute in &node.attribute {
                    attribute.t.iter().try_for_each(check_constant)?;
                }
            }
        }
        Ok(())
    }
}

fn is_ours(domain: &str, op_type: &str) -> bool {
    domain == OUR_DOMAIN && OURS.contains(&op_type)
}

fn qualified(domain: &str, op_type: &str) -> String {
    if domain.is_empty() {
        op_type.to_owned()
    } else {
        format!("{domain}::{op_type}")
    }
}

fn hard_sigmoid(_: &ParsingContext, node: &NodeProto) -> Built {
    // The schema's defaults.
    let attribute = |name: &str, default: f32| {
        let value = node.get_attr_opt::<f32>(name)?;
        TractResult::Ok(f64::from(value.unwrap_or(default)))
    };
    let gate = Gate::HardSigmoid {
        alpha: attribute("alpha", 0.2)?,
        beta: attribute("beta", 0.5)?,
    };
    Ok((gate.into_op().into_hir(), vec![]))
}

fn fused(_: &ParsingContext, node: &NodeProto) -> Built {
    let op = match form(node)? {
        Form::Of(activation) => activation.into_op().into_hir(),
        Form::SwishBy => SwishBy.into_hir(),
    };
    Ok((op, vec![]))
}

fn reference(_: &ParsingContext, node: &NodeProto) -> Built {
    Ok((expand(Reference(form(node)?)), vec![]))
}

/// What a node of the family asks for. Names are unambiguous here: `check` has refused other domains.
fn form(node: &NodeProto) -> TractResult<Form> {
    let attribute = |name: &str| node.get_attr_opt::<f32>(name);
    Ok(match node.op_type.as_str() {
        "FusedSilu" => Form::Of(Activation::Silu),
        "FusedSwish" => Form::SwishBy,
        "FusedHardSwish" | "HardSwish" => Form::Of(Activation::HardSwish),
        "FusedSlopedHardSwish" => {
            let missing = |name| format_err!("FusedSlopedHardSwish has no attribute {name}");
            Form::Of(Activation::SlopedHardSwish {
                alpha: attribute("alpha")?.ok_or_else(|| missing("alpha"))?.into(),
                beta: attribute("beta")?.ok_or_else(|| missing("beta"))?.into(),
            })
        }
        "Swish" => Form::Of(Activation::swish(attribute("alpha")?.unwrap_or(1.0).into())),
        "QuickGelu" => Form::Of(Activation::swish(
            attribute("alpha")?.unwrap_or(QUICK_GELU_ALPHA).into(),
        )),
        other => bail!("{other} is no operator of the Swish family"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{FunctionProto, GraphProto};

    fn model(domain: &str, op_type: &str) -> ModelProto {
        let node = NodeProto {
            name: "the_node".to_owned(),
            domain: domain.to_owned(),
            op_type: op_type.to_owned(),
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![node],
            ..GraphProto::default()
        };
        ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    fn refused(model: &ModelProto) -> String {
        Operators::OnnxSwish.check(model).unwrap_err().to_string()
    }

    #[test]
    fn both_spellings_of_the_standard_domain_are_one() {
        for domain in ["", "ai.onnx"] {
            Operators::OnnxSwish.check(&model(domain, "Relu")).unwrap();
        }
    }

    #[test]
    fn a_builtins_name_in_another_domain_is_refused() {
        for (domain, op_type) in [
            ("com.example", "Relu"),
            ("com.microsoft", "Attention"),
            ("", "FusedSilu"),
            ("", "widened::Float16"),
        ] {
            let message = refused(&model(domain, op_type));
            assert!(
                message.contains("the_node") && message.contains(op_type),
                "{message}"
            );
        }
    }

    #[test]
    fn a_function_of_the_model_is_refused_by_name_and_ours_is_not() {
        let function = |domain: &str, name: &str| FunctionProto {
            name: Some(name.to_owned()),
            domain: Some(domain.to_owned()),
            ..FunctionProto::default()
        };
        let mut own = model("my.domain", "Swish");
        own.functions.push(function("my.domain", "Swish"));
        assert!(refused(&own).contains("my.domain::Swish"));
        let mut ours = model(OUR_DOMAIN, "FusedSilu");
        ours.functions.push(function(OUR_DOMAIN, "FusedSilu"));
        Operators::OnnxSwish.check(&ours).unwrap();
    }

    #[test]
    fn nodes_of_nested_graphs_are_checked() {
        let inner = model("com.example", "Relu").graph;
        let mut outer = model("", "If");
        let attribute = tract_onnx::pb::AttributeProto {
            g: inner,
            ..Default::default()
        };
        outer.graph.as_mut().unwrap().node[0]
            .attribute
            .push(attribute);
        assert!(refused(&outer).contains("com.example::Relu"));
    }

    #[test]
    fn constants_of_types_that_tract_lacks_are_refused_by_name() {
        let mut model = model("", "Relu");
        model
            .graph
            .as_mut()
            .unwrap()
            .initializer
            .push(tract_onnx::pb::TensorProto {
                name: "w".to_owned(),
                data_type: 17,
                ..Default::default()
            });
        let message = refused(&model);
        assert!(
            message.contains("constant `w`") && message.contains("float8"),
            "{message}"
        );
    }

    #[test]
    fn stock_tract_knows_none_of_ours() {
        let ours = model(OUR_DOMAIN, "FusedSilu");
        assert!(Operators::Stock.check(&ours).is_err());
        Operators::OnnxSwish.check(&ours).unwrap();
        Operators::Reference.check(&ours).unwrap();
    }

    #[test]
    fn omitted_attributes_take_their_documented_defaults() {
        let node = |op_type: &str| NodeProto {
            op_type: op_type.to_owned(),
            ..NodeProto::default()
        };
        let constant = |op_type| match form(&node(op_type)).unwrap() {
            Form::Of(activation) => activation,
            Form::SwishBy => unreachable!(),
        };
        assert_eq!(constant("Swish"), Activation::Silu);
        assert_eq!(
            constant("QuickGelu"),
            Activation::Swish {
                beta: f64::from(1.702f32)
            }
        );
        assert!(form(&node("FusedSlopedHardSwish")).is_err());
    }
}
