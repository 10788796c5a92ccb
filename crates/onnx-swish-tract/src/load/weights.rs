//! Weights on their way from a decoded model into tract's graph.
//!
//! Given a decoded model; promises the graph that tract's own loader makes of it, without all weights twice in memory at any time.
//!
//! tract's loader copies every initializer while all of the model is still there. Here it is shown tensors without elements in the place of
//! large ones; these follow one at a time, and each is freed where it came from. No builder of an operator looks at an initializer's
//! elements, and shapes and types are inferred after all of this.

use std::collections::HashMap;

use tract_core::ops::konst::Const;
use tract_hir::internal::*;
use tract_onnx::model::{Onnx, ParseResult};
use tract_onnx::pb::{ModelProto, TensorProto};
use tract_onnx::tensor::load_tensor;

/// Tensors of fewer encoded elements or bytes go along with the rest of the model.
const LARGE: usize = 1 << 14;

/// What tract's loader makes of a model.
pub(super) fn parse(
    loader: &Onnx,
    mut proto: ModelProto,
    base_dir: Option<&str>,
) -> TractResult<ParseResult> {
    let kept = keep_back(&mut proto);
    let mut parsed = loader.parse(&proto, base_dir)?;
    drop(proto);
    for tensor in kept {
        let outlet = *parsed
            .outlets_by_name
            .get(&tensor.name)
            .with_context(|| format!("tract has no constant named `{}`", tensor.name))?;
        let value = load_tensor(&*loader.provider, &tensor, base_dir)?.into_arc_tensor();
        drop(tensor);
        let node = parsed.model.node_mut(outlet.node);
        node.op = Box::new(Const::new(value.clone())?);
        let fact = InferenceFact::from(TypedFact::try_from(value)?);
        for output in &mut node.outputs {
            output.fact = fact.clone();
        }
    }
    Ok(parsed)
}

/// Takes large initializers out of the model, and leaves tensors of no elements.
fn keep_back(proto: &mut ModelProto) -> Vec<TensorProto> {
    let Some(graph) = &mut proto.graph else {
        return Vec::new();
    };
    // The loader makes one constant of equal ones: ours differ in their shapes, from each other and from the model's own.
    let is_like_ours = |tensor: &TensorProto| matches!(*tensor.dims, [0, _, _]);
    if graph.initializer.iter().any(is_like_ours) {
        return Vec::new();
    }
    // Of several tensors with one name it is the loader that says which counts.
    let mut tensors_of = HashMap::new();
    for tensor in &graph.initializer {
        *tensors_of.entry(tensor.name.clone()).or_insert(0) += 1;
    }
    let mut kept = Vec::new();
    for tensor in &mut graph.initializer {
        if is_large(tensor) && tensors_of.get(&tensor.name) == Some(&1) {
            let empty = TensorProto {
                name: tensor.name.clone(),
                data_type: tensor.data_type,
                dims: vec![0, kept.len() as i64, 1],
                ..TensorProto::default()
            };
            kept.push(std::mem::replace(tensor, empty));
        }
    }
    kept
}

/// Whether a tensor has many elements in the model itself.
fn is_large(tensor: &TensorProto) -> bool {
    let lengths = [
        tensor.raw_data.len(),
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.double_data.len(),
        tensor.uint64_data.len(),
    ];
    lengths.iter().any(|length| *length >= LARGE)
}
