//! Loops that are gone when the compiler is done.
//! Given: a count that the compiler knows.
//! Promise: a copy of the body for each number.

/// Repeats a block for `$i` in `0..$n`, `$n` at most twelve and known to the compiler, so that register arrays are
/// indexed by constants only. A loop would leave that to the unroller's mood.
macro_rules! unrolled {
    ($i:ident < $n:expr, $body:block) => {
        unrolled!(@ $i, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    // Where the count is known to be smaller, there is less to throw away.
    ($i:ident < $n:expr, of 3, $body:block) => {
        unrolled!(@ $i, $n, $body, 0 1 2)
    };
    ($i:ident < $n:expr, of 4, $body:block) => {
        unrolled!(@ $i, $n, $body, 0 1 2 3)
    };
    ($i:ident < $n:expr, of 8, $body:block) => {
        unrolled!(@ $i, $n, $body, 0 1 2 3 4 5 6 7)
    };
    // Where it may be a whole vector of the widest set.
    ($i:ident < $n:expr, of 16, $body:block) => {
        unrolled!(@ $i, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $i:ident, $n:expr, $body:block, $($v:literal)*) => {
        $(
            #[allow(clippy::absurd_extreme_comparisons, unused_comparisons)]
            if $v < $n {
                let $i: usize = $v;
                $body
            }
        )*
    };
}
