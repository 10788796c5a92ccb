//! Weights in the order in which tiles read them.
//! Given: weights as `[output channel][input channel]`.
//! Promise: a panel of weights is `[input channel][whole vectors of output channels]`, with zeros behind the last.

use std::ops::Range;

use crate::gemm::PANEL_VECTORS;

/// Weights and biases in panels of up to [`PANEL_VECTORS`] vectors, of about the same width.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Panel for panel.
    packed: Vec<f32>,
    /// One for each column, zeros up to whole vectors.
    bias: Vec<f32>,
    /// Vectors of each panel, counted over all of them.
    pub(super) panels: Vec<Range<usize>>,
    lanes: usize,
    /// Input channels.
    pub(super) depth: usize,
    /// Output channels.
    pub(super) columns: usize,
}

/// Some columns of the weights.
pub(crate) struct Panel<'a> {
    pub(crate) columns: Range<usize>,
    /// Columns with those that fill the last vector.
    pub(crate) width: usize,
    /// `[depth][width]`.
    pub(crate) weights: &'a [f32],
    /// `[width]`.
    pub(crate) bias: &'a [f32],
}

/// Panel `i` of so many columns, in vectors of them. A panel of one vector has too few sums to keep the processor busy, which is why
/// their widths are even.
pub(crate) fn panel_of(lanes: usize, columns: usize, i: usize) -> Range<usize> {
    let (vectors, panels) = (columns.div_ceil(lanes), panels(lanes, columns));
    vectors * i / panels..vectors * (i + 1) / panels
}

/// Panels of so many columns.
pub(crate) fn panels(lanes: usize, columns: usize) -> usize {
    columns.div_ceil(lanes).div_ceil(PANEL_VECTORS)
}

impl Weights {
    /// Packs `weights`, `[columns][depth]`, with a bias for each column.
    pub(super) fn pack(lanes: usize, depth: usize, weights: &[f32], bias: &[f32]) -> Weights {
        let columns = bias.len();
        let panels: Vec<_> = (0..panels(lanes, columns))
            .map(|i| panel_of(lanes, columns, i))
            .collect();
        let padded = columns.next_multiple_of(lanes);
        let mut packed = vec![0.0; padded * depth];
        let mut rest = &mut *packed;
        for panel in &panels {
            let width = panel.len() * lanes;
            let (this, others) = rest.split_at_mut(width * depth);
            rest = others;
            let rows = weights.chunks_exact(depth).skip(panel.start * lanes);
            for (column, row) in rows.take(width).enumerate() {
                let to = this[column..].iter_mut().step_by(width);
                to.zip(row).for_each(|(to, weight)| *to = *weight);
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Weights {
            packed,
            bias,
            panels,
            lanes,
            depth,
            columns,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.packed) + size_of_val(&*self.bias)
    }

    pub(super) fn panel(&self, i: usize) -> Panel<'_> {
        let (first, end) = (
            self.panels[i].start * self.lanes,
            self.panels[i].end * self.lanes,
        );
        Panel {
            columns: first..end.min(self.columns),
            width: end - first,
            weights: &self.packed[first * self.depth..end * self.depth],
            bias: &self.bias[first..end],
        }
    }
}
