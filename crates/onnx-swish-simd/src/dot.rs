//! Sums of products of 8-bit codes: what processors do with them, which is less alike than what they do with f32.
//!
//! Given a token, whose existence proves that the processor has the instructions; promises exact sums modulo 2³² on every set: nothing
//! saturates. A set that has no row in the table at the end of this file runs by plain Rust.

use std::array::from_fn;
use std::fmt;

use crate::arch;
use crate::arch::portable::Plain;
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
    /// Whether loops are worth unrolling into registers. Plain Rust is left to the compiler.
    const UNROLL: bool = true;
    /// Registers that [`Dot::dot`] takes besides its operands: one where products are made first and then added.
    const BETWEEN: usize = 0;

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

    /// The same address, of which the compiler no longer knows that it is. What is read there again becomes an operand of what uses it,
    /// instead of staying in a register where there is none to spare.
    #[inline(always)]
    fn anew<T>(self, at: *const T) -> *const T {
        at
    }

    /// The f32 next to each integer, of two the even one.
    fn to_float(self, i: <Self::S as Simd>::I) -> <Self::S as Registers>::V;
    /// The integer next to each lane, of two the even one. Beyond 2²² it may be another of this sign that is beyond, too; beyond 2³⁰ and
    /// for NaN it is any.
    fn nearest(self, v: <Self::S as Registers>::V) -> <Self::S as Simd>::I;

    /// The first n integers of the registers, one register behind the other, as the nearest that i8 has, if `signed`, or u8. N is 3 at
    /// most, and `n <= N·LANES`.
    ///
    /// # Safety
    /// `n` bytes can be written at `to`.
    unsafe fn store_saturated<const N: usize>(
        self,
        to: *mut u8,
        i: [<Self::S as Simd>::I; N],
        n: usize,
        signed: bool,
    );
}

/// A computation on codes that is compiled for each set.
pub trait DotKernel {
    /// What it gives.
    type Output;

    /// Must be `#[inline(always)]`, so that its body is compiled with the instructions of `D`.
    fn run<D: Dot>(self, d: D) -> Self::Output;
}

/// Codes without instructions for them, in registers of plain Rust: pairs of 16 bits, or, `NARROW`, signed bytes by four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plainly<S, const NARROW: bool>(S);

/// The products of the fields of two words, added up.
#[inline(always)]
fn products<const NARROW: bool>(codes: u32, weights: u32) -> u32 {
    let product = |code: i32, weight: i32| code.wrapping_mul(weight).cast_unsigned();
    let (codes, weights) = (codes.cast_signed(), weights.cast_signed());
    if NARROW {
        let field = |word: i32, i: u32| (word << (24 - 8 * i)) >> 24;
        let term = |i| product(field(codes, i), field(weights, i));
        term(0)
            .wrapping_add(term(1))
            .wrapping_add(term(2))
            .wrapping_add(term(3))
    } else {
        let low = |word: i32| i32::from(word as i16);
        product(low(codes), low(weights)).wrapping_add(product(codes >> 16, weights >> 16))
    }
}

/// A register of N words, each of bytes that `byte` finds by word and field.
#[inline(always)]
fn words<const N: usize, const NARROW: bool>(byte: impl Fn(usize, usize) -> u8) -> [u32; N] {
    from_fn(|i| {
        let field = |field: usize| u32::from(byte(i, field));
        if NARROW {
            field(0) | field(1) << 8 | field(2) << 16 | field(3) << 24
        } else {
            field(0) | field(1) << 16
        }
    })
}

impl<const N: usize, const R: usize, const NARROW: bool> Dot for Plainly<Plain<N, R>, NARROW> {
    type S = Plain<N, R>;
    const UNROLL: bool = false;
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
    fn simd(self) -> Plain<N, R> {
        self.0
    }
    #[inline(always)]
    fn vectorize<K: DotKernel>(self, kernel: K) -> K::Output {
        /// Never inlined: a kernel is to have the registers for itself.
        #[inline(never)]
        fn apart<D: Dot, K: DotKernel>(d: D, kernel: K) -> K::Output {
            kernel.run(d)
        }
        apart(self, kernel)
    }
    #[inline(always)]
    fn dot(self, sum: [u32; N], codes: [u32; N], weights: [u32; N]) -> [u32; N] {
        from_fn(|i| sum[i].wrapping_add(products::<NARROW>(codes[i], weights[i])))
    }
    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [[u32; N]; 4] {
        from_fn(|v| {
            words::<N, NARROW>(|i, field| {
                // SAFETY: below `4·N`, the caller's promise.
                unsafe { rows[field].add(v * N + i).read() ^ flip }
            })
        })
    }
    #[inline(always)]
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> [u32; N] {
        words::<N, NARROW>(|i, field| {
            // SAFETY: the caller's promise.
            unsafe { from.add(i * stride + field).read() }
        })
    }
    #[inline(always)]
    fn to_float(self, i: [u32; N]) -> [f32; N] {
        i.map(|lane| lane.cast_signed() as f32)
    }
    #[inline(always)]
    fn nearest(self, v: [f32; N]) -> [u32; N] {
        // 1.5·2²³ rounds to an integer, in the low bits of the sum.
        const SHIFT: f32 = 12_582_912.0;
        const MOST: f32 = 4_194_304.0;
        v.map(|x| {
            let x = if x > -MOST { x } else { -MOST };
            let x = if x < MOST { x } else { MOST };
            (x + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits())
        })
    }
    #[inline(always)]
    unsafe fn store_saturated<const K: usize>(
        self,
        to: *mut u8,
        i: [[u32; N]; K],
        n: usize,
        signed: bool,
    ) {
        let [low, high] = if signed { [-128, 127] } else { [0, 255] };
        for (i, lane) in i.as_flattened().iter().enumerate().take(n) {
            let code = lane.cast_signed().clamp(low, high);
            // SAFETY: `i < n`, the caller's promise.
            unsafe { to.add(i).write(code as u8) };
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

            /// Whether it is plain Rust, and no instructions of the processor's own.
            #[must_use]
            pub const fn is_portable(self) -> bool {
                matches!(self, DotIsa::Portable(_))
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
    /// NEON with the dot products of ARMv8.2: four products of signed bytes in one instruction.
    "neon-dotprod", beside "neon": NeonDot(arch::aarch64::dot::NeonDot), on target_arch = "aarch64";
    /// Plain Rust.
    "portable", beside "portable": Portable(Plainly<arch::portable::Portable, false>), on all();
    /// Plain Rust on signed bytes, as the instructions of ARM take them: for tests.
    "imaginary", beside "imaginary": Imaginary(Plainly<arch::imaginary::Imaginary, true>), on all(), with feature "imaginary";
}
