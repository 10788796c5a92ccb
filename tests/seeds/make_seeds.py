"""Writes the small models that the hostile-file tests damage and the fuzzer starts from.

    python tests/seeds/make_seeds.py

Needs the Python package onnx. Each file is under a kilobyte, so that every byte of it can be changed in turn, and each
covers another part of the format. All but `strange` pass onnx.checker before the last bytes are touched.
"""

import pathlib

import onnx
from onnx import TensorProto, helper

HERE = pathlib.Path(__file__).parent
F = TensorProto.FLOAT
# Field 1007 with two bytes, and a group 1006 with a number in it.
UNKNOWN = bytes.fromhex("fa3e02abcdf33e0801f43e")


def value(name, shape=(2, 3), kind=F):
    return helper.make_tensor_value_info(name, kind, shape)


def scalar(name, x, kind=F):
    return helper.make_tensor(name, kind, [], [x])


def model(graph, opset=13, ir=8, **more):
    imports = more.pop("opset_imports", [helper.make_opsetid("", opset)])
    made = helper.make_model(graph, opset_imports=imports, **more)
    made.ir_version = ir
    made.producer_name = ""
    return made


def silu():
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], name="sig"),
        helper.make_node("Mul", ["x", "s"], ["y"], name="mul", doc_string="kept"),
    ]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], value_info=[value("s")])
    made = model(graph)
    helper.set_model_props(made, {"author": "nobody"})
    return made


def constants_as_inputs():
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"]),
        helper.make_node("Clip", ["a"], ["c"], min=0.0, max=6.0),
        helper.make_node("Mul", ["x", "c"], ["m"]),
        helper.make_node("Div", ["m", "six"], ["y"]),
    ]
    stored = [scalar("three", 3.0), scalar("six", 6.0)]
    inputs = [value("x"), value("three", ()), value("six", ())]
    return model(helper.make_graph(nodes, "g", inputs, [value("y")], stored), opset=9, ir=3)


def branches():
    def swish(source, result):
        s = result + "_s"
        return [helper.make_node("Sigmoid", [source], [s]), helper.make_node("Mul", [s, source], [result])]

    inner_then = helper.make_graph(swish("x", "p"), "inner_then", [], [value("p")])
    inner_else = helper.make_graph([helper.make_node("Neg", ["x"], ["q"])], "inner_else", [], [value("q")])
    inner = helper.make_node("If", ["c"], ["r"], then_branch=inner_then, else_branch=inner_else)
    then = helper.make_graph([inner], "then", [], [value("r")])
    other = helper.make_graph(swish("x", "t"), "else", [], [value("t")])
    node = helper.make_node("If", ["c"], ["y"], name="choose", then_branch=then, else_branch=other)
    inputs = [value("x"), value("c", (), TensorProto.BOOL)]
    return model(helper.make_graph([node], "g", inputs, [value("y")]))


def loop_body():
    body = helper.make_graph(
        [
            helper.make_node("HardSigmoid", ["v"], ["h"], alpha=1 / 6, beta=0.5),
            helper.make_node("Mul", ["v", "h"], ["w"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [value("i", (), TensorProto.INT64), value("go", (), TensorProto.BOOL), value("v")],
        [value("on", (), TensorProto.BOOL), value("w")],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    inputs = [value("x"), value("n", (), TensorProto.INT64)]
    return model(helper.make_graph([node], "g", inputs, [value("y")]))


def functions():
    scale = helper.make_node("Constant", [], ["k"])
    scale.attribute.add(name="value_float", type=onnx.AttributeProto.FLOAT, ref_attr_name="beta")
    gate = helper.make_function(
        "local", "Gate", ["a"], ["b"],
        [scale, helper.make_node("Mul", ["a", "k"], ["ka"]), helper.make_node("Sigmoid", ["ka"], ["b"])],
        [helper.make_opsetid("", 18)], attribute_protos=[helper.make_attribute("beta", 1.0)],
    )
    swish = helper.make_function(
        "local", "Swish", ["a"], ["b"],
        [helper.make_node("Gate", ["a"], ["g"], domain="local"), helper.make_node("Mul", ["a", "g"], ["b"])],
        [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)],
    )
    nodes = [
        helper.make_node("Swish", ["x"], ["h"], domain="local"),
        helper.make_node("Gate", ["h"], ["y"], domain="local", beta=1.702),
    ]
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    return model(graph, ir=9, opset_imports=imports, functions=[gate, swish])


def storage():
    half = helper.make_tensor("half", TensorProto.FLOAT16, [1], [1.702])
    raw = helper.make_tensor("raw", F, [1], bytes([0, 0, 64, 64]), raw=True)
    packed = helper.make_tensor("packed", TensorProto.INT64, [2], [2, 3])
    double = helper.make_tensor("double", TensorProto.DOUBLE, [], [6.0])
    text = helper.make_tensor("text", TensorProto.STRING, [1], [b"\xff"])
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("sparse", F, [1], [6.0]), helper.make_tensor("at", TensorProto.INT64, [1], [0]), [1]
    )
    nodes = [
        helper.make_node("Constant", [], ["lo"], value_float=0.0),
        helper.make_node("Constant", [], ["hi"], value=scalar("", 6.0)),
        helper.make_node("Add", ["x", "raw"], ["a"]),
        helper.make_node("Clip", ["a", "lo", "hi"], ["c"]),
        helper.make_node("Mul", ["c", "x"], ["m"]),
        helper.make_node("Div", ["m", "sparse"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [half, raw, packed, double, text])
    graph.sparse_initializer.append(sparse)
    return model(graph, opset=14)


def external():
    beta = TensorProto(name="beta", data_type=F, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, text in [("location", "weights.bin"), ("offset", "4"), ("length", "4")]:
        beta.external_data.add(key=key, value=text)
    nodes = [
        helper.make_node("Mul", ["x", "beta"], ["bx"]),
        helper.make_node("Sigmoid", ["bx"], ["s"]),
        helper.make_node("Mul", ["x", "s"], ["y"]),
    ]
    return model(helper.make_graph(nodes, "g", [value("x")], [value("y")], [beta]))


def training():
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"]),
        helper.make_node("Mul", ["x", "s"], ["m"]),
        helper.make_node("Mul", ["m", "w"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [scalar("w", 2.0)])
    note = graph.quantization_annotation.add(tensor_name="s")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    made = model(graph)
    info = made.training_info.add()
    step = helper.make_graph([helper.make_node("Neg", ["w"], ["w2"])], "step", [], [value("w2", ())])
    info.algorithm.CopyFrom(step)
    info.update_binding.add(key="w", value="w2")
    return made


def strange():
    """Unknown fields, overlong lengths, names that are not UTF-8, devices, an overload."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["NAME_"], name="a"),
        helper.make_node("Mul", ["x", "NAME_"], ["y"], name="b", domain="ai.onnx"),
    ]
    nodes[0].ParseFromString(nodes[0].SerializeToString() + UNKNOWN)
    nodes[1].device_configurations.add(configuration_id="d").sharding_spec.add(tensor_name="x", device=[0, 1])
    nodes[1].metadata_props.add(key="k", value="v")
    made = model(helper.make_graph(nodes, "g", [value("x", ("N", 3))], [value("y", ("N", 3))]), opset=18, ir=11)
    made.configuration.add(name="d", num_devices=2)
    made.graph.metadata_props.add(key="k", value="v")
    data = made.SerializeToString().replace(b"NAME_", b"NA\xff\xfe_")
    # The opset import, with its length in three bytes.
    short, long = b"\x42\x04\x0a\x00\x10\x12", b"\x42\x84\x80\x00\x0a\x00\x10\x12"
    assert short in data
    return data.replace(short, long)


def fused():
    silu = helper.make_function(
        "onnx_swish", "FusedSilu", ["X"], ["Y"],
        [helper.make_node("Sigmoid", ["X"], ["S"]), helper.make_node("Mul", ["X", "S"], ["Y"])],
        [helper.make_opsetid("", 14)],
    )
    nodes = [
        helper.make_node("FusedSilu", ["x"], ["h"], domain="onnx_swish"),
        helper.make_node("HardSwish", ["h"], ["y"]),
    ]
    imports = [helper.make_opsetid("", 14), helper.make_opsetid("onnx_swish", 1)]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    return model(graph, opset_imports=imports, functions=[silu])


def main():
    makers = [silu, constants_as_inputs, branches, loop_body, functions, storage, external, training, strange, fused]
    for make in makers:
        made = make()
        if isinstance(made, bytes):
            data = made
        else:
            if make is not external:
                onnx.checker.check_model(made, full_check=False)
            data = made.SerializeToString()
        onnx.load_from_string(data)
        (HERE / f"{make.__name__}.onnx").write_bytes(data)
        print(make.__name__, len(data))


if __name__ == "__main__":
    main()
