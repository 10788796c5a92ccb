//! The functions on registers against those on slices.
//!
//! Given ordinary values with outliers and special ones among them; promises equal bits.

use crate::arch::portable;
use crate::*;

fn values() -> Vec<f32> {
    let special = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e30,
        -100.0,
        -88.5,
        0.0,
        -0.0,
        1e-42,
    ];
    (0..640u16)
        .map(|i| match special.get(usize::from(i % 61)) {
            Some(x) => *x,
            None => (f32::from(i) * 0.37).sin() * 9.0,
        })
        .collect()
}

fn same(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            "{what}: {a:e} and {b:e}"
        );
    }
}

/// What the functions on registers give, by way of memory.
macro_rules! through_lanes {
    ($name:ident, $module:ident, $n:literal, $features:literal, $load:ident, $store:ident) => {
        #[target_feature(enable = $features)]
        fn $name(x: &[f32], constants: &SwishConstants) -> [Vec<f32>; 4] {
            use crate::arch::x86_64::$module::*;
            use std::arch::x86_64::*;

            let mut all = [const { Vec::new() }; 4];
            for x in x.chunks_exact($n) {
                // SAFETY: a chunk is as long as a register.
                let v = unsafe { $load(x.as_ptr()) };
                let results = [
                    silu_lanes(v),
                    swish_lanes(v, constants),
                    hard_swish_lanes(v),
                    sloped_hard_swish_lanes(v, 0.2, 0.4),
                ];
                for (all, v) in all.iter_mut().zip(results) {
                    let mut y = [0.0; $n];
                    // SAFETY: as above.
                    unsafe { $store(y.as_mut_ptr(), v) };
                    all.extend(y);
                }
            }
            all
        }
    };
}

through_lanes!(
    avx512,
    avx512,
    16,
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c",
    _mm512_loadu_ps,
    _mm512_storeu_ps
);
through_lanes!(
    avx2,
    avx2,
    8,
    "avx2,fma,f16c",
    _mm256_loadu_ps,
    _mm256_storeu_ps
);

#[test]
fn registers_give_what_slices_give() {
    let x = values();
    let constants = SwishConstants::new(-1.3);
    for isa in Isa::available() {
        let results = match isa {
            // SAFETY: the token in the variant is proof of the instructions.
            Isa::Avx512(_) => unsafe { avx512(&x, &constants) },
            // SAFETY: as above.
            Isa::Avx2(_) => unsafe { avx2(&x, &constants) },
            _ => [
                x.iter().map(|x| portable::silu_lane(*x)).collect(),
                x.iter()
                    .map(|x| portable::swish_lane(*x, &constants))
                    .collect(),
                x.iter().map(|x| portable::hard_swish_lane(*x)).collect(),
                x.iter()
                    .map(|x| portable::sloped_hard_swish_lane(*x, 0.2, 0.4))
                    .collect(),
            ],
        };
        let mut y = x.clone();
        silu_in_place_with(isa, &mut y);
        same(&results[0], &y, "silu");
        y.copy_from_slice(&x);
        swish_in_place_with(isa, &mut y, -1.3);
        same(&results[1], &y, "swish");
        y.copy_from_slice(&x);
        hard_swish_in_place_with(isa, &mut y);
        same(&results[2], &y, "hard_swish");
        y.copy_from_slice(&x);
        sloped_hard_swish_in_place_with(isa, &mut y, 0.2, 0.4);
        same(&results[3], &y, "sloped_hard_swish");
    }
}
