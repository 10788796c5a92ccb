//! A tensor as lists of rows.
//!
//! Given a shape; promises every way to see it so, and the elements of a row wherever they lie.

use std::collections::HashSet;

/// One output seen as lists of rows. The elements of a row lie before the rows' axis, where channels come first, behind it, or both.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// The axis along which the rows follow one another.
    pub axis: usize,
    pub lists: usize,
    /// How many elements of a row lie before that axis, each apart from the next.
    pub before: usize,
    pub rows: usize,
    /// How many lie behind it, side by side.
    pub behind: usize,
}

impl Layout {
    /// Every way in which a shape is lists of rows, those with whole rows side by side first.
    pub fn all(shape: &[usize]) -> Vec<Layout> {
        let size = |axes: &[usize]| axes.iter().product::<usize>();
        let mut all = Vec::new();
        for (axis, &rows) in shape.iter().enumerate() {
            let (front, behind) = (&shape[..axis], size(&shape[axis + 1..]));
            let mut seen = None;
            for split in (0..=axis).rev() {
                let (lists, before) = (size(&front[..split]), size(&front[split..]));
                // An axis of one element makes no other list.
                if rows > 1 && before * behind > 0 && seen != Some(before) {
                    all.push(Layout {
                        axis,
                        lists,
                        before,
                        rows,
                        behind,
                    });
                }
                seen = Some(before);
            }
        }
        all.sort_by_key(|layout| layout.before > 1);
        // Of a square nobody knows which axis the rows follow: the usual one, or a difference would be excused by the other.
        let mut seen = HashSet::new();
        all.retain(|layout| seen.insert((layout.lists, layout.rows)));
        all
    }

    /// An output of this shape in as many lists of as many rows, if it can be seen so.
    pub fn of_same_lists(&self, shape: &[usize]) -> Option<Layout> {
        let mut layouts = Layout::all(shape).into_iter();
        layouts.find(|it| (it.lists, it.rows) == (self.lists, self.rows))
    }

    /// How many elements a row has.
    pub fn width(&self) -> usize {
        self.before * self.behind
    }

    pub fn row<'v>(
        &self,
        values: &'v [f64],
        list: usize,
        row: usize,
    ) -> impl Iterator<Item = f64> + use<'v> {
        let Layout {
            before,
            rows,
            behind,
            ..
        } = *self;
        let parts = (0..before).map(move |part| ((list * before + part) * rows + row) * behind);
        parts.flat_map(move |start| {
            let part = values.get(start..start + behind);
            part.unwrap_or_default().iter().copied()
        })
    }

    /// One element of every row, in the order of lists and rows.
    pub fn column(&self, values: &[f64], column: usize) -> Vec<f64> {
        let rows = (0..self.lists).flat_map(|list| (0..self.rows).map(move |row| (list, row)));
        rows.filter_map(|(list, row)| self.row(values, list, row).nth(column))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_lies_side_by_side_or_channel_by_channel() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        let row = |shape: &[usize], axis: usize, before: usize| {
            let mut all = Layout::all(shape).into_iter();
            let layout = all.find(|it| (it.axis, it.before) == (axis, before));
            layout.map(|it| it.row(&values, 0, 1).collect::<Vec<_>>())
        };
        assert_eq!(row(&[1, 3, 2], 1, 1), Some(vec![2.0, 3.0]));
        assert_eq!(row(&[1, 2, 3], 2, 2), Some(vec![1.0, 4.0]));
        assert_eq!(row(&[1, 2, 3], 0, 1), None, "an axis of one element");
    }

    #[test]
    fn columns_hold_one_element_of_every_row() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        let layouts = Layout::all(&[1, 2, 3]);
        let channels_first = layouts.iter().find(|it| it.before == 2).unwrap();
        assert_eq!(channels_first.column(&values, 1), [3.0, 4.0, 5.0]);
        assert_eq!(channels_first.width(), 2);
    }
}
