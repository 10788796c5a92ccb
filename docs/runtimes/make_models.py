#!/usr/bin/env python3
"""Writes one small model for each way of writing an activation, and the plain ones beside them.

    python make_models.py FOLDER ONNX_SWISH
    python make_models.py --versions FOLDER

Needs onnx, and the command onnx-swish by its path; with --versions it writes plain models that say of themselves one opset or one version
of the file format after another. probe.py runs what this writes.
"""
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = [2, 8]


def model(nodes, opset, initializers=(), ir_version=None):
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE)
    graph = helper.make_graph(nodes, "activation", [value("x")], [value("y")], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version or (8 if opset < 21 else 10))


node = helper.make_node
silu = [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])]


def versions(folder):
    for opset in range(7, 30):
        onnx.save(model(silu, opset, ir_version=8), f"{folder}/plain.silu.op{opset:02}.onnx")
    for ir_version in range(3, 16):
        onnx.save(model(silu, 13, ir_version=ir_version), f"{folder}/plain.silu.ir{ir_version:02}.onnx")


def main(folder, command):
    swish = [node("Mul", ["x", "beta"], ["t"]), node("Sigmoid", ["t"], ["s"]), node("Mul", ["x", "s"], ["y"])]
    hard = [node("HardSigmoid", ["x"], ["s"], alpha=1 / 6, beta=0.5), node("Mul", ["x", "s"], ["y"])]
    beta = numpy_helper.from_array(np.float32(1.5), "beta")
    plain = {
        "plain.silu.op13": model(silu, 13),
        "plain.silu.op17": model(silu, 17),
        "plain.silu.op24": model(silu, 24),
        "plain.swish.op17": model(swish, 17, [beta]),
        "plain.hard_swish.op17": model(hard, 17),
    }
    for name, made in plain.items():
        onnx.save(made, f"{folder}/{name}.onnx")
    for source, target, emit in [
        ("silu.op17", "function.silu.op17", "custom"),
        ("swish.op17", "function.swish.op17", "custom"),
        ("hard_swish.op17", "function.hard_swish.op17", "custom"),
        ("silu.op17", "quick_gelu.silu.op17", "contrib"),
        ("swish.op17", "quick_gelu.swish.op17", "contrib"),
        ("hard_swish.op17", "hard_swish.hard_swish.op17", "standard"),
        ("silu.op24", "swish.silu.op24", "standard"),
    ]:
        fuse = [command, "fuse", "-q", "--force", "--emit", emit, f"{folder}/plain.{source}.onnx"]
        subprocess.run([*fuse, "-o", f"{folder}/{target}.onnx"], check=True)


if __name__ == "__main__":
    versions(sys.argv[2]) if sys.argv[1] == "--versions" else main(*sys.argv[1:])
