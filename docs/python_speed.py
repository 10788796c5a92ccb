"""What importing the Python package costs, and what a run costs beside the Rust session's, in turn.

    pip install onnx_swish-*.whl
    cargo build --release --workspace --example timer
    python docs/python_speed.py target/release/examples/timer MODEL.onnx 1x3x224x224

Prints the median time of `import onnx_swish` in fresh processes, less that of an empty program; then, over rounds that take turns, the
median of each side's least time of a run, and the median of the ratios. Times mean little on a busy machine, ratios more.
"""

import math
import statistics
import subprocess
import sys
import time

import numpy as np

import onnx_swish

IMPORTS, ROUNDS, RUNS = 20, 21, 100


def started(program):
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return 1e3 * (time.perf_counter() - begun)


def importing():
    costs = [started("import onnx_swish") - started("pass") for _ in range(IMPORTS)]
    return statistics.median(costs)


class Rust:
    """The example `timer` of the crate `onnx-swish`, one thread."""

    def __init__(self, timer, model, shape):
        arguments = [timer, model, shape, "1", "onnx-swish"]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def least(self, runs):
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


class Python:
    def __init__(self, model, shape):
        sizes = [int(size) for size in shape.split("x")]
        self.session = onnx_swish.Session(model, input_shapes=sizes)
        self.feed = {self.session.get_inputs()[0].name: np.random.default_rng(0).normal(size=sizes).astype(np.float32)}
        self.session.run(None, self.feed)

    def least(self, runs):
        least = math.inf
        for _ in range(runs):
            begun = time.perf_counter()
            self.session.run(None, self.feed)
            least = min(least, time.perf_counter() - begun)
        return 1e3 * least


def main(timer, model, shape):
    print(f"import onnx_swish: {importing():.1f} ms")
    rust, python = Rust(timer, model, shape), Python(model, shape)
    rounds = []
    for turn in range(ROUNDS):
        # Each goes first as often as the other.
        sides = (rust, python) if turn % 2 == 0 else (python, rust)
        times = {side: side.least(RUNS) for side in sides}
        rounds.append((times[rust], times[python]))
    for name, times in zip(("rust", "python"), zip(*rounds)):
        print(f"{name}: {statistics.median(times):.4f} ms")
    print(f"python over rust: {statistics.median(theirs / ours for ours, theirs in rounds):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
