"""What the tests share: the fixtures of the project, and onnxruntime with its optimiser off.

The package is the installed one: `test.sh` builds the wheel and installs it into an environment of its own.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
REAL = FIXTURES / "real/ch_ppocr_mobile_v2.0_cls_infer.onnx"
HARDSWISH = FIXTURES / "exporters/hardswish.op13.onnx"
TABLE = json.loads((FIXTURES / "table.json").read_text())


def onnxruntime_session(model):
    """ONNX Runtime as a judge: no fusions of its own, one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    model = model if isinstance(model, bytes) else os.fspath(model)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture
def real():
    """A trained model: PP-OCR's classifier of text direction."""
    return REAL


@pytest.fixture
def hardswish():
    """A tiny network with one HardSwish; input `x`, [1, 3, 8, 8]."""
    return HARDSWISH


@pytest.fixture
def images():
    """Inputs of the real model that reach the tails of its activations."""
    random = np.random.default_rng(7)
    return random.normal(0, 2, (1, 3, 48, 192)).astype(np.float32)


@pytest.fixture
def x():
    """Inputs of the tiny networks."""
    return np.random.default_rng(3).normal(0, 3, (1, 3, 8, 8)).astype(np.float32)
