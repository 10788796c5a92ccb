//! How a row is resized.
//! Given: the taps of its columns.
//! Promise: what they have in common is found once: copies of the row, elements that are repeated, and pairs at the same distance for every
//! second or fourth column become whole vectors; all others go one by one.

use super::Tap;

/// The taps of a row, and the way to compute them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    taps: Vec<Tap>,
    way: Way,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Way {
    /// The row as it is.
    Same,
    /// Each element so many times.
    Repeated(usize),
    /// Elements chosen one by one.
    Chosen,
    /// Pairs of the row with its ends repeated.
    Phased(Phased),
    /// Pairs one by one.
    Mixed,
}

/// As many columns as phases for each element, each phase from two elements in the same places around it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phased {
    /// Where the elements of each phase lie in the padded row.
    pub places: Vec<[usize; 2]>,
    /// For each phase the weights of all first elements, and of all second ones.
    pub weights: Vec<[Vec<f32>; 2]>,
}

/// Weights behind the last column, for whole vectors of them.
const MOST_LANES: usize = 64;

/// Elements by which a padded row is longer than a row, on either side, vectors behind it not counted.
pub(super) const PADDING: usize = 1;

/// The two elements that a phase may read of a padded row for its first column: the one before it and itself, itself and the next, or
/// itself alone.
const PLACES: [[usize; 2]; 3] = [[0, 1], [1, 2], [1, 1]];

impl Columns {
    pub(super) fn of(width: usize, taps: Vec<Tap>) -> Columns {
        let way = Way::of(width, &taps);
        Columns { taps, way }
    }

    pub(super) fn taps(&self) -> &[Tap] {
        &self.taps
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Elements of a padded row, if this way needs one.
    pub(super) fn padded(&self) -> usize {
        match &self.way {
            Way::Phased(phased) => self.taps.len() / phased.places.len() + 2 * PADDING + MOST_LANES,
            _ => 0,
        }
    }
}

impl Way {
    fn of(width: usize, taps: &[Tap]) -> Way {
        if width == 0 || taps.is_empty() {
            return Way::Chosen;
        }
        let one = |(x, tap): (usize, &Tap), times: usize| *tap == Tap::One(x / times);
        let times = taps.len() / width;
        if taps.len() == width * times && taps.iter().enumerate().all(|tap| one(tap, times)) {
            return if times == 1 {
                Way::Same
            } else {
                Way::Repeated(times)
            };
        }
        if taps.iter().all(|tap| matches!(tap, Tap::One(_))) {
            return Way::Chosen;
        }
        match Phased::of(width, taps) {
            Some(phased) => Way::Phased(phased),
            None => Way::Mixed,
        }
    }
}

impl Phased {
    fn of(width: usize, taps: &[Tap]) -> Option<Phased> {
        let times = taps.len() / width;
        if taps.len() != width * times || !matches!(times, 2 | 4) {
            return None;
        }
        let mut phased = Phased {
            places: Vec::new(),
            weights: Vec::new(),
        };
        for phase in 0..times {
            let own = || taps.iter().skip(phase).step_by(times).enumerate();
            let reads = |places: &[usize; 2]| {
                own().all(|(i, tap)| {
                    let inside = |place: usize| (i + place).clamp(PADDING, width) - PADDING;
                    tap.places() == places.map(inside)
                })
            };
            phased.places.push(PLACES.into_iter().find(reads)?);
            phased.weights.push([0, 1].map(|at| {
                let own = own().map(|(_, tap)| tap.weights()[at]);
                own.chain(std::iter::repeat_n(0.0, MOST_LANES)).collect()
            }));
        }
        Some(phased)
    }
}
