//! Products of 1x1 kernels: rows of codes are read where they lie.
//! Given: a share of the work, and its panels and tiles.
//! Promise: the words of one panel exist at a time, over the whole depth.

use std::ops::Range;

use super::plan::whole_words;
use super::vectors::{Columns, columns_apart};
use super::words::{Pack, PackColumns};
use super::{Gemm, Share};
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::PANELS_PER_TABLE;

/// Panels of an image.
#[derive(Debug)]
pub(super) struct Panels {
    pub count: usize,
    /// Columns of a panel, apart from the last.
    columns: usize,
    /// Columns of the last panel that a tile computes.
    last_columns: usize,
    /// Columns behind them that are computed one by one.
    apart: Range<usize>,
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
        let (lanes, columns) = (gemm.dot.lanes(), gemm.panel());
        // A few columns beyond the last whole panel go with it.
        let rest = area % columns;
        let alone = rest > columns_apart(lanes, rest) || area < columns;
        let count = area / columns + usize::from(rest > 0 && alone);
        let last = area - (count - 1) * columns;
        let apart = area - columns_apart(lanes, last)..area;
        let rows = (0..gemm.group_channels()).map(|channel| channel * area);
        Panels {
            count,
            columns,
            last_columns: last - apart.len(),
            offsets: whole_words(rows.collect(), gemm.format.group),
            words: gemm.filters.steps * columns,
            // Registers may look behind the end.
            pitch: gemm.filters.steps + lanes,
            apart,
        }
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<u32>(self.words) + bytes_for::<u32>(self.apart.len() * self.pitch)
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
        let singles = scratch.take::<u32>(panels.apart.len() * panels.pitch);
        for first in range.clone().step_by(PANELS_PER_TABLE) {
            let run = first..range.end.min(first + PANELS_PER_TABLE);
            for panel in run.clone() {
                self.panel(panels, panel, tiles.clone(), words);
            }
            let mut end = run.end * panels.columns;
            if run.end == panels.count {
                self.columns_apart(panels, tiles.clone(), singles);
                end = panels.apart.end;
            }
            self.look_up(run.start * panels.columns..end, tiles.clone());
        }
    }

    /// All tiles of a panel.
    fn panel(&self, panels: &Panels, panel: usize, tiles: Range<usize>, words: &mut [u32]) {
        let columns = if panel + 1 < panels.count {
            panels.columns
        } else {
            panels.last_columns
        };
        if columns == 0 {
            return;
        }
        let start = panel * panels.columns;
        self.gemm.dot.run(Pack {
            bytes: self.input,
            offsets: &panels.offsets,
            start,
            flip: self.call.flip,
            words,
        });
        for number in tiles {
            self.multiply(&self.tile(number, start, columns), number, words);
        }
    }

    /// All tiles of the columns apart.
    fn columns_apart(&self, panels: &Panels, tiles: Range<usize>, words: &mut [u32]) {
        if panels.apart.is_empty() {
            return;
        }
        let (start, columns) = (panels.apart.start, panels.apart.len());
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
