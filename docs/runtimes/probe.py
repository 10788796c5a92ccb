#!/usr/bin/env python3
"""Says which of make_models.py's models a runtime loads and computes right.

    python probe.py onnxruntime|openvino|tract FOLDER

The runtime is whatever version Python finds; to look at another one, install it into a folder of its own
(pip install --no-deps --target DIR onnxruntime==1.20.1) and put that first on PYTHONPATH. A model that a runtime does not load
although it loads the plain one of the same opset is written in a way that the runtime does not know.
"""
import glob
import os
import sys

import numpy as np

X = np.linspace(-8, 8, 16, dtype=np.float32).reshape(2, 8)
WIDE = X.astype(np.float64)
EXACT = {
    "silu": WIDE / (1 + np.exp(-WIDE)),
    "swish": WIDE / (1 + np.exp(-1.5 * WIDE)),
    "hard_swish": WIDE * np.clip(WIDE / 6 + 0.5, 0, 1),
}


def onnxruntime(path):
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]


def openvino(path):
    try:
        from openvino import Core
    except ImportError:
        from openvino.runtime import Core
    core = Core()
    return list(core.compile_model(core.read_model(path), "CPU")(X).values())[0]


def tract(path):
    import tract as engine

    if hasattr(engine.Onnx, "model_for_path"):  # 0.22 and older
        model = engine.onnx().model_for_path(path).into_optimized()
    else:
        model = engine.onnx().load(path).into_model()
    return model.into_runnable().run([X])[0].to_numpy()


def main(runtime, folder):
    run = {"onnxruntime": onnxruntime, "openvino": openvino, "tract": tract}[runtime]
    for path in sorted(glob.glob(f"{folder}/*.onnx")):
        written, activation, opset = os.path.basename(path).split(".")[:3]
        try:
            right = np.allclose(run(path), EXACT[activation], rtol=1e-4, atol=1e-5)
            said = "yes" if right else "WRONG NUMBERS"
        except Exception as error:
            said = "no: " + " ".join(str(error).split())[:100]
        print(f"{written:12} {activation:10} {opset}  {said}")


if __name__ == "__main__":
    main(*sys.argv[1:])
