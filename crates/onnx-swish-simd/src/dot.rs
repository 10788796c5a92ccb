//! Sums of products of 8-bit codes: what processors do with them, which is less alike than what they do with f32.
//!
//! Given a token, whose existence proves that the processor has the instructions; promises exact sums modulo 2³² on every set: nothing
//! saturates. A set that has no row in the table at the end of this file runs by plain Rust.

use std::fmt;

use crate::arch;
use crate::isa::Isa;
use crate::simd::{Registers, Simd};

/// How codes and weights stand in the 32-bit words of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Codes, or weights, in a word, the first in the lowest bits: 4 of 8 bits or 2 of 16.
    pub group: usize,
    /// What a byte is xored with on its way into a word, if it is a code of u8: 0 where fields are taken as unsigned or have 16 bits,
    /// 0x80 where they are signed, which makes `code − 128` of it. A code of i8 is first made one of u8, by xor with 0x80, and is then
    /// taken as `code + 128`.
    pub flip: u8,
    /// The smallest weight of a field, and the largest.
    pub weights: [i32; 2],
}

/// The operations of one set of instructions on codes.
pub trait Dot: Copy + Send + Sync + 'static {
    /// The instructions on f32 that go with them.
    type S: Simd;
    /// What a word holds.
    const FORMAT: Format;

    /// The token of the instructions on f32.
    fn simd(self) -> Self::S;
    /// Runs a kernel with these instructions enabled. The kernel is a function of its own, with the registers for itself.
    fn vectorize<K: DotKernel>(self, kernel: K) -> K::Output;

    /// In each lane: `sum` and the products of the word's codes and weights, modulo 2³².
    fn dot(
        self,
        sum: <Self::S as Simd>::I,
        codes: <Self::S as Simd>::I,
        weights: <Self::S as Simd>::I,
    ) -> <Self::S as Simd>::I;

    /// Words of the first [`Format::group`] rows: word `i` of the result, counted over all four registers, has element `i` of each row,
    /// xored with `flip`.
    ///
    /// # Safety
    /// `4·LANES` bytes can be read at each of these rows.
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [<Self::S as Simd>::I; 4];

    /// Words of neighbours: word `i` has the bytes at `from + i·stride` and on, as many as a word takes, and as they are.
    ///
    /// # Safety
    /// `LANES·stride + 64` bytes can be read at `from`.
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> <Self::S as Simd>::I;

    /// The f32 next to each integer, of two the even one.
    fn to_float(self, i: <Self::S as Simd>::I) -> <Self::S as Registers>::V;
    /// The integer next to each lane, of two the even one. Magnitudes are 2²² at most; NaN becomes anything.
    fn nearest(self, v: <Self::S as Registers>::V) -> <Self::S as Simd>::I;

    /// The lowest bytes of the first n lanes, `n <= LANES`.
    ///
    /// # Safety
    /// `n` bytes can be written at `to`.
    unsafe fn store_bytes(self, to: *mut u8, i: <Self::S as Simd>::I, n: usize);
}

/// A computation on codes that is compiled for each set.
pub trait DotKernel {
    /// What it gives.
    type Output;

    /// Must be `#[inline(always)]`, so that its body is compiled with the instructions of `D`.
    fn run<D: Dot>(self, d: D) -> Self::Output;
}

/// Codes without instructions for them, beside those on f32 of any set: pairs of 16 bits, or, `NARROW`, signed bytes by four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plainly<S, const NARROW: bool>(pub(crate) S);

/// The most lanes of a register.
const MOST_LANES: usize = 64;

/// The lanes of a register of integers.
#[inline(always)]
fn lanes_of<S: Simd>(s: S, i: S::I) -> [u32; MOST_LANES] {
    let mut lanes = [0u32; MOST_LANES];
    // SAFETY: an array of the most lanes there are; f32 and u32 are as large and any bits are a u32.
    unsafe { s.store(lanes.as_mut_ptr().cast::<f32>(), s.from_bits(i)) };
    lanes
}

/// The register of so many lanes.
#[inline(always)]
fn register<S: Simd>(s: S, lanes: &[u32; MOST_LANES]) -> S::I {
    // SAFETY: as above.
    s.to_bits(unsafe { s.load(lanes.as_ptr().cast::<f32>()) })
}

/// The products of the fields of two words, added up.
#[inline(always)]
fn products<const NARROW: bool>(codes: u32, weights: u32) -> u32 {
    let (shift, count) = if NARROW { (8, 4) } else { (16, 2) };
    let mut sum = 0u32;
    for field in 0..count {
        // The field at the top, then down again with its sign.
        let up = 32 - shift * (field + 1);
        let [code, weight] =
            [codes, weights].map(|word| (word << up).cast_signed() >> (32 - shift));
        sum = sum.wrapping_add(code.wrapping_mul(weight).cast_unsigned());
    }
    sum
}

impl<S: Simd, const NARROW: bool> Plainly<S, NARROW> {
    const FIELD: u32 = if NARROW { 8 } else { 16 };
}

impl<S: Simd, const NARROW: bool> Dot for Plainly<S, NARROW> {
    type S = S;
    const FORMAT: Format = if NARROW {
        Format {
            group: 4,
            flip: 0x80,
            weights: [-128, 127],
        }
    } else {
        PAIRS
    };

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }
    #[inline(always)]
    fn vectorize<K: DotKernel>(self, kernel: K) -> K::Output {
        struct Body<K, const NARROW: bool>(K);
        impl<K: DotKernel, const NARROW: bool> crate::Kernel for Body<K, NARROW> {
            type Output = K::Output;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> K::Output {
                self.0.run(Plainly::<S, NARROW>(s))
            }
        }
        self.0.vectorize(Body::<K, NARROW>(kernel))
    }
    #[inline(always)]
    fn dot(self, sum: S::I, codes: S::I, weights: S::I) -> S::I {
        let s = self.0;
        let (codes, weights) = (lanes_of(s, codes), lanes_of(s, weights));
        let mut lanes = lanes_of(s, sum);
        for i in 0..S::LANES {
            lanes[i] = lanes[i].wrapping_add(products::<NARROW>(codes[i], weights[i]));
        }
        register(s, &lanes)
    }
    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [S::I; 4] {
        let mut words = [self.0.int_splat(0); 4];
        for (v, words) in words.iter_mut().enumerate() {
            let mut lanes = [0; MOST_LANES];
            for (i, lane) in lanes.iter_mut().enumerate().take(S::LANES) {
                for (field, row) in rows.iter().enumerate().take(Self::FORMAT.group) {
                    // SAFETY: below `4·LANES`, the caller's promise.
                    let byte = unsafe { row.add(v * S::LANES + i).read() } ^ flip;
                    *lane |= u32::from(byte) << (Self::FIELD * field as u32);
                }
            }
            *words = register(self.0, &lanes);
        }
        words
    }
    #[inline(always)]
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> S::I {
        let mut lanes = [0; MOST_LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(S::LANES) {
            for field in 0..Self::FORMAT.group {
                // SAFETY: the caller's promise.
                let byte = unsafe { from.add(i * stride + field).read() };
                *lane |= u32::from(byte) << (Self::FIELD * field as u32);
            }
        }
        register(self.0, &lanes)
    }
    #[inline(always)]
    fn to_float(self, i: S::I) -> S::V {
        let mut lanes = lanes_of(self.0, i);
        for lane in lanes.iter_mut().take(S::LANES) {
            *lane = (lane.cast_signed() as f32).to_bits();
        }
        self.0.from_bits(register(self.0, &lanes))
    }
    #[inline(always)]
    fn nearest(self, v: S::V) -> S::I {
        // 1.5·2²³ rounds to an integer, in the low bits of the sum.
        const SHIFT: f32 = 12_582_912.0;
        let s = self.0;
        s.int_add(
            s.to_bits(s.add(v, s.splat(SHIFT))),
            s.int_splat(SHIFT.to_bits().wrapping_neg()),
        )
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, i: S::I, n: usize) {
        let lanes = lanes_of(self.0, i);
        for (i, lane) in lanes.iter().enumerate().take(n) {
            // SAFETY: `i < n`, the caller's promise.
            unsafe { to.add(i).write(*lane as u8) };
        }
    }
}

/// Two fields of 16 bits, whose products an i32 holds twice over.
pub(crate) const PAIRS: Format = Format {
    group: 2,
    flip: 0,
    weights: [-32768, 32767],
};

impl DotIsa {
    /// The instructions that go with a set: the fastest that this machine executes.
    #[must_use]
    pub fn of(isa: Isa) -> Self {
        let found = Self::available()
            .into_iter()
            .find(|dot| dot.isa() == isa.name());
        found.unwrap_or(PORTABLE)
    }

    /// How its words hold codes.
    #[must_use]
    pub fn format(self) -> Format {
        struct Ask;
        impl DotKernel for Ask {
            type Output = Format;
            #[inline(always)]
            fn run<D: Dot>(self, _: D) -> Format {
                D::FORMAT
            }
        }
        self.run(Ask)
    }

    /// [`Registers::LANES`] of the set on f32 that goes with it.
    #[must_use]
    pub fn lanes(self) -> usize {
        self.shape().0
    }

    /// [`Registers::REGISTERS`] of the set on f32 that goes with it.
    #[must_use]
    pub fn registers(self) -> usize {
        self.shape().1
    }

    fn shape(self) -> (usize, usize) {
        struct Ask;
        impl DotKernel for Ask {
            type Output = (usize, usize);
            #[inline(always)]
            fn run<D: Dot>(self, _: D) -> (usize, usize) {
                (D::S::LANES, D::S::REGISTERS)
            }
        }
        self.run(Ask)
    }
}

impl fmt::Display for DotIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Makes of each row `name, beside a set's name: Variant(token)` the variant, its name and its place in the dispatch. The token's `new`
/// says whether this machine has the instructions.
macro_rules! dot_sets {
    ($( $(#[$meta:meta])* $name:literal, beside $isa:literal: $variant:ident($token:ty),
        on $condition:meta $(, with feature $feature:literal)?; )*) => {
        /// Instructions on 8-bit codes that this machine executes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DotIsa {
            $(
                $(#[$meta])*
                #[cfg(all($condition $(, feature = $feature)?))]
                $variant($token),
            )*
        }

        impl DotIsa {
            /// All of this machine, fastest first. The portable one is always among them.
            #[must_use]
            pub fn available() -> Vec<Self> {
                let mut all = Vec::new();
                $(
                    #[cfg(all($condition $(, feature = $feature)?))]
                    all.extend(<$token>::new().map(DotIsa::$variant));
                )*
                all
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        DotIsa::$variant(_) => $name,
                    )*
                }
            }

            /// The name of the set on f32 that goes with it, one of [`Isa::NAMES`].
            #[must_use]
            pub const fn isa(self) -> &'static str {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        DotIsa::$variant(_) => $isa,
                    )*
                }
            }

            /// Runs a kernel with the instructions of the set.
            #[inline]
            pub fn run<K: DotKernel>(self, kernel: K) -> K::Output {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        DotIsa::$variant(token) => token.vectorize(kernel),
                    )*
                }
            }
        }
    };
}

impl<const N: usize, const R: usize, const NARROW: bool>
    Plainly<arch::portable::Plain<N, R>, NARROW>
{
    /// The token, which every machine has.
    fn new() -> Option<Self> {
        arch::portable::Plain::new().map(Self)
    }
}

/// What every machine has.
const PORTABLE: DotIsa = DotIsa::Portable(Plainly(arch::portable::PORTABLE));

dot_sets! {
    /// AVX-512 with VNNI: four products of bytes in one instruction.
    "avx512-vnni", beside "avx512": Avx512Vnni(arch::x86_64::dot512::Avx512Vnni), on target_arch = "x86_64";
    /// AVX-512 without VNNI: two products of 16 bits.
    "avx512", beside "avx512": Avx512(arch::x86_64::dot512::Avx512Pairs), on target_arch = "x86_64";
    /// AVX2 with AVX-VNNI.
    "avx-vnni", beside "avx2": AvxVnni(arch::x86_64::dot256::AvxVnni), on target_arch = "x86_64";
    /// AVX2 without: two products of 16 bits. Those of bytes (`vpmaddubsw`) saturate.
    "avx2", beside "avx2": Avx2(arch::x86_64::dot256::Avx2Pairs), on target_arch = "x86_64";
    /// Plain Rust.
    "portable", beside "portable": Portable(Plainly<arch::portable::Portable, false>), on all();
    /// Plain Rust on signed bytes, as the instructions of ARM take them: for tests.
    "imaginary", beside "imaginary": Imaginary(Plainly<arch::imaginary::Imaginary, true>), on all(), with feature "imaginary";
}
