//! What exact sums become: codes, floats, or nothing else.
//! Given: registers of sums, and the factor of each output channel.
//! Promise: the arithmetic that [`Ending`] states, the same bits on every instruction set, but for activations of floats, whose formulas are
//! the set's.

use onnx_swish_kernels::codes::{CodeType, Linear};
use onnx_swish_simd::{Dot, DotKernel, Format, Memory, Registers, Simd};

use super::spec::{Dynamic, Ending, QBias, QSpec, QWeights};
use crate::Activation;
use crate::epilogue::Prepared;

/// An [`Ending`] with its constants.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish {
    Sums,
    Floats(Prepared),
    Codes {
        /// The activation on floats and the scale of the codes, unless the factors of the channels have both and no quotient comes near
        /// the end of an i32.
        by_way_of_floats: Option<(Prepared, f32)>,
        /// The type's range, less the zero point.
        range: [f32; 2],
        zero_point: i32,
        signed: bool,
    },
}

/// The constants of output channels, each list as long as there are rows in the tiles.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// Added to the sums.
    pub bias: Vec<i32>,
    /// The sum of the weights: what a zero point is multiplied by.
    pub weights: Vec<i32>,
    /// What a sum is multiplied by.
    pub factors: Vec<f32>,
    /// Added to floats.
    pub offsets: Vec<f32>,
    /// The largest sum times its factor.
    most: f32,
}

/// The constants of some of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct SomeChannels<'a> {
    pub bias: &'a [i32],
    pub weights: &'a [i32],
    pub factors: &'a [f32],
    pub offsets: &'a [f32],
}

/// The largest quotient that is finished without being clamped first.
const MOST_QUOTIENT: f32 = (1u32 << 30) as f32;

impl Finish {
    /// For a spec, and the constants of its channels.
    pub(super) fn new(spec: &QSpec, bias: &QBias, channels: &Channels) -> Finish {
        match spec.ending {
            Ending::Sums => Finish::Sums,
            Ending::Floats(activation) => Finish::Floats(activation.prepare()),
            Ending::Codes(output, activation) => {
                let codes = output.zero_point.codes();
                let zero_point = i32::from(output.zero_point.value());
                Finish::Codes {
                    by_way_of_floats: if divisor(spec, bias).is_none() {
                        Some((activation.prepare(), output.scale))
                    } else if channels.most < MOST_QUOTIENT {
                        None
                    } else {
                        // The factors are what they are; this way clamps.
                        Some((Prepared::None, 1.0))
                    },
                    range: codes.range().map(|end| (end - zero_point) as f32),
                    zero_point,
                    signed: codes == CodeType::I8,
                }
            }
        }
    }

    /// Bytes of an element that is stored.
    pub(super) fn element_bytes(&self) -> usize {
        match self {
            Finish::Sums | Finish::Floats(_) => 4,
            Finish::Codes { .. } => 1,
        }
    }
}

/// The scale that is part of the factors, if it is.
fn divisor(spec: &QSpec, bias: &QBias) -> Option<f32> {
    match (spec.ending, bias) {
        (Ending::Codes(output, Activation::None), QBias::None | QBias::Sums(_)) => {
            Some(output.scale)
        }
        _ => None,
    }
}

impl Channels {
    /// Those of all groups, each group's up to a multiple of `rows`, zeros where there is no channel.
    pub(super) fn new(spec: &QSpec, weights: &QWeights, bias: &QBias, rows: usize) -> Channels {
        let mut channels = Channels::default();
        let group = spec.out_channels / spec.groups;
        let depth = spec.macs_per_output();
        let divisor = divisor(spec, bias);
        for (channel, row) in weights.bytes.chunks(depth).enumerate() {
            let total: i32 = row.iter().map(|byte| weights.value(channel, *byte)).sum();
            let scale = spec.input.scale * weights.scale(channel);
            let factor = divisor.map_or(scale, |divisor| scale / divisor);
            let most = spec.largest_sum(weights, bias, channel, row) as f32 * factor;
            // Infinite times zero is beyond all quotients, too.
            let most = if most.is_nan() { f32::INFINITY } else { most };
            channels.most = channels.most.max(most);
            channels.weights.push(total);
            channels.factors.push(factor);
            channels.bias.push(match bias {
                QBias::Sums(bias) => bias[channel],
                QBias::None | QBias::Floats(_) => 0,
            });
            channels.offsets.push(match bias {
                QBias::Floats(bias) => bias[channel],
                QBias::None | QBias::Sums(_) => 0.0,
            });
            if (channel + 1).is_multiple_of(group) {
                let len = channels.bias.len().next_multiple_of(rows);
                channels.bias.resize(len, 0);
                channels.weights.resize(len, 0);
                channels.factors.resize(len, 0.0);
                channels.offsets.resize(len, 0.0);
            }
        }
        channels
    }

    pub(super) fn bytes(&self) -> usize {
        16 * self.bias.len()
    }

    /// So many from the first on.
    pub(super) fn some(&self, first: usize, count: usize) -> SomeChannels<'_> {
        SomeChannels {
            bias: &self.bias[first..][..count],
            weights: &self.weights[first..][..count],
            factors: &self.factors[first..][..count],
            offsets: &self.offsets[first..][..count],
        }
    }
}

/// What is known when the convolution runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// What fields of words hold for zero.
    pub zero_point: i32,
    /// The byte that stands for zero.
    pub padding: u8,
    /// What bytes are xored with on their way into words.
    pub flip: u8,
    /// Of all factors.
    pub scale: f32,
}

impl Call {
    pub(super) fn new(format: Format, input: Linear, dynamic: Option<Dynamic>) -> Call {
        let dynamic = dynamic.unwrap_or(Dynamic {
            scale: 1.0,
            zero_point: input.zero_point.value().into(),
        });
        // Bytes become codes of u8, which words may hold less 128.
        let codes = input.zero_point.codes();
        let [smallest, _] = codes.range();
        let held = if format.flip == 0 { 0 } else { 128 };
        Call {
            zero_point: dynamic.zero_point - smallest - held,
            padding: dynamic.zero_point as u8,
            // What makes a code of u8 of one of this type: its distance from the smallest.
            flip: smallest as u8 ^ format.flip,
            scale: dynamic.scale,
        }
    }
}

/// Where registers go that are `[row][vector]`: rows apart, vectors one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The first element.
    pub at: *mut u8,
    /// Bytes from one row to the next.
    pub row_step: usize,
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
}

/// Factors and offsets of the rows of registers.
pub(super) trait Constants<S: Simd>: Copy {
    fn factor(self, s: S, row: usize) -> S::V;
    fn offset(self, s: S, row: usize) -> S::V;
}

/// Each row is a channel.
#[derive(Clone, Copy)]
pub(super) struct OfRows<'a>(pub SomeChannels<'a>, pub Call);

impl<S: Simd> Constants<S> for OfRows<'_> {
    #[inline(always)]
    fn factor(self, s: S, row: usize) -> S::V {
        s.splat(self.0.factors[row] * self.1.scale)
    }
    #[inline(always)]
    fn offset(self, s: S, row: usize) -> S::V {
        s.splat(self.0.offsets[row])
    }
}

/// The same for all rows: each lane is a channel, or there is one channel only.
#[derive(Clone, Copy)]
pub(super) struct OfAll<V>(pub V, pub V);

impl<S: Simd> Constants<S> for OfAll<S::V> {
    #[inline(always)]
    fn factor(self, _: S, _: usize) -> S::V {
        self.0
    }
    #[inline(always)]
    fn offset(self, _: S, _: usize) -> S::V {
        self.1
    }
}

impl Finish {
    /// What the sums of a channel start from.
    #[inline(always)]
    pub(super) fn start(channels: &SomeChannels, call: &Call, channel: usize) -> u32 {
        let zeros = channels.weights[channel].wrapping_mul(call.zero_point);
        channels.bias[channel].wrapping_sub(zeros).cast_unsigned()
    }

    /// Stores registers of sums.
    ///
    /// # Safety
    /// The target's rows, `M` at most, have room for its columns, which are `N` vectors at most.
    #[inline(always)]
    pub(super) unsafe fn store<D: Dot, const N: usize, const M: usize>(
        &self,
        d: D,
        sums: [[Sums<D>; N]; M],
        constants: impl Constants<D::S>,
        target: &Target,
    ) {
        let s = d.simd();
        match self {
            Finish::Sums => {
                unrolled!(m < M, of 8, {
                    unrolled!(n < N, of 3, {
                        // SAFETY: the caller's promise.
                        unsafe { target.words(s, m, n, s.from_bits(sums[m][n])) };
                    });
                });
            }
            Finish::Codes {
                by_way_of_floats: None,
                zero_point,
                signed,
                ..
            } => {
                let zero = s.int_splat(zero_point.cast_unsigned());
                unrolled!(m < M, of 8, {
                    if m < target.rows {
                        let factor = constants.factor(s, m);
                        let mut codes = [zero; N];
                        unrolled!(n < N, of 3, {
                            let float = s.mul(d.to_float(sums[m][n]), factor);
                            codes[n] = s.int_add(d.nearest(float), zero);
                        });
                        let at = target.at.wrapping_add(m * target.row_step);
                        // SAFETY: the caller's promise.
                        unsafe { d.store_saturated(at, codes, target.columns, *signed) };
                    }
                });
            }
            Finish::Floats(_) | Finish::Codes { .. } => {
                let mut floats = to_floats(d, &sums, constants);
                // One function for all loops instead of a copy in each: it is long.
                d.vectorize(StoreFloats {
                    finish: self,
                    floats: floats.as_mut_ptr().cast(),
                    rows: M.min(target.rows),
                    vectors: N,
                    target,
                });
            }
        }
    }
}

/// Finishes floats that are in memory.
struct StoreFloats<'a> {
    finish: &'a Finish,
    /// Registers, `[row][vector]`.
    floats: *const f32,
    rows: usize,
    vectors: usize,
    /// Has room, as the caller of [`Finish::store`] promised.
    target: &'a Target,
}

impl DotKernel for StoreFloats<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        let s = d.simd();
        for row in 0..self.rows {
            for vector in 0..self.vectors {
                let at = (row * self.vectors + vector) * D::S::LANES;
                // SAFETY: `store`, the one caller, has so many registers there.
                let mut floats = [[unsafe { s.load(self.floats.wrapping_add(at)) }]];
                match self.finish {
                    Finish::Sums => {}
                    Finish::Floats(activation) => {
                        activation.apply(s, &mut floats);
                        // SAFETY: the target has room.
                        unsafe { self.target.words(s, row, vector, floats[0][0]) };
                    }
                    Finish::Codes {
                        by_way_of_floats,
                        range,
                        zero_point,
                        signed,
                    } => {
                        if let Some((activation, scale)) = by_way_of_floats {
                            activation.apply(s, &mut floats);
                            floats[0][0] = s.div(floats[0][0], s.splat(*scale));
                        }
                        let [low, high] = [s.splat(range[0]), s.splat(range[1])];
                        let inside = s.min(s.max(floats[0][0], low), high);
                        let zero_point = s.int_splat(zero_point.cast_unsigned());
                        let code = s.int_add(d.nearest(inside), zero_point);
                        // SAFETY: the target has room.
                        unsafe { self.target.codes(d, row, vector, code, *signed) };
                    }
                }
            }
        }
    }
}

/// A register of sums.
pub(super) type Sums<D> = <<D as Dot>::S as Simd>::I;

/// A register of f32.
pub(super) type Floats<D> = <<D as Dot>::S as Registers>::V;

/// Sums times factors plus offsets: two roundings on every set, so that all have the same bits.
#[inline(always)]
fn to_floats<D: Dot, const N: usize, const M: usize>(
    d: D,
    sums: &[[Sums<D>; N]; M],
    constants: impl Constants<D::S>,
) -> [[Floats<D>; N]; M] {
    let s = d.simd();
    let mut floats = [[s.splat(0.0); N]; M];
    unrolled!(m < M, of 8, {
        let (factor, offset) = (constants.factor(s, m), constants.offset(s, m));
        unrolled!(n < N, of 3, {
            floats[m][n] = s.add(s.mul(d.to_float(sums[m][n]), factor), offset);
        });
    });
    floats
}

impl Target {
    /// Where vector `n` of row `m` goes, and how much of it.
    #[inline(always)]
    fn place(&self, lanes: usize, bytes: usize, m: usize, n: usize) -> (*mut u8, usize) {
        let at = self.at.wrapping_add(m * self.row_step + n * lanes * bytes);
        let len = if m < self.rows {
            self.columns.saturating_sub(n * lanes).min(lanes)
        } else {
            0
        };
        (at, len)
    }

    /// Stores a vector of codes.
    ///
    /// # Safety
    /// As [`Finish::store`].
    #[inline(always)]
    unsafe fn codes<D: Dot>(&self, d: D, m: usize, n: usize, codes: Sums<D>, signed: bool) {
        let (at, len) = self.place(D::S::LANES, 1, m, n);
        if len > 0 {
            // SAFETY: the caller's promise.
            unsafe { d.store_saturated(at, [codes], len, signed) };
        }
    }

    /// Stores a vector of words.
    ///
    /// # Safety
    /// As [`Finish::store`].
    #[inline(always)]
    unsafe fn words<S: Simd>(&self, s: S, m: usize, n: usize, v: S::V) {
        let (at, len) = self.place(S::LANES, 4, m, n);
        let at = at.cast::<f32>();
        // SAFETY: the caller's promise.
        unsafe {
            if len == S::LANES {
                s.store(at, v);
            } else if len > 0 {
                s.store_lanes(at, v, s.lanes(0, len));
            }
        }
    }
}
