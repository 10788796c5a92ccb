"""What aarch64.sh runs under emulation: the wheel fuses and computes a network in floats and one in 8-bit codes.

    python aarch64_once.py FIXTURES
"""

import pathlib
import platform
import sys

import numpy as np

import onnx_swish

NETWORKS = {
    "real/ch_ppocr_mobile_v2.0_cls_infer": ("fusions", 18),
    "exporters/silu.op17": ("fusions", 1),
    "quantised/silu.QDQ.QUInt8": ("quantised", 1),
}


def main():
    fixtures = pathlib.Path(sys.argv[1])
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    for network, (what, count) in NETWORKS.items():
        fused = onnx_swish.fuse((fixtures / f"{network}.onnx").read_bytes())
        found = len(getattr(fused.report, what))
        stored = np.load(fixtures / "expected" / f"{network}.npz")
        inputs = {name.removeprefix("in/"): stored[name] for name in stored if name.startswith("in/")}
        shapes = {name: list(array.shape) for name, array in inputs.items()}
        outputs = onnx_swish.Session(fused.model, input_shapes=shapes).run(None, inputs)
        expected = [stored[name] for name in stored if name.startswith("out/")]
        off = max(float(np.abs(a - b).max()) for a, b in zip(outputs, expected, strict=True))
        print(f"{network}: {found} {what}, off by at most {off:.1e}")
        if found != count or not off <= 1e-4:
            sys.exit(f"{network} is wrong")


if __name__ == "__main__":
    main()
