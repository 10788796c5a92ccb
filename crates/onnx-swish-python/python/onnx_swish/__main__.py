"""The command ``onnx-swish``, on the engine of this package: ``onnx-swish`` or ``python -m onnx_swish``."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Carries the command out with the process's arguments; returns its exit status."""
    from . import _onnx_swish as native

    # Python's handler waits for Python code to run, and there is none: Ctrl-C is to end the command as it ends any other.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return native.command(["onnx-swish", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
