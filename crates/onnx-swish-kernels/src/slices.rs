//! Where a function reads and where it writes.
//!
//! Given the slices of a public function; promises that lengths agree.

/// Out of place, or in place.
pub(crate) enum Slices<'a, T> {
    Apart(&'a [T], &'a mut [T]),
    InPlace(&'a mut [T]),
}

impl<'a, T> Slices<'a, T> {
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub(crate) fn apart(x: &'a [T], y: &'a mut [T]) -> Self {
        assert_eq!(x.len(), y.len(), "x and y differ in length");
        Slices::Apart(x, y)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Slices::Apart(x, _) => x.len(),
            Slices::InPlace(xy) => xy.len(),
        }
    }

    /// Where to read, where to write, and how many: the same place, or places that do not overlap.
    pub(crate) fn parts(self) -> (*const T, *mut T, usize) {
        match self {
            Slices::Apart(x, y) => (x.as_ptr(), y.as_mut_ptr(), x.len()),
            Slices::InPlace(xy) => {
                let y = xy.as_mut_ptr();
                (y, y, xy.len())
            }
        }
    }

    /// Pieces of at most n elements, in order.
    pub(crate) fn for_each_piece(self, n: usize, mut f: impl FnMut(Slices<'_, T>)) {
        match self {
            Slices::Apart(x, y) => {
                for (x, y) in x.chunks(n).zip(y.chunks_mut(n)) {
                    f(Slices::Apart(x, y));
                }
            }
            Slices::InPlace(xy) => {
                for xy in xy.chunks_mut(n) {
                    f(Slices::InPlace(xy));
                }
            }
        }
    }
}
