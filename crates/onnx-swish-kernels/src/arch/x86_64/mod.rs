//! x86-64: AVX-512 and AVX2 with FMA and F16C.
//!
//! Given slices; promises that memory outside of them is neither read nor written.

/// The functions on slices, with the instructions of a token enabled.
macro_rules! entry_points {
    ($token:ident, $features:literal) => {
        use $crate::arch::portable;
        use $crate::arch::x86_64::drive::drive;
        use $crate::arch::x86_64::softmax;
        use $crate::element::sealed::Sealed;
        use $crate::formula::table::ShortSwish;
        use $crate::slices::Slices;

        impl $token {
            /// To f32 precision.
            pub(crate) fn swish<T: Sealed>(self, slices: Slices<'_, T>, beta: f32)
            where
                Self: Memory<T>,
            {
                // SAFETY: the token is proof of the instructions.
                unsafe { swish(self, slices, beta) }
            }

            /// For results that are rounded to 11 bits or fewer.
            pub(crate) fn short_swish<T: Sealed>(self, slices: Slices<'_, T>, beta: f32)
            where
                Self: Memory<T>,
            {
                // SAFETY: the token is proof of the instructions.
                unsafe { short_swish(self, slices, beta) }
            }

            pub(crate) fn hard_swish<T: Sealed>(self, slices: Slices<'_, T>, alpha: f32, beta: f32)
            where
                Self: Memory<T>,
            {
                if HardSwish::<Self>::takes(alpha, beta) {
                    // SAFETY: the token is proof of the instructions.
                    unsafe { hard_swish(self, slices, alpha, beta) }
                } else {
                    self.wide_hard_swish(slices, alpha.into(), beta.into());
                }
            }

            /// The portable loop, which the compiler turns into these instructions.
            pub(crate) fn swish_lockstep<T: Sealed>(self, slices: Slices<'_, T>, betas: &[T]) {
                // SAFETY: the token is proof of the instructions.
                unsafe { swish_lockstep(self, slices, betas) }
            }

            /// The portable loop, which the compiler turns into these instructions.
            pub(crate) fn wide_swish<T: Sealed>(self, slices: Slices<'_, T>, rate: f64) {
                // SAFETY: the token is proof of the instructions.
                unsafe { wide_swish(self, slices, rate) }
            }

            /// The portable loop, which the compiler turns into these instructions.
            pub(crate) fn wide_hard_swish<T: Sealed>(
                self,
                slices: Slices<'_, T>,
                alpha: f64,
                beta: f64,
            ) {
                // SAFETY: the token is proof of the instructions.
                unsafe { wide_hard_swish(self, slices, alpha, beta) }
            }
        }

        impl $token {
            pub(crate) fn softmax_rows(self, xy: &mut [f32], length: usize) {
                // SAFETY: the token is proof of the instructions.
                unsafe { softmax_rows(self, xy, length) }
            }

            pub(crate) fn softmax_columns(self, rows: &mut [&mut [f32]]) {
                // SAFETY: the token is proof of the instructions.
                unsafe { softmax_columns(self, rows) }
            }
        }

        #[target_feature(enable = $features)]
        fn softmax_rows(s: $token, xy: &mut [f32], length: usize) {
            // SAFETY: the instructions are enabled here.
            unsafe { softmax::rows(s, xy, length) }
        }

        #[target_feature(enable = $features)]
        fn softmax_columns(s: $token, rows: &mut [&mut [f32]]) {
            // SAFETY: the instructions are enabled here.
            unsafe { softmax::columns(s, rows) }
        }

        #[target_feature(enable = $features)]
        fn swish<T: Sealed>(s: $token, slices: Slices<'_, T>, beta: f32)
        where
            $token: Memory<T>,
        {
            let constants = SwishConstants::new(beta);
            let f = Swish::new(s, &constants);
            let (x, y, n) = slices.parts();
            // SAFETY: the parts of slices; the instructions are enabled here.
            unsafe { drive(s, f, x, y, n, |x, y| repair(x, y, &constants)) }
        }

        #[target_feature(enable = $features)]
        fn short_swish<T: Sealed>(s: $token, slices: Slices<'_, T>, beta: f32)
        where
            $token: Memory<T>,
        {
            let constants = SwishConstants::new(beta);
            let f = ShortSwish::new(s, &constants);
            let (x, y, n) = slices.parts();
            // SAFETY: the parts of slices; the instructions are enabled here.
            unsafe { drive(s, f, x, y, n, |x, y| repair(x, y, &constants)) }
        }

        /// Repairs the results of those x that are outside of the table formula's domain, and only
        /// of those: a result must not depend on its neighbours.
        #[cold]
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn repair<T: Sealed>(x: &mut [T], y: &mut [T], constants: &SwishConstants) {
            for (x, y) in x.iter_mut().zip(&*y) {
                if x.is_within(constants.limit) {
                    *x = *y;
                } else {
                    *x = x.swish_one(constants.wide_rate);
                }
            }
            y.copy_from_slice(x);
        }

        #[target_feature(enable = $features)]
        fn hard_swish<T: Sealed>(s: $token, slices: Slices<'_, T>, alpha: f32, beta: f32)
        where
            $token: Memory<T>,
        {
            let f = HardSwish::new(s, alpha, beta);
            let (x, y, n) = slices.parts();
            // SAFETY: the parts of slices; the instructions are enabled here.
            unsafe { drive(s, f, x, y, n, |_, _| ()) }
        }

        #[target_feature(enable = $features)]
        fn swish_lockstep<T: Sealed>(_: $token, slices: Slices<'_, T>, betas: &[T]) {
            portable::swish_lockstep(slices, betas);
        }

        #[target_feature(enable = $features)]
        fn wide_swish<T: Sealed>(_: $token, slices: Slices<'_, T>, rate: f64) {
            portable::swish(slices, rate);
        }

        #[target_feature(enable = $features)]
        fn wide_hard_swish<T: Sealed>(_: $token, slices: Slices<'_, T>, alpha: f64, beta: f64) {
            portable::hard_swish(slices, alpha, beta);
        }
    };
}

pub mod avx2;
pub mod avx512;
mod drive;
#[cfg(test)]
mod lanes_tests;
mod softmax;

use entry_points;
