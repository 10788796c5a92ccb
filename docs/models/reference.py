"""What ONNX Runtime computes, and how far other numbers are from it.

Given a model and a description of its inputs. Promises inputs that depend on nothing but the model's entry, and
ONNX Runtime's outputs with its optimiser off, so that its own fusions do not judge ours.
"""

import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

DTYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(bool)": np.bool_,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
}  # fmt: skip

# As `onnx-swish verify` judges: |d| <= max(atol * largest, 4 eps) + rtol * |expected|.
TOLERANCE = {np.dtype(np.float16): (1e-2, 1e-3)}
DEFAULT_TOLERANCE = (1e-3, 1e-4)

# Four roundings of float32, which a sum in another order costs easily; one of float16, which is what it is rounded to.
NUDGE = {np.dtype(np.float32): 2.0**-21, np.dtype(np.float16): 2.0**-11}


class Reference:
    """One model, a path or the bytes of a file, in ONNX Runtime."""

    def __init__(self, model):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        model = model if isinstance(model, bytes) else str(model)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def inputs(self, entry):
        """Tensors by name; each is drawn as models.json says, e.g. "1,3,48,160" or "1,24 integers 1 30000"."""
        rng = np.random.default_rng(zlib.crc32(f"{entry['package']}/{entry['file']}".encode()))
        return {i.name: draw(rng, entry["inputs"][i.name]).astype(DTYPES[i.type]) for i in self.session.get_inputs()}

    def outputs(self, inputs):
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, inputs), strict=True))


def draw(rng, described):
    """A tensor: its shape, then what stands in it.

    `normal` (the default), `uniform LOW HIGH`, `integers LOW HIGH` (without HIGH), `constant VALUE`, or `picture LOW HIGH`:
    rectangles and lines of strokes with a little noise, because detectors answer to pure noise with nothing but tiny scores.
    """
    shape, kind, *numbers = (*described.split(), "normal")[: max(2, len(described.split()))]
    shape = [] if shape == "scalar" else [int(size) for size in shape.split(",")]
    if kind == "normal":
        return np.asarray(rng.standard_normal(shape))
    if kind == "uniform":
        return np.asarray(rng.uniform(float(numbers[0]), float(numbers[1]), shape))
    if kind == "picture":
        return picture(rng, shape, float(numbers[0]), float(numbers[1]))
    if kind == "integers":
        return np.asarray(rng.integers(int(numbers[0]), int(numbers[1]), shape))
    if kind == "constant":
        return np.full(shape, float(numbers[0]))
    raise ValueError(f"models.json: {described}")


def picture(rng, shape, low, high):
    """An image of shape [batch, channels, height, width], or with the channels last if those are 1 or 3."""
    last = shape[-1] in (1, 3)
    height, width = shape[1:3] if last else shape[2:4]
    colours = shape[-1] if last else shape[1]
    image = np.full((shape[0], colours, height, width), 0.9)
    for page in image:
        for _ in range(6):
            top, left = rng.integers(0, height), rng.integers(0, width)
            tall, wide = rng.integers(2, [height // 2 + 3, width // 2 + 3])
            page[:, top : top + tall, left : left + wide] = rng.uniform(0.3, 1, (colours, 1, 1))
        for top in range(8, height - 20, 32):  # lines of strokes, for those that look for writing
            for left in range(8, width - 12, 9):
                for _ in range(3):
                    y, x = top + rng.integers(0, 12), left + rng.integers(0, 5)
                    tall, wide = (2, 6) if rng.random() < 0.5 else (10, 2)
                    page[:, y : y + tall, x : x + wide] = 0.05
    image = np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1) * (high - low) + low
    return image.transpose(0, 2, 3, 1) if last else image


def spread(path, inputs, expected):
    """How far ONNX Runtime's numbers go when each weight, or each input, is moved by some roundings: nobody can be surer."""
    moved = {name: nudged(np.random.default_rng(0), x) if x.dtype.kind == "f" else x for name, x in inputs.items()}
    return max(distance(path, moved, expected), distance(nudged_model(path), inputs, expected))


def distance(model, inputs, expected):
    try:
        return compare(expected, Reference(model).outputs(inputs)).relative
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:  # where a size depends on the numbers
        return 0.0


def nudged_model(path):
    model = onnx.load(path)
    rng = np.random.default_rng(0)
    weights = list(model.graph.initializer)
    weights += [a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute if a.name == "value"]
    for weight in weights:
        if weight.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            weight.CopyFrom(numpy_helper.from_array(nudged(rng, numpy_helper.to_array(weight)), weight.name))
    return model.SerializeToString()


def nudged(rng, values):
    """Each number moved a little, up or down; whole numbers stay, as they may be sizes."""
    step = NUDGE.get(values.dtype, 0.0) * rng.choice([-1, 1], values.shape)
    return np.where(values == np.rint(values), values, (values * (1 + step)).astype(values.dtype))


def compare(expected, got):
    difference = Difference()
    for name, values in expected.items():
        if name in got:
            difference.add(name, values, got[name])
        else:
            difference.fail(f"`{name}` is missing")
    return difference


class Difference:
    """The furthest that outputs are from the expected ones, as a part of the output's largest magnitude."""

    def __init__(self):
        self.relative, self.equal, self.reason = 0.0, True, ""

    def add(self, name, expected, got):
        expected, got = np.asarray(expected), np.asarray(got)
        if expected.shape != got.shape:
            return self.fail(f"`{name}` has shape {list(got.shape)} instead of {list(expected.shape)}")
        if expected.dtype.kind not in "f":
            moved = int(np.count_nonzero(expected != got))
            if moved:
                self.fail(f"`{name}`: {moved} of {expected.size} integers differ")
            return None
        if not np.array_equal(np.isfinite(expected), np.isfinite(got)):
            return self.fail(f"`{name}`: infinities or NaN in other places")
        rtol, atol = TOLERANCE.get(expected.dtype, DEFAULT_TOLERANCE)
        finite = np.isfinite(expected)
        wide = expected[finite].astype(np.float64)
        off = np.abs(got[finite].astype(np.float64) - wide)
        if off.size:
            largest = np.abs(wide).max()
            floor = max(atol * largest, 4 * np.finfo(expected.dtype).eps)
            self.relative = max(self.relative, float(off.max() / max(largest, np.finfo(np.float32).tiny)))
            outside = int(np.count_nonzero(off > floor + rtol * np.abs(wide)))
            if outside:
                self.fail(f"`{name}`: {outside} of {expected.size} numbers are off")
        return None

    def fail(self, reason):
        self.equal = False
        self.reason = self.reason or reason
