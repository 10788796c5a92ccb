//! Every operation on codes of every set against scalar code.
//!
//! Given codes and weights at both ends and between them; promises equal sums, and none that saturates.

use onnx_swish_simd::{Dot, DotIsa, DotKernel, Isa, Memory, Registers, Simd};

/// The most lanes that any set has.
const MOST: usize = 64;

/// Runs the body as a kernel on every set of this machine, tests' own among them.
macro_rules! on_every_set {
    (|$d:ident: $D:ident| $body:block) => {{
        struct Body;
        impl DotKernel for Body {
            type Output = ();
            #[inline(always)]
            fn run<$D: Dot>(self, $d: $D) $body
        }
        let names: Vec<_> = DotIsa::available().into_iter().map(DotIsa::name).collect();
        assert!(names.contains(&"portable") && names.contains(&"imaginary"), "{names:?}");
        for set in DotIsa::available() {
            set.run(Body);
        }
    }};
}

fn lanes_of<D: Dot>(d: D, words: <D::S as Simd>::I) -> Vec<u32> {
    let s = d.simd();
    let mut lanes = vec![0f32; MOST];
    // SAFETY: an array of the most lanes there are.
    unsafe { s.store(lanes.as_mut_ptr(), s.from_bits(words)) };
    lanes.truncate(D::S::LANES);
    lanes.into_iter().map(f32::to_bits).collect()
}

fn register<D: Dot>(d: D, lanes: &[u32]) -> <D::S as Simd>::I {
    let s = d.simd();
    let lanes: Vec<f32> = lanes.iter().map(|lane| f32::from_bits(*lane)).collect();
    assert_eq!(lanes.len(), D::S::LANES);
    // SAFETY: as many as a register has.
    s.to_bits(unsafe { s.load(lanes.as_ptr()) })
}

/// A word of these fields.
fn word(group: usize, fields: &[i32]) -> u32 {
    let bits = 32 / group as u32;
    let mask = (1u64 << bits) - 1;
    (0..group).fold(0, |word, i| {
        word | ((fields[i] as u64 & mask) as u32) << (bits * i as u32)
    })
}

#[test]
fn sums_are_exact_where_pairs_of_products_leave_16_bits() {
    on_every_set!(|d: D| {
        let format = D::FORMAT;
        let group = format.group;
        // What a field holds of a code of u8.
        let stored = |code: u8| match (group, format.flip) {
            (4, 0x80) => i32::from((code ^ 0x80).cast_signed()),
            _ => i32::from(code),
        };
        let offset = stored(0);
        let lanes = D::S::LANES;
        for code in [0u8, 1, 127, 128, 254, 255] {
            for weight in [-128, -127, -1, 0, 1, 126, 127] {
                for start in [0i32, -5, i32::MAX, i32::MIN] {
                    let codes = word(group, &[stored(code); 4]);
                    let weights = word(group, &[weight; 4]);
                    let sum = d.dot(
                        register(d, &vec![start.cast_unsigned(); lanes]),
                        register(d, &vec![codes; lanes]),
                        register(d, &vec![weights; lanes]),
                    );
                    let exact = i64::from(start)
                        + group as i64 * i64::from(i32::from(code) + offset) * i64::from(weight);
                    let expected = vec![exact as u32; lanes];
                    assert_eq!(lanes_of(d, sum), expected, "{start} + {code} x {weight}");
                }
            }
        }
        // Fields do not mix.
        let codes = [3u8, 200, 7, 255];
        let weights = [5, -11, 127, -128];
        let sum = d.dot(
            d.simd().int_splat(0),
            d.simd().int_splat(word(group, &codes.map(stored))),
            d.simd().int_splat(word(group, &weights)),
        );
        let expected = (0..group)
            .map(|i| stored(codes[i]) * weights[i])
            .sum::<i32>();
        assert_eq!(lanes_of(d, sum), vec![expected.cast_unsigned(); lanes]);
    });
}

#[test]
fn words_of_rows_and_of_neighbours() {
    on_every_set!(|d: D| {
        let (lanes, group) = (D::S::LANES, D::FORMAT.group);
        let bytes: Vec<u8> = (0..2000u32).map(|i| (i * 7 + i / 256) as u8).collect();
        let fields = |at: &dyn Fn(usize) -> u8| {
            let bits = 32 / group as u32;
            (0..group).fold(0, |word, field| {
                word | u32::from(at(field)) << (bits * field as u32)
            })
        };
        let row = |i: usize| bytes[300 * i + 1..].as_ptr();
        for flip in [0, 0x80] {
            // SAFETY: more than 256 bytes follow each.
            let words = unsafe { d.interleave([row(0), row(1), row(2), row(3)], flip) };
            for (v, words) in words.into_iter().enumerate() {
                for (i, word) in lanes_of(d, words).into_iter().enumerate() {
                    let at = |row: usize| bytes[300 * row + 1 + v * lanes + i] ^ flip;
                    assert_eq!(word, fields(&at), "register {v}, lane {i}, flip {flip}");
                }
            }
        }
        for stride in 1..=5 {
            // SAFETY: at most 64 · 5 + 64 bytes.
            let words = unsafe { d.neighbours(bytes[3..].as_ptr(), stride) };
            for (i, word) in lanes_of(d, words).into_iter().enumerate() {
                assert_eq!(
                    word,
                    fields(&|field| bytes[3 + i * stride + field]),
                    "{stride}, {i}"
                );
            }
        }
    });
}

#[test]
fn integers_become_floats_and_back() {
    on_every_set!(|d: D| {
        let (s, lanes) = (d.simd(), D::S::LANES);
        for i in [
            0,
            1,
            -1,
            255,
            -128,
            16_777_217,
            -16_777_219,
            i32::MAX,
            i32::MIN,
        ] {
            let floats = d.to_float(s.int_splat(i.cast_unsigned()));
            assert_eq!(
                lanes_of(d, s.to_bits(floats)),
                vec![(i as f32).to_bits(); lanes]
            );
        }
        for x in [
            0.0f32,
            0.5,
            1.5,
            2.5,
            -0.5,
            -1.5,
            0.499_999_97,
            127.5,
            -254.5,
            4_194_304.0,
        ] {
            let nearest = lanes_of(d, d.nearest(s.splat(x)));
            assert_eq!(
                nearest,
                vec![(x.round_ties_even() as i32).cast_unsigned(); lanes]
            );
        }
        for x in [8e6f32, 1e9] {
            for x in [x, -x] {
                let nearest = lanes_of(d, d.nearest(s.splat(x)));
                let beyond = |i: &u32| f64::from(i.cast_signed()) * f64::from(x.signum()) >= 4e6;
                assert!(nearest.iter().all(beyond), "{x}: {nearest:?}");
            }
        }
    });
}

#[test]
fn integers_are_stored_as_the_nearest_codes() {
    on_every_set!(|d: D| {
        let lanes = D::S::LANES;
        let ends = [
            0,
            255,
            256,
            127,
            128,
            -1,
            -128,
            -129,
            70_000,
            -70_000,
            1 << 30,
            -(1 << 30),
        ];
        let all: Vec<i32> = (0..3 * lanes)
            .map(|i| ends[i * 7 % ends.len()] + i as i32 / 5)
            .collect();
        let words = |v: usize| {
            let lanes: Vec<u32> = all[v * lanes..][..lanes]
                .iter()
                .map(|i| i.cast_unsigned())
                .collect();
            register(d, &lanes)
        };
        for signed in [false, true] {
            let [low, high] = if signed { [-128, 127] } else { [0, 255] };
            for n in 0..=3 * lanes {
                let mut bytes = vec![0x55u8; 3 * MOST + 8];
                let to = bytes.as_mut_ptr();
                // SAFETY: n of them, which so many registers have.
                unsafe {
                    match n.div_ceil(lanes) {
                        0 | 1 => d.store_saturated(to, [words(0)], n, signed),
                        2 => d.store_saturated(to, [words(0), words(1)], n, signed),
                        _ => d.store_saturated(to, [words(0), words(1), words(2)], n, signed),
                    }
                }
                for (i, byte) in bytes.into_iter().enumerate() {
                    let expected = if i < n {
                        all[i].clamp(low, high) as u8
                    } else {
                        0x55
                    };
                    assert_eq!(byte, expected, "byte {i} of {n}");
                }
            }
        }
    });
}

#[test]
fn every_set_on_floats_has_one_on_codes() {
    for isa in Isa::available() {
        let dot = DotIsa::of(isa);
        assert!(dot.isa() == isa.name() || dot.name() == "portable");
        assert_eq!(dot.to_string(), dot.name());
        if dot.isa() == isa.name() {
            assert_eq!(
                (dot.lanes(), dot.registers()),
                (isa.lanes(), isa.registers())
            );
        }
    }
    // The fastest first.
    for dot in DotIsa::available() {
        let first = DotIsa::available()
            .into_iter()
            .find(|other| other.isa() == dot.isa());
        let isa: Isa = dot.isa().parse().unwrap();
        assert_eq!(first, Some(DotIsa::of(isa)));
    }
}
