//! com.microsoft's DynamicQuantizeLSTM: an LSTM whose weights are 8-bit integers, and whose inputs are rounded to 8 bits as it runs.
//!
//! tract has none. The integer products are computed here in float32, exactly as long as a hidden or input size stays below 256,
//! and to float32's accuracy beyond.

use tract_hir::internal::tract_ndarray::ArrayViewMut2;
use tract_hir::internal::*;
use tract_num_traits::Float;

use super::sequence::Sequence;
use crate::ops::function::{Function, Plain};

/// The operator; its inputs are the LSTM's, then scale and zero point of W and of R.
#[derive(Debug, Clone)]
pub(super) struct DynamicQuantizeLstm {
    pub sequence: Sequence,
    /// Where each of the twelve inputs is.
    pub slots: Vec<Option<usize>>,
}

impl Expansion for DynamicQuantizeLstm {
    fn name(&self) -> StaticName {
        "DynamicQuantizeLSTM".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.sequence.outputs())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(
            inputs.len() > 2,
            "DynamicQuantizeLSTM without input or weights"
        );
        s.given_2(&inputs[0].datum_type, &inputs[0].shape, move |s, dt, x| {
            let x = dt.fact(x.as_slice());
            s.given(&inputs[2].shape, move |s, r| {
                // Weights lie transposed.
                let [directions, hidden, gates] = r.as_slice() else {
                    bail!("weights of rank {}", r.len());
                };
                let r = f32::fact([directions.clone(), gates.clone(), hidden.clone()]);
                let facts = self.sequence.facts(&[&x, &r, &r])?;
                for (output, fact) in outputs.iter().zip(facts) {
                    s.equals(&output.datum_type, fact.datum_type)?;
                    s.equals(&output.shape, ShapeFactoid::from(fact.shape.to_tvec()))?;
                }
                Ok(())
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let input = |at: usize| {
            let slot = self.slots.get(at).copied().flatten();
            slot.and_then(|slot| inputs.get(slot).copied())
        };
        let constant = |model: &TypedModel, at: usize| -> TractResult<Option<Arc<Tensor>>> {
            let Some(outlet) = input(at) else {
                return Ok(None);
            };
            let constant = model.outlet_fact(outlet)?.konst.clone();
            Ok(Some(constant.context(
                "the weights of a DynamicQuantizeLSTM are computed while the model runs",
            )?))
        };
        let mut own: TVec<OutletId> = tvec!(input(0).context("no input")?);
        for (name, weights, scale, zero_point) in [("w", 1, 8, 9), ("r", 2, 10, 11)] {
            let weights = constant(model, weights)?.context("no weights")?;
            let scale = constant(model, scale)?.context("no scale")?;
            let zero_point = constant(model, zero_point)?;
            let wide = widened(&weights, &scale, zero_point.as_deref())?;
            own.push(model.add_const(format!("{prefix}.{name}"), wide)?);
        }
        let mut sequence = self.sequence.clone();
        for (at, slot) in [
            (3, &mut sequence.bias),
            (4, &mut sequence.lengths),
            (5, &mut sequence.initial_h),
            (6, &mut sequence.initial_c),
            (7, &mut sequence.peepholes),
        ] {
            if let Some(outlet) = input(at) {
                *slot = Some(own.len());
                own.push(outlet);
            }
        }
        model.wire_node(prefix, Plain(sequence), &own)
    }
}

/// Rounds a matrix to 256 levels between its least and its greatest element, zero among them.
///
/// Source: ONNX's DynamicQuantizeLinear; ONNX Runtime's `GetQuantizationParameter` does the same.
pub(super) fn round_to_8_bits<T: Float>(mut matrix: ArrayViewMut2<'_, T>) {
    let bounds = matrix
        .iter()
        .fold((T::zero(), T::zero()), |(least, greatest), x| {
            (least.min(*x), greatest.max(*x))
        });
    let levels = T::from(255).unwrap_or_else(T::one);
    let scale = match (bounds.1 - bounds.0) / levels {
        scale if scale > T::zero() => scale,
        _ => T::one(),
    };
    let clamped = |x: T| x.max(T::zero()).min(levels);
    let zero_point = half_to_even(clamped(-bounds.0 / scale));
    matrix.mapv_inplace(|x| {
        let code = clamped(half_to_even(x / scale) + zero_point);
        (code - zero_point) * scale
    });
}

fn half_to_even<T: Float>(x: T) -> T {
    let (rounded, half) = (x.round(), T::from(0.5).unwrap_or_else(T::zero));
    if (x - x.trunc()).abs() == half {
        let two = T::one() + T::one();
        (x / two).round() * two
    } else {
        rounded
    }
}

/// `(weights - zero point) * scale`, from `[directions, inputs, gates]` to the LSTM's `[directions, gates, inputs]`.
///
/// Scale and zero point are per direction, or per direction and gate.
pub(super) fn widened(
    weights: &Tensor,
    scale: &Tensor,
    zero_point: Option<&Tensor>,
) -> TractResult<Tensor> {
    let along = |parameter: &Tensor| -> TractResult<tract_ndarray::ArrayD<f32>> {
        let parameter = parameter.cast_to::<f32>()?.into_owned();
        let mut shape = parameter.shape().to_vec();
        while shape.len() < 2 {
            shape.push(1);
        }
        shape.insert(1, 1);
        Ok(parameter
            .to_plain_array_view::<f32>()?
            .to_shape(shape)?
            .to_owned()
            .into_dyn())
    };
    let weights = weights.cast_to::<f32>()?.into_owned();
    let mut wide = weights.to_plain_array_view::<f32>()?.to_owned();
    if let Some(zero_point) = zero_point {
        wide = wide - along(zero_point)?;
    }
    wide = wide * along(scale)?;
    wide.into_tensor().move_axis(1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_ndarray::array;

    #[test]
    fn ties_go_to_the_even_neighbour() {
        let rounded = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4].map(half_to_even::<f64>);
        assert_eq!(rounded, [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn zero_and_the_bounds_are_levels() {
        let mut x = array![[-1.0f32, 0.0, 0.3], [1.55, 0.001, -0.5]];
        round_to_8_bits(x.view_mut());
        assert_eq!(x[[0, 1]], 0.0);
        assert!((x[[0, 0]] + 1.0).abs() < 1e-6 && (x[[1, 0]] - 1.55).abs() < 1e-6);
        assert_eq!(x[[1, 1]], 0.0);
    }

    #[test]
    fn a_matrix_of_zeros_stays_one() {
        let mut x = tract_ndarray::Array2::<f32>::zeros((2, 2));
        round_to_8_bits(x.view_mut());
        assert!(x.iter().all(|x| *x == 0.0));
    }
}
