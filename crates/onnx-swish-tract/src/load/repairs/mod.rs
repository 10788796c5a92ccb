//! Operators of the standard that tract's loader takes wrongly, or takes only in part.
//!
//! Given a node of such an operator; promises what the standard says, or a sentence that says why not. Each file names the code
//! of tract that is at fault, and goes when that is repaired.

mod arg_max;
mod attention;
mod batch_normalization;
mod bit_shift;
mod body;
mod branches;
pub(super) mod code_average;
pub(super) mod code_softmax;
pub(super) mod combined;
mod constant_of_shape;
mod contraction;
mod conv_transpose;
mod doubles;
mod dynamic_quantize;
mod einsum;
mod equal;
mod exponentials;
mod flatten;
mod fused_mat_mul;
mod gathers;
mod gelu;
mod gemm;
mod global_lp_pool;
mod hardmax;
mod integers;
mod is_special;
mod loops;
mod mat_mul;
mod mat_mul_nbits;
mod modulo;
mod non_max_suppression;
mod on_codes;
mod pad;
mod pairs;
mod prelu;
pub(super) mod quantize;
mod random;
mod range;
mod recurrent;
mod reduce;
mod resize;
mod rotary;
pub(super) mod round;
mod scalars;
mod scaler;
mod skip_normalization;
mod slice;
mod squeeze;
mod sums;
mod unread;
mod whole;
mod wire;

pub(crate) use branches::Choice;
pub(crate) use loops::Turns;

use tract_hir::internal::*;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;

pub(super) type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;
pub(super) type Builder = fn(&ParsingContext, &NodeProto) -> Built;

/// What is repaired: the operator's type, under which name tract's own builder stays reachable, and ours.
const REPAIRS: &[(&str, &str, Builder)] = &[
    ("ArgMax", "tract::ArgMax", arg_max::arg_max),
    ("ArgMin", "tract::ArgMin", arg_max::arg_min),
    ("Attention", "tract::Attention", attention::attention),
    (
        "BatchNormalization",
        "tract::BatchNormalization",
        batch_normalization::batch_normalization,
    ),
    ("BitShift", "tract::BitShift", bit_shift::bit_shift),
    ("Cast", "tract::Cast", whole::cast_to),
    ("CastLike", "tract::CastLike", whole::cast_like),
    ("Celu", "tract::Celu", exponentials::celu),
    ("Compress", "tract::Compress", gathers::compress),
    (
        "ConstantOfShape",
        "tract::ConstantOfShape",
        constant_of_shape::constant_of_shape,
    ),
    (
        "ConvTranspose",
        "tract::ConvTranspose",
        conv_transpose::conv_transpose,
    ),
    ("CumSum", "tract::CumSum", scalars::cum_sum),
    (
        "DynamicQuantizeLinear",
        "tract::DynamicQuantizeLinear",
        dynamic_quantize::dynamic_quantize_linear,
    ),
    (
        "DynamicQuantizeLSTM",
        "tract::DynamicQuantizeLSTM",
        recurrent::dynamic_quantize_lstm,
    ),
    ("Einsum", "tract::Einsum", einsum::einsum),
    ("Equal", "tract::Equal", equal::equal),
    ("Flatten", "tract::Flatten", flatten::flatten),
    (
        "FusedMatMul",
        "tract::FusedMatMul",
        fused_mat_mul::fused_mat_mul,
    ),
    ("FastGelu", "tract::FastGelu", gelu::fast_gelu),
    ("GRU", "tract::GRU", recurrent::gru),
    ("Gelu", "tract::Gelu", gelu::gelu),
    ("Gemm", "tract::Gemm", gemm::gemm),
    (
        "GlobalLpPool",
        "tract::GlobalLpPool",
        global_lp_pool::global_lp_pool,
    ),
    (
        "GroupQueryAttention",
        "tract::GroupQueryAttention",
        attention::group_query_attention,
    ),
    ("Hardmax", "tract::Hardmax", hardmax::hardmax),
    ("If", "tract::If", branches::if_),
    ("IsInf", "tract::IsInf", is_special::is_inf),
    ("IsNaN", "tract::IsNaN", is_special::is_nan),
    ("LSTM", "tract::LSTM", recurrent::lstm),
    ("LeakyRelu", "tract::LeakyRelu", doubles::leaky_relu),
    ("LogSoftmax", "tract::LogSoftmax", exponentials::log_softmax),
    ("Loop", "tract::Loop", loops::loop_),
    ("MatMul", "tract::MatMul", mat_mul::mat_mul),
    (
        "MatMulInteger",
        "tract::MatMulInteger",
        mat_mul::mat_mul_integer,
    ),
    (
        "MatMulNBits",
        "tract::MatMulNBits",
        mat_mul_nbits::mat_mul_nbits,
    ),
    ("Max", "tract::Max", sums::max),
    ("Mean", "tract::Mean", sums::mean),
    ("Min", "tract::Min", sums::min),
    ("Mish", "tract::Mish", gelu::mish),
    ("Mod", "tract::Mod", modulo::modulo),
    ("Mul", "tract::Mul", integers::mul),
    (
        "MultiHeadAttention",
        "tract::MultiHeadAttention",
        attention::multi_head_attention,
    ),
    (
        "NonMaxSuppression",
        "tract::NonMaxSuppression",
        non_max_suppression::non_max_suppression,
    ),
    ("OneHot", "tract::OneHot", gathers::one_hot),
    ("Pad", "tract::Pad", pad::pad),
    ("Pow", "tract::Pow", integers::pow),
    ("PRelu", "tract::PRelu", prelu::prelu),
    ("RNN", "tract::RNN", recurrent::rnn),
    ("RandomNormal", "tract::RandomNormal", random::random),
    (
        "RandomNormalLike",
        "tract::RandomNormalLike",
        random::random,
    ),
    ("RandomUniform", "tract::RandomUniform", random::random),
    (
        "RandomUniformLike",
        "tract::RandomUniformLike",
        random::random,
    ),
    ("Range", "tract::Range", range::range),
    ("ReduceL2", "tract::ReduceL2", reduce::reduce_l2),
    (
        "ReduceLogSum",
        "tract::ReduceLogSum",
        reduce::reduce_log_sum,
    ),
    (
        "ReduceLogSumExp",
        "tract::ReduceLogSumExp",
        reduce::reduce_log_sum_exp,
    ),
    ("ReduceMax", "tract::ReduceMax", reduce::reduce_max),
    ("ReduceMin", "tract::ReduceMin", reduce::reduce_min),
    ("ReduceL1", "tract::ReduceL1", integers::reduce_l1),
    ("ReduceMean", "tract::ReduceMean", integers::reduce_mean),
    ("ReduceSum", "tract::ReduceSum", integers::reduce_sum),
    (
        "ReduceSumSquare",
        "tract::ReduceSumSquare",
        integers::reduce_sum_square,
    ),
    ("Resize", "tract::Resize", resize::resize),
    (
        "ReverseSequence",
        "tract::ReverseSequence",
        gathers::reverse_sequence,
    ),
    (
        "RotaryEmbedding",
        "tract::RotaryEmbedding",
        rotary::rotary_embedding,
    ),
    ("Round", "tract::Round", doubles::round),
    ("Scaler", "tract::Scaler", scaler::scaler),
    ("Selu", "tract::Selu", exponentials::selu),
    ("Shape", "tract::Shape", whole::shape),
    ("Size", "tract::Size", whole::size),
    (
        "SkipLayerNormalization",
        "tract::SkipLayerNormalization",
        skip_normalization::layer,
    ),
    (
        "SkipSimplifiedLayerNormalization",
        "tract::SkipSimplifiedLayerNormalization",
        skip_normalization::simplified,
    ),
    ("Slice", "tract::Slice", slice::slice),
    (
        "SpaceToDepth",
        "tract::SpaceToDepth",
        unread::space_to_depth,
    ),
    ("Softplus", "tract::Softplus", exponentials::softplus),
    ("Squeeze", "tract::Squeeze", squeeze::squeeze),
    ("Sum", "tract::Sum", sums::sum),
    ("Trilu", "tract::Trilu", scalars::trilu),
    ("Upsample", "tract::Upsample", resize::upsample),
];

/// Puts the repairs in the place of tract's own.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    for (name, saved, builder) in REPAIRS {
        if let Some(own) = operators.0.get(*name).copied() {
            operators.insert(saved, own);
        }
        operators.insert(name, *builder);
    }
}

/// What tract's own builder makes of a node.
fn builtin_op(ctx: &ParsingContext, node: &NodeProto, saved: &str) -> Built {
    let build = ctx.framework.op_register.0.get(saved);
    build.with_context(|| format!("tract has no builder {saved}"))?(ctx, node)
}

/// An operator of tract's that is written out in simpler ones, for a repair that only some nodes need.
type Delegate = Box<dyn Expansion>;

/// What an operator of tract's is written out in where tract's own way is wrong. Its types and shapes tract infers rightly.
trait Rewiring: std::fmt::Debug + Clone + Send + Sync + 'static {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>>;
}

/// An operator of tract's with another wiring.
#[derive(Debug, Clone)]
struct Rewired<R> {
    own: Delegate,
    by: R,
}

impl<R: Rewiring> Expansion for Rewired<R> {
    fn name(&self) -> StaticName {
        self.own.as_ref().name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.own.as_ref().nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.own.as_ref().rules(s, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.by.wire(&self.own, prefix, model, inputs)
    }
}

fn rewired(ctx: &ParsingContext, node: &NodeProto, saved: &str, by: impl Rewiring) -> Built {
    let own = builtin(ctx, node, saved)?;
    Ok((expand(Rewired { own, by }), vec![]))
}

fn builtin(ctx: &ParsingContext, node: &NodeProto, saved: &str) -> TractResult<Delegate> {
    let (op, _) = builtin_op(ctx, node, saved)?;
    let expansion = op.as_op().downcast_ref::<Delegate>();
    Ok(expansion
        .with_context(|| format!("{saved} is no expansion"))?
        .clone())
}
