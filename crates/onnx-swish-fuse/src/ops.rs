//! The operators that recognition knows by name.
//! Given: domain and op_type as bytes.
//! Promises: one small code per operator; anything in a foreign domain is `Op::Unknown`.

macro_rules! ops {
    (standard: $($name:ident),* ; contrib: $($contrib:ident),* $(,)?) => {
        /// An operator of the default ONNX domain, or one of the few foreign ones that we read and write.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(clippy::upper_case_acronyms)] // ONNX's own spelling
        pub(crate) enum Op {
            /// Nothing is known about it: its outputs are new roots.
            Unknown,
            /// `onnx_swish::FusedSilu`
            FusedSilu,
            /// `onnx_swish::FusedSwish`
            FusedSwish,
            /// `onnx_swish::FusedHardSwish`
            FusedHardSwish,
            /// `onnx_swish::FusedSlopedHardSwish`
            FusedSlopedHardSwish,
            $(
                #[doc = stringify!($name)]
                $name,
            )*
            $(
                #[doc = concat!("`com.microsoft::", stringify!($contrib), "`")]
                $contrib,
            )*
        }

        impl Op {
            fn standard(op_type: &[u8]) -> Self {
                $(
                    if op_type == stringify!($name).as_bytes() {
                        return Self::$name;
                    }
                )*
                Self::Unknown
            }

            fn contrib(op_type: &[u8]) -> Self {
                $(
                    if op_type == stringify!($contrib).as_bytes() {
                        return Self::$contrib;
                    }
                )*
                Self::Unknown
            }

            /// The operator's name as users know it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    Self::Unknown => "?",
                    Self::FusedSilu => "FusedSilu",
                    Self::FusedSwish => "FusedSwish",
                    Self::FusedHardSwish => "FusedHardSwish",
                    Self::FusedSlopedHardSwish => "FusedSlopedHardSwish",
                    $( Self::$name => stringify!($name), )*
                    $( Self::$contrib => stringify!($contrib), )*
                }
            }
        }
    };
}

// The frequent ones first: the look-up goes in this order.
ops! {
    standard: Mul, Conv, Add, Constant, Sigmoid, Clip, Div, MatMul, Reshape, Transpose, Relu, BatchNormalization, Identity,
    HardSigmoid, HardSwish, Swish, Concat, Cast, CastLike, Sub, Neg, Exp, Tanh, Erf, Softplus, Reciprocal, Min, Max,
    Sum, Pow, Sqrt, Gemm, GlobalAveragePool, GlobalMaxPool, AveragePool, MaxPool, LpPool, ReduceMean, ReduceSum,
    ReduceMax, ReduceMin, ReduceL2, ReduceProd, ReduceSumSquare, ReduceL1, ReduceLogSum, ReduceLogSumExp, Split,
    Slice, Gather, GatherElements, Unsqueeze, Squeeze, Flatten, Expand, Shape, ConstantOfShape, Dropout,
    ConvTranspose, Resize, Upsample, Pad, Softmax, LogSoftmax, Hardmax, LayerNormalization, RMSNormalization,
    InstanceNormalization, GroupNormalization, LpNormalization, LRN, MeanVarianceNormalization, Gelu, Elu, Selu,
    Celu, LeakyRelu, ThresholdedRelu, PRelu, Softsign, Mish, Abs, Floor, Ceil, Round, Sign, Log, Sin, Cos, Tan,
    Where, Equal, Less, Greater, LessOrEqual, GreaterOrEqual, And, Or, Xor, Not, Mod, Mean, Tile, DepthToSpace,
    SpaceToDepth, CumSum, IsNaN, IsInf, QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, ScatterND,
    ScatterElements, Trilu, Size, Range, ArgMax, ArgMin, TopK, QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger,
    LSTM, GRU, RNN, GridSample, Einsum, GatherND, OneHot, GlobalLpPool, ReverseSequence, Compress, CenterCropPad,
    TensorScatter, Scatter, MaxUnpool, Shrink, Sinh, Cosh, Asin, Acos, Atan, Asinh, Acosh, Atanh;
    contrib: QuickGelu, QLinearSigmoid, QLinearMul, QLinearAdd, QLinearGlobalAveragePool, QLinearReduceMean,
    QLinearLeakyRelu, QLinearAveragePool, QLinearSoftmax, QLinearConcat, QLinearWhere, QGemm, FusedConv, FusedGemm, ReorderInput, ReorderOutput,
}

/// Domain of our own operators.
pub(crate) const OUR_DOMAIN: &str = "onnx_swish";
/// Version of our own operators.
pub(crate) const OUR_VERSION: i64 = 1;
/// Domain of ONNX Runtime's contributed operators.
pub(crate) const CONTRIB_DOMAIN: &str = "com.microsoft";

/// Domain of ONNX Runtime's layers for one processor, which it writes with all optimisations on.
pub(crate) const BLOCKED_DOMAIN: &str = "com.microsoft.nchwc";

/// Default of `com.microsoft::QuickGelu`'s alpha, by its schema.
pub(crate) const QUICK_GELU_ALPHA: f32 = 1.702;

/// Whether a domain is ONNX's own: the empty name and `ai.onnx` are one domain.
pub(crate) fn is_default_domain(domain: &[u8]) -> bool {
    domain.is_empty() || domain == b"ai.onnx"
}

impl Op {
    /// Our operators, in the order in which their functions are written.
    pub(crate) const OURS: [Self; 4] = [
        Self::FusedSilu,
        Self::FusedSwish,
        Self::FusedHardSwish,
        Self::FusedSlopedHardSwish,
    ];

    /// The operator that a node names.
    pub(crate) fn parse(domain: &[u8], op_type: &[u8]) -> Self {
        if is_default_domain(domain) {
            return Self::standard(op_type);
        }
        if domain == OUR_DOMAIN.as_bytes() {
            let mut ours = Self::OURS.into_iter();
            let named = ours.find(|op| op.name().as_bytes() == op_type);
            return named.unwrap_or(Self::Unknown);
        }
        if domain == CONTRIB_DOMAIN.as_bytes() {
            return match op_type {
                // ONNX Runtime's own, from before the standard had what its quantiser needs; the same functions.
                b"QuantizeLinear" => Self::QuantizeLinear,
                b"DequantizeLinear" => Self::DequantizeLinear,
                // Over channels that come last, so that it is a layer, and its shapes are not the standard's.
                b"QLinearConv" => Self::FusedConv,
                _ => Self::contrib(op_type),
            };
        }
        // The same layers over blocks of channels.
        if domain == BLOCKED_DOMAIN.as_bytes() {
            return match op_type {
                b"Conv" => Self::FusedConv,
                b"GlobalAveragePool" => Self::GlobalAveragePool,
                b"GlobalMaxPool" => Self::GlobalMaxPool,
                b"ReorderInput" => Self::ReorderInput,
                b"ReorderOutput" => Self::ReorderOutput,
                _ => Self::Unknown,
            };
        }
        Self::Unknown
    }

    /// A Swish or HardSwish that is one operator already.
    pub(crate) fn is_fused(self) -> bool {
        matches!(
            self,
            Self::FusedSilu
                | Self::FusedSwish
                | Self::FusedHardSwish
                | Self::FusedSlopedHardSwish
                | Self::QuickGelu
                | Self::Swish
                | Self::HardSwish
        )
    }

    /// Makes a gate, or a part of one, by itself: something between two bounds.
    pub(crate) fn makes_gates(self) -> bool {
        matches!(
            self,
            Self::Sigmoid | Self::HardSigmoid | Self::Clip | Self::Tanh
        )
    }

    /// Gives every element to one element of the output, in the order in which they lie in memory: another shape only.
    /// Expand does, too, unless it repeats elements, and then its output has more of them.
    pub(crate) fn keeps_order(self) -> bool {
        matches!(
            self,
            Self::Reshape | Self::Squeeze | Self::Unsqueeze | Self::Flatten | Self::Expand
        )
    }

    /// Gives elements of its inputs other places, repeats them or leaves some out, and computes nothing.
    pub(crate) fn moves_elements(self) -> bool {
        self.keeps_order()
            || matches!(
                self,
                Self::Identity
                    | Self::Dropout
                    | Self::Cast
                    | Self::CastLike
                    | Self::Transpose
                    | Self::Slice
                    | Self::Split
                    | Self::Concat
                    | Self::Gather
                    | Self::GatherElements
                    | Self::GatherND
                    | Self::ScatterND
                    | Self::ScatterElements
                    | Self::Scatter
                    | Self::TensorScatter
                    | Self::Tile
                    | Self::Pad
                    | Self::Resize
                    | Self::Upsample
                    | Self::MaxPool
                    | Self::MaxUnpool
                    | Self::DepthToSpace
                    | Self::SpaceToDepth
                    | Self::Trilu
                    | Self::TopK
                    | Self::Where
                    | Self::ReverseSequence
                    | Self::Compress
                    | Self::CenterCropPad
                    | Self::QuantizeLinear
                    | Self::DequantizeLinear
                    | Self::ReorderInput
                    | Self::ReorderOutput
                    | Self::QLinearConcat
                    | Self::QLinearWhere
            )
    }

    /// Computes each element of its output from one element of each input.
    pub(crate) fn is_element_wise(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Sub
                | Self::Div
                | Self::Sum
                | Self::Mean
                | Self::Min
                | Self::Max
                | Self::Mod
                | Self::Pow
                | Self::PRelu
                | Self::Neg
                | Self::Abs
                | Self::Sqrt
                | Self::Reciprocal
                | Self::Exp
                | Self::Log
                | Self::Sign
                | Self::Floor
                | Self::Ceil
                | Self::Round
                | Self::Relu
                | Self::LeakyRelu
                | Self::ThresholdedRelu
                | Self::Elu
                | Self::Celu
                | Self::Selu
                | Self::Clip
                | Self::Sigmoid
                | Self::HardSigmoid
                | Self::Tanh
                | Self::Erf
                | Self::Softplus
                | Self::Softsign
                | Self::Gelu
                | Self::Mish
                | Self::Shrink
                | Self::Sin
                | Self::Cos
                | Self::Tan
                | Self::Sinh
                | Self::Cosh
                | Self::Asin
                | Self::Acos
                | Self::Atan
                | Self::Asinh
                | Self::Acosh
                | Self::Atanh
        )
    }

    /// Computes each element of its output from one element of each input, or from a few or all along some axes, with no
    /// weights but those of a normalisation by stored numbers. What a gate becomes in such an operator still scales.
    pub(crate) fn derives_elements(self) -> bool {
        matches!(
            self,
            Self::Softmax
                | Self::LogSoftmax
                | Self::Hardmax
                | Self::CumSum
                | Self::BatchNormalization
                | Self::AveragePool
                | Self::LpPool
                | Self::GlobalAveragePool
                | Self::GlobalMaxPool
                | Self::GlobalLpPool
        ) || self.is_element_wise()
            || self.is_reduction()
            || self.derives_codes()
    }

    /// The same, on codes.
    pub(crate) fn derives_codes(self) -> bool {
        matches!(
            self,
            Self::QLinearAdd
                | Self::QLinearMul
                | Self::QLinearLeakyRelu
                | Self::QLinearAveragePool
                | Self::QLinearGlobalAveragePool
                | Self::QLinearReduceMean
                | Self::QLinearSoftmax
        )
    }

    /// Makes one number of all along some axes.
    fn is_reduction(self) -> bool {
        matches!(
            self,
            Self::ReduceMean
                | Self::ReduceSum
                | Self::ReduceMax
                | Self::ReduceMin
                | Self::ReduceProd
                | Self::ReduceL1
                | Self::ReduceL2
                | Self::ReduceSumSquare
                | Self::ReduceLogSum
                | Self::ReduceLogSumExp
        )
    }

    /// Which inputs are data: the others are indices, shapes, axes, bounds and the numbers of quantisers.
    /// `None` where all are.
    pub(crate) fn data_inputs(self) -> Option<std::ops::Range<usize>> {
        match self {
            Self::Where => Some(1..3),
            // Behind scale and zero point of the result, and behind the condition: scales of the operands are among them.
            Self::QLinearConcat => Some(2..usize::MAX),
            Self::QLinearWhere => Some(1..usize::MAX),
            Self::QLinearLeakyRelu
            | Self::QLinearAveragePool
            | Self::QLinearGlobalAveragePool
            | Self::QLinearReduceMean
            | Self::QLinearSoftmax => Some(0..1),
            Self::ScatterND | Self::ScatterElements | Self::Scatter | Self::TensorScatter => None,
            Self::Reshape
            | Self::Squeeze
            | Self::Unsqueeze
            | Self::Expand
            | Self::Slice
            | Self::Split
            | Self::Gather
            | Self::GatherElements
            | Self::GatherND
            | Self::Tile
            | Self::Pad
            | Self::Resize
            | Self::Upsample
            | Self::Dropout
            | Self::CastLike
            | Self::MaxUnpool
            | Self::Trilu
            | Self::TopK
            | Self::ReverseSequence
            | Self::Compress
            | Self::CenterCropPad
            | Self::CumSum
            | Self::Clip
            | Self::BatchNormalization
            | Self::QuantizeLinear
            | Self::DequantizeLinear => Some(0..1),
            op if op.is_reduction() => Some(0..1),
            _ => None,
        }
    }

    /// Takes nothing but floats, so that it proves its input to be one.
    pub(crate) fn is_float_only(self) -> bool {
        matches!(
            self,
            Self::Sigmoid | Self::HardSigmoid | Self::Tanh | Self::Exp
        )
    }

    /// One number (or a few) for all positions of a channel: what a squeeze-and-excitation gate begins with.
    pub(crate) fn is_pooling(self) -> bool {
        matches!(
            self,
            Self::GlobalAveragePool
                | Self::GlobalMaxPool
                | Self::ReduceMean
                | Self::ReduceMax
                | Self::ReduceSum
                | Self::ReduceL2
                | Self::GlobalLpPool
                | Self::QLinearGlobalAveragePool
                | Self::QLinearReduceMean
        )
    }

    /// A layer with weights: what lies behind it is another function altogether.
    pub(crate) fn is_layer(self) -> bool {
        matches!(
            self,
            Self::Conv
                | Self::MatMul
                | Self::Gemm
                | Self::QLinearConv
                | Self::QLinearMatMul
                | Self::ConvInteger
                | Self::MatMulInteger
                | Self::QGemm
                | Self::FusedConv
                | Self::FusedGemm
        )
    }

    /// Computes on codes what its name says on numbers: DequantizeLinear, the operator, QuantizeLinear.
    pub(crate) fn is_quantised_arithmetic(self) -> bool {
        matches!(
            self,
            Self::QLinearSigmoid | Self::QLinearMul | Self::QLinearAdd
        )
    }

    /// One of ours.
    pub(crate) fn is_ours(self) -> bool {
        Self::OURS.contains(&self)
    }
}
