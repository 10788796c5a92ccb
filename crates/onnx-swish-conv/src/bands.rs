//! How a product goes through an image in bands of rows.
//! Given: a product and a frame.
//! Promise: bands whose copies of all channels fit a second-level cache, or none where unfolding is the better way.

use crate::arch::lanes;
use crate::band::{Layout, beyond};
use crate::product::{PANEL_VECTORS, Product};
use crate::{Frame, Isa, Window};

/// Elements of all channels' copies, about: half of a second-level cache of 512 KiB.
const BAND: usize = 65_536;

/// Products that are over before the first-level cache has brought the lines they write: see `panels_together`.
const SHALLOW: usize = 64;

/// Elements that a panel may meet. What a band of more channels takes, and their filters, leave a second-level cache.
const MET: usize = 20_480;

/// Padding may be one column in so many.
const WASTE: usize = 16;

/// Bands of an image.
#[derive(Debug)]
pub(crate) struct Bands {
    /// Of one channel's copy; the channels' copies follow each other.
    pub layout: Layout,
    pub count: usize,
    /// For each step of the depth, in the order of the packed filters, where the row of the first output begins.
    pub offsets: Vec<usize>,
    /// Whether to compute one tile for the whole band after the other, and not one panel after the other.
    pub tile_by_tile: bool,
    /// Elements of scratch.
    pub scratch: usize,
}

impl Bands {
    /// Whether bands are the better way for images that are wide enough: while the input elements that a panel of outputs meets
    /// stay in cache from one tile of output channels to the next.
    pub(crate) fn worthwhile(window: &Window, ins: usize, isa: Isa) -> bool {
        let strides = window.stride.iter().all(|stride| *stride <= 2);
        let rows = ins * window.kernel[0] * window.stride[1].min(window.kernel[1]);
        let met = rows * (PANEL_VECTORS * lanes(isa) + beyond(window, 1));
        window.taps() > 1 && strides && met <= MET
    }

    /// The bands of images of this frame, if they are the better way.
    pub(crate) fn new(product: &Product, frame: &Frame) -> Option<Bands> {
        let Product { window, isa, .. } = product;
        let [height, width] = frame.output;
        let pitch = width + beyond(window, 1);
        // A vector may reach into the next row, not further; and what is computed for the padding is wasted.
        let narrow = width < lanes(*isa) || WASTE * beyond(window, 1) > width;
        if !product.in_bands || narrow {
            return None;
        }
        let ins = product.in_channels / product.groups;
        let phases = window.stride[0] * window.stride[1];
        let rows = (BAND / (ins * phases * pitch)).saturating_sub(beyond(window, 0));
        let rows = rows.clamp(1, height);
        // Rows that reach far beyond a band would be copied again for each, and a row that does not fit for each thread.
        let copied = rows + beyond(window, 0);
        if copied > rows * window.kernel[0] || ins * phases * pitch * copied > 4 * BAND {
            return None;
        }
        // Bands of about the same height.
        let count = height.div_ceil(rows);
        let layout = Layout::new(window, frame, pitch, height.div_ceil(count));
        let count = height.div_ceil(layout.band);
        let mut offsets = Vec::with_capacity(product.depth());
        let mut first = 0;
        for channels in &product.blocks {
            for tap in &layout.taps {
                offsets.extend((first..first + channels).map(|channel| channel * layout.len + tap));
            }
            first += channels;
        }
        Some(Bands {
            count,
            offsets,
            tile_by_tile: product.depth() <= SHALLOW,
            scratch: ins * layout.len + PANEL_VECTORS * lanes(*isa) + layout.pitch,
            layout,
        })
    }
}
