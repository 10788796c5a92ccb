//! Products over unfolded panels: a few vectors of output columns and all input elements they meet.
//! Given: a share of the work, and its panels and tiles.
//! Promise: a panel exists for one block of the depth at a time, small enough for a first-level cache.

use std::ops::Range;

use super::gemv::vector_len;
use super::pack::Block;
use super::tile::{Spans, Step, multiply_each};
use super::unfold::{CopyPanels, Unfold};
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
    /// Whether to compute one tile for all of them after the other, and not one panel after the other.
    tile_by_tile: bool,
    /// Where the vectors of a panel go, and those of the last.
    spans: [[Spans; PANEL_VECTORS]; 2],
    /// Elements of all panels that are unfolded together.
    unfolded_len: usize,
    /// Elements from one column apart to the next.
    apart_pitch: usize,
}

/// Elements from one panel to the next that is unfolded with it: an odd number of cache lines, so that rows of many panels, which
/// are written side by side, do not all fall into a few sets of a cache.
fn panel_pitch(each: usize, depth: usize) -> usize {
    const LINE: usize = 64 / size_of::<f32>();
    ((each * depth).div_ceil(LINE) | 1) * LINE
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
        let copies = L2_COPY / size_of::<f32>() / panel_pitch(each, deepest);
        let together = if shallow { copies } else { copies / 2 }.max(1);
        let spans = |columns: usize| std::array::from_fn(|v| Spans::flat(lanes, v, columns));
        Panels {
            columns,
            together,
            tile_by_tile: shallow,
            spans: [spans(each), spans(last)],
            unfolded_len: together * panel_pitch(each, deepest),
            apart_pitch: vector_len(gemm.filters.tile_rows(), deepest),
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
                let last = panels.columns.panels - 1;
                let whole = run.start..run.end.min(last);
                let rest = whole.end..run.end;
                self.unfold_panels(panels, block, whole.clone(), run.start, unfolded);
                self.unfold_panels(panels, block, rest.clone(), run.start, unfolded);
                if panels.tile_by_tile {
                    self.multiply_panels(panels, block, &tiles, whole, run.start, unfolded);
                } else {
                    for panel in whole {
                        let panel = panel..panel + 1;
                        self.multiply_panels(panels, block, &tiles, panel, run.start, unfolded);
                    }
                }
                self.multiply_panels(panels, block, &tiles, rest, run.start, unfolded);
                if !apart.is_empty() {
                    let (blocks, pitch) = (std::slice::from_ref(block), panels.apart_pitch);
                    self.gemv(blocks, tiles.clone(), apart.clone(), vectors, pitch);
                }
            }
        }
    }

    /// Tiles by panels of one width, over one block. `unfolded` begins with the panel `first`.
    fn multiply_panels(
        &self,
        panels: &Panels,
        block: &Block,
        tiles: &Range<usize>,
        range: Range<usize>,
        first: usize,
        unfolded: &[f32],
    ) {
        let (columns, spans) = panels.of(range.start);
        let each = panels.columns.each;
        let (of_panel, pitch) = (block.depth * each, panel_pitch(each, block.depth));
        multiply_each(
            self.gemm.isa,
            tiles.clone(),
            range,
            |tile, panel| Step {
                tile: self.tile(tile, panel * each, block.first, block.last),
                filters: self.filters(block, tile),
                rows: &unfolded[(panel - first) * pitch..][..of_panel],
            },
            spans,
            columns,
        );
    }

    /// Unfolds the input of panels of one width, over one block. `unfolded` begins with the panel `first`.
    fn unfold_panels(
        &self,
        panels: &Panels,
        block: &Block,
        range: Range<usize>,
        first: usize,
        unfolded: &mut [f32],
    ) {
        if range.is_empty() {
            // Memory ends where it would begin.
            return;
        }
        let (columns, each) = (panels.of(range.start).0, panels.columns.each);
        let pitch = panel_pitch(each, block.depth);
        let unfolded = &mut unfolded[(range.start - first) * pitch..];
        let (window, frame) = (&self.gemm.spec.window, &self.plan.frame);
        if frame.is_flat(window) && columns == each {
            let gate = self.gate.map(|gate| &gate[block.channels.clone()]);
            let channels = self.input.range(block.channels.clone());
            for (channels, input) in channels.stretches() {
                self.gemm.isa.run(CopyPanels {
                    input: &input[range.start * each..],
                    area: frame.input_area(),
                    gate: gate.map(|gate| &gate[channels.clone()]),
                    channels: channels.len(),
                    panels: range.len(),
                    pitch,
                    unfolded: &mut unfolded[channels.start * each..],
                });
            }
            return;
        }
        for (panel, unfolded) in range.zip(unfolded.chunks_mut(pitch)) {
            let first = panel * each;
            self.unfold(block, first..first + columns, unfolded);
        }
    }

    /// Unfolds the input that output columns meet, over one block.
    pub(super) fn unfold(&self, block: &Block, columns: Range<usize>, panel: &mut [f32]) {
        let frame = &self.plan.frame;
        let gate = self.gate.map(|gate| &gate[block.channels.clone()]);
        let channels = self.input.range(block.channels.clone());
        for (own, input) in channels.stretches() {
            self.gemm.isa.run(Unfold {
                window: &self.gemm.spec.window,
                frame,
                input,
                gate: gate.map(|gate| &gate[own.clone()]),
                own,
                channels: channels.len(),
                first: columns.start,
                columns: columns.len(),
                panel,
            });
        }
    }
}
