//! The functions on registers against those on slices.
//!
//! Given ordinary values with outliers and special ones among them; promises equal bits.

use onnx_swish_kernels::*;
use onnx_swish_simd::{Kernel, Lane, Simd};

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
struct Registers<'a>(&'a [f32], &'a SwishConstants);

impl Kernel for Registers<'_> {
    type Output = [Vec<f32>; 4];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [Vec<f32>; 4] {
        let mut all = [const { Vec::new() }; 4];
        for x in self.0.chunks_exact(S::LANES) {
            // SAFETY: a chunk is as long as a register.
            let v = unsafe { f32::load(s, x.as_ptr()) };
            let results = [
                registers::silu(s, v),
                registers::swish(s, v, self.1),
                registers::hard_swish(s, v),
                registers::sloped_hard_swish(s, v, 0.2, 0.4),
            ];
            for (all, v) in all.iter_mut().zip(results) {
                let mut y = [0.0; 64];
                // SAFETY: no register has more lanes.
                unsafe { f32::store(s, y.as_mut_ptr(), v) };
                all.extend(&y[..S::LANES]);
            }
        }
        all
    }
}

#[test]
fn registers_give_what_slices_give() {
    let x = values();
    for beta in [-1.3, 1.702, 2.0, 0.0, 1e30] {
        let constants = SwishConstants::new(beta);
        for isa in Isa::available() {
            let results = isa.run(Registers(&x, &constants));
            let mut y = x.clone();
            silu_in_place_with(isa, &mut y);
            same(&results[0], &y, "silu");
            y.copy_from_slice(&x);
            swish_in_place_with(isa, &mut y, beta);
            same(&results[1], &y, "swish");
            y.copy_from_slice(&x);
            hard_swish_in_place_with(isa, &mut y);
            same(&results[2], &y, "hard_swish");
            y.copy_from_slice(&x);
            sloped_hard_swish_in_place_with(isa, &mut y, 0.2, 0.4);
            same(&results[3], &y, "sloped_hard_swish");
        }
    }
}

/// What `swish_each` gives for three registers at a time, by way of memory.
struct Threes<'a>(&'a [f32], &'a SwishConstants);

impl Kernel for Threes<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut all = Vec::new();
        for x in self.0.chunks_exact(3 * S::LANES) {
            let mut registers = [s.splat(0.0); 3];
            for (i, register) in registers.iter_mut().enumerate() {
                // SAFETY: a chunk is as long as three registers.
                *register = unsafe { f32::load(s, x.as_ptr().add(i * S::LANES)) };
            }
            registers::swish_each(s, &mut registers, self.1);
            for v in registers {
                let mut y = [0.0; 64];
                // SAFETY: no register has more lanes.
                unsafe { f32::store(s, y.as_mut_ptr(), v) };
                all.extend(&y[..S::LANES]);
            }
        }
        all
    }
}

#[test]
fn several_registers_give_what_each_gives_whatever_its_neighbours_hold() {
    let x = values();
    for beta in [-1.3, 1.0, 1.702, 1e30] {
        let constants = SwishConstants::new(beta);
        for isa in Isa::available() {
            let results = isa.run(Threes(&x, &constants));
            let mut y = x.clone();
            swish_in_place_with(isa, &mut y, beta);
            assert!(!results.is_empty());
            same(&results, &y[..results.len()], "swish_each");
        }
    }
}
