//! Medians, spreads and ratios of interleaved timings.
//!
//! Given one time per round and contender; promises figures that a single slow round does not move.

use std::time::Duration;

use serde::Serialize;

/// The middle of a sorted sample at `fraction` of its length, between neighbours in proportion.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = fraction * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

fn sorted(mut sample: Vec<f64>) -> Vec<f64> {
    sample.sort_by(f64::total_cmp);
    sample
}

/// What a contender's timings come to, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timing {
    /// The median.
    pub median_ms: f64,
    /// The fastest run.
    pub min_ms: f64,
    /// The distance between the quartiles, as a fraction of the median.
    pub spread: f64,
}

impl Timing {
    pub(super) fn of(times: &[Duration]) -> Timing {
        let times = sorted(times.iter().map(|time| time.as_secs_f64() * 1e3).collect());
        let median = quantile(&times, 0.5);
        Timing {
            median_ms: median,
            min_ms: quantile(&times, 0.0),
            spread: (quantile(&times, 0.75) - quantile(&times, 0.25)) / median,
        }
    }
}

/// One contender's time over another's, round by round: below 1 is faster.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ratio {
    /// The median of the rounds' ratios.
    pub median: f64,
    /// A quarter of the rounds were below.
    pub lower: f64,
    /// A quarter of the rounds were above.
    pub upper: f64,
}

impl Ratio {
    /// Of times taken in the same rounds, so that what slows the machine for a while slows both.
    pub(super) fn of(times: &[Duration], baseline: &[Duration]) -> Ratio {
        let rounds = times.iter().zip(baseline);
        let ratios = sorted(
            rounds
                .map(|(own, other)| own.as_secs_f64() / other.as_secs_f64())
                .collect(),
        );
        Ratio {
            median: quantile(&ratios, 0.5),
            lower: quantile(&ratios, 0.25),
            upper: quantile(&ratios, 0.75),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(times: &[u64]) -> Vec<Duration> {
        times.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn one_slow_round_moves_neither_median_nor_ratio() {
        let timing = Timing::of(&ms(&[10, 10, 500, 10, 10]));
        assert_eq!(
            (timing.median_ms, timing.min_ms, timing.spread),
            (10.0, 10.0, 0.0)
        );
        let ratio = Ratio::of(&ms(&[10, 10, 500, 10, 10]), &ms(&[20, 20, 1000, 20, 20]));
        assert_eq!((ratio.median, ratio.lower, ratio.upper), (0.5, 0.5, 0.5));
    }

    #[test]
    fn an_even_number_of_rounds_has_its_median_between_two() {
        assert_eq!(Timing::of(&ms(&[10, 20])).median_ms, 15.0);
    }
}
