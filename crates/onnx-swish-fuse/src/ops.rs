//! The operators that recognition knows by name.
//! Given: domain and op_type as bytes.
//! Promises: one small code per operator; anything in a foreign domain is `Op::Unknown`.

macro_rules! ops {
    ($($name:ident),* $(,)?) => {
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
            /// `com.microsoft::QuickGelu`
            QuickGelu,
            $(
                #[doc = stringify!($name)]
                $name,
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

            /// The operator's name as users know it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    Self::Unknown => "?",
                    Self::FusedSilu => "FusedSilu",
                    Self::FusedSwish => "FusedSwish",
                    Self::FusedHardSwish => "FusedHardSwish",
                    Self::FusedSlopedHardSwish => "FusedSlopedHardSwish",
                    Self::QuickGelu => "QuickGelu",
                    $( Self::$name => stringify!($name), )*
                }
            }
        }
    };
}

// The frequent ones first: the look-up goes in this order.
ops! {
    Mul, Conv, Add, Constant, Sigmoid, Clip, Div, MatMul, Reshape, Transpose, Relu, BatchNormalization, Identity,
    HardSigmoid, HardSwish, Swish, Concat, Cast, CastLike, Sub, Neg, Exp, Tanh, Erf, Softplus, Reciprocal, Min, Max,
    Sum, Pow, Sqrt, Gemm, GlobalAveragePool, GlobalMaxPool, AveragePool, MaxPool, LpPool, ReduceMean, ReduceSum,
    ReduceMax, ReduceMin, ReduceL2, ReduceProd, ReduceSumSquare, ReduceL1, ReduceLogSum, ReduceLogSumExp, Split,
    Slice, Gather, GatherElements, Unsqueeze, Squeeze, Flatten, Expand, Shape, ConstantOfShape, Dropout,
    ConvTranspose, Resize, Upsample, Pad, Softmax, LogSoftmax, Hardmax, LayerNormalization, RMSNormalization,
    InstanceNormalization, GroupNormalization, LpNormalization, LRN, MeanVarianceNormalization, Gelu, Elu, Selu,
    Celu, LeakyRelu, ThresholdedRelu, PRelu, Softsign, Mish, Abs, Floor, Ceil, Round, Sign, Log, Sin, Cos, Tan,
    Where, Equal, Less, Greater, LessOrEqual, GreaterOrEqual, And, Or, Xor, Not, Mod, Mean, Tile, DepthToSpace,
    SpaceToDepth, CumSum, IsNaN, IsInf, QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, ScatterND,
    ScatterElements, Trilu, Size, Range, ArgMax, ArgMin, TopK,
}

/// Domain of our own operators.
pub(crate) const OUR_DOMAIN: &str = "onnx_swish";
/// Version of our own operators.
pub(crate) const OUR_VERSION: i64 = 1;
/// Domain of ONNX Runtime's contributed operators.
pub(crate) const CONTRIB_DOMAIN: &str = "com.microsoft";

/// Whether a domain is ONNX's own: the empty name and `ai.onnx` are one domain.
pub(crate) fn is_default_domain(domain: &[u8]) -> bool {
    domain.is_empty() || domain == b"ai.onnx"
}

impl Op {
    /// The operator that a node names.
    pub(crate) fn parse(domain: &[u8], op_type: &[u8]) -> Self {
        if is_default_domain(domain) {
            return Self::standard(op_type);
        }
        if domain == OUR_DOMAIN.as_bytes() {
            return match op_type {
                b"FusedSilu" => Self::FusedSilu,
                b"FusedSwish" => Self::FusedSwish,
                b"FusedHardSwish" => Self::FusedHardSwish,
                b"FusedSlopedHardSwish" => Self::FusedSlopedHardSwish,
                _ => Self::Unknown,
            };
        }
        if domain == CONTRIB_DOMAIN.as_bytes() && op_type == b"QuickGelu" {
            return Self::QuickGelu;
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

    /// One of ours.
    pub(crate) fn is_ours(self) -> bool {
        matches!(
            self,
            Self::FusedSilu | Self::FusedSwish | Self::FusedHardSwish | Self::FusedSlopedHardSwish
        )
    }
}
