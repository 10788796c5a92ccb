//! Shapes of a node's outputs, operator by operator.
//! Given: a node whose inputs have been dealt with.
//! Promises: true statements or none. An operator that is not here yields a shape of its own of unknown rank.

mod foreign;
mod layers;
mod moves;

use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::Op;
use crate::shapes::{Dim, ShapeId};

/// Infers the shape of the output of `node` at this position.
pub(crate) fn infer(graph: &Graph<'_>, facts: &mut Facts, node: Node, position: usize) -> ShapeId {
    let mut at = Infer { graph, facts, node };
    // Further outputs (a mask, statistics, indices) are other things than the first, but for Split.
    let shape = match (position, at.graph.op(node)) {
        (0, _) => at.shape(),
        (_, Op::Split) => at.split(position),
        (_, Op::LSTM | Op::GRU | Op::RNN) => at.recurrent(position),
        (1, Op::Dropout) => at.of(0),
        (3, Op::Unknown) if at.is_skip_normalization() => at.of(0),
        _ => None,
    };
    shape.unwrap_or_else(|| at.facts.shapes.opaque())
}

struct Infer<'a, 'g> {
    graph: &'a Graph<'g>,
    facts: &'a mut Facts,
    node: Node,
}

impl Infer<'_, '_> {
    fn input(&self, index: usize) -> Option<Value> {
        self.graph
            .inputs(self.node)
            .get(index)
            .copied()
            .filter(|value| !value.is_absent())
    }

    fn of(&self, index: usize) -> Option<ShapeId> {
        Some(self.facts.shape(self.input(index)?))
    }

    fn dims(&self, index: usize) -> Option<Vec<Dim>> {
        self.facts.shapes.dims(self.of(index)?)
    }

    fn ranked(&mut self, dims: &[Dim]) -> Option<ShapeId> {
        Some(self.facts.shapes.ranked(dims))
    }

    fn int(&self, name: &[u8], default: i64) -> Option<i64> {
        match self.graph.int(self.node, name) {
            Attribute::Is(value) => Some(value),
            Attribute::Absent => Some(default),
            Attribute::Unknown => None,
        }
    }

    fn shape(&mut self) -> Option<ShapeId> {
        match self.graph.op(self.node) {
            Op::Mul
            | Op::Add
            | Op::Sub
            | Op::Div
            | Op::Pow
            | Op::Min
            | Op::Max
            | Op::Sum
            | Op::Mean
            | Op::PRelu
            | Op::Where
            | Op::Equal
            | Op::Less
            | Op::Greater
            | Op::LessOrEqual
            | Op::GreaterOrEqual
            | Op::And
            | Op::Or
            | Op::Xor
            | Op::Mod => self.broadcast(),
            Op::Sigmoid
            | Op::Clip
            | Op::Relu
            | Op::BatchNormalization
            | Op::Identity
            | Op::HardSigmoid
            | Op::HardSwish
            | Op::Swish
            | Op::Cast
            | Op::CastLike
            | Op::Neg
            | Op::Exp
            | Op::Tanh
            | Op::Erf
            | Op::Softplus
            | Op::Reciprocal
            | Op::Sqrt
            | Op::Dropout
            | Op::Softmax
            | Op::LogSoftmax
            | Op::Hardmax
            | Op::LayerNormalization
            | Op::RMSNormalization
            | Op::InstanceNormalization
            | Op::GroupNormalization
            | Op::LpNormalization
            | Op::LRN
            | Op::MeanVarianceNormalization
            | Op::Gelu
            | Op::Elu
            | Op::Selu
            | Op::Celu
            | Op::LeakyRelu
            | Op::ThresholdedRelu
            | Op::Softsign
            | Op::Mish
            | Op::Abs
            | Op::Floor
            | Op::Ceil
            | Op::Round
            | Op::Sign
            | Op::Log
            | Op::Sin
            | Op::Cos
            | Op::Tan
            | Op::Not
            | Op::CumSum
            | Op::IsNaN
            | Op::IsInf
            | Op::QuantizeLinear
            | Op::DequantizeLinear
            | Op::DynamicQuantizeLinear
            | Op::ScatterND
            | Op::ScatterElements
            | Op::Trilu
            | Op::FusedSilu
            | Op::FusedSwish
            | Op::FusedHardSwish
            | Op::FusedSlopedHardSwish
            | Op::QuickGelu => self.of(0),
            Op::Conv | Op::ConvInteger => self.conv(1),
            Op::QLinearConv => self.conv(3),
            Op::QLinearSigmoid => self.of(0),
            Op::QLinearMul | Op::QLinearAdd => {
                let (a, b) = (self.of(0)?, self.of(3)?);
                Some(self.facts.shapes.broadcast(a, b))
            }
            Op::ConvTranspose => self.conv_transpose(),
            Op::AveragePool | Op::MaxPool | Op::LpPool => self.pool(),
            Op::DepthToSpace | Op::SpaceToDepth => self.blocks(),
            Op::Resize | Op::Upsample => self.resize(),
            Op::Pad => self.pad(),
            Op::Slice => self.slice(),
            Op::Tile => self.tile(),
            Op::TopK => self.top_k(),
            Op::LSTM | Op::GRU | Op::RNN => self.recurrent(0),
            Op::GridSample => self.grid_sample(),
            Op::Einsum => self.einsum(),
            Op::GatherND => self.gather_nd(),
            Op::OneHot => self.one_hot(),
            Op::GlobalAveragePool | Op::GlobalMaxPool | Op::GlobalLpPool => {
                let mut dims = self.dims(0)?;
                for dim in dims.iter_mut().skip(2) {
                    *dim = Dim::Known(1);
                }
                self.ranked(&dims)
            }
            Op::ReduceMean
            | Op::ReduceSum
            | Op::ReduceMax
            | Op::ReduceMin
            | Op::ReduceL2
            | Op::ReduceProd
            | Op::ReduceSumSquare
            | Op::ReduceL1
            | Op::ReduceLogSum
            | Op::ReduceLogSumExp => self.reduce(),
            Op::MatMul | Op::MatMulInteger => self.matmul(1),
            Op::QLinearMatMul => self.matmul(3),
            Op::Gemm => self.gemm(),
            Op::Transpose => self.transpose(),
            Op::Reshape => self.reshape(),
            Op::Flatten => self.flatten(),
            Op::Unsqueeze => self.unsqueeze(),
            Op::Squeeze => self.squeeze(),
            Op::Concat => self.concat(),
            Op::Gather => self.gather(),
            Op::GatherElements => self.of(1),
            Op::Expand => self.expand(),
            Op::Shape => {
                let rank = self.facts.shapes.rank(self.of(0)?);
                let whole = (self.int(b"start", 0), self.int(b"end", i64::MAX))
                    == (Some(0), Some(i64::MAX));
                let rank = rank.filter(|_| whole).map(|rank| Dim::Known(rank as i64));
                let dim = rank.unwrap_or_else(|| self.facts.shapes.fresh());
                self.ranked(&[dim])
            }
            Op::Size => self.ranked(&[]),
            Op::ArgMax | Op::ArgMin => self.arg_extremum(),
            Op::ConstantOfShape => self.constant_of_shape(),
            Op::Split => self.split(0),
            Op::Range => {
                let dim = self.facts.shapes.fresh();
                self.ranked(&[dim])
            }
            Op::FusedConv
            | Op::FusedGemm
            | Op::ReorderInput
            | Op::ReorderOutput
            | Op::QLinearLeakyRelu
            | Op::QLinearSoftmax
            | Op::Unknown => self.foreign(),
            _ => None,
        }
    }

    /// Before opset 7 the first input's shape was the output's, whatever the second one was.
    fn broadcast(&mut self) -> Option<ShapeId> {
        let mut shape = self.of(0)?;
        if self.graph.opset(self.node) < 7 {
            return Some(shape);
        }
        for index in 1..self.graph.inputs(self.node).len() {
            let next = self.of(index)?;
            shape = self.facts.shapes.broadcast(shape, next);
        }
        Some(shape)
    }

    /// Axes from the attribute or, in later opsets, from a constant input.
    fn axes(&mut self, input: usize, rank: usize) -> Option<Vec<usize>> {
        let axes = match (self.graph.ints(self.node, b"axes"), self.input(input)) {
            (Attribute::Is(axes), _) => axes,
            (Attribute::Absent, Some(value)) => {
                let sizes = self.facts.sizes(self.graph, value)?;
                sizes
                    .into_iter()
                    .map(|size| match size {
                        Dim::Known(axis) => Some(axis),
                        Dim::Symbol(_) => None,
                    })
                    .collect::<Option<_>>()?
            }
            (Attribute::Absent, None) => return Some(Vec::new()),
            (Attribute::Unknown, _) => return None,
        };
        axes.into_iter()
            .map(|axis| normalised(axis, rank))
            .collect()
    }

    /// These dimensions, but from `keep` on only their number is known.
    fn spatial_unknown(&mut self, dims: &[Dim], keep: usize) -> Option<ShapeId> {
        let dims: Vec<Dim> = dims
            .iter()
            .enumerate()
            .map(|(i, &dim)| {
                if i < keep {
                    dim
                } else {
                    self.facts.shapes.fresh()
                }
            })
            .collect();
        self.ranked(&dims)
    }
}

/// An axis counted from the front, if it exists.
fn normalised(axis: i64, rank: usize) -> Option<usize> {
    let rank_signed = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis + rank_signed } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}
