//! 8-bit codes: from floats, to floats, and by a table from one to another.
//!
//! Given slices whose lengths agree; promises ONNX's arithmetic to the bit on every instruction set, for any scale and any float.
//!
//! Codes are bytes. Whether a byte is an u8 or, in two's complement, an i8 is what the [`ZeroPoint`] says; a table takes either, for
//! it has an entry for each of the 256 bytes.
//!
//! | function | is | source |
//! |---|---|---|
//! | [`quantize`] | `saturate(round(x/scale) + zero point)` | ONNX `QuantizeLinear` |
//! | [`dequantize`] | `(code − zero point)·scale` | ONNX `DequantizeLinear` |
//! | [`look_up`] | `table[code]` | any function of one code |
//! | [`add`] | the code of `a + b` | DequantizeLinear, Add, QuantizeLinear |
//! | [`scale_planes`] | the code of `a·b`, one b for each plane of a | a squeeze-and-excite gate between codes |
//! | [`combine`] | the code of `a + b` or `a·b` in another arithmetic | ONNX Runtime's QLinearAdd and QLinearMul |
//! | [`plane_sums`] | the float of the exact sum of each plane's codes | a global average pool of codes |
//! | [`requantize_in_place`] | the three of them, with or without a table | what stands between two float operators of a quantised model |
//!
//! The quotient is divided, not multiplied by a reciprocal, in f32; rounded to nearest, ties to even; and only then the zero point
//! is added. NaN becomes the lowest code, as in ONNX Runtime on x86-64. ONNX leaves that open.

#[allow(unsafe_code)]
mod loops;
#[allow(unsafe_code)]
mod pairs;
#[allow(unsafe_code)]
mod qlinear;

use onnx_swish_simd::Isa;

pub use qlinear::{Operator, QLinear, Second};

pub(crate) use loops::{Round, requantize};

/// An entry for each byte.
pub type Table = [u8; 256];

/// Which numbers the 256 bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeType {
    /// 0 to 255.
    U8,
    /// −128 to 127, in two's complement.
    I8,
}

impl CodeType {
    /// The smallest code and the largest.
    #[must_use]
    pub const fn range(self) -> [i32; 2] {
        match self {
            CodeType::U8 => [0, 255],
            CodeType::I8 => [-128, 127],
        }
    }

    /// The number that a byte stands for.
    #[must_use]
    pub const fn value(self, byte: u8) -> i32 {
        match self {
            CodeType::U8 => byte as i32,
            CodeType::I8 => byte.cast_signed() as i32,
        }
    }
}

/// The code of 0.0, and with it the type of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZeroPoint {
    /// Of codes from 0 to 255.
    U8(u8),
    /// Of codes from −128 to 127.
    I8(i8),
}

impl ZeroPoint {
    /// This code of a type, if the type has it.
    #[must_use]
    pub fn new(codes: CodeType, value: i32) -> Option<ZeroPoint> {
        Some(match codes {
            CodeType::U8 => ZeroPoint::U8(value.try_into().ok()?),
            CodeType::I8 => ZeroPoint::I8(value.try_into().ok()?),
        })
    }

    /// The type of the codes.
    #[must_use]
    pub const fn codes(self) -> CodeType {
        match self {
            ZeroPoint::U8(_) => CodeType::U8,
            ZeroPoint::I8(_) => CodeType::I8,
        }
    }

    /// Its value.
    #[must_use]
    pub fn value(self) -> i16 {
        match self {
            ZeroPoint::U8(value) => value.into(),
            ZeroPoint::I8(value) => value.into(),
        }
    }

    /// The lowest and the highest code.
    #[must_use]
    pub fn range(self) -> (i16, i16) {
        match self {
            ZeroPoint::U8(_) => (0, 255),
            ZeroPoint::I8(_) => (-128, 127),
        }
    }

    /// The code that a byte is.
    #[must_use]
    pub fn code(self, byte: u8) -> i16 {
        match self {
            ZeroPoint::U8(_) => byte.into(),
            ZeroPoint::I8(_) => byte.cast_signed().into(),
        }
    }

    /// The byte of the code next to a number, of the even one in the middle between two, and of the lowest for NaN.
    #[must_use]
    pub fn nearest(self, number: f32) -> u8 {
        let (low, high) = self.range();
        if number.is_nan() {
            return low as u8;
        }
        let rounded = number.round_ties_even();
        rounded.clamp(low.into(), high.into()) as i16 as u8
    }

    /// Whether codes are of the same type.
    #[must_use]
    pub fn is_like(self, other: ZeroPoint) -> bool {
        self.range() == other.range()
    }
}

/// How floats and codes correspond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// The distance of two codes. Any f32; a useful one is finite, normal and above zero.
    pub scale: f32,
    /// The code of 0.0.
    pub zero_point: ZeroPoint,
}

/// Floats to codes, perhaps by a table to others, and back to floats.
///
/// Without a table this is what quantisation-aware training calls fake quantisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requantize {
    quantize: Linear,
    table: Option<Table>,
    dequantize: Linear,
}

impl Requantize {
    /// None if there is no table and the two have codes of different types.
    #[must_use]
    pub fn new(quantize: Linear, table: Option<Table>, dequantize: Linear) -> Option<Self> {
        let alike = quantize.zero_point.is_like(dequantize.zero_point);
        (table.is_some() || alike).then_some(Self {
            quantize,
            table,
            dequantize,
        })
    }

    /// What floats become codes by.
    #[must_use]
    pub fn quantize(&self) -> Linear {
        self.quantize
    }

    /// What these codes become.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// What codes become floats by.
    #[must_use]
    pub fn dequantize(&self) -> Linear {
        self.dequantize
    }
}

/// Codes of two tensors that become codes of a third.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// What the first tensor's codes stand for.
    pub a: Linear,
    /// What the second's do.
    pub b: Linear,
    /// What those of the result are to stand for.
    pub to: Linear,
    /// Whether what is below zero becomes zero.
    pub relu: bool,
}

/// Writes the code of each float.
///
/// # Panics
/// If the lengths differ.
pub fn quantize(x: &[f32], linear: Linear, codes: &mut [u8]) {
    quantize_with(Isa::best(), x, linear, codes);
}

/// [`quantize`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn quantize_with(isa: Isa, x: &[f32], linear: Linear, codes: &mut [u8]) {
    assert_eq!(x.len(), codes.len(), "x and codes differ in length");
    isa.run(loops::Quantize { x, linear, codes });
}

/// Writes the float of each code.
///
/// # Panics
/// If the lengths differ.
pub fn dequantize(codes: &[u8], linear: Linear, y: &mut [f32]) {
    dequantize_with(Isa::best(), codes, linear, y);
}

/// [`dequantize`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn dequantize_with(isa: Isa, codes: &[u8], linear: Linear, y: &mut [f32]) {
    assert_eq!(codes.len(), y.len(), "codes and y differ in length");
    isa.run(loops::Dequantize { codes, linear, y });
}

/// Writes the entry for each code.
///
/// # Panics
/// If the lengths differ.
pub fn look_up(table: &Table, codes: &[u8], found: &mut [u8]) {
    look_up_with(Isa::best(), table, codes, found);
}

/// [`look_up`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn look_up_with(isa: Isa, table: &Table, codes: &[u8], found: &mut [u8]) {
    isa.run(loops::LookUp::apart(table, codes, found));
}

/// Replaces each code by its entry.
pub fn look_up_in_place(table: &Table, codes: &mut [u8]) {
    look_up_in_place_with(Isa::best(), table, codes);
}

/// [`look_up_in_place`] on a given instruction set.
pub fn look_up_in_place_with(isa: Isa, table: &Table, codes: &mut [u8]) {
    isa.run(loops::LookUp::in_place(table, codes));
}

/// Replaces each float by what it is after quantising, looking up and dequantising.
pub fn requantize_in_place(xy: &mut [f32], by: &Requantize) {
    requantize_in_place_with(Isa::best(), xy, by);
}

/// [`requantize_in_place`] on a given instruction set.
pub fn requantize_in_place_with(isa: Isa, xy: &mut [f32], by: &Requantize) {
    isa.run(loops::RequantizeSlice { xy, by });
}

/// Writes the code of each sum.
///
/// # Panics
/// If the lengths differ.
pub fn add(pair: &Pair, a: &[u8], b: &[u8], codes: &mut [u8]) {
    add_with(Isa::best(), pair, a, b, codes);
}

/// [`add`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn add_with(isa: Isa, pair: &Pair, a: &[u8], b: &[u8], codes: &mut [u8]) {
    assert_eq!(a.len(), codes.len(), "a and codes differ in length");
    assert_eq!(b.len(), codes.len(), "b and codes differ in length");
    isa.run(pairs::Sum { pair, a, b, codes });
}

/// Writes the code of each product: `b` has one code for each of the planes that `a` is made of.
///
/// # Panics
/// If the lengths of `a` and `codes` differ, or that of `b` does not divide them.
pub fn scale_planes(pair: &Pair, a: &[u8], b: &[u8], codes: &mut [u8]) {
    scale_planes_with(Isa::best(), pair, a, b, codes);
}

/// [`scale_planes`] on a given instruction set.
///
/// # Panics
/// As [`scale_planes`].
pub fn scale_planes_with(isa: Isa, pair: &Pair, a: &[u8], b: &[u8], codes: &mut [u8]) {
    assert_eq!(a.len(), codes.len(), "a and codes differ in length");
    let whole = if b.is_empty() {
        a.is_empty()
    } else {
        a.len().is_multiple_of(b.len())
    };
    assert!(whole, "{} codes in {} planes", a.len(), b.len());
    if !a.is_empty() {
        isa.run(pairs::Product { pair, a, b, codes });
    }
}

/// Writes the code of each pair.
///
/// # Panics
/// If the lengths of `a` and `codes` differ, or that of `b`, or if that of planes does not divide them.
pub fn combine(by: &QLinear, a: &[u8], b: Second<'_>, codes: &mut [u8]) {
    combine_with(Isa::best(), by, a, b, codes);
}

/// [`combine`] in scalar code, one by one.
///
/// # Panics
/// As [`combine`].
pub fn combine_one_by_one(by: &QLinear, a: &[u8], b: Second<'_>, codes: &mut [u8]) {
    assert_combined(a, b, codes);
    qlinear::one_by_one(by, a, b, codes);
}

/// [`combine`] on a given instruction set.
///
/// # Panics
/// As [`combine`].
pub fn combine_with(isa: Isa, by: &QLinear, a: &[u8], b: Second<'_>, codes: &mut [u8]) {
    assert_combined(a, b, codes);
    isa.run(qlinear::Combine { by, a, b, codes });
}

fn assert_combined(a: &[u8], b: Second<'_>, codes: &[u8]) {
    assert_eq!(a.len(), codes.len(), "a and codes differ in length");
    match b {
        Second::Each(b) => assert_eq!(b.len(), codes.len(), "b and codes differ in length"),
        Second::Planes([]) => assert!(a.is_empty(), "{} codes in no planes", a.len()),
        Second::Planes(b) => {
            let whole = a.len().is_multiple_of(b.len());
            assert!(whole, "{} codes in {} planes", a.len(), b.len());
        }
    }
}

/// Writes the float of the sum of each plane: `f32(Σ (code − zero point))·scale`, where the sum is exact.
///
/// # Panics
/// If the number of sums does not divide that of the codes.
pub fn plane_sums(codes: &[u8], linear: Linear, sums: &mut [f32]) {
    plane_sums_with(Isa::best(), codes, linear, sums);
}

/// [`plane_sums`] on a given instruction set.
///
/// # Panics
/// As [`plane_sums`].
pub fn plane_sums_with(isa: Isa, codes: &[u8], linear: Linear, sums: &mut [f32]) {
    let (len, planes) = (codes.len(), sums.len());
    let whole = if planes == 0 {
        len == 0
    } else {
        len.is_multiple_of(planes)
    };
    assert!(whole, "{len} codes in {planes} planes");
    if codes.is_empty() {
        sums.fill(0.0);
        return;
    }
    isa.run(pairs::PlaneSums {
        codes,
        linear,
        sums,
    });
}
