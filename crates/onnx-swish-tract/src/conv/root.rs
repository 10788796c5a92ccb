//! The convolutions of a decluttered graph.
//!
//! Given a node; promises its weights as `[out channels, in channels / groups, height, width]` and where its images lie.

use onnx_swish_conv::{Window, is_depthwise};
use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, KernelFormat};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::nn::DataFormat;

use super::f32_constant;
use super::place::{OutputAxis, Place};

/// Each image of a few pixels reads all weights anew: with more of them tract's product of matrices is the better one.
const FEW_IMAGES: usize = 2;

/// So many pixels are computed as vectors, one by one.
const SINGLE_PIXELS: usize = 4;

/// What a node is to the pass.
// One for each node of a model: its size does not matter.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Found {
    /// A convolution that is covered.
    Root(Root),
    /// A convolution that is not, and why: a clause about it.
    Left(String),
    /// Something else.
    Other,
}

/// A convolution that [`super::FusedConv`] can compute.
pub(crate) struct Root {
    pub node: usize,
    pub input: OutletId,
    pub place: Place,
    pub window: Window,
    pub in_channels: usize,
    pub out_channels: usize,
    pub groups: usize,
    pub weights: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
    /// Whether every image is one pixel: a linear layer.
    pub rows: Rows,
}

/// Whether images are rows of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// They have an extent, or are the pixels of an image.
    No,
    /// They are rows, and known to be one or two, which are computed as images of one pixel.
    Few,
    /// They are rows, of any number.
    Many,
}

impl Root {
    /// The convolution at `node`, if it is one and is covered.
    pub fn of(model: &TypedModel, node: usize) -> TractResult<Found> {
        let node = model.node(node);
        if let Some(conv) = node.op_as::<Conv>() {
            Root::of_conv(model, node, conv)
        } else if let Some(einsum) = node.op_as::<EinSum>() {
            Root::of_einsum(model, node, einsum)
        } else {
            Ok(Found::Other)
        }
    }

    /// Whether each output channel reads one input channel.
    pub fn is_depthwise(&self) -> bool {
        is_depthwise(self.in_channels, self.groups)
    }

    /// Whether it is depthwise and its kernel has one direction, or more than 7 taps in one: what codes are slow at.
    pub fn is_long_depthwise(&self) -> bool {
        self.is_depthwise() && is_long(&self.window)
    }

    fn of_conv(model: &TypedModel, node: &TypedNode, conv: &Conv) -> TractResult<Found> {
        let spec = &conv.pool_spec;
        let &[input, kernel, bias] = &*node.inputs else {
            return Ok(Found::left("quantised"));
        };
        let facts = [
            model.outlet_fact(input)?,
            model.outlet_fact(kernel)?,
            model.outlet_fact(bias)?,
        ];
        if conv.q_params.is_some() {
            return Ok(Found::left("quantised"));
        }
        if facts[0].datum_type != DatumType::F32 || !facts[0].is_plain() {
            return Ok(Found::of_type(facts[0].datum_type));
        }
        let window = match window(conv) {
            Ok(window) => window,
            Err(why) => return Ok(Found::Left(why)),
        };
        let (Some(kernel), Some(bias)) = (&facts[1].konst, &facts[2].konst) else {
            return Ok(Found::left("with weights that the model computes"));
        };
        let (Some(weights), Some(bias)) = (f32_constant(kernel), f32_constant(bias)) else {
            return Ok(Found::of_type(kernel.datum_type()));
        };
        let bias = match *bias {
            [bias] => vec![bias; spec.output_channels],
            _ if bias.len() == spec.output_channels => bias.to_vec(),
            _ => return Ok(Found::left("with a bias that is not one of each channel")),
        };
        Ok(Found::Root(Root {
            node: node.id,
            input,
            place: Place::Pool(spec.clone()),
            window,
            in_channels: spec.input_channels,
            out_channels: spec.output_channels,
            groups: conv.group,
            weights: weights.to_vec(),
            bias,
            rows: Rows::No,
        }))
    }

    /// The convolution or product of integers at `node`, as ConvInteger and MatMulInteger are in tract's graph, if it is covered. Its
    /// weights are codes, which floats have exactly; whoever asks looks at zero points and at the type of what is multiplied.
    pub fn of_integers(model: &TypedModel, node: usize) -> TractResult<Option<Root>> {
        let node = model.node(node);
        let constant = |input: usize| {
            let fact = model.outlet_fact(node.inputs[input])?;
            TractResult::Ok(fact.konst.clone())
        };
        if let Some(conv) = node.op_as::<Conv>() {
            let (Some(kernel), Ok(window)) = (constant(1)?, window(conv)) else {
                return Ok(None);
            };
            let spec = &conv.pool_spec;
            let root = Root {
                node: node.id,
                input: node.inputs[0],
                place: Place::Pool(spec.clone()),
                window,
                in_channels: spec.input_channels,
                out_channels: spec.output_channels,
                groups: conv.group,
                weights: as_floats(&kernel)?,
                bias: vec![0.0; spec.output_channels],
                rows: Rows::No,
            };
            return Ok((!root.is_long_depthwise()).then_some(root));
        }
        let Some(einsum) = node.op_as::<EinSum>() else {
            return Ok(None);
        };
        for (data, weights) in [(0, 1), (1, 0)] {
            if let (None, Some(kernel)) = (constant(data)?, constant(weights)?) {
                let product = Product {
                    einsum,
                    node,
                    data,
                    weights,
                    of_any_rows: true,
                };
                return Ok(product
                    .root(model, kernel.shape(), as_floats(&kernel)?)?
                    .ok());
            }
        }
        Ok(None)
    }

    /// tract's declutter turns convolutions of one tap into products of two tensors: `NIHW,OI->NOHW`.
    fn of_einsum(model: &TypedModel, node: &TypedNode, einsum: &EinSum) -> TractResult<Found> {
        let mut left = Found::Other;
        for (data, weights) in [(0, 1), (1, 0)] {
            if einsum.q_params.is_some() || node.inputs.len() != 2 {
                continue;
            }
            let fact = model.outlet_fact(node.inputs[data])?;
            let Some(kernel) = &model.outlet_fact(node.inputs[weights])?.konst else {
                continue;
            };
            if fact.konst.is_some() || kernel.rank() != 2 {
                continue;
            }
            left = Found::of_type(fact.datum_type);
            if einsum.operating_dt != DatumType::F32
                || fact.datum_type != DatumType::F32
                || !fact.is_plain()
            {
                continue;
            }
            let Some(values) = f32_constant(kernel) else {
                continue;
            };
            let product = Product {
                einsum,
                node,
                data,
                weights,
                of_any_rows: false,
            };
            match product.root(model, kernel.shape(), values.to_vec())? {
                Ok(root) => return Ok(Found::Root(root)),
                Err(why) => left = Found::Left(why),
            }
        }
        Ok(left)
    }
}

impl Found {
    fn left(why: &str) -> Found {
        Found::Left(why.to_owned())
    }

    fn of_type(datum_type: DatumType) -> Found {
        Found::Left(format!("of {}", format!("{datum_type:?}").to_lowercase()))
    }
}

/// The elements of a tensor, which floats have exactly.
pub(crate) fn as_floats(tensor: &Tensor) -> TractResult<Vec<f32>> {
    let floats = tensor.cast_to::<f32>()?;
    Ok(floats.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// Sizes along two axes; of one axis, `other` is the first.
pub(super) fn pair(sizes: &[usize], other: usize) -> Option<[usize; 2]> {
    match *sizes {
        [x] => Some([other, x]),
        [y, x] => Some([y, x]),
        _ => None,
    }
}

/// The window of a convolution that is covered, or why it is not.
fn window(conv: &Conv) -> Result<Window, String> {
    let spec = &conv.pool_spec;
    if !matches!(spec.rank(), 1 | 2) {
        return Err(format!("over {} spatial axes", spec.rank()));
    }
    if conv.kernel_fmt != KernelFormat::OIHW
        || !matches!(spec.data_format, DataFormat::NCHW | DataFormat::CHW)
    {
        return Err("of channels that come last".to_owned());
    }
    let (Some(kernel), Some(stride), Some(dilation)) = (
        pair(&spec.kernel_shape, 1),
        pair(&spec.strides(), 1),
        pair(&spec.dilations(), 1),
    ) else {
        return Err("of an unusual window".to_owned());
    };
    if stride.iter().any(|stride| *stride > 2) {
        return Err("with a stride above 2, which tract is faster at".to_owned());
    }
    let window = Window {
        kernel,
        stride,
        dilation,
    };
    let depthwise = is_depthwise(spec.input_channels, conv.group);
    if depthwise && kernel == [1, 1] {
        return Err("depthwise and of one tap, which tract is faster at".to_owned());
    }
    if depthwise && dilation != [1, 1] && is_long(&window) {
        let why = "depthwise and dilated, in one direction or of more than 7 taps, which tract is faster at";
        return Err(why.to_owned());
    }
    Ok(window)
}

/// Whether a kernel has one direction, or more than 7 taps in one.
fn is_long(window: &Window) -> bool {
    window.kernel.contains(&1) || window.kernel.iter().any(|size| *size > 7)
}

/// A product of a tensor and a constant matrix.
struct Product<'a> {
    einsum: &'a EinSum,
    node: &'a TypedNode,
    /// Which input is the tensor, and which the matrix.
    data: usize,
    weights: usize,
    /// Whether it is covered for any number of rows.
    of_any_rows: bool,
}

impl Product<'_> {
    /// As a pointwise convolution, or why it is none.
    fn root(
        &self,
        model: &TypedModel,
        kernel: &[usize],
        values: Vec<f32>,
    ) -> TractResult<Result<Root, String>> {
        let other = || {
            Ok(Err(
                "a product over axes that are not a convolution's".to_owned()
            ))
        };
        let (inputs, outputs) = self.einsum.axes.to_strs();
        let fact = model.outlet_fact(self.node.inputs[self.data])?;
        let letters = |text: &str| text.chars().collect::<Vec<char>>();
        let (data_axes, out_axes) = (letters(&inputs[self.data]), letters(&outputs[0]));
        let weight_axes = letters(&inputs[self.weights]);
        // A stack of one matrix.
        let ones = kernel.len().saturating_sub(2);
        if kernel.iter().take(ones).any(|size| *size != 1) {
            return other();
        }
        let (Some(&[first, second]), Some(&[rows, columns])) =
            (weight_axes.get(ones..), kernel.get(ones..))
        else {
            return other();
        };
        let is_of_weights = |axis: &char| [first, second].contains(axis);
        let Some(channel_axis) = data_axes.iter().position(is_of_weights) else {
            return other();
        };
        let inner = data_axes[channel_axis];
        let outer = if inner == first { second } else { first };
        // With pixels behind the channels it is a convolution; without, each image is a row of a matrix.
        let vectors = fact.shape.iter().take(channel_axis).product::<TDim>();
        let pixels = fact.shape.iter().skip(channel_axis + 1).product::<TDim>();
        let few = vectors.to_usize().is_ok_and(|count| count <= FEW_IMAGES);
        let is_linear = pixels == 1.to_dim();
        let single = pixels.to_usize().is_ok_and(|count| count <= SINGLE_PIXELS);
        let output = output_axes(
            (&data_axes, &fact.shape),
            (&out_axes, &self.node.outputs[0].fact.shape),
            inner,
            outer,
        );
        let Some(output) = output else {
            return other();
        };
        if first == second || data_axes.contains(&outer) {
            return other();
        }
        if rows == 0 || columns == 0 {
            return Ok(Err("a product without elements".to_owned()));
        }
        if !few && single && !is_linear && !self.of_any_rows {
            let why = format!(
                "a product over more than {FEW_IMAGES} images of up to {SINGLE_PIXELS} pixels"
            );
            return Ok(Err(why));
        }
        let (in_channels, out_channels, values) = if outer == first {
            (columns, rows, values)
        } else {
            let transposed = (0..columns).flat_map(|o| (0..rows).map(move |i| i * columns + o));
            let values = transposed.filter_map(|at| values.get(at).copied());
            (rows, columns, values.collect())
        };
        Ok(Ok(Root {
            node: self.node.id,
            input: self.node.inputs[self.data],
            place: Place::Pointwise {
                channel_axis,
                output,
            },
            window: Window::square(1, 1),
            in_channels,
            out_channels,
            groups: 1,
            weights: values,
            bias: vec![0.0; out_channels],
            rows: match (is_linear, few) {
                (false, _) => Rows::No,
                (true, true) => Rows::Few,
                (true, false) => Rows::Many,
            },
        }))
    }
}

/// What each axis of the output is, if the output is the input with its channels exchanged: axes of one element may come and go,
/// all others are there in the same order.
fn output_axes(
    (data_axes, data): (&[char], &ShapeFact),
    (out_axes, out): (&[char], &ShapeFact),
    inner: char,
    outer: char,
) -> Option<TVec<OutputAxis>> {
    let one = TDim::Val(1);
    let mut output = TVec::new();
    // The first axis of the input that is not accounted for.
    let mut next = 0;
    let skip_ones = |from: usize| {
        let lost = |axis: &usize| !out_axes.contains(&data_axes[*axis]) && data[*axis] == one;
        from + (from..data_axes.len()).take_while(lost).count()
    };
    for (position, axis) in out_axes.iter().enumerate() {
        if *axis != outer && !data_axes.contains(axis) {
            if out[position] != one {
                return None;
            }
            output.push(OutputAxis::One);
            continue;
        }
        next = skip_ones(next);
        let expected = if *axis == outer { inner } else { *axis };
        if data_axes.get(next) != Some(&expected) {
            return None;
        }
        output.push(if *axis == outer {
            OutputAxis::Channels
        } else {
            OutputAxis::Input(next)
        });
        next += 1;
    }
    let complete = skip_ones(next) == data_axes.len() && output.contains(&OutputAxis::Channels);
    complete.then_some(output)
}
