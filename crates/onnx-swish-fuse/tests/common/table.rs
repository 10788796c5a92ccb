//! Every spelling that must be recognised, one row each: the tests run them and `docs/spellings.md` lists them.

use super::Net;

/// One way of writing an activation.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Short name, unique.
    pub name: &'static str,
    /// Who writes it.
    pub by: &'static str,
    /// What must be found.
    pub found: &'static str,
    /// The nodes.
    pub body: &'static str,
    /// Constants besides `zero half one mone two three six sixth`.
    pub constants: &'static str,
    /// Inputs besides x.
    pub inputs: &'static str,
    /// Version of ONNX's operators.
    pub opset: i64,
}

impl Row {
    pub fn net(&self) -> Net {
        let x = "float[2,8,4,4] x";
        Net::new(self.body)
            .inputs(&format!("{x}; {}", self.inputs))
            .and(self.constants)
            .opset(self.opset)
    }
}

const fn row(name: &'static str, by: &'static str, found: &'static str, body: &'static str) -> Row {
    Row {
        name,
        by,
        found,
        body,
        constants: "",
        inputs: "",
        opset: 17,
    }
}

impl Row {
    const fn constants(self, constants: &'static str) -> Self {
        Self { constants, ..self }
    }

    const fn inputs(self, inputs: &'static str) -> Self {
        Self { inputs, ..self }
    }

    const fn opset(self, opset: i64) -> Self {
        Self { opset, ..self }
    }
}

const SILU: &str = "silu 1";
const SWISH: &str = "swish 1";
const HARD: &str = "hard_swish 1";
const QUICK: &str = "float b = 1.702";

/// Sections of the page, with their rows.
pub const TABLE: &[(&str, &[Row])] = &[
    ("SiLU and Swish by Sigmoid", &[
        row("x_sigmoid", "PyTorch, timm, YOLO, EfficientNet", SILU, "s = Sigmoid(x); y = Mul(x, s)"),
        row("sigmoid_x", "tf2onnx", SILU, "s = Sigmoid(x); y = Mul(s, x)"),
        row("times_beta", "CLIP's quick_gelu", SWISH, "t = Mul(x, b); s = Sigmoid(t); y = Mul(x, s)").constants(QUICK),
        row("beta_times", "tf.nn.silu", SWISH, "t = Mul(b, x); s = Sigmoid(t); y = Mul(x, s)").constants(QUICK),
        row("times_one", "TensorFlow before constant folding", SILU, "t = Mul(one, x); s = Sigmoid(t); y = Mul(x, s)"),
        row("one_element_beta", "Paddle2ONNX", SILU, "c = Constant[value=float[1] 1](); t = Mul(x, c); s = Sigmoid(t); y = Mul(x, s)"),
        row("divided", "hand-written", SWISH, "t = Div(x, two); s = Sigmoid(t); y = Mul(x, s)"),
        row("negated", "beta = -1", SWISH, "t = Neg(x); s = Sigmoid(t); y = Mul(x, s)"),
        row("one_minus", "x·(1 - σ(-x))", SILU, "t = Neg(x); s = Sigmoid(t); o = Sub(one, s); y = Mul(x, o)"),
        row("cast_like", "ONNX's function body of Swish, inlined", SWISH, "a = Constant[value_float=1.5](); c = CastLike(a, x); t = Mul(c, x); s = Sigmoid(t); y = Mul(x, s)"),
        row("identities", "tf.custom_gradient", SILU, "i = Identity(x); s = Sigmoid(i); j = Identity(s); y = Mul(i, j)"),
        row("dropout", "inference exports that keep Dropout", SILU, "d, mask = Dropout(x); s = Sigmoid(d); y = Mul(d, s)"),
        row("of_a_sum", "an activation of x + 1", SILU, "w = Add(x, one); s = Sigmoid(w); y = Mul(w, s)"),
        row("of_a_sigmoid", "s·σ(s)", SILU, "r = Sigmoid(x); s = Sigmoid(r); y = Mul(r, s)"),
        row("factor_before", "a factor stays as one Mul", SILU, "w = Mul(x, two); s = Sigmoid(x); y = Mul(w, s)"),
        row("doubled", "x + x is 2x", SWISH, "t = Add(x, x); s = Sigmoid(t); y = Mul(x, s)"),
        row("two_products", "two products of one Sigmoid", "silu 2", "s = Sigmoid(x); a = Mul(x, s); c = Mul(x, s); y = Add(a, c)"),
        row("in_a_row", "one after the other", "silu 2", "s = Sigmoid(x); m = Mul(x, s); t = Sigmoid(m); y = Mul(m, t)"),
    ]),
    ("SiLU and Swish by Exp", &[
        row("div_exp", "decomposed sigmoid, Keras", SILU, "n = Neg(x); e = Exp(n); a = Add(e, one); y = Div(x, a)"),
        row("div_exp_beta", "EfficientDet", SWISH, "m = Mul(x, b); n = Neg(m); e = Exp(n); a = Add(one, e); y = Div(x, a)").constants(QUICK),
        row("one_over", "decomposers", SILU, "n = Neg(x); e = Exp(n); a = Add(one, e); r = Div(one, a); y = Mul(x, r)"),
        row("reciprocal", "decomposers", SILU, "n = Sub(zero, x); e = Exp(n); a = Add(one, e); r = Reciprocal(a); y = Mul(r, x)"),
        row("power", "decomposers", SILU, "n = Mul(x, mone); e = Exp(n); a = Sum(one, e); r = Pow(a, mone); y = Mul(r, x)"),
        row("transposed", "tf2onnx, which moves dimensions between the pieces", SILU, "n = Neg(x); e = Exp(n); a = Add(e, one); t = Transpose[perm=0:2:3:1](a); w = Transpose[perm=0:2:3:1](x); d = Div(w, t); y = Transpose[perm=0:3:1:2](d)"),
    ]),
    ("SiLU and Swish by Tanh", &[
        row("tanh_half_outside", "½·x·(1 + tanh(x/2))", SILU, "h = Mul(x, half); t = Tanh(h); a = Add(t, one); m = Mul(x, a); y = Mul(half, m)"),
        row("tanh_half_inside", "(x/2)·(1 + tanh(x/2))", SILU, "h = Mul(x, half); t = Tanh(h); a = Add(t, one); y = Mul(h, a)"),
        row("tanh_half_plus_half", "x·(½ + ½·tanh(x/2))", SILU, "h = Mul(x, half); t = Tanh(h); a = Mul(t, half); c = Add(half, a); y = Mul(c, x)"),
        row("tanh_beta", "any beta by tanh's argument", SWISH, "h = Mul(x, b); t = Tanh(h); a = Add(t, one); g = Mul(x, a); y = Div(g, two)").constants(QUICK),
    ]),
    ("Swish with a tensor as beta", &[
        row("per_channel", "AconC, EvoNorm", SWISH, "t = Mul(c, x); s = Sigmoid(t); y = Mul(x, s)").constants("float[1,8,1,1] c = 1,2,3,4,5,6,7,0.5"),
        row("last_dimension", "Keras parameters", SWISH, "t = Mul(x, c); s = Sigmoid(t); y = Mul(x, s)").constants("float[4] c = 1,2,3,0.5"),
        row("uniform", "broadcast constants written out", SWISH, "t = Mul(x, c); s = Sigmoid(t); y = Mul(x, s)").constants("float[4] c = 2"),
        row("reshaped", "a parameter reshaped on the way", SWISH, "k = Constant[value_ints=1:8:1:1](); r = Reshape(c, k); t = Mul(r, x); s = Sigmoid(t); y = Mul(x, s)").constants("float[8] c = 1,2,3,4,5,6,7,0.5"),
        row("run_time_scalar", "a learnable beta that is an input", SWISH, "t = Mul(x, beta); s = Sigmoid(t); y = Mul(x, s)").inputs("float beta"),
        row("run_time_channels", "MetaAconC", SWISH, "t = Mul(x, beta); s = Sigmoid(t); y = Mul(x, s)").inputs("float[2,8,1,1] beta"),
        row("scaled_tensor", "beta times a number", SWISH, "t = Mul(x, beta); n = Mul(t, m); e = Exp(n); a = Add(e, one); y = Div(x, a)").inputs("float[1,8,1,1] beta").constants("float m = -0.1"),
        row("over_tensor", "x divided by a parameter", SWISH, "t = Div(x, c); s = Sigmoid(t); y = Mul(x, s)").constants("float[1,8,1,1] c = 1,2,3,4,5,6,7,0.5"),
    ]),
    ("Gated products", &[
        row("swiglu", "Llama, Qwen, Phi", SILU, "s = Sigmoid(x); m = Mul(x, s); y = Mul(m, u)").inputs("float[2,8,4,4] u"),
        row("swiglu_regrouped", "optimisers that re-associate", SILU, "s = Sigmoid(x); m = Mul(s, u); y = Mul(x, m)").inputs("float[2,8,4,4] u"),
        row("swiglu_gate_last", "optimisers that re-associate", SILU, "m = Mul(x, u); s = Sigmoid(x); y = Mul(m, s)").inputs("float[2,8,4,4] u"),
        row("swiglu_divided", "(x·u) / (1 + e^-x)", SILU, "n = Neg(x); e = Exp(n); a = Add(e, one); m = Mul(x, u); y = Div(m, a)").inputs("float[8,1,1] u"),
    ]),
    ("HardSwish by HardSigmoid", &[
        row("alpha_only", "PyTorch at opset 9 to 13; beta's default is 0.5", HARD, "s = HardSigmoid[alpha=0.16666667](x); y = Mul(x, s)").opset(13),
        row("both_attributes", "ONNX's function body of HardSwish, inlined", HARD, "s = HardSigmoid[alpha=0.16666667, beta=0.5](x); y = Mul(s, x)").opset(13),
        row("paddle", "Paddle2ONNX, 2 ulp from 1/6", HARD, "s = HardSigmoid[alpha=0.1666667, beta=0.5](x); y = Mul(x, s)").opset(13),
        row("slope_02", "Keras and old Paddle", HARD, "s = HardSigmoid[alpha=0.2, beta=0.5](x); y = Mul(x, s)"),
        row("defaults", "no attributes: slope 0.2", HARD, "s = HardSigmoid(x); y = Mul(x, s)"),
    ]),
    ("HardSwish by clamping", &[
        row("gate_then_x", "timm", HARD, "a = Add(x, three); c = Clip(a, zero, six); d = Div(c, six); y = Mul(x, d)"),
        row("x_then_sixth", "YOLOv5, Keras, Paddle2ONNX", HARD, "a = Add(x, three); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)"),
        row("clip_attributes", "exports before opset 11", HARD, "a = Add(x, three); c = Clip[min=0.0, max=6.0](a); m = Mul(x, c); y = Div(m, six)").opset(9),
        row("times_sixth", "TensorFlow's MobileNetV3", HARD, "a = Add(x, three); c = Clip(a, zero, six); m = Mul(x, c); y = Mul(m, sixth)"),
        row("gate_times_sixth", "Keras applications", HARD, "a = Add(x, three); c = Clip(a, zero, six); m = Mul(c, sixth); y = Mul(m, x)"),
        row("relu_min", "TensorFlow's frozen graphs", HARD, "a = Add(x, three); c = Relu(a); d = Min(c, six); m = Mul(x, d); y = Div(m, six)"),
        row("max_min", "clamp with tensors, clip_by_value", HARD, "a = Add(x, three); c = Max(a, zero); d = Min(six, c); e = Div(d, six); y = Mul(x, e)"),
        row("min_max", "ONNX's function body of HardSigmoid", HARD, "m = Mul(x, sixth); a = Add(m, half); c = Min(a, one); d = Max(c, zero); y = Mul(x, d)"),
        row("variadic", "Sum, Min and Max of more than two", HARD, "a = Sum(x, one, two); c = Max(a, zero, mone); d = Min(c, six, seven); m = Mul(x, d); y = Div(m, six)").constants("float seven = 7"),
        row("two_clips", "PyTorch's decomposition", HARD, "a = Add(x, three); c = Clip(a, zero); d = Clip(c, , six); e = Div(d, six); y = Mul(x, e)"),
        row("relu_clip", "onnx-tf", HARD, "a = Add(x, three); c = Relu(a); d = Clip(c, , six); e = Div(d, six); y = Mul(x, e)"),
        row("hardtanh", "(hardtanh(x/3) + 1) / 2", HARD, "t = Div(x, three); c = Clip(t, mone, one); a = Add(c, one); d = Div(a, two); y = Mul(x, d)"),
        row("subtracted", "x - (-3)", HARD, "a = Sub(x, m3); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)").constants("float m3 = -3"),
        row("mirrored", "a falling gate", HARD, "a = Sub(three, x); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)"),
        row("all_negated", "-x·clip(-3 - x, -6, 0) / 6", HARD, "a = Sub(m3, x); c = Clip(a, m6, zero); m = Mul(x, c); n = Neg(m); y = Div(n, six)").constants("float m3 = -3; float m6 = -6"),
        row("keras_02", "Keras' hard_sigmoid", HARD, "m = Mul(x, fifth); a = Add(m, half); c = Clip(a, zero, one); y = Mul(x, c)").constants("float fifth = 0.2"),
        row("slim", "TensorFlow slim: 0.16667 is not 1/6, a factor stays", HARD, "a = Add(x, three); c = Clip(a, zero, six); m = Mul(c, slope); y = Mul(m, x)").constants("float slope = 0.16667"),
        row("without_sixth", "the 1/6 folded into the next layer: a factor stays", HARD, "a = Add(x, three); c = Clip(a, zero, six); y = Mul(x, c)"),
        row("hard_mish", "timm's HardMish", HARD, "a = Add(x, two); c = Clip(a, zero, two); h = Mul(x, half); y = Mul(h, c)"),
        row("of_a_relu", "an activation of a clamped value", HARD, "w = Relu(x); a = Add(w, three); c = Clip(a, zero, six); m = Mul(w, c); y = Div(m, six)"),
    ]),
    ("Gates in another shape, and by Softplus", &[
        row("reshaped_x", "x in another shape", SILU, "k = Constant[value_ints=2:128](); r = Reshape(x, k); s = Sigmoid(r); m = Mul(r, s); b = Constant[value_ints=2:8:4:4](); y = Reshape(m, b)"),
        row("reshaped_gate", "a gate that is computed on a vector", SILU, "k = Constant[value_ints=256:](); r = Reshape(x, k); s = Sigmoid(r); b = Constant[value_ints=2:8:4:4](); g = Reshape(s, b); y = Mul(x, g)"),
        row("reshaped_back", "a gate in the shape of x, by Shape", HARD, "k = Constant[value_ints=16:16](); r = Reshape(x, k); a = Add(r, three); c = Clip(a, zero, six); d = Div(c, six); n = Shape(x); g = Reshape(d, n); y = Mul(g, x)"),
        row("expanded_gate", "Expand to the shape that it has", SILU, "s = Sigmoid(x); n = Shape(x); g = Expand(s, n); y = Mul(x, g)"),
        row("softplus", "exp(-softplus(-x)), a log-sigmoid's exponential", SILU, "n = Neg(x); p = Softplus(n); m = Neg(p); s = Exp(m); y = Mul(x, s)"),
    ]),
    ("Where constants hide", &[
        row("constant_floats", "Constant with value_floats", HARD, "f = Constant[value_floats=3.0:](); a = Add(x, f); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)"),
        row("constant_int_cast", "Cast of an integer", HARD, "i = Constant[value_int=3](); f = Cast[to=1](i); a = Add(x, f); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)"),
        row("constant_of_shape", "ConstantOfShape", HARD, "o = Constant[value_ints=1:](); f = ConstantOfShape[value=float[1] 3](o); a = Add(x, f); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)"),
        row("expanded_constant", "Expand of a scalar", HARD, "k = Constant[value_ints=1:8:1:1](); f = Expand(three, k); a = Add(x, f); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)"),
        row("unsqueezed_constant", "Unsqueeze of a scalar", HARD, "k = Constant[value_ints=0:1](); f = Unsqueeze(three, k); a = Add(x, f); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)"),
        row("dequantized_constant", "DequantizeLinear of a constant", HARD, "f = DequantizeLinear(q, scale); a = Add(x, f); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)").constants("int8 q = 6; float scale = 0.5"),
        row("computed_constants", "arithmetic of constants", HARD, "f = Sub(six, three); g = Div(one, six); a = Add(x, f); c = Clip(a, zero, six); m = Mul(x, c); y = Mul(m, g)"),
    ]),
];
