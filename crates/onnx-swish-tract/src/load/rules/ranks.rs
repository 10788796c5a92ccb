//! How many axes a node's inputs must have, and which sizes must be alike.
//!
//! Given what is known of the shapes; promises a sentence that names both where they do not fit.

use super::{Known, Node, listed};

pub(super) fn broken(node: &Node, known: &Known<'_>) -> Option<String> {
    match node.operator.as_str() {
        "Attention" => attention(node, known),
        "BatchNormalization" => batch_normalization(node, known),
        "Concat" => concat(node, known),
        "Expand" => expand(node, known),
        "Gemm" => bias(node, known),
        "GridSample" => grid(node, known),
        "RNN" | "GRU" | "LSTM" => lengths(node, known),
        "Tile" => repeats(node, known),
        _ => None,
    }
}

fn attention(node: &Node, known: &Known<'_>) -> Option<String> {
    for slot in 0..3 {
        let rank = known.rank(slot)?;
        let name = node.input_name(slot);
        if !(3..=4).contains(&rank) {
            return Some(format!("`{name}` has {rank} axes, and 3 or 4 are needed"));
        }
        let heads = if slot == 0 {
            "q_num_heads"
        } else {
            "kv_num_heads"
        };
        if rank == 3 && node.attribute(heads).is_none() {
            return Some(format!(
                "`{name}` has 3 axes, and how many heads it holds, {heads}, is not said"
            ));
        }
    }
    None
}

fn batch_normalization(node: &Node, known: &Known<'_>) -> Option<String> {
    let channels = (*known.dims(0)?.get(1)?)?;
    (1..5).find_map(|slot| match known.dims(slot)?.as_slice() {
        &[Some(size)] if size != channels => Some(format!(
            "`{}` has {size} elements, and `{}` has {channels} channels",
            node.input_name(slot),
            node.input_name(0)
        )),
        _ => None,
    })
}

fn concat(node: &Node, known: &Known<'_>) -> Option<String> {
    let axis = *node.attribute("axis")?.first()?;
    let first = known.dims(0)?;
    let rank = i64::try_from(first.len()).ok()?;
    let axis = if axis < 0 { axis + rank } else { axis };
    let (one, others) = (node.input_name(0), 1..node.inputs.len());
    others.filter_map(|slot| Some((slot, known.dims(slot)?))).find_map(|(slot, dims)| {
        let name = node.input_name(slot);
        if dims.len() != first.len() {
            return Some(format!(
                "`{one}` has {rank} axes, and `{name}` has {}",
                dims.len()
            ));
        }
        let mut pairs = first.iter().zip(&dims).enumerate();
        pairs.find_map(|(at, (size, other))| {
            let (size, other) = ((*size)?, (*other)?);
            let differ = size != other && i64::try_from(at) != Ok(axis);
            differ.then(|| {
                format!(
                    "`{one}` has {size} elements along axis {at}, and `{name}` has {other}; they are joined along axis {axis}"
                )
            })
        })
    })
}

fn expand(node: &Node, known: &Known<'_>) -> Option<String> {
    let asked = known.integers(1)?;
    let below = asked.iter().any(|size| *size < 0);
    below.then(|| {
        format!(
            "`{}` asks for the shape {}, and no size is negative",
            node.input_name(1),
            listed(&asked)
        )
    })
}

/// Whether a Gemm's third input broadcasts to the product.
fn bias(node: &Node, known: &Known<'_>) -> Option<String> {
    let (left, right, bias) = (known.dims(0)?, known.dims(1)?, known.shape(2)?);
    let turned = |name: &str| matches!(node.attribute(name), Some([turned]) if *turned != 0);
    let rows = (*left.get(usize::from(turned("transA")))?)?;
    let columns = (*right.get(usize::from(!turned("transB")))?)?;
    let pairs = bias.iter().rev().zip([columns, rows]);
    let fits = bias.len() < 3 && pairs.clone().all(|(size, to)| *size == 1 || *size == to);
    (!fits).then(|| {
        format!(
            "`{}` of shape {bias:?} does not broadcast to the product, of shape [{rows}, {columns}]",
            node.input_name(2)
        )
    })
}

fn grid(node: &Node, known: &Known<'_>) -> Option<String> {
    let (rank, grid) = (known.rank(0)?, known.rank(1)?);
    let (image, name) = (node.input_name(0), node.input_name(1));
    if rank < 3 || rank != grid {
        return Some(format!(
            "`{image}` has {rank} axes and `{name}` {grid}, and both must have as many, three at least"
        ));
    }
    let (needed, found) = (rank - 2, (*known.dims(1)?.last()?)?);
    (found != needed).then(|| {
        format!(
            "the last axis of `{name}` has {found} elements, and {needed} are needed: a coordinate for each axis of pixels of `{image}`"
        )
    })
}

/// Whether there is a length for every sequence.
fn lengths(node: &Node, known: &Known<'_>) -> Option<String> {
    let first = matches!(node.attribute("layout"), Some([layout]) if *layout != 0);
    let batch = (*known.dims(0)?.get(usize::from(!first))?)?;
    let lengths = (*known.dims(4)?.first()?)?;
    (lengths != batch).then(|| {
        format!(
            "`{}` has {lengths} lengths, and `{}` has {batch} sequences",
            node.input_name(4),
            node.input_name(0)
        )
    })
}

fn repeats(node: &Node, known: &Known<'_>) -> Option<String> {
    let (rank, repeats) = (known.rank(0)?, known.dims(1)?);
    let &[Some(repeats)] = repeats.as_slice() else {
        return None;
    };
    (repeats != rank).then(|| {
        format!(
            "`{}` has {repeats} numbers, and `{}` has {rank} axes, each of which takes one",
            node.input_name(1),
            node.input_name(0)
        )
    })
}
