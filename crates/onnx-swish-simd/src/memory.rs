//! Elements in memory that become registers of f32, and back.
//!
//! Given pointers to as many elements as each function says; promises to touch these only.

use half::{bf16, f16};

use crate::simd::{Registers, Simd};

/// How one instruction set loads and stores elements of type T.
///
/// | T | loads | stores |
/// |---|---|---|
/// | f32 | as it is | as it is |
/// | f16 | exactly | rounded to nearest, ties to even |
/// | bf16 | exactly | rounded to nearest; which way a tie goes is the set's. Of a NaN the lower 16 bits must be zero, as they are in every NaN that came from a bf16 and in the processor's own: with others it may become a number |
/// | i8, u8 | exactly | rounded to nearest, ties to even, then to the nearest that the type has; NaN becomes the smallest |
pub trait Memory<T>: Registers {
    /// A register.
    ///
    /// # Safety
    /// `LANES` elements can be read at `from`.
    unsafe fn load(self, from: *const T) -> Self::V;

    /// # Safety
    /// `LANES` elements can be written at `to`.
    unsafe fn store(self, to: *mut T, v: Self::V);

    /// The first n lanes from memory, the others +0; `n <= LANES`.
    ///
    /// # Safety
    /// `n` elements can be read at `from`.
    unsafe fn load_first(self, from: *const T, n: usize) -> Self::V;

    /// The first n lanes to memory; `n <= LANES`.
    ///
    /// # Safety
    /// `n` elements can be written at `to`.
    unsafe fn store_first(self, to: *mut T, v: Self::V, n: usize);

    /// Four registers, whose lanes may be in any order that [`Memory::store_group`] undoes.
    ///
    /// # Safety
    /// `4·LANES` elements can be read at `from`.
    #[inline(always)]
    unsafe fn load_group(self, from: *const T) -> [Self::V; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            [
                self.load(from),
                self.load(from.add(Self::LANES)),
                self.load(from.add(2 * Self::LANES)),
                self.load(from.add(3 * Self::LANES)),
            ]
        }
    }

    /// What [`Memory::load_group`] loaded, lanes where they were.
    ///
    /// # Safety
    /// `4·LANES` elements can be written at `to`.
    #[inline(always)]
    unsafe fn store_group(self, to: *mut T, [a, b, c, d]: [Self::V; 4]) {
        // SAFETY: the caller's promise.
        unsafe {
            self.store(to, a);
            self.store(to.add(Self::LANES), b);
            self.store(to.add(2 * Self::LANES), c);
            self.store(to.add(3 * Self::LANES), d);
        }
    }
}

/// An element type that every instruction set loads and stores: f32, f16, bf16, i8 or u8.
///
/// For kernels that are generic over the element: what `S: Simd` says of each type, said of the type.
pub trait Lane: Copy + Send + Sync + 'static + sealed::Sealed {
    /// [`Memory::load`]
    ///
    /// # Safety
    /// As there.
    unsafe fn load<S: Simd>(s: S, from: *const Self) -> S::V;
    /// [`Memory::store`]
    ///
    /// # Safety
    /// As there.
    unsafe fn store<S: Simd>(s: S, to: *mut Self, v: S::V);
    /// [`Memory::load_first`]
    ///
    /// # Safety
    /// As there.
    unsafe fn load_first<S: Simd>(s: S, from: *const Self, n: usize) -> S::V;
    /// [`Memory::store_first`]
    ///
    /// # Safety
    /// As there.
    unsafe fn store_first<S: Simd>(s: S, to: *mut Self, v: S::V, n: usize);
    /// [`Memory::load_group`]
    ///
    /// # Safety
    /// As there.
    unsafe fn load_group<S: Simd>(s: S, from: *const Self) -> [S::V; 4];
    /// [`Memory::store_group`]
    ///
    /// # Safety
    /// As there.
    unsafe fn store_group<S: Simd>(s: S, to: *mut Self, v: [S::V; 4]);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! lane {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}

        // SAFETY of every block: the caller's promise is that of the function it calls.
        #[allow(clippy::undocumented_unsafe_blocks)]
        impl Lane for $type {
            #[inline(always)]
            unsafe fn load<S: Simd>(s: S, from: *const Self) -> S::V {
                unsafe { Memory::<$type>::load(s, from) }
            }
            #[inline(always)]
            unsafe fn store<S: Simd>(s: S, to: *mut Self, v: S::V) {
                unsafe { Memory::<$type>::store(s, to, v) }
            }
            #[inline(always)]
            unsafe fn load_first<S: Simd>(s: S, from: *const Self, n: usize) -> S::V {
                unsafe { Memory::<$type>::load_first(s, from, n) }
            }
            #[inline(always)]
            unsafe fn store_first<S: Simd>(s: S, to: *mut Self, v: S::V, n: usize) {
                unsafe { Memory::<$type>::store_first(s, to, v, n) }
            }
            #[inline(always)]
            unsafe fn load_group<S: Simd>(s: S, from: *const Self) -> [S::V; 4] {
                unsafe { Memory::<$type>::load_group(s, from) }
            }
            #[inline(always)]
            unsafe fn store_group<S: Simd>(s: S, to: *mut Self, v: [S::V; 4]) {
                unsafe { Memory::<$type>::store_group(s, to, v) }
            }
        }
    )*};
}

lane!(f32, f16, bf16, i8, u8);
