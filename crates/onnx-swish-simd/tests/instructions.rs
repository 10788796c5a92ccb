//! Every operation of every instruction set against scalar code.
//!
//! Given ordinary numbers, subnormal ones, zeros of both signs, infinities and NaN in every lane; promises equal bits, but that
//! any NaN is as good as another.

#![allow(clippy::print_stdout, reason = "where a test failed")]

use half::{bf16, f16};
use onnx_swish_simd::{Isa, Kernel, Lane, Simd, bits};

/// The most lanes that any set has, for arrays on the stack.
const MOST: usize = 64;

/// Numbers of every kind, in an order that puts each beside the others.
fn numbers() -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        -f32::from_bits(0x007f_ffff),
        f32::MAX,
        f32::MIN,
        0.5,
        1.5,
        2.5,
        -2.5,
        127.5,
        255.5,
        -128.5,
        65_520.0,
    ];
    let mut word = 1u32;
    let mut all = Vec::new();
    for i in 0..4096u32 {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        all.push(match i % 3 {
            0 => special[(word >> 16) as usize % special.len()],
            1 => f32::from_bits(word),
            _ => (word >> 8) as f32 / 16_384.0 - 512.0,
        });
    }
    all
}

/// Equal bits, or NaN both.
#[track_caller]
fn same(computed: f32, expected: f32, what: &str) {
    assert!(
        computed.to_bits() == expected.to_bits() || (computed.is_nan() && expected.is_nan()),
        "{what}: {computed:e} ({:#x}), not {expected:e} ({:#x})",
        computed.to_bits(),
        expected.to_bits()
    );
}

/// Runs the body as a kernel on every instruction set of this machine, tests' own among them.
macro_rules! on_every_isa {
    (|$s:ident: $S:ident| $body:block) => {{
        struct Body;
        impl Kernel for Body {
            type Output = ();
            #[inline(always)]
            fn run<$S: Simd>(self, $s: $S) $body
        }
        let names: Vec<_> = Isa::available().into_iter().map(Isa::name).collect();
        assert!(names.contains(&"portable") && names.contains(&"imaginary"), "{names:?}");
        for isa in Isa::available() {
            // Shown by a test that fails.
            println!("on {isa}");
            isa.run(Body);
        }
    }};
}

/// The lanes of a register.
fn lanes_of<S: Simd>(s: S, v: S::V) -> Vec<f32> {
    let mut lanes = vec![0.0; S::LANES];
    // SAFETY: as many elements as a register has.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    lanes
}

/// A register of the first elements.
fn register<S: Simd>(s: S, elements: &[f32]) -> S::V {
    assert!(elements.len() >= S::LANES);
    // SAFETY: at least a register's elements.
    unsafe { s.load(elements.as_ptr()) }
}

/// An operation on two registers against one on two numbers.
fn pairwise<S: Simd>(
    s: S,
    what: &str,
    operation: impl Fn(S, S::V, S::V) -> S::V,
    scalar: impl Fn(f32, f32) -> f32,
) {
    let numbers = numbers();
    for step in 1..4 {
        for (a, b) in numbers
            .chunks_exact(S::LANES)
            .zip(numbers.chunks_exact(S::LANES).skip(step))
        {
            let computed = lanes_of(s, operation(s, register(s, a), register(s, b)));
            for ((a, b), computed) in a.iter().zip(b).zip(computed) {
                same(computed, scalar(*a, *b), &format!("{what}({a:e}, {b:e})"));
            }
        }
    }
}

#[test]
fn arithmetic_is_that_of_scalars() {
    on_every_isa!(|s: S| {
        pairwise(s, "add", S::add, |a, b| a + b);
        pairwise(s, "sub", S::sub, |a, b| a - b);
        pairwise(s, "mul", S::mul, |a, b| a * b);
        pairwise(s, "div", S::div, |a, b| a / b);
        for c in [0.0, -1.5, 3e-39, 7e30] {
            pairwise(
                s,
                "mul_add",
                |s, a, b| s.mul_add(a, b, s.splat(c)),
                |a, b| if S::FUSED { a.mul_add(b, c) } else { a * b + c },
            );
            pairwise(
                s,
                "mul_sub",
                |s, a, b| s.mul_sub(a, b, s.splat(c)),
                |a, b| {
                    if S::FUSED {
                        a.mul_add(b, -c)
                    } else {
                        a * b - c
                    }
                },
            );
            pairwise(
                s,
                "mul_add_exact",
                |s, a, b| s.mul_add_exact(a, b, s.splat(c)),
                |a, b| {
                    if S::FUSED {
                        a.mul_add(b, c)
                    } else {
                        (f64::from(a) * f64::from(b) + f64::from(c)) as f32
                    }
                },
            );
        }
    });
}

#[test]
fn of_a_nan_and_of_two_zeros_min_and_max_give_the_second() {
    on_every_isa!(|s: S| {
        pairwise(s, "min", S::min, |a, b| if a < b { a } else { b });
        pairwise(s, "max", S::max, |a, b| if a > b { a } else { b });
        let nan = s.splat(f32::NAN);
        assert_eq!(lanes_of(s, s.min(nan, s.splat(2.0)))[0], 2.0);
        assert!(lanes_of(s, s.max(s.splat(2.0), nan))[0].is_nan());
    });
}

#[test]
fn bounds_hold_numbers_and_let_nan_through() {
    on_every_isa!(|s: S| {
        for bound in [1.0, 0.0, -3.5, f32::INFINITY] {
            let zeros = |x: f32| if x == 0.0 { 0.0 } else { x };
            let bounded = |f: &dyn Fn(f32, f32) -> f32, x: f32| {
                if x.is_nan() { x } else { zeros(f(x, bound)) }
            };
            let positive = |s: S, v: S::V| s.add(v, s.splat(0.0));
            pairwise(
                s,
                "at_most",
                |s, a, _| positive(s, s.at_most(s.splat(bound), a)),
                |a, _| bounded(&f32::min, a),
            );
            pairwise(
                s,
                "at_least",
                |s, a, _| positive(s, s.at_least(s.splat(bound), a)),
                |a, _| bounded(&f32::max, a),
            );
        }
    });
}

#[test]
fn short_quotients_are_as_near_as_they_say() {
    on_every_isa!(|s: S| {
        let numbers = numbers();
        for (a, b) in numbers
            .chunks_exact(S::LANES)
            .zip(numbers[8..].chunks_exact(S::LANES))
        {
            let divisors: Vec<f32> = b
                .iter()
                .map(|b| if b.is_finite() { 1.0 + b.abs() } else { 1.0 })
                .map(|b| b.min(2f32.powi(126)))
                .collect();
            let quotients = s.div_short(register(s, a), register(s, &divisors));
            for ((a, b), quotient) in a.iter().zip(&divisors).zip(lanes_of(s, quotients)) {
                let exact = f64::from(*a) / f64::from(*b);
                // Where the quotient is subnormal, its own spacing is the error.
                let most = exact.abs() * 2f64.powi(-15) + 2f64.powi(-149);
                if a.is_finite() {
                    assert!((f64::from(quotient) - exact).abs() <= most, "{a:e}/{b:e}");
                }
            }
        }
    });
}

#[test]
fn integers_wrap_and_share_bits_with_floats() {
    on_every_isa!(|s: S| {
        let as_integers = |f: &dyn Fn(u32, u32) -> u32, a: f32, b: f32| {
            f32::from_bits(f(a.to_bits(), b.to_bits()))
        };
        let bits = |a: f32, b: f32| as_integers(&u32::wrapping_add, a, b);
        pairwise(
            s,
            "int_add",
            |s, a, b| s.from_bits(s.int_add(s.to_bits(a), s.to_bits(b))),
            bits,
        );
        let bits = |a: f32, b: f32| as_integers(&|a, b| a & b, a, b);
        pairwise(
            s,
            "int_and",
            |s, a, b| s.from_bits(s.int_and(s.to_bits(a), s.to_bits(b))),
            bits,
        );
        let shifted = |by: u32| move |a: f32, _| f32::from_bits(a.to_bits() << by);
        pairwise(
            s,
            "int_shl",
            |s, a, _| s.from_bits(s.int_shl(s.to_bits(a), 23)),
            shifted(23),
        );
        pairwise(
            s,
            "int_shl",
            |s, a, _| s.from_bits(s.int_shl(s.to_bits(a), 0)),
            shifted(0),
        );
        pairwise(
            s,
            "int_splat",
            |s, _, _| s.from_bits(s.int_splat(0xdead_beef)),
            |_, _| f32::from_bits(0xdead_beef),
        );
    });
}

#[test]
fn tables_look_at_the_low_bits_of_an_index() {
    on_every_isa!(|s: S| {
        assert!(S::TABLE.is_power_of_two() && S::TABLE <= 32);
        let entries: Vec<f32> = (0..S::TABLE).map(|i| i as f32 * 1.25 - 3.0).collect();
        let table = s.table(&entries);
        pairwise(
            s,
            "look_up",
            |s, a, _| s.look_up(table, s.to_bits(a)),
            |a, _| entries[a.to_bits() as usize % S::TABLE],
        );
    });
}

#[test]
fn masks_choose_lanes() {
    on_every_isa!(|s: S| {
        let numbers = numbers();
        let (a, b) = (register(s, &numbers), register(s, &numbers[MOST..]));
        for from in 0..=S::LANES + 2 {
            for to in 0..=S::LANES + 2 {
                let mask = s.lanes(from, to);
                let (kept, selected) = (
                    lanes_of(s, s.keep(a, mask)),
                    lanes_of(s, s.select(mask, a, b)),
                );
                for i in 0..S::LANES {
                    let chosen = from <= i && i < to;
                    same(kept[i], if chosen { numbers[i] } else { 0.0 }, "keep");
                    let other = numbers[MOST + i];
                    same(
                        selected[i],
                        if chosen { numbers[i] } else { other },
                        "select",
                    );
                }
            }
        }
        #[allow(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN is not less")]
        let scalar = |a: f32, b: f32| if !(a < b) { a } else { 0.0 };
        pairwise(s, "not_less", |s, a, b| s.keep(a, s.not_less(a, b)), scalar);
    });
}

#[test]
fn a_lane_beyond_is_seen_beside_any_other() {
    on_every_isa!(|s: S| {
        let limit = s.splat(100.0);
        let others = [
            0.0,
            -99.9,
            f32::NAN,
            f32::from_bits(0x7f80_0001),
            f32::MIN_POSITIVE,
        ];
        for other in others {
            for far in [100.0, -100.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
                for place in 0..4 * S::LANES {
                    let mut all = vec![other; 4 * S::LANES];
                    all[place] = far;
                    let v = [0, 1, 2, 3].map(|i| register(s, &all[i * S::LANES..]));
                    assert!(s.any_beyond(v, limit), "{far} at {place} beside {other}");
                    if place < S::LANES {
                        assert!(
                            s.any_beyond([v[0]], limit),
                            "{far} at {place} beside {other}"
                        );
                    }
                }
            }
            if !other.is_nan() {
                assert!(!s.any_beyond([s.splat(other); 4], limit), "{other}");
                assert!(!s.any_beyond([s.splat(other)], limit), "{other}");
                assert!(s.any_beyond([s.splat(other)], s.splat(0.0)), "{other}");
            }
        }
    });
}

#[test]
fn lanes_add_up_and_the_largest_is_found() {
    on_every_isa!(|s: S| {
        // Integers, so that no order of adding rounds.
        let small: Vec<f32> = (0..S::LANES).map(|i| (i * i) as f32 - 77.0).collect();
        let total: f32 = small.iter().sum();
        assert_eq!(s.sum(register(s, &small)), total);
        assert_eq!(s.sum_wide(register(s, &small)), f64::from(total));
        // In f64 a small number survives beside a large one.
        let mut wide = vec![0.0; S::LANES];
        (wide[0], wide[S::LANES - 1]) = (16_777_216.0, 1.0);
        assert_eq!(s.sum_wide(register(s, &wide)), 16_777_217.0);
        for place in 0..S::LANES {
            let mut lanes = vec![-5.0; S::LANES];
            lanes[place] = -4.0;
            assert_eq!(s.largest(register(s, &lanes)), -4.0);
            lanes[place] = f32::NEG_INFINITY;
            assert_eq!(s.largest(register(s, &lanes)), -5.0);
            lanes[place] = f32::NAN;
            assert!(
                s.sum(register(s, &lanes)).is_nan() && s.sum_wide(register(s, &lanes)).is_nan()
            );
        }
    });
}

#[test]
fn lanes_move() {
    on_every_isa!(|s: S| {
        let numbers: Vec<f32> = (0..2 * MOST as u16).map(f32::from).collect();
        let (a, b) = (register(s, &numbers), register(s, &numbers[S::LANES..]));
        let (even, odd) = s.deinterleave(a, b);
        for i in 0..S::LANES {
            assert_eq!(lanes_of(s, even)[i], numbers[2 * i]);
            assert_eq!(lanes_of(s, odd)[i], numbers[2 * i + 1]);
        }
        let (loose_even, loose_odd) = s.unzip(a, b);
        assert_eq!(lanes_of(s, s.settle(loose_even)), lanes_of(s, even));
        assert_eq!(lanes_of(s, s.settle(loose_odd)), lanes_of(s, odd));
        for from in 0..S::LANES {
            for to in 0..S::LANES + 2 {
                let kept = s.keep(loose_odd, s.unzipped_lanes(from, to));
                let expected = s.keep(odd, s.lanes(from, to));
                assert_eq!(lanes_of(s, s.settle(kept)), lanes_of(s, expected));
            }
        }
        let (low, high) = s.interleave(even, odd);
        assert_eq!(lanes_of(s, low), lanes_of(s, a));
        assert_eq!(lanes_of(s, high), lanes_of(s, b));
        for by in 0..2 * S::LANES {
            for (i, lane) in lanes_of(s, s.rotate(a, by)).into_iter().enumerate() {
                assert_eq!(lane, numbers[(i + by) % S::LANES]);
            }
        }
        let mut times = 1;
        while times <= S::LANES {
            // Exactly what may be read, for the address sanitizer to see.
            let few = numbers[..S::LANES / times].to_vec();
            // SAFETY: LANES/times elements.
            let repeated = unsafe { s.repeat(few.as_ptr(), times) };
            for (i, lane) in lanes_of(s, repeated).into_iter().enumerate() {
                assert_eq!(lane, few[i / times]);
            }
            times *= 2;
        }
        // SAFETY: seven elements.
        let splats = unsafe { s.splat_each::<7>(numbers[..7].to_vec().as_ptr()) };
        for (i, v) in splats.into_iter().enumerate() {
            assert_eq!(lanes_of(s, v), vec![numbers[i]; S::LANES]);
        }
        s.prefetch(std::ptr::null());
    });
}

/// What is left of memory that nobody may write.
const UNTOUCHED: f32 = 12_345.0;

#[test]
fn masked_loads_and_stores_touch_chosen_lanes_only() {
    on_every_isa!(|s: S| {
        let numbers = numbers();
        for from in 0..=S::LANES {
            for to in 0..=S::LANES {
                let mask = s.lanes(from, to);
                let (from, to) = (from.min(to), to);
                // Memory that ends with the last lane and whose first element is the first lane's: a read before or after
                // is out of bounds.
                let exact = numbers[from..to].to_vec();
                // SAFETY: the chosen lanes are exactly these elements.
                let v = unsafe { s.load_lanes(exact.as_ptr().wrapping_sub(from), mask) };
                let mut written = exact.clone();
                written.fill(UNTOUCHED);
                // SAFETY: as above.
                unsafe { s.store_lanes(written.as_mut_ptr().wrapping_sub(from), v, mask) };
                for (i, lane) in lanes_of(s, v).into_iter().enumerate() {
                    let chosen = from <= i && i < to;
                    same(lane, if chosen { numbers[i] } else { 0.0 }, "load_lanes");
                }
                for (written, exact) in written.iter().zip(&exact) {
                    same(*written, *exact, "store_lanes");
                }
            }
        }
        for n in 0..S::LANES {
            let mut written = vec![UNTOUCHED; n];
            // SAFETY: n elements.
            unsafe { s.store_exactly(written.as_mut_ptr(), register(s, &numbers), n) };
            for (written, exact) in written.iter().zip(&numbers) {
                same(*written, *exact, "store_exactly");
            }
        }
    });
}

/// Whole, partial and grouped loads and stores of one element type: `widen` is exact, and `nearest` says of a number and
/// what was stored for it whether that is right.
fn memory<S: Simd, T: Lane + std::fmt::Debug>(
    s: S,
    elements: &[T],
    widen: impl Fn(T) -> f32,
    same_bits: impl Fn(T, T) -> bool,
) {
    for group in elements.chunks_exact(4 * S::LANES) {
        let mut written = group.to_vec();
        written.reverse();
        // SAFETY: four registers of elements each.
        unsafe { T::store_group(s, written.as_mut_ptr(), T::load_group(s, group.as_ptr())) };
        for (written, element) in written.iter().zip(group) {
            assert!(
                same_bits(*written, *element),
                "group: {written:?}, not {element:?}"
            );
        }
        // SAFETY: a register of elements.
        let v = unsafe { T::load(s, group.as_ptr()) };
        for (lane, element) in lanes_of(s, v).into_iter().zip(group) {
            same(lane, widen(*element), "load");
        }
        // SAFETY: a register of elements.
        unsafe { T::store(s, written.as_mut_ptr(), v) };
        for (written, element) in written.iter().zip(&group[..S::LANES]) {
            assert!(
                same_bits(*written, *element),
                "store: {written:?}, not {element:?}"
            );
        }
    }
    for n in 0..=S::LANES {
        // Exactly what may be read and written, for the address sanitizer to see.
        let exact = elements[..n].to_vec();
        // SAFETY: n elements.
        let v = unsafe { T::load_first(s, exact.as_ptr(), n) };
        for (i, lane) in lanes_of(s, v).into_iter().enumerate() {
            same(lane, exact.get(i).map_or(0.0, |x| widen(*x)), "load_first");
        }
        let mut written = elements[elements.len() - n..].to_vec();
        // SAFETY: n elements.
        unsafe { T::store_first(s, written.as_mut_ptr(), v, n) };
        for (written, element) in written.iter().zip(&exact) {
            assert!(
                same_bits(*written, *element),
                "store_first: {written:?}, not {element:?}"
            );
        }
    }
}

#[test]
fn elements_come_back_as_they_were() {
    on_every_isa!(|s: S| {
        memory(
            s,
            &numbers(),
            |x| x,
            |a: f32, b| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        );
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        memory(s, &all, f16::to_f32, |a, b| {
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
        });
        let all: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        memory(s, &all, bf16::to_f32, |a, b| {
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
        });
        let all: Vec<i8> = (0..=u8::MAX).map(u8::cast_signed).collect();
        memory(s, &all, f32::from, |a, b| a == b);
        let all: Vec<u8> = (0..=u8::MAX).collect();
        memory(s, &all, f32::from, |a, b| a == b);
    });
}

/// What one set stores for these numbers, whole registers at a time and the rest by itself.
fn stored<S: Simd, T: Lane + Default>(s: S, numbers: &[f32]) -> Vec<T> {
    let mut all = vec![T::default(); numbers.len()];
    for (x, y) in numbers.chunks(S::LANES).zip(all.chunks_mut(S::LANES)) {
        // SAFETY: as many elements as there are.
        unsafe {
            T::store_first(
                s,
                y.as_mut_ptr(),
                s.load_first(x.as_ptr(), x.len()),
                y.len(),
            )
        };
    }
    all
}

#[test]
fn stores_round_to_the_nearest() {
    on_every_isa!(|s: S| {
        let mut x = numbers();
        x.extend((0..4000).map(|i| i as f32 * 0.125 - 250.0));
        x.extend((0..4000).map(|i| f32::from_bits(0x3300_0000 + i * 20_011)));
        for (x, y) in x.iter().zip(stored::<S, f16>(s, &x)) {
            same(
                y.to_f32(),
                f16::from_f32_const(*x).to_f32(),
                &format!("f16 of {x:e}"),
            );
        }
        for (x, y) in x.iter().zip(stored::<S, i8>(s, &x)) {
            let nearest = x.round_ties_even().clamp(-128.0, 127.0);
            assert_eq!(
                f32::from(y),
                if x.is_nan() { -128.0 } else { nearest },
                "i8 of {x:e}"
            );
        }
        for (x, y) in x.iter().zip(stored::<S, u8>(s, &x)) {
            assert_eq!(
                f32::from(y),
                x.round_ties_even().clamp(0.0, 255.0).max(0.0),
                "u8 of {x:e}"
            );
        }
        // The NaN of bf16 and of the processor, and ties that may go either way.
        x.retain(|x| !x.is_nan() || x.to_bits() & 0xffff == 0);
        for (x, y) in x.iter().zip(stored::<S, bf16>(s, &x)) {
            let even = bf16::from_bits(bits::f32_to_bf16(*x)).to_f32();
            let tie = x.to_bits() & 0xffff == 0x8000;
            let up = f32::from_bits(x.to_bits().wrapping_add(0x8000));
            let expected = if tie && y.to_f32() == up { up } else { even };
            same(y.to_f32(), expected, &format!("bf16 of {x:e}"));
        }
    });
}

#[test]
fn the_table_agrees_with_the_tokens() {
    struct Shape;
    impl Kernel for Shape {
        type Output = (usize, usize, bool);
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> (usize, usize, bool) {
            (S::LANES, S::REGISTERS, S::MASKED)
        }
    }
    for isa in Isa::available() {
        let shape = (isa.lanes(), isa.registers(), isa.masked());
        assert_eq!(isa.run(Shape), shape, "{isa}");
        assert!(
            isa.lanes().is_power_of_two() && isa.lanes() <= MOST,
            "{isa}"
        );
        assert_eq!(isa.name().parse(), Ok(isa));
        assert!(Isa::NAMES.contains(&isa.name()));
    }
}

#[test]
fn bytes_become_what_the_table_has_for_them() {
    on_every_isa!(|s: S| {
        // A table without order, so that no entry stands for another.
        let table: [u8; 256] = std::array::from_fn(|i| (i as u8).wrapping_mul(167) ^ 0x5a);
        let codes: Vec<u8> = (0..3000u32).map(|i| (i * i / 7 + i) as u8).collect();
        assert!((0..=255).all(|code| codes.contains(&code)));
        for n in (0..200).chain([256, 511, 512, 513, 1000, 2900]) {
            for first in [0, 1, 33] {
                let codes = &codes[first..first + n];
                let expected: Vec<u8> = codes.iter().map(|x| table[usize::from(*x)]).collect();
                // What stands behind is not for it to touch.
                let mut apart = vec![0xaa; n + 70];
                // SAFETY: n bytes of both.
                unsafe { s.look_up_bytes(&table, codes.as_ptr(), apart.as_mut_ptr(), n) };
                assert_eq!(apart[..n], expected, "{n} bytes");
                assert!(apart[n..].iter().all(|x| *x == 0xaa), "{n} bytes");
                let mut same = codes.to_vec();
                let place = same.as_mut_ptr();
                // SAFETY: n bytes, read and written.
                unsafe { s.look_up_bytes(&table, place, place, n) };
                assert_eq!(same, expected, "{n} bytes in place");
            }
        }
    });
}
