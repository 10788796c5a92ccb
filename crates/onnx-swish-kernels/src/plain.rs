//! The functions as their definitions say them, one element at a time in f64.

pub(crate) fn swish(x: f64, beta: f64) -> f64 {
    x / (1.0 + (-(beta * x)).exp())
}

pub(crate) fn hard_swish(x: f64, alpha: f64, beta: f64) -> f64 {
    x * (alpha * x + beta).clamp(0.0, 1.0)
}
