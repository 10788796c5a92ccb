//! Who runs when.
//!
//! Given a round and how many contenders there are; promises that each runs once in it, and that over the rounds each runs equally
//! often first, and equally often after each other one.

use std::time::{Duration, Instant};

/// The contenders of one round, in their order: a row of a Latin square balanced for carry-over (E. J. Williams, "Experimental
/// designs balanced for the estimation of residual effects of treatments", 1949), because a run finds the caches as its
/// predecessor left them. An odd number of contenders needs the rows read backwards as well.
pub(super) fn order(round: usize, contenders: usize) -> Vec<usize> {
    let backwards = contenders % 2 == 1 && (round / contenders) % 2 == 1;
    // 0, 1, n - 1, 2, n - 2, ...: the differences between neighbours are all different.
    let zigzag = |place: usize| match place % 2 {
        1 => place.div_ceil(2),
        _ => contenders - place / 2,
    };
    let row = (0..contenders).map(|place| (zigzag(place) + round) % contenders);
    if backwards {
        row.rev().collect()
    } else {
        row.collect()
    }
}

/// How long our threads look for more work after a run, with some to spare.
const AWAKE: Duration = Duration::from_micros(300);

/// Lets the threads of the run before fall asleep, so that they are nobody's burden but their own session's. The core stays busy, so that
/// its clock does not change.
pub(super) fn settle() {
    let start = Instant::now();
    while start.elapsed() < AWAKE {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_first_and_follows_everyone_equally_often() {
        for contenders in 1..7 {
            let cycle = contenders * (1 + contenders % 2);
            let mut follows = vec![vec![0; contenders]; contenders];
            let mut first = vec![0; contenders];
            for round in 0..cycle {
                let order = order(round, contenders);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..contenders), "{order:?}");
                first[order[0]] += 1;
                for pair in order.windows(2) {
                    follows[pair[0]][pair[1]] += 1;
                }
            }
            assert!(first.iter().all(|count| *count == cycle / contenders));
            for (i, row) in follows.iter().enumerate() {
                for (j, count) in row.iter().enumerate() {
                    let due = if i == j { 0 } else { cycle / contenders };
                    assert_eq!(*count, due, "{j} after {i} of {contenders}");
                }
            }
        }
    }
}
