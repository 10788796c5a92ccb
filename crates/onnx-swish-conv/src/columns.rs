//! How the columns of an image fall into panels.
//! Given: the lanes of a register, the columns of a panel, and those of the image.
//! Promise: every column belongs to one panel, or is one of a few at the end that are cheaper one by one.

use std::ops::Range;

/// PanelColumns beyond whole vectors that are computed one by one, with a vector along the rows: up to a quarter of a
/// vector that is cheaper than a vector along the columns most of whose lanes are thrown away.
pub(crate) fn columns_apart(lanes: usize, columns: usize) -> usize {
    let rest = columns % lanes;
    if 4 * rest <= lanes { rest } else { 0 }
}

/// The panels of an image.
#[derive(Debug)]
pub(crate) struct PanelColumns {
    /// How many there are.
    pub panels: usize,
    /// PanelColumns of a panel, apart from the last.
    pub each: usize,
    /// PanelColumns of the last panel that a tile computes.
    pub last: usize,
    /// PanelColumns behind them that are computed one by one.
    pub apart: Range<usize>,
}

impl PanelColumns {
    /// The panels of `area` columns, `each` of them in one.
    pub(crate) fn new(lanes: usize, each: usize, area: usize) -> PanelColumns {
        // A few columns beyond the last whole panel go with it.
        let rest = area % each;
        let alone = rest > columns_apart(lanes, rest) || area < each;
        let panels = area / each + usize::from(rest > 0 && alone);
        let last = area - (panels - 1) * each;
        let apart = area - columns_apart(lanes, last)..area;
        PanelColumns {
            panels,
            each,
            last: last - apart.len(),
            apart,
        }
    }

    /// PanelColumns of a panel that a tile computes.
    pub(crate) fn of(&self, panel: usize) -> usize {
        if panel + 1 < self.panels {
            self.each
        } else {
            self.last
        }
    }
}
