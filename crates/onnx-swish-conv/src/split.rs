//! How tasks share work, products above all.
//! Given: products (one for each image and group), each of some parts and some tiles of rows; or rows of planes.
//! Promise: every part of every tile of every product belongs to one task. Where parts are few, rows are split too, and each task of
//! the same parts then unfolds them for itself.

use std::ops::Range;

use onnx_swish_threads::Workers;

use crate::shared::SharedSlice;
use crate::tuning::{EVEN_PARTS, TASKS_PER_THREAD, TILES_PER_UNFOLDING};

/// How many tasks work should be split into for so many threads.
pub(crate) fn tasks_for(threads: usize) -> usize {
    if threads > 1 {
        TASKS_PER_THREAD * threads
    } else {
        1
    }
}

/// Runs tasks on these threads; for one thread here and now, without waking anybody.
pub(crate) fn run_tasks(
    threads: usize,
    tasks: usize,
    task: &(dyn Fn(usize) + Sync),
    workers: &dyn Workers,
) {
    if threads == 1 {
        (0..tasks).for_each(task);
    } else {
        workers.run(tasks, task);
    }
}

/// Calls `write` with whole rows of a tensor of planes, all rows among the tasks: which they are, counted over all planes, and the rows. Each
/// row has `width` elements, one at least.
pub(crate) fn share_rows(
    output: &mut [f32],
    width: usize,
    threads: usize,
    workers: &dyn Workers,
    write: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let all = output.len() / width;
    let tasks = tasks_for(threads).min(all);
    let output = SharedSlice::new(output);
    let task = |task: usize| {
        let rows = piece(task, tasks, all);
        // SAFETY: each row belongs to one task.
        #[allow(unsafe_code)]
        let own = unsafe { output.part(rows.start * width..rows.end * width) };
        write(rows, own);
    };
    run_tasks(threads, tasks, &task, workers);
}

/// Takes such rows apart by their planes: `write` gets the number of a plane, which of its rows are there, and these rows.
pub(crate) fn each_plane(
    rows: Range<usize>,
    [height, width]: [usize; 2],
    mut output: &mut [f32],
    mut write: impl FnMut(usize, Range<usize>, &mut [f32]),
) {
    let mut row = rows.start;
    while row < rows.end {
        let (plane, first) = (row / height, row % height);
        let own = first..height.min(first + rows.end - row);
        row += own.len();
        let (to, rest) = output.split_at_mut(own.len() * width);
        output = rest;
        write(plane, own, to);
    }
}

/// A product's parts and tiles, split among tasks.
#[derive(Debug)]
pub(crate) struct Split {
    products: usize,
    parts: usize,
    tiles: usize,
    /// Tasks along the parts of a product.
    part_splits: usize,
    /// Tasks along its rows.
    row_splits: usize,
}

impl Split {
    pub(crate) fn new(products: usize, parts: usize, tiles: usize, threads: usize) -> Split {
        let wanted = tasks_for(threads);
        // A few parts fall to threads unevenly, and each of these reads all filters. Where each can have some rows to itself they have
        // the same to do, and what one of them reads of the filters is more likely to stay in a cache of its own.
        let row_splits = if products * parts < EVEN_PARTS * wanted && products < wanted {
            threads.min(tiles / TILES_PER_UNFOLDING).max(1)
        } else {
            1
        };
        let part_splits = wanted.div_ceil(products * row_splits).min(parts);
        let enough = wanted.min(2 * threads);
        let row_splits = if products * part_splits * row_splits >= enough {
            row_splits
        } else {
            enough.div_ceil(products * part_splits).min(tiles)
        };
        Split {
            products,
            parts,
            tiles,
            part_splits,
            row_splits,
        }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.products * self.part_splits * self.row_splits
    }

    /// The product of a task, and what it computes of it: parts and tiles.
    pub(crate) fn task(&self, i: usize) -> (usize, Range<usize>, Range<usize>) {
        let splits = self.part_splits * self.row_splits;
        let (product, i) = (i / splits, i % splits);
        let parts = piece(i / self.row_splits, self.part_splits, self.parts);
        let tiles = piece(i % self.row_splits, self.row_splits, self.tiles);
        (product, parts, tiles)
    }
}

/// Piece `i` of `of` pieces, about equal.
pub(crate) fn piece(i: usize, of: usize, total: usize) -> Range<usize> {
    total * i / of..total * (i + 1) / of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_every_tile_belongs_to_one_task() {
        for products in [1, 2, 3, 7, 40] {
            for parts in [1, 2, 5, 33] {
                for tiles in [1, 2, 3, 20] {
                    for threads in [1, 2, 3, 16] {
                        let split = Split::new(products, parts, tiles, threads);
                        let mut times = vec![0; products * parts * tiles];
                        for task in 0..split.tasks() {
                            let (product, in_parts, in_tiles) = split.task(task);
                            for part in in_parts {
                                for tile in in_tiles.clone() {
                                    times[(product * parts + part) * tiles + tile] += 1;
                                }
                            }
                        }
                        assert!(times.iter().all(|times| *times == 1), "{split:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_thread_has_one_task_for_each_product_and_several_have_enough() {
        assert_eq!(Split::new(6, 9, 9, 1).tasks(), 6);
        assert!(Split::new(1, 1, 20, 4).tasks() >= 8);
        assert!(Split::new(1, 100, 20, 4).tasks() >= 16);
        // One of three parts would leave one thread with twice as much to do as the other.
        let split = Split::new(1, 3, 100, 2);
        assert_eq!(split.task(0).2.len(), split.task(1).2.len());
        assert_eq!(split.task(0).1, split.task(1).1);
    }
}
