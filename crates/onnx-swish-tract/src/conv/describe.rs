//! Convolutions in words, for profiles and for those who ask what the engine did.
//!
//! Given what an operator computes, or why one was not made; promises the field's names, and the same words for the same work.

use onnx_swish_conv::{Activation, Ending, Line, QSpec, Residual, Spec, TransposedSpec, Window};
use onnx_swish_kernels::codes::Requantize;
use serde::Serialize;

use super::codes::Table;

/// A convolution of a graph, or a product with constant weights that could be one, and who computes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Convolution {
    /// The node's name in tract's graph, which keeps the model's names.
    pub node: String,
    /// The operator: `FusedConv`, `FusedConvDepthwise`, `FusedConvPointwise`, `FusedConvTransposed`, `FusedLinear`, or the one of tract that
    /// stays.
    pub op: String,
    /// Whether our kernels compute it.
    pub ours: bool,
    /// What ours computes, without sizes: `depthwise 3x3, HardSwish, plane sums`. None for one of tract's.
    pub kind: Option<String>,
    /// The same with sizes.
    pub info: Option<String>,
    /// Why it stays on tract: a clause about the convolution. None for one of ours.
    pub left: Option<String>,
    /// Whether it computes with 8-bit codes.
    pub codes: bool,
    /// Why it computes with floats although its weights were codes: a clause about it. None for one that computes with codes, and for
    /// weights that were floats.
    pub floats: Option<String>,
    /// The nodes of tract's graph that went into it, itself included.
    pub nodes: Vec<String>,
    /// Multiply-accumulates of one run, if tract or we can count them.
    pub macs: Option<u64>,
}

/// `depthwise`, `pointwise`, `linear` or `dense`.
pub(super) fn method(spec: &Spec) -> &'static str {
    if spec.rows {
        return "linear";
    }
    method_of(spec.is_depthwise(), &spec.window)
}

fn method_of(is_depthwise: bool, window: &Window) -> &'static str {
    if is_depthwise {
        "depthwise"
    } else if window.taps() == 1 {
        "pointwise"
    } else {
        "dense"
    }
}

/// `pointwise, SiLU, residual`.
pub(super) fn kind(spec: &Spec, parts: usize, tables: &[String]) -> String {
    let filter = filter(method(spec), &spec.window);
    format!("{filter}{}{}", concatenated(parts), extras(spec, tables))
}

/// `pointwise of codes, to codes, SiLU`.
pub(super) fn kind_of_codes(spec: &QSpec, table: Option<&Table>) -> String {
    let filter = filter(method_of(spec.is_depthwise(), &spec.window), &spec.window);
    format!("{filter} of codes{}", endings(spec, table))
}

/// `dense 3x3 of codes, stride 1x1, 16 to 16 channels, to floats, SiLU`.
pub(super) fn info_of_codes(spec: &QSpec, table: Option<&Table>) -> String {
    let filter = filter(method_of(spec.is_depthwise(), &spec.window), &spec.window);
    let sizes = sizes(
        &spec.window,
        [spec.in_channels, spec.out_channels, spec.groups],
    );
    format!("{filter} of codes{sizes}{}", endings(spec, table))
}

/// What a convolution of codes ends in, in the order in which it is computed.
fn endings(spec: &QSpec, table: Option<&Table>) -> String {
    let (kind, by) = match spec.ending {
        Ending::Sums => ("sums", Activation::None),
        Ending::Floats(by) => ("floats", by),
        Ending::Codes(_, by) => ("codes", by),
    };
    let by = activation(by).map(|by| format!(", {by}"));
    let table = table.map(|table| format!(", {} by table", table.what));
    format!(
        "{}, to {kind}{}",
        by.unwrap_or_default(),
        table.unwrap_or_default()
    )
}

/// `depthwise 3x3, stride 2x2, 16 to 16 channels in 16 groups, HardSwish`.
pub(super) fn info(spec: &Spec, parts: usize, tables: &[String]) -> String {
    let filter = filter(method(spec), &spec.window);
    let sizes = if spec.rows {
        format!(", {} to {} channels", spec.in_channels, spec.out_channels)
    } else {
        sizes(
            &spec.window,
            [spec.in_channels, spec.out_channels, spec.groups],
        )
    };
    format!(
        "{filter}{sizes}{}{}",
        concatenated(parts),
        extras(spec, tables)
    )
}

/// `, concatenated input of 3`, where the channels lie in so many tensors.
fn concatenated(parts: usize) -> String {
    if parts == 1 {
        return String::new();
    }
    format!(", concatenated input of {parts}")
}

/// `transposed 2x2, ReLU`.
pub(super) fn kind_of_transposed(spec: &TransposedSpec, tables: &[String]) -> String {
    let filter = filter("transposed", &spec.window);
    format!("{filter}{}", extras(&spec.phase([1, 1]), tables))
}

/// `transposed 2x2, stride 2x2, 24 to 24 channels, ReLU`.
pub(super) fn info_of_transposed(spec: &TransposedSpec, tables: &[String]) -> String {
    let filter = filter("transposed", &spec.window);
    let sizes = sizes(
        &spec.window,
        [spec.in_channels, spec.out_channels, spec.groups],
    );
    format!("{filter}{sizes}{}", extras(&spec.phase([1, 1]), tables))
}

/// `, stride 2x2, 16 to 16 channels in 16 groups`.
fn sizes(window: &Window, [in_channels, out_channels, groups]: [usize; 3]) -> String {
    let pair = |[y, x]: [usize; 2]| format!("{y}x{x}");
    let mut text = format!(", stride {}", pair(window.stride));
    if window.dilation != [1, 1] {
        text += &format!(", dilation {}", pair(window.dilation));
    }
    text += &format!(", {in_channels} to {out_channels} channels");
    if groups > 1 {
        text += &format!(" in {groups} groups");
    }
    text
}

fn filter(method: &str, window: &Window) -> String {
    let [y, x] = window.kernel;
    match method {
        "pointwise" | "linear" => method.to_owned(),
        method => format!("{method} {y}x{x}"),
    }
}

/// What comes with the convolution, in the order in which it is computed.
fn extras(spec: &Spec, tables: &[String]) -> String {
    let mut words = Vec::new();
    let mut tables = tables.iter();
    let mut codes = |by: &Requantize| match by.table().and_then(|_| tables.next()) {
        Some(what) => format!("{what} through codes"),
        None => "codes".to_owned(),
    };
    if spec.gated {
        words.push("gated input".to_owned());
    }
    if spec.residual == Residual::BeforeActivation {
        words.push("residual".to_owned());
    }
    match &spec.activation {
        Activation::Requantize(by) => words.push(codes(by)),
        other => words.extend(activation(*other)),
    }
    if let Some(Line { scale, offset }) = spec.line {
        words.push(format!("times {scale} plus {offset}"));
    }
    if spec.residual == Residual::AfterActivation {
        words.push("residual".to_owned());
    }
    if spec.residual == Residual::Factor {
        words.push("factor".to_owned());
    }
    words.extend(spec.requantize.as_ref().map(codes));
    if spec.plane_sums {
        words.push("plane sums".to_owned());
    }
    words.into_iter().map(|word| format!(", {word}")).collect()
}

fn activation(activation: Activation) -> Option<String> {
    let text = match activation {
        Activation::None => return None,
        Activation::Relu => "ReLU".to_owned(),
        Activation::RELU6 => "ReLU6".to_owned(),
        Activation::Clamp { low, high } => format!("Clip to {low}..{high}"),
        Activation::HARD_SWISH => "HardSwish".to_owned(),
        Activation::HardSwish { alpha, beta } => format!("HardSwish of {alpha}x + {beta}"),
        Activation::HardSigmoid { alpha, beta } => format!("HardSigmoid of {alpha}x + {beta}"),
        Activation::Silu => "SiLU".to_owned(),
        Activation::Swish { beta } => format!("Swish of beta {beta}"),
        other => format!("{other:?}"),
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use onnx_swish_conv::Window;

    use super::*;

    #[test]
    fn the_words_are_the_fields() {
        let mut spec = Spec {
            window: Window::square(3, 2),
            in_channels: 16,
            out_channels: 16,
            groups: 16,
            activation: Activation::HARD_SWISH,
            residual: Residual::None,
            line: None,
            requantize: None,
            gated: false,
            plane_sums: false,
            exact: false,
            rows: false,
        };
        assert_eq!(
            info(&spec, 1, &[]),
            "depthwise 3x3, stride 2x2, 16 to 16 channels in 16 groups, HardSwish"
        );
        spec.plane_sums = true;
        assert_eq!(kind(&spec, 1, &[]), "depthwise 3x3, HardSwish, plane sums");
        spec.window = Window::square(1, 1);
        spec.plane_sums = false;
        (spec.groups, spec.gated) = (1, true);
        (spec.activation, spec.residual) = (Activation::RELU6, Residual::AfterActivation);
        assert_eq!(
            kind(&spec, 1, &[]),
            "pointwise, gated input, ReLU6, residual"
        );
        spec.residual = Residual::BeforeActivation;
        spec.activation = Activation::Clamp {
            low: -1.0,
            high: 0.5,
        };
        assert_eq!(
            info(&spec, 1, &[]),
            "pointwise, stride 1x1, 16 to 16 channels, gated input, residual, Clip to -1..0.5"
        );
        spec.residual = Residual::None;
        spec.activation = Activation::Silu;
        assert_eq!(
            kind(&spec, 3, &[]),
            "pointwise, concatenated input of 3, gated input, SiLU"
        );
        assert_eq!(
            info(&spec, 2, &[]),
            "pointwise, stride 1x1, 16 to 16 channels, concatenated input of 2, gated input, SiLU"
        );
        spec.residual = Residual::BeforeActivation;
        spec.rows = true;
        (spec.gated, spec.activation) = (false, Activation::Silu);
        assert_eq!(
            info(&spec, 1, &[]),
            "linear, 16 to 16 channels, residual, SiLU"
        );
    }
}
