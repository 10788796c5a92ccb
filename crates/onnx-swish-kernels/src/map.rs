//! The loop over memory that every function of f32, f16 and bf16 shares.
//!
//! Given slices whose lengths agree; promises to read each element once, before it is written, and nothing else; and that no
//! result depends on the place of its element or on the element's neighbours.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use onnx_swish_simd::{Kernel, Lane, Simd};

use crate::element::Scalar;
use crate::formula::swish_constants::SwishConstants;
use crate::formula::{Activation, Precision, Use, hard_swish};
use crate::lanewise;
use crate::slices::Slices;

/// The most elements that four registers hold.
const MOST: usize = 256;

/// Elements that go through two loops together: enough for a processor to look ahead in each, and a multiple of any register.
const BLOCK: usize = 64;

/// Where a kernel reads, where it writes, and how many elements: words, which unlike slices reach the kernel without a copy.
struct Place<'a, T> {
    x: *const T,
    y: *mut T,
    n: usize,
    slices: PhantomData<&'a mut [T]>,
}

impl<'a, T> Place<'a, T> {
    #[inline(always)]
    fn of(slices: Slices<'a, T>) -> Self {
        let (x, y, n) = slices.parts();
        Self {
            x,
            y,
            n,
            slices: PhantomData,
        }
    }

    #[inline(always)]
    fn slices(self) -> Slices<'a, T> {
        let Self { x, y, n, .. } = self;
        // SAFETY: the parts of slices, which lent them to this place for as long.
        unsafe {
            let xy = std::slice::from_raw_parts_mut(y, n);
            if x == y {
                Slices::InPlace(xy)
            } else {
                Slices::Apart(std::slice::from_raw_parts(x, n), xy)
            }
        }
    }
}

/// Swish to the precision P.
pub(crate) struct Swish<'a, T, P> {
    place: Place<'a, T>,
    beta: f32,
    precision: PhantomData<P>,
}

impl<'a, T, P> Swish<'a, T, P> {
    #[inline(always)]
    pub(crate) fn new(slices: Slices<'a, T>, beta: f32) -> Self {
        Self {
            place: Place::of(slices),
            beta,
            precision: PhantomData,
        }
    }
}

impl<T: Scalar + Lane, P: Precision> Kernel for Swish<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let constants = SwishConstants::new(self.beta);
        P::choose(s, &constants, self);
    }
}

impl<T: Scalar + Lane, P: Precision, S: Simd> Use<S> for Swish<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn with<A: Activation<S>>(self, s: S, f: A) {
        let beta = self.beta;
        map(s, f, self.place, |x, y, n| {
            // SAFETY: `map` gives pointers to n elements, the same or apart, and n is that of four registers at most.
            unsafe { careful::<T, P, S>(s, x, y, n, beta) }
        });
    }
}

/// HardSwish of parameters that [`hard_swish::takes`].
pub(crate) struct HardSwish<'a, T> {
    place: Place<'a, T>,
    alpha: f32,
    beta: f32,
}

impl<'a, T> HardSwish<'a, T> {
    #[inline(always)]
    pub(crate) fn new(slices: Slices<'a, T>, alpha: f32, beta: f32) -> Self {
        debug_assert!(hard_swish::takes(alpha, beta));
        Self {
            place: Place::of(slices),
            alpha,
            beta,
        }
    }
}

impl<T: Scalar + Lane> Kernel for HardSwish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if S::FUSED || size_of::<T>() == 4 {
            let f = hard_swish::HardSwish::new(s, self.alpha, self.beta);
            // It has no limit, and so nothing is beyond.
            map(s, f, self.place, |_, _, _| ());
        } else {
            // Converting is most of the work, and the compiler does it best in a loop over elements.
            let (alpha, beta) = (self.alpha.into(), self.beta.into());
            lanewise::map(self.place.slices(), |x| x.hard_swish_one(alpha, beta));
        }
    }
}

/// `y[i] = f(x[i])`. What is looked at together and holds an x beyond the limit is left to `careful`: n elements, no more than
/// four registers' or than [`BLOCK`].
#[inline(always)]
fn map<T: Scalar + Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: A,
    place: Place<'_, T>,
    careful: impl Fn(*const T, *mut T, usize),
) {
    let Place { x, y, n, .. } = place;
    let group = 4 * S::LANES;
    let mut i = 0;
    if n >= 4 * group {
        // A first step to where a register's elements do not cross a cache line.
        let width = S::LANES * size_of::<T>();
        i = (y.addr().wrapping_neg() % width) / size_of::<T>();
        // SAFETY: i < LANES < n.
        unsafe { first(s, &f, x, y, i, &careful) };
    }
    if A::LONG {
        for _ in 0..(n - i) / BLOCK {
            // SAFETY: i + BLOCK <= n.
            unsafe { block(s, &f, x.add(i), y.add(i), &careful) };
            i += BLOCK;
        }
    }
    let mut groups = (n - i) / group;
    while groups > 0 {
        // SAFETY: i + groups·4·LANES <= n.
        let done = unsafe { self::groups(s, &f, x.add(i), y.add(i), groups) };
        i += done * group;
        groups -= done;
        if groups > 0 {
            // SAFETY: there is one more group, which is beyond.
            unsafe { careful(x.add(i), y.add(i), group) };
            i += group;
            groups -= 1;
        }
    }
    while i < n {
        let lanes = S::LANES.min(n - i);
        // SAFETY: i + lanes <= n.
        unsafe { first(s, &f, x.add(i), y.add(i), lanes, &careful) };
        i += lanes;
    }
}

/// Groups of four registers, up to `count` of them or to the first that holds an x beyond the limit; how many these were.
///
/// Nothing is called here, so that constants need not leave their registers.
///
/// # Safety
/// `count·4·LANES` elements can be read at x and written at y; the two are equal or do not overlap.
#[inline(always)]
unsafe fn groups<T: Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    y: *mut T,
    count: usize,
) -> usize {
    // Counted down and not up: the loop then has one instruction less.
    let (mut left, mut i) = (count, 0);
    while left > 0 {
        // SAFETY: the caller's promise; all four are read before the first is written.
        unsafe {
            let v = T::load_group(s, x.add(i));
            if A::LIMITED && s.any_beyond(v, f.limit()) {
                break;
            }
            // Not `map`: its closure would not be part of this function.
            let [a, b, c, d] = v;
            let results = [f.eval(s, a), f.eval(s, b), f.eval(s, c), f.eval(s, d)];
            T::store_group(s, y.add(i), results);
        }
        i += 4 * S::LANES;
        left -= 1;
    }
    count - left
}

/// The first n elements, `n <= LANES`.
///
/// # Safety
/// n elements can be read at x and written at y; the two are equal or do not overlap.
#[inline(always)]
unsafe fn first<T: Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    y: *mut T,
    n: usize,
    careful: &impl Fn(*const T, *mut T, usize),
) {
    // SAFETY: the caller's promise.
    unsafe {
        let v = T::load_first(s, x, n);
        if A::LIMITED && s.any_beyond([v], f.limit()) {
            careful(x, y, n);
        } else {
            T::store_first(s, y, f.eval(s, v), n);
        }
    }
}

/// [`BLOCK`] elements, in two loops: a processor that looks ahead as far as it does sees more elements at once.
///
/// # Safety
/// [`BLOCK`] elements can be read at x and written at y; the two are equal or do not overlap.
#[inline(always)]
unsafe fn block<T: Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    y: *mut T,
    careful: &impl Fn(*const T, *mut T, usize),
) {
    let mut parts = MaybeUninit::<[f32; BLOCK]>::uninit();
    let parts = parts.as_mut_ptr().cast::<f32>();
    // The largest magnitude of each lane. Of a NaN and a number it is the number: also where the compiler would take an
    // instruction for this that gives NaN for a signalling one, if it knew that what it starts from is none.
    let mut most = s.sub(f.limit(), f.limit());
    for i in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: LANES divides BLOCK; the caller's promise.
        unsafe {
            let v = T::load(s, x.add(i));
            f32::store(s, parts.add(i), f.part(s, v));
            let magnitude = s.int_and(s.to_bits(v), s.int_splat(0x7fff_ffff));
            most = s.max(s.from_bits(magnitude), most);
        }
    }
    if A::LIMITED && s.any_beyond([most], f.limit()) {
        careful(x, y, BLOCK);
        return;
    }
    for i in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: the caller's promise; the first loop wrote all parts; each element is read before it is written.
        unsafe {
            let part = f32::load(s, parts.add(i));
            T::store(s, y.add(i), f.whole(s, T::load(s, x.add(i)), part));
        }
    }
}

/// Swish of elements among which some are beyond the formulas' limit. These, and only these, are computed one by one: a result
/// must not depend on its neighbours.
///
/// # Safety
/// n elements can be read at x and written at y; the two are equal or do not overlap; `n <= MOST`.
#[cold]
#[inline(never)]
pub(crate) unsafe fn careful<T: Scalar + Lane, P: Precision, S: Simd>(
    s: S,
    x: *const T,
    y: *mut T,
    n: usize,
    beta: f32,
) {
    let mut before = [T::ZERO; MOST];
    let before = &mut before[..n];
    // SAFETY: the caller's promise. All of x has been read when y comes to exist.
    let after = unsafe {
        x.copy_to_nonoverlapping(before.as_mut_ptr(), n);
        std::slice::from_raw_parts_mut(y, n)
    };
    s.vectorize(Careful::<T, P> {
        before,
        after,
        constants: &SwishConstants::new(beta),
        precision: PhantomData,
    });
}

/// What [`careful`] does, with the instructions of the set.
struct Careful<'a, T, P> {
    before: &'a [T],
    after: &'a mut [T],
    constants: &'a SwishConstants,
    precision: PhantomData<P>,
}

impl<T: Scalar + Lane, P: Precision> Kernel for Careful<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        P::choose(s, self.constants, self);
    }
}

impl<T: Scalar + Lane, P: Precision, S: Simd> Use<S> for Careful<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn with<A: Activation<S>>(self, s: S, f: A) {
        let parts = self
            .before
            .chunks(S::LANES)
            .zip(self.after.chunks_mut(S::LANES));
        for (x, y) in parts {
            // SAFETY: as many elements as there are, and no more than a register's.
            unsafe {
                let v = T::load_first(s, x.as_ptr(), x.len());
                T::store_first(s, y.as_mut_ptr(), f.eval(s, v), y.len());
            }
        }
        for (x, y) in self.before.iter().zip(self.after) {
            if !x.is_within(self.constants.limit) {
                *y = P::one(*x, self.constants);
            }
        }
    }
}
