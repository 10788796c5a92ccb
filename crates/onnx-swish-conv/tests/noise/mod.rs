//! Numbers to compute with.
//! Given: how many, and a seed.
//! Promise: the same on every machine, evenly spread, none special.
#![allow(dead_code)]

/// From -1 to 1.
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    noise_from(-1.0, len, seed)
}

/// From `low` to 1.
pub fn noise_from(low: f32, len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        low + (1.0 - low) * ((state >> 8) as f32 / (1 << 24) as f32)
    };
    (0..len).map(|_| next()).collect()
}
