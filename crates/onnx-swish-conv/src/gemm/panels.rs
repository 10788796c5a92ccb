//! Products over unfolded panels: a few vectors of output columns and all input elements they meet.
//! Given: a share of the work, and its panels and tiles.
//! Promise: a panel exists for one block of the depth at a time, small enough for a first-level cache.

use std::ops::Range;

use super::gemv::vector_len;
use super::pack::Block;
use super::tile::{Inputs, Spans, multiply};
use super::unfold::Unfold;
use super::{Gemm, PANEL_VECTORS, Share};
use crate::columns::PanelColumns;
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::{L2_COPY, SHALLOW_DEPTH};

/// Panels of an image.
#[derive(Debug)]
pub(super) struct Panels {
    pub columns: PanelColumns,
    /// Panels that are unfolded together.
    together: usize,
    /// Where the vectors of a panel go, and those of the last.
    spans: [[Spans; PANEL_VECTORS]; 2],
    /// Elements of all panels that are unfolded together.
    unfolded_len: usize,
    /// Elements from one column apart to the next.
    apart_pitch: usize,
}

impl Panels {
    /// The panels of images with so many output elements in a channel.
    pub(super) fn new(gemm: &Gemm, area: usize) -> Panels {
        let lanes = gemm.isa.lanes();
        let each = PANEL_VECTORS * lanes;
        let columns = PanelColumns::new(lanes, each, area);
        let last = columns.last + columns.apart.len();
        let deepest = gemm.filters.deepest();
        let shallow = gemm.filters.blocks().len() == 1 && deepest <= SHALLOW_DEPTH;
        let together = if shallow {
            (L2_COPY / size_of::<f32>() / (deepest * each)).max(1)
        } else {
            1
        };
        let spans = |columns: usize| std::array::from_fn(|v| Spans::flat(lanes, v, columns));
        Panels {
            columns,
            together,
            spans: [spans(each), spans(last)],
            unfolded_len: together * deepest * each,
            apart_pitch: vector_len(lanes, deepest),
        }
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<f32>(self.unfolded_len) + bytes_for::<f32>(self.apart_len())
    }

    /// Elements of all columns apart.
    fn apart_len(&self) -> usize {
        self.columns.apart.len() * self.apart_pitch
    }

    /// PanelColumns of a panel that a tile computes, and where their vectors go.
    fn of(&self, panel: usize) -> (usize, &[Spans; PANEL_VECTORS]) {
        let is_last = panel + 1 == self.columns.panels;
        (self.columns.of(panel), &self.spans[usize::from(is_last)])
    }
}

impl Share<'_> {
    /// Computes the elements in the given panels and tiles.
    pub(super) fn panels(
        &self,
        panels: &Panels,
        range: Range<usize>,
        tiles: Range<usize>,
        mut scratch: Scratch,
    ) {
        let unfolded = scratch.take::<f32>(panels.unfolded_len);
        let vectors = scratch.take::<f32>(panels.apart_len());
        for first in range.clone().step_by(panels.together) {
            let run = first..range.end.min(first + panels.together);
            let apart = if run.contains(&(panels.columns.panels - 1)) {
                panels.columns.apart.clone()
            } else {
                0..0
            };
            for block in self.gemm.filters.blocks() {
                if !apart.is_empty() {
                    let pitch = panels.apart_pitch;
                    self.unfold_vectors(block, apart.clone(), unfolded, vectors, pitch);
                }
                let of_panel = block.depth * panels.columns.each;
                for (panel, unfolded) in run.clone().zip(unfolded.chunks_exact_mut(of_panel)) {
                    let first = panel * panels.columns.each;
                    self.unfold(block, first..first + panels.of(panel).0, unfolded);
                }
                for tile in tiles.clone() {
                    let unfolded = unfolded.chunks_exact(of_panel);
                    for (panel, unfolded) in run.clone().zip(unfolded) {
                        self.panel_tile(panels, block, tile, panel, unfolded);
                    }
                    if !apart.is_empty() {
                        let (blocks, pitch) = (std::slice::from_ref(block), panels.apart_pitch);
                        self.gemv(blocks, tile, apart.clone(), vectors, pitch);
                    }
                }
            }
        }
    }

    /// One tile and panel, over one block.
    fn panel_tile(
        &self,
        panels: &Panels,
        block: &Block,
        tile: usize,
        panel: usize,
        unfolded: &[f32],
    ) {
        let (columns, spans) = panels.of(panel);
        multiply(
            self.gemm.isa,
            &self.tile(tile, panel * panels.columns.each, block.first, block.last),
            self.filters(block, tile),
            Inputs::Unfolded(unfolded),
            spans,
            columns,
        );
    }

    /// Unfolds the input that output columns meet, over one block.
    pub(super) fn unfold(&self, block: &Block, columns: Range<usize>, panel: &mut [f32]) {
        let frame = &self.plan.frame;
        let channels = block.channels.clone();
        self.gemm.isa.run(Unfold {
            window: &self.gemm.spec.window,
            frame,
            input: &self.input[channels.start * frame.input_area()..],
            gate: self.gate.map(|gate| &gate[channels.clone()]),
            channels: channels.len(),
            first: columns.start,
            columns: columns.len(),
            panel,
        });
    }
}
