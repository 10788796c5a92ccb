//! How a node's inputs and attributes must fit each other: windows, groups, blocks, matrices.
//!
//! Given what is known of the shapes; promises an error that names the sizes where they do not fit.

use tract_hir::internal::Factoid;
use tract_onnx::pb::NodeProto;

use super::attributes::WINDOWS;
use super::{Known, Node, listed};
use crate::arena::room_for;
use crate::error::{Error, NoRoom};

/// A window that moves over an image, but for its size.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// The input that holds the weights; none of a pooling.
    weights: Option<usize>,
    transposed: bool,
    /// Whether the node says how much it pads, instead of having it computed.
    padded: bool,
}

pub(super) fn window(node: &NodeProto) -> Option<Window> {
    let operator = node.op_type.as_str();
    if !WINDOWS.contains(&operator) {
        return None;
    }
    let auto = node
        .attribute
        .iter()
        .find(|attribute| attribute.name == "auto_pad");
    Some(Window {
        weights: match operator {
            "QLinearConv" => Some(3),
            "Conv" | "ConvInteger" | "ConvTranspose" => Some(1),
            _ => None,
        },
        transposed: operator == "ConvTranspose",
        padded: auto.is_none_or(|auto| matches!(auto.s.as_slice(), b"" | b"NOTSET" | b"VALID")),
    })
}

pub(super) fn check(node: &Node, known: &Known<'_>) -> Result<(), Error> {
    let broken = match node.operator.as_str() {
        "GroupNormalization" => divides(node, known, "num_groups", &[1], 1),
        "DepthToSpace" => divides(node, known, "blocksize", &[1], 2),
        "SpaceToDepth" => divides(node, known, "blocksize", &[2, 3], 1),
        "MatMul" | "MatMulInteger" => matrices(known, 0, 1),
        "Gemm" => gemm(node, known),
        "Reshape" => reshape(node, known),
        "Expand" => expand(node, known),
        "Split" => split(node, known),
        "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" | "QLinearGlobalAveragePool" => {
            known.rank(0).and_then(|rank| no_image(node, rank))
        }
        "RNN" => recurrent(node, known, 1),
        "GRU" => recurrent(node, known, 3),
        "LSTM" => recurrent(node, known, 4),
        "QLinearMatMul" => matrices(known, 0, 3),
        _ => match &node.window {
            Some(window) => window.broken(node, known),
            None => None,
        },
    };
    match broken {
        Some(reason) => Err(node.mismatch(reason)),
        None if node.operator == "Expand" => countable(node, known),
        None => Ok(()),
    }
}

/// Whether a power of an attribute divides the sizes of axes of the first input.
fn divides(
    node: &Node,
    known: &Known<'_>,
    attribute: &str,
    axes: &[usize],
    power: u32,
) -> Option<String> {
    let value = *node.attribute(attribute)?.first()?;
    let part = usize::try_from(value)
        .ok()
        .and_then(|value| value.checked_pow(power));
    let dims = known.dims(0)?;
    let whole = axes.iter().find_map(|axis| {
        let size = (*dims.get(*axis)?)?;
        let even = part.is_some_and(|part| part > 0 && size % part == 0);
        (!even).then_some((axis, size))
    });
    let (axis, size) = whole?;
    Some(format!(
        "axis {axis} of `{}` has {size} elements, and {attribute} {value} does not part them evenly",
        node.input_name(0)
    ))
}

/// Whether so many axes are too few for images.
fn no_image(node: &Node, rank: usize) -> Option<String> {
    (rank < 3).then(|| {
        format!(
            "`{}` has {rank} axes, and at least three are needed: images, channels, pixels",
            node.input_name(0)
        )
    })
}

/// Whether sizes can be broadcast to a shape that is asked for, and back.
fn expand(node: &Node, known: &Known<'_>) -> Option<String> {
    let (given, asked) = (known.shape(0)?, known.integers(1)?);
    let pairs = given.iter().rev().zip(asked.iter().rev());
    let clash = pairs
        .filter_map(|(size, asked)| Some((*size, usize::try_from(*asked).ok()?)))
        .find(|(size, asked)| size != asked && *size != 1 && *asked != 1);
    clash.map(|(size, asked)| {
        format!(
            "an axis of {size} elements in `{}` cannot be expanded to {asked}",
            node.input_name(0)
        )
    })
}

/// Whether tract can count the elements along each axis of an Expand: it does so in 32 bits. There is seldom memory for more.
fn countable(node: &Node, known: &Known<'_>) -> Result<(), Error> {
    let (Some(given), Some(asked)) = (known.shape(0), known.integers(1)) else {
        return Ok(());
    };
    let Some(most) = asked.iter().copied().max() else {
        return Ok(());
    };
    if i32::try_from(most).is_ok() {
        return Ok(());
    }
    let sizes = asked.iter().rev().enumerate().map(|(at, asked)| {
        let own = given.iter().rev().nth(at).copied().unwrap_or(1);
        usize::try_from(*asked).unwrap_or(1).max(own)
    });
    let sizes: Vec<usize> = sizes.collect();
    let dt = known.fact(0).and_then(|fact| fact.datum_type.concretize());
    if let Some(Err(error)) = dt.map(|dt| room_for(dt, &sizes))
        && let Some(NoRoom { bytes, .. }) = error.downcast_ref()
    {
        return Err(Error::Memory {
            node: Some(node.name.clone()),
            what: format!(
                "what `{}` asks for, an axis of {most} elements",
                node.input_name(1)
            ),
            bytes: *bytes,
        });
    }
    Err(Error::Unimplemented {
        node: node.name.clone(),
        operator: node.operator.clone(),
        reason: format!(
            "`{}` asks for an axis of {most} elements, and more than {} are not implemented",
            node.input_name(1),
            i32::MAX
        ),
    })
}

/// Whether parts are together as long as the axis.
fn split(node: &Node, known: &Known<'_>) -> Option<String> {
    let parts = match node.attribute("split") {
        Some(parts) => parts.to_vec(),
        None => known.integers(1)?,
    };
    let dims = known.dims(0)?;
    let axis = node
        .attribute("axis")
        .and_then(|axis| axis.first().copied());
    let axis = axis.unwrap_or(0);
    let rank = i64::try_from(dims.len()).ok()?;
    let at = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
    let size = (*dims.get(at)?)?;
    let whole = parts.iter().map(|part| i128::from(*part)).sum::<i128>();
    (whole != size as i128 || parts.iter().any(|part| *part < 0)).then(|| {
        format!(
            "its parts {} do not make up the {size} elements along axis {axis} of `{}`",
            listed_all(&parts),
            node.input_name(0)
        )
    })
}

/// Whether a shape that is asked for has as many elements as there are: 0 keeps a size, -1 is what is left.
fn reshape(node: &Node, known: &Known<'_>) -> Option<String> {
    let (given, asked) = (known.shape(0)?, known.integers(1)?);
    let keeps = !matches!(node.attribute("allowzero"), Some([allow]) if *allow != 0);
    let elements = given
        .iter()
        .try_fold(1usize, |all, size| all.checked_mul(*size))?;
    let mut fixed = Some(1usize);
    for (axis, size) in asked.iter().enumerate() {
        let size = match size {
            -1 => continue,
            0 if keeps => given.get(axis).copied(),
            size => usize::try_from(*size).ok(),
        };
        fixed = fixed
            .zip(size)
            .and_then(|(all, size)| all.checked_mul(size));
    }
    let open = asked.iter().filter(|size| **size == -1).count();
    let fits = match (open, fixed) {
        (0, Some(fixed)) => fixed == elements,
        (1, Some(0)) => elements == 0,
        (1, Some(fixed)) => elements % fixed == 0,
        _ => false,
    };
    (!fits).then(|| {
        format!(
            "`{}` asks for the shape {}, and `{}` has {elements} elements",
            node.input_name(1),
            listed_all(&asked),
            node.input_name(0)
        )
    })
}

/// Whether two matrices fit, each as it is or transposed.
fn gemm(node: &Node, known: &Known<'_>) -> Option<String> {
    let (left, right) = (known.dims(0)?, known.dims(1)?);
    let turned =
        |attribute: &str| matches!(node.attribute(attribute), Some([turned]) if *turned != 0);
    let inner = (*left.get(usize::from(!turned("transA")))?)?;
    let other = (*right.get(usize::from(turned("transB")))?)?;
    (inner != other).then(|| meeting(node, inner, other, 0, 1))
}

fn meeting(node: &Node, inner: usize, other: usize, a: usize, b: usize) -> String {
    format!(
        "rows of {inner} elements in `{}` meet columns of {other} in `{}`",
        node.input_name(a),
        node.input_name(b)
    )
}

/// Whether weights of so many gates fit the hidden size and the input.
fn recurrent(node: &Node, known: &Known<'_>, gates: usize) -> Option<String> {
    let (input, weights, recurrence) = (known.dims(0)?, known.dims(1)?, known.dims(2)?);
    let (w, r) = (node.input_name(1), node.input_name(2));
    if [input.len(), weights.len(), recurrence.len()] != [3; 3] {
        return Some(format!(
            "its input, `{w}` and `{r}` must have three axes each"
        ));
    }
    let hidden = (*recurrence.get(2)?)?;
    if let Some([declared]) = node.attribute("hidden_size")
        && usize::try_from(*declared) != Ok(hidden)
    {
        return Some(format!(
            "hidden_size is {declared}, and the rows of `{r}` have {hidden} elements"
        ));
    }
    let rows = gates.checked_mul(hidden)?;
    for (name, weights) in [(w, &weights), (r, &recurrence)] {
        let found = (*weights.get(1)?)?;
        if found != rows {
            return Some(format!(
                "`{name}` has {found} rows, and {rows} are needed for {hidden} hidden elements"
            ));
        }
    }
    let (features, taken) = ((*input.get(2)?)?, (*weights.get(2)?)?);
    (features != taken).then(|| {
        format!(
            "`{}` has {features} features, and the rows of `{w}` have {taken}",
            node.input_name(0)
        )
    })
}

/// Whether the last axis of one matrix is as long as the last but one of the other.
fn matrices(known: &Known<'_>, a: usize, b: usize) -> Option<String> {
    let (left, right) = (known.dims(a)?, known.dims(b)?);
    if left.is_empty() || right.is_empty() {
        return Some("a product of matrices takes no scalars".to_owned());
    }
    let inner = (*left.last()?)?;
    let other = (*right.get(right.len().saturating_sub(2))?)?;
    (inner != other).then(|| meeting(known.node, inner, other, a, b))
}

impl Window {
    fn broken(&self, node: &Node, known: &Known<'_>) -> Option<String> {
        let image = known.dims(0)?;
        if let Some(reason) = no_image(node, image.len()) {
            return Some(reason);
        }
        let spatial = image.get(2..)?;
        let weights = match self.weights {
            Some(slot) => Some(known.dims(slot)?),
            None => None,
        };
        if let Some(weights) = &weights {
            if weights.len() != image.len() {
                return Some(format!(
                    "the image has {} axes and the weights have {}",
                    image.len(),
                    weights.len()
                ));
            }
            if let Some(reason) = self.channels(node, &image, weights) {
                return Some(reason);
            }
        }
        let per_axis = [
            ("kernel_shape", 1),
            ("strides", 1),
            ("dilations", 1),
            ("pads", 2),
            ("output_padding", 1),
            ("output_shape", 1),
        ];
        for (attribute, times) in per_axis {
            if let Some(values) = node.attribute(attribute)
                && values.len() != times * spatial.len()
            {
                return Some(format!(
                    "{attribute} {} has {} numbers, and {} are needed",
                    listed_all(values),
                    values.len(),
                    times * spatial.len()
                ));
            }
        }
        let sizes = self.sizes(node, spatial.len(), weights.as_deref());
        if let (Some(declared), Some(weights)) = (node.attribute("kernel_shape"), &weights) {
            let own = weights.iter().skip(2).zip(declared);
            for (own, declared) in own {
                if own.is_some_and(|own| i64::try_from(own) != Ok(*declared)) {
                    return Some(format!(
                        "kernel_shape is {} and the weights have another shape",
                        listed_all(declared_all(node))
                    ));
                }
            }
        }
        if !self.padded || node.attribute("output_shape").is_some() {
            return None;
        }
        self.beyond(node, spatial, &sizes)
    }

    /// Whether channels and groups fit.
    fn channels(
        &self,
        node: &Node,
        image: &[Option<usize>],
        weights: &[Option<usize>],
    ) -> Option<String> {
        let group = node
            .attribute("group")
            .and_then(|group| group.first().copied());
        let group = usize::try_from(group.unwrap_or(1)).ok()?;
        let (channels, rows) = ((*image.get(1)?)?, (*weights.first()?)?);
        if rows % group.max(1) != 0 {
            return Some(format!(
                "{rows} rows of weights cannot be parted into {group} groups"
            ));
        }
        let taken = if self.transposed {
            rows
        } else {
            (*weights.get(1)?)?.checked_mul(group)?
        };
        (taken != channels).then(|| {
            format!(
                "the image has {channels} channels and the weights take {taken}, in {group} groups"
            )
        })
    }

    fn sizes(
        &self,
        node: &Node,
        count: usize,
        weights: Option<&[Option<usize>]>,
    ) -> Vec<Option<i64>> {
        (0..count)
            .map(|axis| match node.attribute("kernel_shape") {
                Some(kernel) => kernel.get(axis).copied(),
                None => i64::try_from((*weights?.get(axis + 2)?)?).ok(),
            })
            .collect()
    }

    /// Whether nothing comes out: a window larger than the image with what is padded, or of a transposed convolution everything cut.
    fn beyond(
        &self,
        node: &Node,
        image: &[Option<usize>],
        sizes: &[Option<i64>],
    ) -> Option<String> {
        let at = |attribute: &str, at: usize, default: i64| {
            let values = node.attribute(attribute);
            let value = values.and_then(|values| values.get(at).copied());
            i128::from(value.unwrap_or(default))
        };
        for (axis, (size, window)) in image.iter().zip(sizes).enumerate() {
            let (Some(size), Some(window)) = (size, window) else {
                continue;
            };
            // In 128 bits nothing of these overflows.
            let pads = at("pads", axis, 0) + at("pads", axis + image.len(), 0);
            let reach = i128::from(*window - 1) * at("dilations", axis, 1) + 1;
            let size = *size as i128;
            // Where sizes are rounded up, a part of a stride is one more place.
            let rest = match at("ceil_mode", 0, 0) {
                1 => at("strides", axis, 1) - 1,
                _ => 0,
            };
            if self.transposed {
                let whole = (size - 1) * at("strides", axis, 1) + reach;
                let left = whole + at("output_padding", axis, 0) - pads;
                if size > 0 && left < 1 {
                    return Some(format!(
                        "pads cut {pads} of {whole} elements along axis {}",
                        axis + 2
                    ));
                }
            } else if reach > size + pads + rest {
                return Some(format!(
                    "its window of {window} elements along axis {} reaches over {reach}, beyond the image of {size}",
                    axis + 2
                ));
            }
        }
        None
    }
}

fn declared_all(node: &Node) -> &[i64] {
    node.attribute("kernel_shape").unwrap_or_default()
}

/// In brackets, however many.
fn listed_all(values: &[i64]) -> String {
    match values {
        [one] => format!("[{one}]"),
        all => listed(all),
    }
}
