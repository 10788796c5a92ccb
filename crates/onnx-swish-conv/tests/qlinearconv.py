"""Writes qlinearconv.txt: what ONNX Runtime's QLinearConv makes of the codes that codes.rs makes. Needs numpy, onnx, onnxruntime.

One line a convolution: types of input and weights, input and output channels, kernel, stride, groups, height, width; scale and zero
point of the input, then of the output; scales and zero points of the weights; bias; the output's bytes. Scales are the bits of f32.
"""
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TYPES = {"u8": (np.uint8, TensorProto.UINT8), "i8": (np.int8, TensorProto.INT8)}
CASES = [
    ("u8", "i8", 16, 5, 1, 1, 1, 6, 9),
    ("i8", "i8", 16, 5, 1, 1, 1, 6, 9),
    ("u8", "i8", 5, 6, 3, 2, 1, 9, 11),
    ("i8", "i8", 4, 4, 3, 1, 4, 7, 9),
    ("u8", "i8", 4, 4, 5, 2, 4, 9, 11),
    ("u8", "u8", 8, 6, 3, 1, 2, 5, 7),
    ("u8", "i8", 96, 8, 1, 1, 1, 1, 1),
]


def codes(length, seed, kind):
    """The bytes of codes.rs."""
    state = seed * 2_654_435_769 % 2**32 | 1
    out = []
    for _ in range(length):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        out.append(state >> 11 & 0xFF)
    return np.array(out, np.uint8).view(TYPES[kind][0])


def line(case, power_of_two, rng):
    x_kind, w_kind, ins, outs, kernel, stride, groups, height, width = case
    x = codes(ins * height * width, 1, x_kind).reshape(1, ins, height, width)
    w = codes(outs * ins // groups * kernel**2, 2, w_kind).reshape(outs, ins // groups, kernel, kernel)
    low = 0 if x_kind == "u8" else -128
    zero_x, zero_y = (int(z) for z in rng.integers(low, low + 256, 2))
    scale_x, scale_w = np.float32(rng.uniform(0.005, 0.05)), rng.uniform(0.001, 0.01, outs).astype(np.float32)
    zeros_w = np.zeros(outs, np.int8)
    if w_kind == "u8":
        scale_w, zeros_w = scale_w[:1], np.array([131], np.uint8)
    scale_y = np.float32(scale_x * scale_w.mean() * np.sqrt(w[0].size) * 60)
    if power_of_two:
        scale_x, scale_w, scale_y = (np.exp2(np.round(np.log2(s))).astype(np.float32) for s in (scale_x, scale_w, scale_y))
    bias = rng.integers(-3000, 3000, outs).astype(np.int32)
    kind, element = TYPES[x_kind]
    constants = {
        "sx": scale_x, "zx": kind(zero_x), "w": w, "sw": scale_w if outs == len(scale_w) else scale_w[0],
        "zw": zeros_w if outs == len(zeros_w) else zeros_w[0], "sy": scale_y, "zy": kind(zero_y), "b": bias,
    }
    node = helper.make_node(
        "QLinearConv", ["x", *constants], ["y"], kernel_shape=[kernel] * 2, strides=[stride] * 2, group=groups, pads=[kernel // 2] * 4
    )
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", element, x.shape)], [helper.make_tensor_value_info("y", element, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y = session.run(None, {"x": x})[0]
    bits = lambda floats: ",".join(f"{b:08x}" for b in np.atleast_1d(floats).view(np.uint32))
    numbers = lambda list: ",".join(str(int(n)) for n in list)
    return " ".join([
        *map(str, case), bits(scale_x), str(zero_x), bits(scale_y), str(zero_y), bits(scale_w), numbers(zeros_w), numbers(bias),
        y.tobytes().hex(),
    ])


rng = np.random.default_rng(15)
lines = [line(case, power_of_two, rng) for power_of_two in (False, True) for case in CASES]
pathlib.Path(__file__).with_name("qlinearconv.txt").write_text("\n".join(lines) + "\n")
