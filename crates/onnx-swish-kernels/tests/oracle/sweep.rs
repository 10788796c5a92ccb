//! One runner for every implementation: many inputs of one function, against the oracle.
//!
//! Given a function, inputs and the instruction sets; promises the largest error of each and where.

use onnx_swish_kernels::{
    Isa, hard_sigmoid_with, sigmoid_with, sloped_hard_swish_with, swish_with,
};

use super::{Function, Oracle, Verdict, judge};

/// What a sweep found of one implementation.
#[derive(Clone, Copy, Debug)]
pub struct Row<T> {
    pub isa: Isa,
    pub inputs: u64,
    pub max_ulp: f64,
    pub worst_input: T,
    pub mismatched_specials: u64,
    pub first_mismatch: Option<T>,
}

impl<T: Oracle> Row<T> {
    fn new(isa: Isa) -> Self {
        Self {
            isa,
            inputs: 0,
            max_ulp: 0.0,
            worst_input: T::from_wide(0.0),
            mismatched_specials: 0,
            first_mismatch: None,
        }
    }

    fn take(&mut self, x: T, verdict: Verdict) {
        self.inputs += 1;
        match verdict {
            Verdict::Ulp(ulp) if ulp > self.max_ulp => {
                self.max_ulp = ulp;
                self.worst_input = x;
            }
            Verdict::Ulp(_) => {}
            Verdict::Mismatch => {
                self.mismatched_specials += 1;
                self.first_mismatch.get_or_insert(x);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.mismatched_specials += other.mismatched_specials;
        self.first_mismatch = self.first_mismatch.or(other.first_mismatch);
        if other.max_ulp > self.max_ulp {
            self.max_ulp = other.max_ulp;
            self.worst_input = other.worst_input;
        }
    }
}

/// `function` of `x` on one instruction set.
pub fn apply<T: Oracle>(isa: Isa, function: Function, x: &[T], y: &mut [T]) {
    match function {
        Function::Swish { beta } => swish_with(isa, x, T::param(beta), y),
        Function::HardSwish { alpha, beta } => {
            sloped_hard_swish_with(isa, x, T::param(alpha), T::param(beta), y);
        }
        Function::Sigmoid => sigmoid_with(isa, x, y),
        Function::HardSigmoid { alpha, beta } => {
            hard_sigmoid_with(isa, x, T::param(alpha), T::param(beta), y);
        }
    }
}

/// The instruction sets of this machine; prints those that it lacks.
#[allow(
    clippy::print_stderr,
    reason = "a test that runs less than it could says so"
)]
pub fn isas() -> Vec<Isa> {
    let available = Isa::available();
    for name in Isa::NAMES {
        if !available.iter().any(|isa| isa.name() == *name) {
            eprintln!("skipped: this machine does not execute {name}");
        }
    }
    available
}

/// Inputs `input(i)`, `i < count`, on both of two threads.
pub fn sweep<T: Oracle>(
    isas: &[Isa],
    function: Function,
    count: u64,
    input: impl Fn(u64) -> T + Sync,
) -> Vec<Row<T>> {
    let (first, second) = std::thread::scope(|scope| {
        let input = &input;
        let half = count / 2;
        let other = std::thread::Builder::new()
            .spawn_scoped(scope, move || sweep_range(isas, function, 0..half, input));
        let second = sweep_range(isas, function, half..count, input);
        let first = match other {
            Ok(thread) => thread.join().expect("a sweep does not panic"),
            // A target without threads.
            Err(_) => sweep_range(isas, function, 0..half, input),
        };
        (first, second)
    });
    let mut rows = first;
    for (row, other) in rows.iter_mut().zip(second) {
        row.merge(other);
    }
    rows
}

fn sweep_range<T: Oracle>(
    isas: &[Isa],
    function: Function,
    range: std::ops::Range<u64>,
    input: &impl Fn(u64) -> T,
) -> Vec<Row<T>> {
    const CHUNK: usize = 4096;
    let mut rows: Vec<Row<T>> = isas.iter().map(|isa| Row::new(*isa)).collect();
    let mut x = Vec::with_capacity(CHUNK);
    let mut y = [T::from_wide(0.0); CHUNK];
    let mut exact = Vec::with_capacity(CHUNK);
    let mut i = range.start;
    while i < range.end {
        let end = range.end.min(i + CHUNK as u64);
        x.clear();
        x.extend((i..end).map(input));
        exact.clear();
        exact.extend(x.iter().map(|x| x.exact(function)));
        for row in &mut rows {
            let y = &mut y[..x.len()];
            apply(row.isa, function, &x, y);
            for ((x, y), exact) in x.iter().zip(&*y).zip(&exact) {
                row.take(*x, judge::<T>(*exact, *y));
            }
        }
        i = end;
    }
    rows
}
