//! Swish whose beta is a tensor: per channel, learned, or computed by the model itself.
//!
//! Given x and beta of equal rank and type, beta broadcasting to x; promises one pass over x without writing beta out in full
//! wherever beta varies along neighbouring axes only (a scalar, a channel, the last axis, all of x).

use onnx_swish_kernels::{self as kernels, Element};
use tract_core::broadcast::multi_broadcast;
use tract_core::internal::*;
use tract_core::ops::binary::BinMiniOp;

use super::Activation;
use crate::workers::in_chunks;

/// x·σ(β·x), element by element, with β broadcast to x as NumPy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwishBy;

/// How β lies along x seen as `outer × betas × inner`, so that neither side is ever copied to fit the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Elements of x that one β covers.
    inner: usize,
}

impl Layout {
    /// Of β's shape along x's, equal in rank; `None` when the axes on which β varies are not next to one another.
    fn of(x: &[usize], beta: &[usize]) -> Option<Layout> {
        let varies = |axis: &usize| beta[*axis] != 1;
        let Some(first) = (0..x.len()).find(varies) else {
            return Some(Layout {
                inner: x.iter().product(),
            });
        };
        let last = (0..x.len()).rfind(varies).unwrap_or(first);
        (x[first..=last] == beta[first..=last]).then(|| Layout {
            inner: x[last + 1..].iter().product(),
        })
    }
}

fn swish_in_place<T: Datum + Element>(x: &mut Tensor, beta: &Tensor) -> TractResult<()> {
    if x.len() == 0 {
        return Ok(());
    }
    let layout = Layout::of(x.shape(), beta.shape());
    // Beta varying on axes that are apart is rare enough to be written out to x's shape.
    let whole;
    let (beta, layout) = match layout {
        Some(layout) => (beta, layout),
        None => {
            whole = beta.broadcast_to_shape(x.shape())?;
            (&whole, Layout { inner: 1 })
        }
    };
    let beta = beta.try_as_plain_ram()?;
    let betas = beta.as_slice::<T>()?;
    let mut x = x.try_as_plain_ram_mut()?;
    let xs = x.as_slice_mut::<T>()?;
    let total = xs.len();
    match (betas, layout.inner) {
        (&[beta], _) => in_chunks(xs, 1, total, |_, chunk| {
            kernels::swish_in_place(chunk, beta.to_param());
        }),
        // One beta per element: rows as long as the betas when they repeat, else single elements.
        (betas, 1) if betas.len() < total => in_chunks(xs, betas.len(), total, |_, rows| {
            for row in rows.chunks_exact_mut(betas.len()) {
                kernels::swish_lockstep_in_place(row, betas);
            }
        }),
        (betas, 1) => in_chunks(xs, 1, total, |first, chunk| {
            let betas = &betas[first..][..chunk.len()];
            kernels::swish_lockstep_in_place(chunk, betas);
        }),
        // One beta per plane: channels before their pixels.
        (betas, inner) => in_chunks(xs, inner, total, |first, planes| {
            for (plane, beta) in planes
                .chunks_exact_mut(inner)
                .zip(betas.iter().cycle().skip(first % betas.len()))
            {
                kernels::swish_in_place(plane, beta.to_param());
            }
        }),
    }
    Ok(())
}

impl BinMiniOp for SwishBy {
    fn name(&self) -> &'static str {
        "FusedSwishBy"
    }

    fn is_commutative(&self) -> bool {
        false
    }

    fn result_datum_type(&self, x: DatumType, beta: DatumType) -> TractResult<DatumType> {
        ensure!(
            x == beta && x.is_float(),
            "FusedSwish takes X and beta of one float type, here {x:?} and {beta:?}"
        );
        Ok(x)
    }

    fn operating_datum_type(&self, x: DatumType, beta: DatumType) -> TractResult<DatumType> {
        self.result_datum_type(x, beta)
    }

    fn eval_in_a(&self, x: &mut Tensor, beta: &Tensor) -> TractResult<()> {
        match x.datum_type() {
            DatumType::F16 => swish_in_place::<f16>(x, beta),
            DatumType::F32 => swish_in_place::<f32>(x, beta),
            DatumType::F64 => swish_in_place::<f64>(x, beta),
            other => {
                bail!("FusedSwish is defined on float16, float32 and float64, not on {other:?}")
            }
        }
    }

    fn eval_out_of_place(&self, y: &mut Tensor, x: &Tensor, beta: &Tensor) -> TractResult<()> {
        *y = x.broadcast_to_shape(y.shape())?;
        self.eval_in_a(y, beta)
    }

    fn eval(&self, x: TValue, beta: TValue, _: DatumType) -> TractResult<Tensor> {
        let shape = multi_broadcast(&[x.shape(), beta.shape()])?;
        let mut y = if *shape == *x.shape() {
            x.into_tensor()
        } else {
            x.broadcast_to_shape(&shape)?
        };
        self.eval_in_a(&mut y, &beta)?;
        Ok(y)
    }

    /// A beta that turns out to be one constant number makes the element-wise op, which needs no second input.
    fn declutter(
        &self,
        model: &TypedModel,
        node: &TypedNode,
    ) -> TractResult<Option<TypedModelPatch>> {
        let [x, beta] = *node.inputs else {
            return Ok(None);
        };
        let Some(uniform) = &model.outlet_fact(beta)?.uniform else {
            return Ok(None);
        };
        // Only where beta does not widen the result.
        if model.outlet_fact(x)?.shape != model.outlet_fact(node.id.into())?.shape {
            return Ok(None);
        }
        let beta = uniform.cast_to_scalar::<f64>()?;
        TypedModelPatch::replace_single_op(model, node, &[x], Activation::swish(beta).into_op())
            .map(Some)
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        tvec!((Cost::FMA(dt), 12), (Cost::Div(dt), 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beta_may_vary_on_neighbouring_axes_only() {
        let inner = |beta: &[usize]| Layout::of(&[2, 3, 4, 5], beta).map(|layout| layout.inner);
        assert_eq!(inner(&[1, 1, 1, 1]), Some(120));
        assert_eq!(inner(&[1, 3, 1, 1]), Some(20));
        assert_eq!(inner(&[1, 3, 4, 1]), Some(5));
        assert_eq!(inner(&[1, 1, 1, 5]), Some(1));
        assert_eq!(inner(&[2, 3, 4, 5]), Some(1));
        assert_eq!(inner(&[2, 1, 4, 1]), None);
    }
}
