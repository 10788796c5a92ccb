"""A second opinion on which products of a model are gated, by other means than onnx-swish's.

Given an ONNX file. Promises every product of a value with a gate (Sigmoid, HardSigmoid, a Clip to 0..1 or 0..6, or 1 plus
Erf or Tanh) that is still written out, found by walking backwards over the nodes alone. After fusing, each of them must be
among the near misses: a gate that is neither fused nor explained is a defect.
"""

import onnx
from onnx import numpy_helper

PASSED = {
    "Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose", "Expand", "Dropout", "QuantizeLinear",
    "DequantizeLinear", "ReorderInput", "ReorderOutput",
}  # fmt: skip
SIGMOIDS = {"Sigmoid": "sigmoid", "QLinearSigmoid": "sigmoid", "HardSigmoid": "hard_sigmoid"}
ABSORBING = {"FusedConv", "FusedGemm", "Conv"}  # as ONNX Runtime writes them: the activation is an attribute
STEPS = 12


class Graph:
    """One graph, with the constants of the graphs around it."""

    def __init__(self, graph, constants):
        self.nodes = list(graph.node)
        self.maker = {output: node for node in self.nodes for output in node.output if output}
        self.constants = dict(constants)
        self.constants.update((tensor.name, tensor) for tensor in graph.initializer)
        for node in self.nodes:
            if node.op_type == "Constant" and len(node.attribute) == 1:
                self.constants[node.output[0]] = node.attribute[0]

    def is_constant(self, name):
        for _ in range(STEPS):
            if name in self.constants:
                return True
            node = self.maker.get(name)
            if node is None or node.op_type not in PASSED or not node.input:
                return False
            name = node.input[0]
        return False

    def number(self, name):
        """The value of a constant of one element."""
        held = self.constants.get(name)
        if isinstance(held, onnx.AttributeProto):
            held = held.t if held.type == onnx.AttributeProto.TENSOR else None
        if held is None or held.data_location == onnx.TensorProto.EXTERNAL:
            return None
        array = numpy_helper.to_array(held)
        return float(array.reshape(-1)[0]) if array.size == 1 else None

    def gate(self, name):
        """What kind of gate `name` is, or None."""
        lifted = False
        for _ in range(STEPS):
            node = self.maker.get(name)
            if node is None:
                return None
            op = node.op_type
            if op in SIGMOIDS:
                return SIGMOIDS[op]
            if op in ABSORBING:
                written = [a.s.decode(errors="replace") for a in node.attribute if a.name == "activation"]
                return SIGMOIDS.get(written[0]) if written else None
            if op == "Clip":
                return "clip" if self.clips_like_a_gate(node) else None
            if op in ("Erf", "Tanh"):
                return op.lower() if lifted else None
            if op in PASSED:
                name = node.input[0]
            elif op in ("Mul", "Div", "Add") and len(node.input) == 2:
                variable = [i for i in node.input if not self.is_constant(i)]
                if len(variable) != 1 or (op == "Div" and variable[0] != node.input[0]):
                    return None
                lifted |= op == "Add"
                name = variable[0]
            else:
                return None
        return None

    def clips_like_a_gate(self, node):
        attributes = {a.name: a.f for a in node.attribute}
        low = attributes.get("min", self.number(node.input[1]) if len(node.input) > 1 else None)
        high = attributes.get("max", self.number(node.input[2]) if len(node.input) > 2 else None)
        return low == 0 and high in (1, 6)

    def gated(self):
        for node in self.nodes:
            if node.op_type not in ("Mul", "QLinearMul"):
                continue
            factors = node.input if node.op_type == "Mul" else (node.input[0], node.input[3])
            if any(self.is_constant(factor) for factor in factors):
                continue
            kinds = [kind for kind in map(self.gate, factors) if kind]
            if kinds:
                yield {node.output[0], node.name}, kinds[0]


def gated_products(path):
    """(names of output and node, kind of gate) of every product with a gate, in the graph and its subgraphs."""
    model = onnx.load(path, load_external_data=False)
    waiting = [(model.graph, {})]
    found = []
    while waiting:
        graph, constants = waiting.pop()
        view = Graph(graph, constants)
        found += view.gated()
        for node in view.nodes:
            for attribute in node.attribute:
                inner = [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs
                waiting += [(subgraph, view.constants) for subgraph in inner]
    return found
