//! Element types and shapes of a node's outputs, operator by operator.
//! Given: a node whose inputs have been dealt with.
//! Promises: true statements or none. An operator that is not here yields a shape of its own of unknown rank.

use super::window::Window;
use super::{Dim, ShapeId};
use crate::element::Element;
use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::Op;

/// Infers element type and shape of the output of `node` at this position.
pub(crate) fn infer(
    graph: &Graph<'_>,
    facts: &mut Facts,
    node: Node,
    position: usize,
) -> (Element, ShapeId) {
    let mut at = Infer { graph, facts, node };
    let op = at.graph.op(node);
    // Further outputs (a mask, statistics, indices) are other things than the first, but for Split.
    if position > 0 && op != Op::Split {
        let shape = if op == Op::Dropout { at.of(0) } else { None };
        return (
            Element::Unknown,
            shape.unwrap_or_else(|| at.facts.shapes.opaque()),
        );
    }
    let element = at.element();
    let shape = at.shape().unwrap_or_else(|| at.facts.shapes.opaque());
    (element, shape)
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
        self.facts.shapes.dims(self.of(index)?).map(<[Dim]>::to_vec)
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

    fn element(&mut self) -> Element {
        let op = self.graph.op(self.node);
        match op {
            Op::Equal
            | Op::Less
            | Op::Greater
            | Op::LessOrEqual
            | Op::GreaterOrEqual
            | Op::And
            | Op::Or
            | Op::Xor
            | Op::Not
            | Op::IsNaN
            | Op::IsInf => Element::Other,
            Op::Shape | Op::Size | Op::ArgMax | Op::ArgMin => Element::Integer,
            Op::QuantizeLinear | Op::DynamicQuantizeLinear => Element::Other,
            Op::Cast => match self.graph.int(self.node, b"to") {
                Attribute::Is(to) => Element::from_code(i32::try_from(to).unwrap_or(-1)),
                _ => Element::Unknown,
            },
            Op::CastLike => self
                .input(1)
                .map_or(Element::Unknown, |like| self.facts.element(like)),
            Op::DequantizeLinear => self
                .input(1)
                .map_or(Element::Unknown, |scale| self.facts.element(scale)),
            Op::Where => [1, 2]
                .into_iter()
                .map(|i| self.element_of(i))
                .find(known)
                .unwrap_or_default(),
            Op::Unknown | Op::ConstantOfShape | Op::Constant => Element::Unknown,
            Op::Pow
            | Op::Expand
            | Op::Reshape
            | Op::Slice
            | Op::Gather
            | Op::GatherElements
            | Op::Tile
            | Op::Unsqueeze
            | Op::Squeeze
            | Op::Resize
            | Op::Upsample
            | Op::Pad
            | Op::Clip
            | Op::TopK => self.element_of(0),
            // One type for all inputs and the output.
            _ => {
                let count = self.graph.inputs(self.node).len().min(4);
                (0..count)
                    .map(|i| self.element_of(i))
                    .find(known)
                    .unwrap_or_default()
            }
        }
    }

    fn element_of(&self, index: usize) -> Element {
        self.input(index)
            .map_or(Element::Unknown, |value| self.facts.element(value))
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
            Op::Conv => self.conv(),
            Op::ConvTranspose => self.conv_transpose(),
            Op::AveragePool | Op::MaxPool | Op::LpPool => {
                let dims = self.dims(0)?;
                self.spatial_unknown(&dims, 2)
            }
            Op::DepthToSpace | Op::SpaceToDepth => {
                let dims = self.dims(0)?;
                self.spatial_unknown(&dims, 1)
            }
            Op::Resize | Op::Upsample | Op::Pad | Op::Slice | Op::Tile | Op::TopK => {
                let dims = self.dims(0)?;
                self.spatial_unknown(&dims, 0)
            }
            Op::GlobalAveragePool | Op::GlobalMaxPool => {
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
            Op::MatMul => self.matmul(),
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
                let rank = match (self.int(b"start", 0), self.int(b"end", i64::MAX)) {
                    (Some(0), Some(i64::MAX)) => self
                        .facts
                        .shapes
                        .rank(self.of(0)?)
                        .map(|rank| Dim::Known(rank as i64)),
                    _ => None,
                };
                let dim = rank.unwrap_or_else(|| self.facts.shapes.fresh());
                self.ranked(&[dim])
            }
            Op::Size => self.ranked(&[]),
            Op::ConstantOfShape => {
                let value = self.input(0)?;
                let sizes = self.facts.integers(self.graph, value)?;
                let dims: Vec<Dim> = sizes.into_iter().map(Dim::Known).collect();
                self.ranked(&dims)
            }
            Op::Split => self.split(),
            Op::Range => {
                let dim = self.facts.shapes.fresh();
                self.ranked(&[dim])
            }
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

    /// `[N, C, ..]` with `[M, C/group, ..]` weights gives `[N, M, ..]`.
    fn conv(&mut self) -> Option<ShapeId> {
        let weights = self.dims(1)?;
        let from = self.dims(0);
        let at = |axis: usize| from.as_ref().and_then(|dims| dims.get(axis).copied());
        let batch = at(0).unwrap_or_else(|| self.facts.shapes.fresh());
        let mut dims = vec![batch, *weights.first()?];
        let kernel = weights.get(2..)?;
        let window = Window::read(self.graph, self.node, kernel.len());
        for (axis, &size) in kernel.iter().enumerate() {
            let out = match (at(axis + 2), size, &window) {
                (Some(dim), Dim::Known(size), Some(window)) => window.slide(axis, dim, size),
                _ => None,
            };
            dims.push(out.unwrap_or_else(|| self.facts.shapes.fresh()));
        }
        self.ranked(&dims)
    }

    /// `[N, C, ..]` with `[C, M/group, ..]` weights gives `[N, M, ..]`.
    fn conv_transpose(&mut self) -> Option<ShapeId> {
        let weights = self.dims(1)?;
        let batch = self.dims(0).and_then(|dims| dims.first().copied());
        let batch = batch.unwrap_or_else(|| self.facts.shapes.fresh());
        let channels = match (weights.get(1)?, self.int(b"group", 1)?) {
            (&dim, 1) => dim,
            (Dim::Known(n), group) => Dim::Known(n.checked_mul(group)?),
            _ => self.facts.shapes.fresh(),
        };
        let mut dims = vec![batch, channels];
        dims.extend_from_slice(weights.get(2..)?);
        self.spatial_unknown(&dims, 2)
    }

    /// Axes from the attribute or, in later opsets, from a constant input.
    fn axes(&mut self, input: usize, rank: usize) -> Option<Vec<usize>> {
        let axes = match (self.graph.ints(self.node, b"axes"), self.input(input)) {
            (Attribute::Is(axes), _) => axes,
            (Attribute::Absent, Some(value)) => self.facts.integers(self.graph, value)?,
            (Attribute::Absent, None) => return Some(Vec::new()),
            (Attribute::Unknown, _) => return None,
        };
        axes.into_iter()
            .map(|axis| normalised(axis, rank))
            .collect()
    }

    fn reduce(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let axes = self.axes(1, dims.len())?;
        if axes.is_empty() && self.int(b"noop_with_empty_axes", 0)? != 0 {
            return self.of(0);
        }
        let reduced = |i: usize| axes.is_empty() || axes.contains(&i);
        let keep = self.int(b"keepdims", 1)? != 0;
        let dims: Vec<Dim> = dims
            .iter()
            .enumerate()
            .filter(|(i, _)| keep || !reduced(*i))
            .map(|(i, &dim)| if reduced(i) { Dim::Known(1) } else { dim })
            .collect();
        self.ranked(&dims)
    }

    fn matmul(&mut self) -> Option<ShapeId> {
        let (a, b) = (self.dims(0)?, self.dims(1)?);
        let (rows, columns) = (a.len().checked_sub(2), b.len().checked_sub(2));
        let (Some(rows), Some(columns)) = (rows, columns) else {
            return None;
        };
        let batch_a = self.facts.shapes.ranked(a.get(..rows)?);
        let batch_b = self.facts.shapes.ranked(b.get(..columns)?);
        let batch = self.facts.shapes.broadcast(batch_a, batch_b);
        let mut dims = self.facts.shapes.dims(batch)?.to_vec();
        dims.push(*a.get(rows)?);
        dims.push(*b.last()?);
        self.ranked(&dims)
    }

    fn gemm(&mut self) -> Option<ShapeId> {
        let (a, b) = (self.dims(0), self.dims(1)?);
        let rows = match a {
            Some(a) if a.len() == 2 => {
                if self.int(b"transA", 0)? == 0 {
                    *a.first()?
                } else {
                    *a.get(1)?
                }
            }
            _ => self.facts.shapes.fresh(),
        };
        let columns = if self.int(b"transB", 0)? == 0 {
            *b.get(1)?
        } else {
            *b.first()?
        };
        self.ranked(&[rows, columns])
    }

    fn transpose(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let permuted: Option<Vec<Dim>> = match self.graph.ints(self.node, b"perm") {
            Attribute::Absent => Some(dims.iter().rev().copied().collect()),
            Attribute::Is(perm) if perm.len() == dims.len() => perm
                .iter()
                .map(|&axis| dims.get(usize::try_from(axis).ok()?).copied())
                .collect(),
            _ => None,
        };
        self.ranked(&permuted?)
    }

    fn reshape(&mut self) -> Option<ShapeId> {
        let target = if self.graph.opset(self.node) < 5 {
            match self.graph.ints(self.node, b"shape") {
                Attribute::Is(shape) => Some(shape),
                _ => None,
            }
        } else {
            let value = self.input(1)?;
            self.facts.integers(self.graph, value)
        };
        let Some(target) = target else {
            // A computed target still has a length, and that is the rank.
            let [Dim::Known(rank)] = self.dims(1)?[..] else {
                return None;
            };
            let rank = usize::try_from(rank)
                .ok()
                .filter(|&rank| rank <= super::MAX_RANK)?;
            let dims: Vec<Dim> = (0..rank).map(|_| self.facts.shapes.fresh()).collect();
            return self.ranked(&dims);
        };
        let from = self.dims(0);
        let copies = self.int(b"allowzero", 0)? == 0;
        let mut dims = Vec::with_capacity(target.len());
        for (i, &size) in target.iter().enumerate() {
            dims.push(match size {
                0 if copies => from.as_ref().and_then(|from| from.get(i).copied()),
                0.. => Some(Dim::Known(size)),
                _ => None,
            });
        }
        let dims: Vec<Dim> = dims
            .into_iter()
            .map(|dim| dim.unwrap_or_else(|| self.facts.shapes.fresh()))
            .collect();
        self.ranked(&dims)
    }

    fn flatten(&mut self) -> Option<ShapeId> {
        let first = match (self.int(b"axis", 1)?, self.dims(0)) {
            (1, Some(dims)) => dims.first().copied(),
            _ => None,
        };
        let first = first.unwrap_or_else(|| self.facts.shapes.fresh());
        let second = self.facts.shapes.fresh();
        self.ranked(&[first, second])
    }

    fn unsqueeze(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let count = match (self.graph.ints(self.node, b"axes"), self.input(1)) {
            (Attribute::Is(axes), _) => axes.len(),
            (_, Some(value)) => self.facts.integers(self.graph, value)?.len(),
            _ => return None,
        };
        let rank = dims.len() + count;
        let axes = self.axes(1, rank)?;
        let mut from = dims.iter();
        let dims: Vec<Dim> = (0..rank)
            .filter_map(|i| {
                if axes.contains(&i) {
                    Some(Dim::Known(1))
                } else {
                    from.next().copied()
                }
            })
            .collect();
        self.ranked(&dims)
    }

    fn squeeze(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let axes = self.axes(1, dims.len())?;
        if axes.is_empty() && dims.iter().any(|dim| matches!(dim, Dim::Symbol(_))) {
            return None;
        }
        let gone = |i: usize, dim: &Dim| {
            if axes.is_empty() {
                *dim == Dim::Known(1)
            } else {
                axes.contains(&i)
            }
        };
        let dims: Vec<Dim> = dims
            .iter()
            .enumerate()
            .filter(|(i, dim)| !gone(*i, dim))
            .map(|(_, &dim)| dim)
            .collect();
        self.ranked(&dims)
    }

    fn concat(&mut self) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        let axis = normalised(self.int(b"axis", 1)?, dims.len())?;
        let mut total = Some(0i64);
        for index in 0..self.graph.inputs(self.node).len() {
            let part = self.dims(index).and_then(|dims| dims.get(axis).copied());
            total = match (total, part) {
                (Some(sum), Some(Dim::Known(n))) => sum.checked_add(n),
                _ => None,
            };
        }
        *dims.get_mut(axis)? = total.map_or_else(|| self.facts.shapes.fresh(), Dim::Known);
        self.ranked(&dims)
    }

    /// One output of Split: as the input, but for the axis that is split.
    fn split(&mut self) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        let axis = normalised(self.int(b"axis", 0)?, dims.len())?;
        let outputs = i64::try_from(self.graph.outputs(self.node).len()).ok()?;
        let equal = self.input(1).is_none()
            && matches!(self.graph.ints(self.node, b"split"), Attribute::Absent);
        let size = match dims.get(axis)? {
            Dim::Known(n) if equal && outputs > 0 && n % outputs == 0 => Dim::Known(n / outputs),
            // Uneven parts, or parts of something unknown: no two of them are known to be equal.
            _ => self.facts.shapes.fresh(),
        };
        *dims.get_mut(axis)? = size;
        self.ranked(&dims)
    }

    fn gather(&mut self) -> Option<ShapeId> {
        let (data, indices) = (self.dims(0)?, self.dims(1)?);
        let axis = normalised(self.int(b"axis", 0)?, data.len())?;
        let mut dims = data.get(..axis)?.to_vec();
        dims.extend(indices);
        dims.extend_from_slice(data.get(axis + 1..)?);
        self.ranked(&dims)
    }

    fn expand(&mut self) -> Option<ShapeId> {
        let value = self.input(1)?;
        let target = self.facts.integers(self.graph, value)?;
        let dims: Vec<Dim> = target.iter().map(|&size| Dim::Known(size)).collect();
        let target = self.facts.shapes.ranked(&dims);
        let from = self.of(0)?;
        Some(self.facts.shapes.broadcast(from, target))
    }
}

fn known(element: &Element) -> bool {
    *element != Element::Unknown
}

/// An axis counted from the front, if it exists.
fn normalised(axis: i64, rank: usize) -> Option<usize> {
    let rank_signed = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis + rank_signed } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}
