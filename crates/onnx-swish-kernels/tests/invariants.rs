//! What holds besides the error bounds: place, length, neighbours, limits in β, signs, special values.

use half::{bf16, f16};
use onnx_swish_kernels::*;
use proptest::prelude::*;

/// Bit patterns, for comparisons that tell zeros and NaN apart.
trait Bits: Element + std::fmt::Debug {
    fn from_word(word: u64) -> Self;
    fn bits(self) -> u64;
}

macro_rules! bits {
    ($type:ty, $word:ty) => {
        impl Bits for $type {
            fn from_word(word: u64) -> Self {
                <$type>::from_bits(word as $word)
            }
            fn bits(self) -> u64 {
                // One pattern for all NaN.
                if self.is_nan() {
                    u64::MAX
                } else {
                    self.to_bits().into()
                }
            }
        }
    };
}

bits!(f32, u32);
bits!(f64, u64);
bits!(f16, u16);
bits!(bf16, u16);

/// Values among which ordinary ones prevail and outliers, infinities and NaN occur.
fn values<T: Bits>(n: usize, ordinary: impl Fn(f32) -> T) -> Vec<T> {
    let value = |i: usize| {
        let word = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if word >> 60 == 0 {
            T::from_word(word >> 7)
        } else {
            ordinary((i as f32 * 0.37).sin() * 9.0)
        }
    };
    (0..n).map(value).collect()
}

fn same<T: Bits>(a: &[T], b: &[T], what: &str) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.bits(), b.bits(), "{what}, element {i}: {a:?} and {b:?}");
    }
}

/// A function on a slice that starts at some place of a longer one.
type InPlace<'a, T> = Box<dyn Fn(Isa, &mut [T], usize) + 'a>;

/// Every function in place, applied to one type.
fn functions<T: Bits>(betas: &[T]) -> Vec<(&'static str, InPlace<'_, T>)> {
    vec![
        ("silu", Box::new(|isa, x, _| silu_in_place_with(isa, x))),
        (
            "swish",
            Box::new(|isa, x, _| swish_in_place_with(isa, x, T::Param::from(-0.7))),
        ),
        (
            "lockstep",
            Box::new(|isa, x, at| swish_lockstep_in_place_with(isa, x, &betas[at..at + x.len()])),
        ),
        (
            "hard_swish",
            Box::new(|isa, x, _| hard_swish_in_place_with(isa, x)),
        ),
        (
            "sigmoid",
            Box::new(|isa, x, _| sigmoid_in_place_with(isa, x)),
        ),
        (
            "hard_sigmoid",
            Box::new(|isa, x, _| {
                hard_sigmoid_in_place_with(isa, x, T::Param::from(0.2), T::Param::from(0.5));
            }),
        ),
    ]
}

fn results_do_not_depend_on_place_or_length<T: Bits>(ordinary: impl Fn(f32) -> T + Copy) {
    let x = values(700, ordinary);
    let betas: Vec<T> = (0..x.len())
        .map(|i| ordinary(i as f32 * 0.011 - 3.0))
        .collect();
    for isa in Isa::available() {
        for (name, function) in functions(&betas) {
            // One element at a time is the reference: no neighbours at all.
            let mut alone = x.clone();
            for (i, x) in alone.chunks_mut(1).enumerate() {
                function(isa, x, i);
            }
            for offset in 0..40 {
                for length in (0..80).chain([127, 128, 129, 255, 256, 257, 511, 640]) {
                    let mut y = x.clone();
                    function(isa, &mut y[offset..offset + length], offset);
                    let mut expected = x.clone();
                    expected[offset..offset + length]
                        .copy_from_slice(&alone[offset..offset + length]);
                    // Also: what lies before and after is not written.
                    same(
                        &y,
                        &expected,
                        &format!("{name} on {isa}, {length} from {offset}"),
                    );
                }
            }
        }
    }
}

#[test]
fn f32_results_do_not_depend_on_place_or_length() {
    results_do_not_depend_on_place_or_length(|x| x);
}

#[test]
fn f64_results_do_not_depend_on_place_or_length() {
    results_do_not_depend_on_place_or_length(f64::from);
}

#[test]
fn f16_results_do_not_depend_on_place_or_length() {
    results_do_not_depend_on_place_or_length(f16::from_f32);
}

#[test]
fn bf16_results_do_not_depend_on_place_or_length() {
    results_do_not_depend_on_place_or_length(bf16::from_f32);
}

fn out_of_place_is_in_place<T: Bits>(ordinary: impl Fn(f32) -> T + Copy) {
    let zero = T::from_word(0);
    for n in [0, 1, 5, 63, 64, 65, 600] {
        let x = values(n, ordinary);
        let beta = T::Param::from(1.3);
        for isa in Isa::available() {
            let (mut a, mut b) = (vec![zero; n], x.clone());
            silu_with(isa, &x, &mut a);
            silu_in_place_with(isa, &mut b);
            same(&a, &b, "silu");
            let (mut a, mut b) = (vec![zero; n], x.clone());
            swish_with(isa, &x, beta, &mut a);
            swish_in_place_with(isa, &mut b, beta);
            same(&a, &b, "swish");
            let (mut a, mut b) = (vec![zero; n], x.clone());
            swish_lockstep_with(isa, &x, &x, &mut a);
            swish_lockstep_in_place_with(isa, &mut b, &x);
            same(&a, &b, "swish_lockstep");
            let (mut a, mut b) = (vec![zero; n], x.clone());
            hard_swish_with(isa, &x, &mut a);
            hard_swish_in_place_with(isa, &mut b);
            same(&a, &b, "hard_swish");
            let (mut a, mut b) = (vec![zero; n], x.clone());
            sigmoid_with(isa, &x, &mut a);
            sigmoid_in_place_with(isa, &mut b);
            same(&a, &b, "sigmoid");
            let (mut a, mut b) = (vec![zero; n], x.clone());
            hard_sigmoid_with(isa, &x, beta, beta, &mut a);
            hard_sigmoid_in_place_with(isa, &mut b, beta, beta);
            same(&a, &b, "hard_sigmoid");
        }
    }
}

#[test]
fn out_of_place_gives_what_in_place_gives() {
    out_of_place_is_in_place::<f32>(|x| x);
    out_of_place_is_in_place::<f64>(f64::from);
    out_of_place_is_in_place::<f16>(f16::from_f32);
    out_of_place_is_in_place::<bf16>(bf16::from_f32);
}

#[test]
fn per_channel_is_swish_of_each_plane() {
    let betas = [0.3f32, 1.0, -2.0, 0.0, 7.5];
    for inner in [1, 2, 7, 49, 64, 130] {
        let x = values(3 * betas.len() * inner, |x| x);
        for isa in Isa::available() {
            let mut y = vec![0.0; x.len()];
            swish_per_channel_with(isa, &x, &betas, inner, &mut y);
            let mut in_place = x.clone();
            swish_per_channel_in_place_with(isa, &mut in_place, &betas, inner);
            same(&y, &in_place, "in place");
            for (plane, (x, y)) in x.chunks(inner).zip(y.chunks(inner)).enumerate() {
                for (x, y) in x.iter().zip(y) {
                    let exact = {
                        let x = f64::from(*x);
                        x / (1.0 + (-f64::from(betas[plane % betas.len()]) * x).exp())
                    };
                    let close = (f64::from(*y) - exact).abs() <= 3e-7 * exact.abs() + 1e-44;
                    assert!(
                        close || (y.is_nan() && exact.is_nan()),
                        "{isa}: {x:e} {y:e} {exact:e}"
                    );
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "no whole number of 3 channels of 4")]
fn per_channel_refuses_a_length_that_does_not_fit() {
    swish_per_channel_in_place(&mut [0.0f32; 25], &[1.0; 3], 4);
}

#[test]
#[should_panic(expected = "x and y differ in length")]
fn lengths_that_differ_are_refused() {
    silu(&[0.0f32; 3], &mut [0.0; 4]);
}

#[test]
fn infinities_are_what_the_function_bodies_give() {
    for isa in Isa::available() {
        let special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0];
        let (mut silu, mut hard) = (special, special);
        silu_in_place_with(isa, &mut silu);
        hard_swish_in_place_with(isa, &mut hard);
        for y in [silu, hard] {
            assert_eq!(y[0], f32::INFINITY);
            assert!(y[1].is_nan() && y[2].is_nan());
            assert_eq!((y[3].to_bits(), y[4].to_bits()), (0, 1 << 31));
        }
    }
}

#[test]
fn gates_end_at_zero_and_one_and_keep_nan() {
    for isa in Isa::available() {
        let special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -103.0];
        let (mut soft, mut hard) = (special, special);
        sigmoid_in_place_with(isa, &mut soft);
        hard_sigmoid_in_place_with(isa, &mut hard, 0.2, 0.5);
        for y in [soft, hard] {
            assert_eq!((y[0], y[1]), (1.0, 0.0));
            assert!(y[2].is_nan());
        }
        // e⁻¹⁰³ is the smallest subnormal, rounded.
        assert_eq!((soft[3], hard[3]), (f32::from_bits(1), 0.0));
    }
}

/// A signalling NaN must not hide an outlier that shares its lanes from the check for outliers.
#[test]
fn signalling_nan_hides_no_neighbour() {
    let signalling = f32::from_bits(0x7f80_0001);
    for isa in Isa::available() {
        for (nan, far) in [
            (0, 16),
            (16, 0),
            (0, 8),
            (8, 0),
            (32, 48),
            (16, 48),
            (8, 24),
            (24, 16),
        ] {
            let mut x = [1.0f32; 64];
            x[nan] = signalling;
            x[far] = 1000.0;
            silu_in_place_with(isa, &mut x);
            assert!(
                x[nan].is_nan() && x[far] == 1000.0,
                "{isa} {nan} {far}: {}",
                x[far]
            );
        }
    }
}

#[test]
fn beta_zero_halves_and_huge_beta_is_relu() {
    let x: Vec<f32> = (-1000..1000).map(|i| i as f32 * 0.017).collect();
    for isa in Isa::available() {
        let (mut half, mut relu) = (x.clone(), x.clone());
        swish_in_place_with(isa, &mut half, 0.0);
        swish_in_place_with(isa, &mut relu, 1e30);
        for ((x, half), relu) in x.iter().zip(half).zip(relu) {
            assert_eq!(half, x / 2.0);
            assert_eq!(relu, x.max(0.0));
        }
    }
}

fn hard_swish_is_exact_above_3<T: Bits + Into<f64>>(words: impl Iterator<Item = u64>) {
    let x: Vec<T> = words
        .map(T::from_word)
        .filter(|x| (*x).into() >= 3.0)
        .collect();
    for isa in Isa::available() {
        let mut y = x.clone();
        hard_swish_in_place_with(isa, &mut y);
        same(&x, &y, isa.name());
    }
}

#[test]
fn hard_swish_is_x_from_3_on() {
    hard_swish_is_exact_above_3::<f32>(
        (0x4040_0000..0x7f80_0000)
            .step_by(4099)
            .chain([0x4040_0001]),
    );
    hard_swish_is_exact_above_3::<f64>(
        (0..0x3fff).map(|i| 0x4008_0000_0000_0000 + i * 0x0000_0fff_ffff_fff1),
    );
    hard_swish_is_exact_above_3::<f16>(0..0x7c00);
    hard_swish_is_exact_above_3::<bf16>(0..0x7f80);
}

proptest! {
    #[test]
    fn sign_and_magnitude_follow_x(word in any::<u32>(), beta in any::<f32>()) {
        let x = f32::from_bits(word);
        for isa in Isa::available() {
            let mut swish = [x];
            swish_in_place_with(isa, &mut swish, beta);
            let mut hard = [x];
            hard_swish_in_place_with(isa, &mut hard);
            for y in [swish[0], hard[0]] {
                prop_assert!(y.is_nan() || (y.is_sign_negative() == x.is_sign_negative() && y.abs() <= x.abs()));
            }
            if x.is_finite() {
                prop_assert!(!swish[0].is_nan() && !hard[0].is_nan());
            }
        }
    }
}
