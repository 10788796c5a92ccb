//! Swish, SiLU and HardSwish and their gates on slices of f32, f64, f16 and bf16, and softmax and row normalisation on f32.
//!
//! Given slices of any length and alignment; promises what [`contract`] says on every instruction
//! set, which is found out once: a call only branches on it.
//!
//! | function | is | source |
//! |---|---|---|
//! | [`silu`] | `x·σ(x)`, `σ(t) = 1/(1 + e⁻ᵗ)` | Elfwing, Uchibe, Doya 2017, arXiv:1702.03118 |
//! | [`swish`] | `x·σ(β·x)`, β a scalar, a tensor in lockstep or one per channel | Ramachandran, Zoph, Le 2017, arXiv:1710.05941 |
//! | [`hard_swish`] | `x·clamp(x/6 + 1/2, 0, 1)` | Howard et al. 2019, arXiv:1905.02244 |
//! | [`sloped_hard_swish`] | `x·clamp(α·x + β, 0, 1)` | ONNX `HardSigmoid`, times x |
//! | [`sigmoid`] | `σ(x)`, the gate of SiLU | ONNX `Sigmoid` |
//! | [`hard_sigmoid`] | `clamp(α·x + β, 0, 1)`, the gate of HardSwish | ONNX `HardSigmoid` |
//! | [`tanh`] | `tanh x`, f32 only | ONNX `Tanh` |
//! | [`softmax_in_place`] | `eˣ/Σeˣ` along an axis, f32 only | ONNX `Softmax` |
//! | [`layer_norm`] | `(x − μ)/√(σ² + ε)` of rows, f32 only | ONNX `LayerNormalization` |
//! | [`rms_norm`] | `x/√(mean(x²) + ε)` of rows, f32 only | ONNX `RMSNormalization` |
//!
//! Every activation has an `_in_place` form, and every function a `_with` form that takes the [`Isa`] instead of
//! [`Isa::best`], which the environment variable [`ISA_VARIABLE`] overrides. The same functions on
//! registers, for the epilogues of other loops, are in [`registers`]. What becomes of 8-bit codes is in [`codes`].
#![deny(unsafe_code)]
// Five modules go through memory by pointers: `codes::loops`, `map`, `norm::loops`, `registers` and `softmax::loops`.

pub mod codes;
pub mod contract;
mod element;
mod formula;
mod hard_swish;
mod lanewise;
#[allow(unsafe_code)]
mod map;
mod norm;
#[allow(unsafe_code)]
pub mod registers;
mod sigmoid;
mod silu;
mod slices;
mod softmax;
mod swish;
mod tanh;

pub use element::Element;
pub use formula::swish_constants::SwishConstants;
pub use hard_swish::{
    HARD_SWISH_ALPHA, HARD_SWISH_BETA, hard_swish, hard_swish_in_place, hard_swish_in_place_with,
    hard_swish_with, sloped_hard_swish, sloped_hard_swish_in_place,
    sloped_hard_swish_in_place_with, sloped_hard_swish_with,
};
pub use norm::{Norm, layer_norm, layer_norm_with, rms_norm, rms_norm_with};
pub use onnx_swish_simd::{ISA_VARIABLE, Isa, IsaError, clean_vector_registers};
pub use sigmoid::{
    hard_sigmoid, hard_sigmoid_in_place, hard_sigmoid_in_place_with, hard_sigmoid_with, sigmoid,
    sigmoid_in_place, sigmoid_in_place_with, sigmoid_with,
};
pub use silu::{silu, silu_in_place, silu_in_place_with, silu_with};
pub use softmax::{
    softmax_columns_in_place, softmax_columns_in_place_with, softmax_in_place,
    softmax_in_place_with,
};
pub use swish::{
    swish, swish_in_place, swish_in_place_with, swish_lockstep, swish_lockstep_in_place,
    swish_lockstep_in_place_with, swish_lockstep_with, swish_per_channel,
    swish_per_channel_in_place, swish_per_channel_in_place_with, swish_per_channel_with,
    swish_with,
};
pub use tanh::{tanh, tanh_in_place, tanh_in_place_with, tanh_with};
