//! Products of 1x1 kernels: rows of codes are read where they lie.
//! Given: a share of the work, and its panels and tiles.
//! Promise: the words of one panel exist at a time, over the whole depth.

use std::ops::Range;

use super::plan::whole_words;
use super::vectors::Columns;
use super::words::{Pack, PackColumns};
use super::{Gemm, Share};
use crate::columns::PanelColumns;
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::PANELS_PER_TABLE;

/// Panels of an image.
#[derive(Debug)]
pub(super) struct Panels {
    pub columns: PanelColumns,
    /// For each step of the depth, where its row begins.
    offsets: Vec<usize>,
    /// Of a panel.
    words: usize,
    /// Words from one column apart to the next.
    pitch: usize,
}

impl Panels {
    /// The panels of images with so many elements in a channel.
    pub(super) fn new(gemm: &Gemm, area: usize) -> Panels {
        let (lanes, each) = (gemm.dot.lanes(), gemm.panel());
        let rows = (0..gemm.group_channels()).map(|channel| channel * area);
        Panels {
            columns: PanelColumns::new(lanes, each, area),
            offsets: whole_words(rows.collect(), gemm.format.group),
            words: gemm.filters.steps * each,
            // Registers may look behind the end.
            pitch: gemm.filters.steps + lanes,
        }
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<u32>(self.words) + bytes_for::<u32>(self.columns.apart.len() * self.pitch)
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
        let words = scratch.take::<u32>(panels.words);
        let singles = scratch.take::<u32>(panels.columns.apart.len() * panels.pitch);
        for first in range.clone().step_by(PANELS_PER_TABLE) {
            let run = first..range.end.min(first + PANELS_PER_TABLE);
            for panel in run.clone() {
                self.panel(panels, panel, tiles.clone(), words);
            }
            let mut end = run.end * panels.columns.each;
            if run.end == panels.columns.panels {
                self.columns_apart(panels, tiles.clone(), singles);
                end = panels.columns.apart.end;
            }
            self.look_up(run.start * panels.columns.each..end, tiles.clone());
        }
    }

    /// All tiles of a panel.
    fn panel(&self, panels: &Panels, panel: usize, tiles: Range<usize>, words: &mut [u32]) {
        let columns = panels.columns.of(panel);
        if columns == 0 {
            return;
        }
        let start = panel * panels.columns.each;
        self.gemm.dot.run(Pack {
            bytes: self.input,
            offsets: &panels.offsets,
            start,
            flip: self.call.flip,
            words,
        });
        self.multiply(tiles, start, columns, words);
    }

    /// All tiles of the columns apart.
    fn columns_apart(&self, panels: &Panels, tiles: Range<usize>, words: &mut [u32]) {
        if panels.columns.apart.is_empty() {
            return;
        }
        let (start, columns) = (panels.columns.apart.start, panels.columns.apart.len());
        self.gemm.dot.run(PackColumns {
            bytes: self.input,
            offsets: &panels.offsets,
            start,
            columns,
            flip: self.call.flip,
            words,
            pitch: panels.pitch,
        });
        let filters = &self.gemm.filters;
        for number in tiles {
            self.gemm.dot.run(Columns {
                tile: &self.tile(number, start, columns),
                filters: filters.of_tile(self.group, number),
                words,
                pitch: panels.pitch,
                steps: filters.steps,
            });
        }
    }
}
