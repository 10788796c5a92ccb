//! What the processor is taken to be like, and where one way gives way to another.
//! Given: nothing. The figures were tried on an AMD EPYC (Zen 4) with AVX-512 and AVX2, by `benches/layers.rs`.
//! Promise: each of these facts stands here and nowhere else; a wrong one costs time and nothing else.

use onnx_swish_threads::{WORTH_SHARING_NS, Workers};

/// Bytes of a first-level cache that a copy of input may take: the smallest in use have 32 KiB, and the output rows beside
/// the copy are few.
pub(crate) const L1_COPY: usize = 32 << 10;

/// Bytes of a second-level cache that copies of input may take: half of 512 KiB, the other half is for filters and output.
pub(crate) const L2_COPY: usize = 256 << 10;

/// Bytes of input that a panel of columns may meet in a band. With more of them, a band's copy and the filters leave a
/// second-level cache.
pub(crate) const BAND_MET: usize = 80 << 10;

/// Depth of a block of a product: three AVX-512 vectors of columns by 160 rows of unfolded input take 30 KiB, which leaves
/// room in a first-level cache of 48 KiB for the filters that stream past.
pub(crate) const BLOCK_DEPTH: usize = 160;

/// Products up to this depth are over before the first-level cache has brought the lines that they write. One tile of rows
/// then goes through several panels, so that it writes on where it stopped, as the processor's prefetching expects.
pub(crate) const SHALLOW_DEPTH: usize = 64;

/// Columns of a band for each column of padding, at least: sums of the padding are thrown away.
pub(crate) const BAND_COLUMNS_PER_WASTE: usize = 16;

/// How far ahead filters are asked for, in bytes: a page and a quarter. They stream past once, and the processor's own
/// prefetching stops at the end of every page.
pub(crate) const PREFETCH: usize = 5 << 10;

/// Bytes of transformed input that a part of an image may have in a Winograd convolution: it is read once for each tile of output
/// channels.
pub(crate) const WINOGRAD_PART: usize = 640 << 10;

/// Multiply-adds that a filter element takes the time of, on its way from memory or from a cache that cores share.
pub(crate) const FILTER_LANES: usize = 16;

/// What transforming a vector of tiles of one input channel takes for each of their points, in products of vectors.
pub(crate) const WINOGRAD_LOAD: usize = 8;

/// What transforming a vector of tiles of one output channel back takes for each of their points, in products of vectors.
pub(crate) const WINOGRAD_STORE: usize = 8;

/// Multiply-adds that a Winograd convolution stands for in a nanosecond, on one thread and about.
pub(crate) const WINOGRAD_MACS_PER_NS: usize = 90;

/// Multiply-adds of a matrix product in a nanosecond, on one thread and about.
pub(crate) const GEMM_MACS_PER_NS: usize = 50;

/// Multiply-adds of a product of 8-bit codes in a nanosecond, on one thread and about.
pub(crate) const CODE_MACS_PER_NS: usize = 150;

/// Multiply-adds of a depthwise convolution of 8-bit codes in a nanosecond, on one thread and about.
pub(crate) const CODE_DEPTHWISE_MACS_PER_NS: usize = 50;

/// Panels of codes between two passes of a table over what they gave: rows are then long enough to be worth a call, and the output is
/// still in a second-level cache.
pub(crate) const PANELS_PER_TABLE: usize = 8;

/// Bytes of small planes of codes that are copied one after the other before they are read.
pub(crate) const COPIES: usize = 4 << 10;

/// Bytes that a table is looked up for at a time, at least: a call first loads the table into registers.
pub(crate) const TABLE_RUN: usize = 2 << 10;

/// Multiply-adds of a depthwise convolution in a nanosecond, on one thread and about.
pub(crate) const DEPTHWISE_MACS_PER_NS: usize = 25;

/// Elements that pooling folds in a nanosecond, on one thread and about.
pub(crate) const POOLED_PER_NS: usize = 16;

/// Bytes of rows that pooling folds along their columns before it folds them further.
pub(crate) const POOLED_ROWS: usize = 8 << 10;

/// Elements that a resize writes in a nanosecond, on one thread and about.
pub(crate) const RESIZED_PER_NS: usize = 8;

/// Tasks for each thread: a few even out what the machine does besides.
pub(crate) const TASKS_PER_THREAD: usize = 4;

/// Parts for each task that was asked for, from which on parts alone share work evenly.
pub(crate) const EVEN_PARTS: usize = 4;

/// Tiles of rows that unfolded input is to meet, at least, if several threads are to unfold the same.
pub(crate) const TILES_PER_UNFOLDING: usize = 16;

/// How many threads to share so many multiply-adds among: one where they take less time than sharing is worth.
pub(crate) fn threads_for(macs: usize, macs_per_ns: usize, workers: &dyn Workers) -> usize {
    if macs >= macs_per_ns * WORTH_SHARING_NS {
        workers.count().max(1)
    } else {
        1
    }
}
