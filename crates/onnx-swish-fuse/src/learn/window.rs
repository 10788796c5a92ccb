//! Sizes behind a convolution.
//! Given: its attributes.
//! Promises: the formula of ONNX's specification, or nothing.

use crate::graph::{Attribute, Graph, Node};
use crate::shapes::Dim;

/// How a kernel slides over an image.
pub(super) struct Window {
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
}

impl Window {
    /// The attributes; nothing if padding is automatic or cannot be known.
    pub(super) fn read(graph: &Graph<'_>, node: Node, axes: usize) -> Option<Self> {
        let ints = |name: &[u8], default: i64, count: usize| match graph.ints(node, name) {
            Attribute::Absent => Some(vec![default; count]),
            Attribute::Is(values) if values.len() == count => Some(values),
            _ => None,
        };
        if !graph.is_padding_explicit(node) {
            return None;
        }
        Some(Self {
            strides: ints(b"strides", 1, axes)?,
            dilations: ints(b"dilations", 1, axes)?,
            pads: ints(b"pads", 0, axes.checked_mul(2)?)?,
        })
    }

    /// Size along one axis: `(in + pads - dilation·(kernel - 1) - 1) / stride + 1`.
    pub(super) fn slide(&self, axis: usize, dim: Dim, kernel: i64) -> Option<Dim> {
        let (stride, dilation) = (*self.strides.get(axis)?, *self.dilations.get(axis)?);
        let pads = self
            .pads
            .get(axis)?
            .checked_add(*self.pads.get(axis + self.pads.len() / 2)?)?;
        let spare = pads.checked_sub(dilation.checked_mul(kernel.checked_sub(1)?)?)?;
        match dim {
            Dim::Symbol(_) => (stride == 1 && spare == 0).then_some(dim),
            Dim::Known(size) => {
                let room = size.checked_add(spare)?.checked_sub(1)?;
                (room >= 0 && stride > 0).then(|| Dim::Known(room / stride + 1))
            }
        }
    }
}
