"""onnx-swish from Python, step by step; each `# %%` is a cell for those who open this file as a notebook.

    pip install onnx-swish onnx onnxruntime
    python examples/python/quickstart.py
"""

# %% A trained model: PP-OCR's classifier, which tells whether a line of text is upside down.
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import onnx_swish

model = Path(__file__).resolve().parents[2] / "fixtures/real/ch_ppocr_mobile_v2.0_cls_infer.onnx"

# %% What is in it? In a notebook the report shows as tables.
report = onnx_swish.inspect(model)
print(report)
for fusion in report.fusions[:3]:
    print("  fused:", fusion.input, "->", fusion.output, "as", fusion.op)
for miss in report.near_misses[:3]:
    print("  left: ", miss.message)

# %% Fuse it: a path gives a path, bytes give bytes, a ModelProto gives a ModelProto.
folder = tempfile.TemporaryDirectory()
path = onnx_swish.fuse(model, output=Path(folder.name) / "classifier.fused.onnx")
print("wrote", path.name, "with", len(path.report.fusions), "activations fused")

proto = onnx_swish.fuse(onnx.load(model))
onnx.checker.check_model(proto)

# %% Run it, as with onnxruntime. The first run with a new size builds the model for it.
session = onnx_swish.Session(path)
print(session.get_inputs())
image = np.random.default_rng(0).normal(size=(1, 3, 48, 192)).astype(np.float32)
(scores,) = session.run(None, {"x": image})
print("scores:", scores)

# %% ONNX Runtime runs the fused file, too, by the functions that it carries; and both agree.
theirs = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
np.testing.assert_allclose(scores, theirs.run(None, {"x": image})[0], rtol=1e-3, atol=1e-4)

# %% Prove it on inputs that reach the tails of the activations, against ONNX Runtime with its optimiser off.
result = onnx_swish.verify(model, path, against="onnxruntime", input_shapes={"x": image.shape})
print(result)
assert result, result.outputs

# %% Measure it; `progress` hears how far the work is.
figures = onnx_swish.bench(model, input_shapes={"x": image.shape}, runs=5, progress=lambda stage, done, total: None)
print(figures.to_markdown())

# %% Back to plain operators, for whoever wants them.
plain = onnx_swish.expand(proto)
print(plain.report)
