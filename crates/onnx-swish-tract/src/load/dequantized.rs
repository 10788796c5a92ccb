//! The codes that weights were before they became floats.
//!
//! Given constants as they are dequantised, and later weights that tract may have moved to another node and another order; promises
//! codes, scales and zero points that give these weights bit for bit, or nothing.
//!
//! What is remembered is how the floats were made, under what they add up to: tract gives constants other names and other axes, and
//! no operator of its own keeps codes beside floats. While a graph is written they are noted by this thread, for what tract writes into
//! has no place for them until it is done; from then on they are properties of the graph, which tract carries along.

use std::cell::RefCell;

use onnx_swish_conv::CodeType;
use tract_core::internal::*;

/// What the names of these properties begin with.
const PREFIX: &str = "onnx_swish.dequantized";

/// Weights as codes: `scale·(code − zero point)`, with one scale or one for each output channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Codes {
    /// In the order of the weights.
    pub bytes: Vec<u8>,
    pub codes: CodeType,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i32>,
}

thread_local! {
    /// What was noted since somebody began to listen.
    static NOTES: RefCell<Option<Notes>> = const { RefCell::new(None) };
}

type Notes = HashMap<String, Arc<Tensor>>;

/// Calls what writes a graph, and gives it what was to be remembered meanwhile.
pub(crate) fn remembering(
    write: impl FnOnce() -> TractResult<TypedModel>,
) -> TractResult<TypedModel> {
    struct Restore(Option<Notes>);
    impl Drop for Restore {
        fn drop(&mut self) {
            NOTES.set(self.0.take());
        }
    }
    let _however_it_ends = Restore(NOTES.replace(Some(Notes::new())));
    let mut model = write()?;
    model.properties.extend(NOTES.take().unwrap_or_default());
    Ok(model)
}

/// Remembers how these floats were made: `scales` and `zero_points` are as many as the quantised axis is long, or one.
pub(crate) fn remember(
    floats: &Tensor,
    codes: DatumType,
    scales: &Tensor,
    zero_points: Option<&Tensor>,
) -> TractResult<()> {
    let (Some(codes), DatumType::F32) = (code_type(codes), floats.datum_type()) else {
        return Ok(());
    };
    let scales = scales.cast_to::<f32>()?;
    let mut both = scales.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
    let count = both.len();
    match zero_points {
        Some(zeros) if zeros.len() == count => {
            let zeros = zeros.cast_to::<f32>()?;
            both.extend(zeros.try_as_plain_ram()?.as_slice::<f32>()?);
        }
        Some(_) => return Ok(()),
        None => both.resize(2 * count, 0.0),
    }
    let name = name(floats.try_as_plain_ram()?.as_slice::<f32>()?, codes);
    let both = Tensor::from_shape(&[2, count], &both)?;
    NOTES.with_borrow_mut(|notes| {
        if let Some(notes) = notes {
            notes.insert(name, both.into_arc_tensor());
        }
    });
    Ok(())
}

/// What these weights were, `[out_channels, ...]`, if they were codes.
pub(crate) fn recall(model: &TypedModel, weights: &[f32], out_channels: usize) -> Option<Codes> {
    [CodeType::U8, CodeType::I8].into_iter().find_map(|codes| {
        let both = model.properties.get(&name(weights, codes))?;
        let plain = both.try_as_plain_ram().ok()?;
        let both = plain.as_slice::<f32>().ok()?;
        let (scales, zero_points) = both.split_at(both.len() / 2);
        let count = scales.len();
        if count != 1 && count != out_channels {
            return None;
        }
        let mut bytes = Vec::with_capacity(weights.len());
        for (channel, row) in weights
            .chunks((weights.len() / out_channels.max(1)).max(1))
            .enumerate()
        {
            let at = if count == 1 { 0 } else { channel };
            let (scale, zero) = (*scales.get(at)?, *zero_points.get(at)?);
            for weight in row {
                bytes.push(code(*weight, scale, zero, codes)?);
            }
        }
        Some(Codes {
            bytes,
            codes,
            scales: scales.to_vec(),
            zero_points: zero_points.iter().map(|zero| *zero as i32).collect(),
        })
    })
}

/// Forgets everything: archives have no use for it.
pub(crate) fn forget(model: &mut TypedModel) {
    model.properties.retain(|name, _| !name.starts_with(PREFIX));
}

/// The codes that values of a type are.
pub(crate) fn code_type(dt: DatumType) -> Option<CodeType> {
    match dt {
        DatumType::U8 => Some(CodeType::U8),
        DatumType::I8 => Some(CodeType::I8),
        _ => None,
    }
}

/// The code that DequantizeLinear makes this float of.
fn code(weight: f32, scale: f32, zero: f32, codes: CodeType) -> Option<u8> {
    let [low, high] = codes.range();
    let distance = (weight / scale).round_ties_even();
    let code = distance + zero;
    let same = distance * scale == weight && code >= low as f32 && code <= high as f32;
    same.then_some(code as i32 as u8)
}

/// The name for these floats, in whatever order they are.
fn name(floats: &[f32], codes: CodeType) -> String {
    // Fibonacci hashing of each, so that sums of different ones differ.
    let mixed = |float: &f32| {
        let bits = u64::from(float.to_bits()).wrapping_add(1);
        let mixed = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    };
    let sum = floats.iter().map(mixed).fold(0, u64::wrapping_add);
    format!("{PREFIX}.{codes:?}.{}.{sum:016x}", floats.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(codes: &[i8], scales: &[f32]) -> Vec<f32> {
        let per_channel = codes.len() / scales.len();
        let scaled = codes.iter().enumerate();
        scaled
            .map(|(i, code)| f32::from(*code) * scales[i / per_channel])
            .collect()
    }

    fn graph_of(floats: &[f32], scales: &[f32]) -> TypedModel {
        let (floats, scales) = (tensor1(floats), tensor1(scales));
        let model = remembering(|| {
            remember(&floats, DatumType::I8, &scales, None)?;
            Ok(TypedModel::default())
        });
        // Nobody listens any more.
        remember(&floats, DatumType::I8, &scales, None).unwrap();
        model.unwrap()
    }

    #[test]
    fn codes_are_found_in_another_order() {
        let codes = [1, -128, 0, 127, 5, -3];
        let weights = floats(&codes, &[0.013]);
        let model = graph_of(&weights, &[0.013]);
        let reversed: Vec<f32> = weights.iter().rev().copied().collect();
        let found = recall(&model, &reversed, 3).unwrap();
        let expected: Vec<u8> = codes.iter().rev().map(|code| *code as u8).collect();
        assert_eq!((found.bytes, found.scales), (expected, vec![0.013]));
    }

    #[test]
    fn weights_that_were_no_codes_are_not_taken_for_some() {
        let scales = [0.5, 0.3];
        let weights = floats(&[2, 3, 4, 5], &scales);
        let model = graph_of(&weights, &scales);
        assert!(recall(&model, &weights, 2).is_some());
        // The other channel's scale does not make these floats.
        let swapped = [weights[2], weights[3], weights[0], weights[1]];
        assert_eq!(recall(&model, &swapped, 2), None);
        // One scale for each row, and rows of another number.
        assert_eq!(recall(&model, &weights, 4), None);
        let mut changed = weights.clone();
        changed[0] *= 2.0;
        assert_eq!(recall(&model, &changed, 2), None);
        let mut model = model;
        forget(&mut model);
        assert_eq!(recall(&model, &weights, 2), None);
    }
}
