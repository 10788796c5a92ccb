//! Some rows, or some columns, of a matrix in the order in which tiles read them.
//! Given: the matrix as a slice with two strides: rows, columns and transposed ones lie in memory in the same few ways.
//! Promise: `[step of the depth][lane]`, with zeros in lanes that there are not.

use onnx_swish_simd::{Kernel, Simd};

/// Lanes are what stands side by side in a tile: rows of the left operand, or columns of the right one.
pub(crate) struct Pack<'a> {
    /// From the first step of the first lane on.
    pub(crate) from: &'a [f32],
    /// Elements from one lane to the next.
    pub(crate) lane: usize,
    /// Elements from one step of the depth to the next.
    pub(crate) step: usize,
    pub(crate) lanes: usize,
    pub(crate) depth: usize,
    /// Lanes that there is room for: 1, 4 or 8, or whole vectors. Those beyond `lanes` become zero.
    pub(crate) width: usize,
    /// `[depth, up to whole vectors][width]`. What lies behind the depth may be overwritten.
    pub(crate) to: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.lanes == 0 || self.depth == 0 {
            return self.to[..self.depth * self.width].fill(0.0);
        }
        // What the unsafe code below relies on.
        let last = (self.lanes - 1) * self.lane + (self.depth - 1) * self.step;
        assert!(self.lanes <= self.width && last < self.from.len());
        assert!(self.to.len() >= self.depth.next_multiple_of(S::LANES) * self.width);
        let of_vectors = self.width.is_multiple_of(S::LANES);
        match (self.width, S::LANES) {
            (1, _) if self.step == 1 => {
                self.to[..self.depth].copy_from_slice(&self.from[..self.depth]);
            }
            _ if self.lane == 1 && of_vectors => self.copy(s),
            (_, 4) if self.step == 1 && of_vectors => self.transpose::<S, 4, 2>(s),
            (_, 8) if self.step == 1 && of_vectors => self.transpose::<S, 8, 3>(s),
            (_, 16) if self.step == 1 && of_vectors => self.transpose::<S, 16, 4>(s),
            (4, _) if self.step == 1 => self.transpose::<S, 4, 2>(s),
            (8, _) if self.step == 1 => self.transpose::<S, 8, 3>(s),
            _ => self.gather(),
        }
    }
}

impl Pack<'_> {
    /// Lanes lie side by side already.
    #[inline(always)]
    fn copy<S: Simd>(self, s: S) {
        for k in 0..self.depth {
            let (from, to) = (k * self.step, k * self.width);
            let mut lane = 0;
            while lane < self.width {
                // SAFETY: `run` asserted that the lanes of the last step can be read; lanes behind them are masked. There is room for
                // `width`, which is whole vectors.
                unsafe {
                    let at = self.from.as_ptr().wrapping_add(from + lane);
                    let v = if lane + S::LANES <= self.lanes {
                        s.load(at)
                    } else {
                        s.load_lanes(at, s.lanes(0, self.lanes.saturating_sub(lane)))
                    };
                    s.store(self.to.as_mut_ptr().add(to + lane), v);
                }
                lane += S::LANES;
            }
        }
    }

    /// The steps of each lane lie side by side: so many lanes at a time, two to the power of `LOG`. They are the whole width, or one
    /// vector of it.
    #[inline(always)]
    fn transpose<S: Simd, const H: usize, const LOG: usize>(self, s: S) {
        assert!(self.width.is_multiple_of(H) && (H == S::LANES || H == self.width));
        let mut first = 0;
        while first < self.width {
            let lanes = self.lanes.saturating_sub(first).min(H);
            let from = self.from.as_ptr().wrapping_add(first * self.lane);
            let to = self.to.as_mut_ptr().wrapping_add(first);
            let mut k = 0;
            while k < self.depth {
                let whole = k + S::LANES <= self.depth;
                let some = s.lanes(0, self.depth - k);
                let mut v = [s.splat(0.0); H];
                unrolled!(r < H, of 16, {
                    if r < lanes {
                        // SAFETY: `run` asserted that the depth of the last lane can be read; steps behind it are masked.
                        v[r] = unsafe {
                            let from = from.add(r * self.lane + k);
                            if whole {
                                s.load(from)
                            } else {
                                s.load_lanes(from, some)
                            }
                        };
                    }
                });
                // Seen as one sequence, the registers count (lane, step). Merging its halves moves the first bit of the count to its
                // end: after all bits of the lane they count (step, lane).
                unrolled!(_round < LOG, {
                    let before = v;
                    unrolled!(i < H, of 8, {
                        if i < H / 2 {
                            (v[2 * i], v[2 * i + 1]) = s.interleave(before[i], before[i + H / 2]);
                        }
                    });
                });
                unrolled!(r < H, of 16, {
                    let at = if H == S::LANES {
                        (k + r) * self.width
                    } else {
                        k * H + r * S::LANES
                    };
                    // SAFETY: `run` asserted that there is room for whole vectors of steps.
                    unsafe { s.store(to.add(at), v[r]) };
                });
                k += S::LANES;
            }
            first += H;
        }
    }

    /// Any other way.
    fn gather(self) {
        for (k, to) in self
            .to
            .chunks_exact_mut(self.width)
            .take(self.depth)
            .enumerate()
        {
            let (to, behind) = to.split_at_mut(self.lanes);
            let from = self.from[k * self.step..].iter().step_by(self.lane.max(1));
            if self.lane == 0 {
                to.fill(self.from[k * self.step]);
            } else {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            behind.fill(0.0);
        }
    }
}
