"""Fuse, verify and run ONNX models with Swish, SiLU and HardSwish in them.

    import onnx_swish

    fused = onnx_swish.fuse("model.onnx")            # writes model.fused.onnx
    print(fused.report.fusions, fused.report.near_misses)

    session = onnx_swish.Session(fused)
    outputs = session.run(None, {"x": array})

A model is given as a path, as bytes, or as an ``onnx.ModelProto``, and comes back as the same. ``onnx`` and ``numpy`` are
imported by the calls that need them, and not before.
"""

from ._errors import Error, FuseError, InputError, ModelError, RunError
from ._files import expand, fuse, inspect
from ._judging import Bench, Verification, bench, verify
from ._onnx_swish import NodeArg, Session, __version__
from ._report import Expansion, Report

__all__ = [
    "Bench",
    "Error",
    "Expansion",
    "FuseError",
    "InputError",
    "ModelError",
    "NodeArg",
    "Report",
    "RunError",
    "Session",
    "Verification",
    "__version__",
    "bench",
    "expand",
    "fuse",
    "inspect",
    "verify",
]
