//! Rows of pooled planes.
//! Given: a plane, which rows of the output are wanted, and room for a few rows between the two steps.
//! Promise: rows are folded into one with every column side by side, and that row into the output, each in the order of its elements.

use std::marker::PhantomData;
use std::ops::Range;

use onnx_swish_simd::{Kernel, Simd};

use super::{MOST_LANES, Pool};
use crate::scratch::bytes_for;
use crate::tuning::POOLED_ROWS;

/// How two elements become one.
pub(super) trait Fold {
    /// Whether NaN and infinities have to be looked for: the fold loses a NaN.
    const LOSES_NAN: bool;
    /// Whether what comes out is divided by the window's size.
    const DIVIDES: bool;

    fn fold<S: Simd>(s: S, all: S::V, x: S::V) -> S::V;
    fn fold_one(all: f32, x: f32) -> f32;
}

pub(super) struct Greatest;

impl Fold for Greatest {
    const LOSES_NAN: bool = true;
    const DIVIDES: bool = false;

    #[inline(always)]
    fn fold<S: Simd>(s: S, all: S::V, x: S::V) -> S::V {
        s.max(all, x)
    }

    #[inline(always)]
    fn fold_one(all: f32, x: f32) -> f32 {
        if all > x { all } else { x }
    }
}

pub(super) struct Sum;

impl Fold for Sum {
    const LOSES_NAN: bool = false;
    const DIVIDES: bool = true;

    #[inline(always)]
    fn fold<S: Simd>(s: S, all: S::V, x: S::V) -> S::V {
        s.add(all, x)
    }

    #[inline(always)]
    fn fold_one(all: f32, x: f32) -> f32 {
        all + x
    }
}

/// How rows lie between the two steps: each with the padding before and behind it.
#[derive(Debug)]
pub(super) struct Buffer {
    rows: usize,
    pitch: usize,
}

impl Buffer {
    pub(super) fn new(pool: &Pool, lanes: usize) -> Buffer {
        assert!(lanes <= MOST_LANES);
        let (window, frame) = (&pool.window, &pool.frame);
        // A vector of outputs reads as many elements as lie between its first and its last, and one stride more.
        let read = frame.output[1].max(lanes) * window.stride[1] + window.reach(1);
        let pitch = read.max(frame.pad[1] + frame.input[1]);
        let pitch = pitch.next_multiple_of(lanes);
        let rows = (POOLED_ROWS / (pitch * size_of::<f32>())).clamp(1, frame.output[0].max(1));
        Buffer { rows, pitch }
    }

    pub(super) fn len(&self) -> usize {
        self.rows * self.pitch
    }

    pub(super) fn bytes(&self) -> usize {
        bytes_for::<f32>(self.len())
    }

    /// Before the first rows: what no row is written to stays as it is.
    pub(super) fn clear(&self, memory: &mut [f32], padding: f32) {
        memory.fill(padding);
    }
}

/// Some rows of one plane.
pub(super) struct Rows<'a, F> {
    pool: &'a Pool,
    plane: &'a [f32],
    rows: Range<usize>,
    output: &'a mut [f32],
    buffer: &'a Buffer,
    memory: &'a mut [f32],
    fold: PhantomData<F>,
}

impl<'a, F: Fold> Rows<'a, F> {
    /// `memory` has been cleared for this pool.
    pub(super) fn new(
        pool: &'a Pool,
        plane: &'a [f32],
        rows: Range<usize>,
        output: &'a mut [f32],
        buffer: &'a Buffer,
        memory: &'a mut [f32],
    ) -> Self {
        // What the unsafe code below relies on, with the places and the buffer that `Pool` has made.
        assert_eq!(plane.len(), pool.frame.input_area());
        assert_eq!(output.len(), rows.len() * pool.frame.output[1]);
        assert!(memory.len() >= buffer.len() && rows.end <= pool.rows.len());
        assert_eq!(pool.columns.len(), pool.frame.output[1]);
        Rows {
            pool,
            plane,
            rows,
            output,
            buffer,
            memory,
            fold: PhantomData,
        }
    }

    /// Folds the rows that a row of the output meets into one.
    ///
    /// # Safety
    /// `from` is the first of `met` rows that are `step` apart, and `to` has room for one of them.
    #[inline(always)]
    unsafe fn columns<S: Simd>(
        s: S,
        (from, met, step): (*const f32, usize, usize),
        to: *mut f32,
        width: usize,
    ) {
        let (lanes, mut x) = (S::LANES, 0);
        while x + 4 * lanes <= width {
            // SAFETY: four vectors from x on end within the row, and the caller promises the rows.
            unsafe { Self::vectors::<S, 4>(s, (from.add(x), met, step), to.add(x)) };
            x += 4 * lanes;
        }
        while x + lanes <= width {
            // SAFETY: a vector from x on ends within the row, and the caller promises the rows.
            unsafe { Self::vectors::<S, 1>(s, (from.add(x), met, step), to.add(x)) };
            x += lanes;
        }
        if x == width {
            return;
        }
        if width >= lanes {
            // The last vector moves back over its neighbour.
            x = width - lanes;
            // SAFETY: this vector ends where the row ends, and begins within it, for a row is a vector long.
            unsafe { Self::vectors::<S, 1>(s, (from.add(x), met, step), to.add(x)) };
            return;
        }
        // SAFETY: no more than the `width` elements of a row are read; the caller promises the row.
        let mut all = unsafe { s.load_first(from, width) };
        for j in 1..met {
            // SAFETY: likewise of row j of the `met` that the caller promises.
            let row = unsafe { s.load_first(from.add(j * step), width) };
            all = F::fold(s, all, row);
        }
        // SAFETY: the caller has room for a row of `width` elements.
        unsafe { s.store_first(to, all, width) };
    }

    /// # Safety
    /// N vectors can be read in each row and written.
    #[inline(always)]
    unsafe fn vectors<S: Simd, const N: usize>(
        s: S,
        (from, met, step): (*const f32, usize, usize),
        to: *mut f32,
    ) {
        let mut all = [s.splat(0.0); N];
        for (i, all) in all.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *all = unsafe { s.load(from.add(i * S::LANES)) };
        }
        let mut row = from;
        for _ in 1..met {
            row = row.wrapping_add(step);
            for (i, all) in all.iter_mut().enumerate() {
                // SAFETY: as above.
                *all = F::fold(s, *all, unsafe { s.load(row.add(i * S::LANES)) });
            }
        }
        for (i, all) in all.iter().enumerate() {
            // SAFETY: as above.
            unsafe { s.store(to.add(i * S::LANES), *all) };
        }
    }

    /// A vector of outputs, the first of which begins at `from`.
    ///
    /// # Safety
    /// A vector of outputs can be read, as [`Buffer::new`] counts.
    #[inline(always)]
    unsafe fn fold_row<S: Simd>(
        s: S,
        from: *const f32,
        kernel: usize,
        dilation: usize,
        stride: usize,
    ) -> S::V {
        if stride == 1 {
            // SAFETY: the caller's promise.
            let mut all = unsafe { s.load(from) };
            for k in 1..kernel {
                // SAFETY: as above.
                all = F::fold(s, all, unsafe { s.load(from.add(k * dilation)) });
            }
            return all;
        }
        // SAFETY: the caller's promise.
        let (mut all, odd) = unsafe { Self::pair(s, from) };
        let mut k = 1;
        if dilation == 1 && kernel > 1 {
            all = F::fold(s, all, odd);
            k = 2;
        }
        while k < kernel {
            // SAFETY: as above.
            let (even, odd) = unsafe { Self::pair(s, from.add(k * dilation)) };
            all = F::fold(s, all, even);
            k += 1;
            if dilation == 1 && k < kernel {
                all = F::fold(s, all, odd);
                k += 1;
            }
        }
        all
    }

    /// With stride 2: one tap of each output of a vector, and the next.
    ///
    /// # Safety
    /// Two vectors can be read.
    #[inline(always)]
    unsafe fn pair<S: Simd>(s: S, from: *const f32) -> (S::V, S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.deinterleave(s.load(from), s.load(from.add(S::LANES))) }
    }

    /// A row of the output from one of the buffer; `size` is that of its windows along the columns.
    #[inline(always)]
    fn finish<S: Simd>(s: S, pool: &Pool, row: &[f32], output: &mut [f32], size: usize) {
        let (window, lanes, width) = (&pool.window, S::LANES, output.len());
        let (kernel, dilation, stride) = (window.kernel[1], window.dilation[1], window.stride[1]);
        let size = size as f32;
        if stride > 2 {
            for (x, to) in output.iter_mut().enumerate() {
                let taps = (0..kernel).map(|k| row[x * stride + k * dilation]);
                let all = taps.reduce(F::fold_one).unwrap_or(0.0);
                *to = if F::DIVIDES {
                    all / (pool.sizes[x] * size)
                } else {
                    all
                };
            }
            return;
        }
        assert!(row.len() >= width.max(lanes) * stride + window.reach(1));
        assert!(pool.sizes.len() >= width + lanes);
        let rows = s.splat(size);
        let mut v = 0;
        while v < width {
            let x = v.min(width.saturating_sub(lanes));
            // SAFETY: the row has been measured above, for a vector that begins at the first output or ends with the last.
            let mut all = unsafe {
                let from = row.as_ptr().add(x * stride);
                Self::fold_row(s, from, kernel, dilation, stride)
            };
            if F::DIVIDES {
                // SAFETY: as above; sizes go on for a vector behind the last output.
                let columns = unsafe { s.load(pool.sizes.as_ptr().add(x)) };
                all = s.div(all, s.mul(columns, rows));
            }
            let to = output[x..].as_mut_ptr();
            if width >= lanes {
                // SAFETY: a vector from `x` on is inside the output.
                unsafe { s.store(to, all) };
            } else {
                // SAFETY: the output's elements.
                unsafe { s.store_first(to, all, width) };
            }
            v += lanes;
        }
    }
}

/// Whether one of these elements may be no number, or an infinity.
#[derive(Clone, Copy)]
struct Special<S: Simd>(S::V);

impl<S: Simd> Special<S> {
    #[inline(always)]
    fn look(&mut self, s: S, elements: &[f32]) {
        let zero = s.splat(0.0);
        let mut all = [self.0, zero, zero, zero];
        let (groups, rest) = (
            elements.chunks_exact(4 * S::LANES),
            elements.chunks_exact(4 * S::LANES).remainder(),
        );
        for group in groups {
            for (i, all) in all.iter_mut().enumerate() {
                // SAFETY: four vectors are a group.
                let x = unsafe { s.load(group.as_ptr().add(i * S::LANES)) };
                // Zero times a number is zero, times anything else NaN, which stays.
                *all = s.mul_add(x, zero, *all);
            }
        }
        for part in rest.chunks(S::LANES) {
            // SAFETY: the part's elements.
            let x = unsafe { s.load_first(part.as_ptr(), part.len()) };
            all[0] = s.mul_add(x, zero, all[0]);
        }
        self.0 = s.add(s.add(all[0], all[1]), s.add(all[2], all[3]));
    }
}

impl<F: Fold> Kernel for Rows<'_, F> {
    /// Whether the fold may have lost a NaN.
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let (pool, width) = (self.pool, self.pool.frame.output[1]);
        let (input_width, pad) = (pool.frame.input[1], pool.frame.pad[1]);
        let pitch = self.buffer.pitch;
        let step = input_width * pool.window.dilation[0];
        let (mut special, mut looked) = (Special::<S>(s.splat(0.0)), 0);
        let mut output = self.output;
        let mut first = self.rows.start;
        // A row is read where it was written in vectors that begin elsewhere: that goes faster when a few rows lie in between.
        while first < self.rows.end {
            let rows = &pool.rows[first..self.rows.end.min(first + self.buffer.rows)];
            first += rows.len();
            let memory = self.memory.chunks_exact_mut(pitch);
            for (place, row) in rows.iter().zip(memory) {
                let last = place.first + (place.met - 1) * pool.window.dilation[0];
                let elements = &self.plane[place.first * input_width..(last + 1) * input_width];
                if F::LOSES_NAN {
                    let new = looked.max(place.first);
                    if new <= last {
                        let from = (new - place.first) * input_width;
                        special.look(s, &elements[from..]);
                        looked = last + 1;
                    }
                }
                let to = &mut row[pad..][..input_width];
                // SAFETY: the elements are those of all rows from the first that is met to the last, and `to` has as many as one.
                unsafe {
                    let from = (elements.as_ptr(), place.met, step);
                    Self::columns(s, from, to.as_mut_ptr(), input_width);
                }
            }
            let memory = self.memory.chunks_exact(pitch);
            for (place, row) in rows.iter().zip(memory) {
                let (own, rest) = output.split_at_mut(width);
                output = rest;
                Self::finish(s, pool, row, own, place.size);
            }
        }
        F::LOSES_NAN && s.sum(special.0).is_nan()
    }
}
