//! The kinds of near misses, for machines and documents.
//! Given: nothing.
//! Promises: each kind once, with what it means in one sentence, in the order in which a reader looks: what the gate is, how it
//! differs from a gate of ours, what stands around it, what the file or the target cannot say.

/// Every `reason` of a [`NearMiss`](crate::NearMiss), and what it means.
pub const REASONS: &[(&str, &str)] = &[
    (
        "squeeze_gate",
        "the gate is computed from pooled values: squeeze-and-excitation, as it should be",
    ),
    (
        "glu",
        "gate and partner are cut from one tensor: a gated linear unit",
    ),
    (
        "recurrent_gate",
        "a sigmoid times a tanh, as in the cells of recurrent networks",
    ),
    (
        "reduced_gate",
        "the gate is a function of x and of a mean, sum or maximum of it: SimAM, or x without its mean",
    ),
    (
        "another_tensor",
        "the gate is computed from another tensor than it multiplies",
    ),
    ("gelu", "GELU, by Erf or by a tanh or sigmoid of a cubic"),
    ("mish", "a tanh of Softplus"),
    ("tanh", "a tanh that no offset makes a logistic gate"),
    (
        "gate_offset",
        "a number is added to the sigmoid: `x · (1 + σ(z))`",
    ),
    (
        "gate_power",
        "a power or a product of gates, or a gate times what it is a factor of already",
    ),
    ("gate_divisor", "the gate divides instead of multiplying"),
    (
        "moved_gate",
        "the gate of x is sliced, tiled, pooled or otherwise moved before it multiplies x",
    ),
    (
        "changed_gate",
        "an operator makes another function of the gate before it multiplies x: a maximum, a mean, a Softmax",
    ),
    (
        "degenerate_gate",
        "factors or bounds are zero, infinite, not a number or in the wrong order, so that the gate does not depend on x",
    ),
    (
        "where",
        "Where picks the gate, or its elements, from several values",
    ),
    (
        "not_linear",
        "the gate is a function of x, but not of a line of x",
    ),
    (
        "offset",
        "`x · σ(b·x + d)`: something is added inside of the gate",
    ),
    ("bounds", "a clamp of which no bound is zero"),
    ("half_open", "a clamp with one bound"),
    (
        "beta",
        "beta, or an element of it, is infinite or not a number",
    ),
    (
        "full_rank_beta",
        "beta is computed and as large as x: another tensor and no parameter",
    ),
    (
        "structure",
        "gate and partner come from one value, but the nodes between them are no activation, or too many",
    ),
    (
        "function",
        "a function of the file stands between x and the product of x and its gate",
    ),
    (
        "caller",
        "callers of a function give a number of the gate, as an attribute or an input",
    ),
    (
        "edited_function",
        "an operator of our domain whose function in the file is not the one that we write",
    ),
    (
        "cast",
        "the gate is computed in another element type and cast back",
    ),
    (
        "overflow",
        "an exponential divided by itself plus a constant: not a number where it overflows",
    ),
    ("dropout", "a Dropout that may be in training mode"),
    (
        "quantized",
        "the gate is quantised, what it multiplies or the result is not; or a float activation between codes that is not all in between",
    ),
    (
        "unquantized_gate",
        "the gate is computed from x before x is quantised",
    ),
    (
        "two_quantisers",
        "gate and partner are computed from one value, quantised in two ways",
    ),
    ("quantized_beta", "a quantised Swish whose beta is a tensor"),
    (
        "per_channel_scale",
        "an activation's scale has several elements",
    ),
    ("code_type", "codes of more than 8 bits, or of floats"),
    (
        "scale",
        "a scale that is computed, not finite, not normal, not above zero, or too small",
    ),
    (
        "code_offset",
        "a quantised activation of what its code stands for plus a number",
    ),
    (
        "saturates",
        "a quantiser cuts off a part of the gate or the product",
    ),
    (
        "coarse",
        "a quantiser's steps round away a part of the gate or the product",
    ),
    (
        "transposed",
        "a quantised activation whose codes enter and leave in different orders",
    ),
    (
        "graph_output",
        "a value in between is an output of the graph",
    ),
    (
        "captured",
        "a graph inside reads a value in between, or the gate is computed in a graph outside or inside",
    ),
    (
        "quantization_annotation",
        "a quantisation annotation names a value in between",
    ),
    (
        "training_info",
        "training information names a value in between",
    ),
    ("shared", "something else reads a value in between"),
    (
        "unknown_fields",
        "a node has fields that this version does not know",
    ),
    ("device_configurations", "a node is spread over devices"),
    ("shape", "nothing proves that the result has the shape of x"),
    ("integer", "computed in integers"),
    (
        "unknown_element_type",
        "nothing says which element type it is",
    ),
    ("no_gain", "what would be written has as many nodes"),
    ("ambiguous", "two nodes make one value"),
    (
        "overridable_constant",
        "a constant is a graph input, too, which callers may override",
    ),
    ("unreadable_constant", "a constant's data cannot be read"),
    (
        "opset",
        "the operator, or its broadcasting, needs a later opset",
    ),
    (
        "target",
        "the operators of `--emit` have no input or attribute for it",
    ),
    (
        "runtime",
        "the runtime of `--for` loads no operator for it, or is served best by plain ones",
    ),
    (
        "element_type",
        "the operator has no kernel for the element type",
    ),
    (
        "precision",
        "a constant that the element type or a float32 attribute cannot hold",
    ),
    (
        "name_taken",
        "the model means something else by the operator's name",
    ),
];
