//! The bytes of 16-bit tensors as float32.
//!
//! Given a tensor of a decoded model, its data inline or in a file; promises the same values as inline float32, exactly, or an
//! error that names the tensor.

use std::path::Path;

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use super::{Half, external};
use crate::error::{Error, Result};

/// Elements that are converted at a time.
const CHUNK: usize = 4096;

/// Makes a float32 tensor of one of 16 bits.
pub(super) fn widen(tensor: &mut TensorProto, half: Half, base_dir: Option<&Path>) -> Result<()> {
    let elements = elements(tensor)?;
    let is_external = tensor.data_location == Some(DataLocation::External.into());
    let mut wide = Vec::new();
    let bytes = elements.checked_mul(size_of::<f32>());
    if bytes.is_none_or(|bytes| wide.try_reserve_exact(bytes).is_err()) {
        return Err(Error::Memory {
            node: None,
            what: format!("the float32 values of tensor `{}`", tensor.name),
            bytes: Some(elements as u128 * size_of::<f32>() as u128),
        });
    }
    // The order in which tract looks for the data.
    if !tensor.raw_data.is_empty() {
        push_bytes(&mut wide, &tensor.raw_data, half);
    } else if is_external {
        let bytes = external::read(tensor, elements.saturating_mul(2), base_dir)?;
        push_bytes(&mut wide, &bytes, half);
    } else {
        for values in tensor.int32_data.chunks(CHUNK) {
            // The field holds the 16 bits as an integer.
            let bits: Vec<u16> = values.iter().map(|value| *value as u16).collect();
            push(&mut wide, &bits, half);
        }
    }
    if Some(wide.len()) != bytes {
        return Err(damaged(
            tensor,
            &format!("has {} elements and data for {}", elements, wide.len() / 4),
        ));
    }
    tensor.data_type = DataType::Float.into();
    tensor.raw_data = wide;
    tensor.int32_data = Vec::new();
    tensor.external_data = Vec::new();
    tensor.data_location = None;
    Ok(())
}

/// How many elements its shape says.
fn elements(tensor: &TensorProto) -> Result<usize> {
    let mut dims = tensor.dims.iter();
    let product = dims.try_fold(1usize, |product, dim| {
        product.checked_mul(usize::try_from(*dim).ok()?)
    });
    product.ok_or_else(|| damaged(tensor, &format!("has the shape {:?}", tensor.dims)))
}

pub(super) fn damaged(tensor: &TensorProto, what: &str) -> Error {
    Error::Build {
        node: None,
        reason: format!("tensor `{}` {what}; export the model again", tensor.name),
    }
}

/// Appends little-endian float32 for little-endian 16 bits; of an odd byte at the end, nothing.
fn push_bytes(wide: &mut Vec<u8>, bytes: &[u8], half: Half) {
    for bytes in bytes.chunks(2 * CHUNK) {
        let (pairs, _) = bytes.as_chunks();
        let bits: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        push(wide, &bits, half);
    }
}

fn push(wide: &mut Vec<u8>, bits: &[u16], half: Half) {
    let mut values = [0.0f32; CHUNK];
    let values = &mut values[..bits.len()];
    match half {
        Half::Float16 => bits.reinterpret_cast::<f16>().convert_to_f32_slice(values),
        Half::Bfloat16 => {
            for (value, bits) in values.iter_mut().zip(bits) {
                *value = f32::from_bits(u32::from(*bits) << 16);
            }
        }
    }
    wide.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}
