#!/usr/bin/env python3
"""Times models on onnx-swish, tract, ONNX Runtime and OpenVINO, taking turns.

Needs `pip install onnxruntime openvino numpy` and the timer:

    cargo build --release -p onnx-swish --example timer
    python docs/benchmarks/compare.py --timer target/release/examples/timer --threads 1 \
        mobilenet_v3_small.onnx:1x3x224x224 ...

A model of 8-bit codes goes before the float model that it was made of, `codes.onnx=float.onnx:1x3x224x224`: all engines run both then,
all in the same rounds. Where an engine does not load a model, its column is empty.

All engines do a few runs in turn, round after round, and the least time of each counts: whatever else the machine does
falls on all alike.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np
import onnxruntime
import openvino


class Timer:
    """onnx-swish or tract in a process of its own."""

    def __init__(self, timer, path, shape, threads, engine):
        command = [timer, path, "x".join(map(str, shape)), str(threads), engine]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def runs(self, count):
        return float(self.ask(count))

    def profile(self):
        lines, line = [], self.ask("profile")
        while line.strip():
            lines.append(line.rstrip())
            line = self.process.stdout.readline()
        return lines


class InProcess:
    """An engine called from here."""

    def __init__(self, call):
        self.call = call
        call()

    def runs(self, count):
        least = float("inf")
        for _ in range(count):
            start = time.perf_counter()
            self.call()
            least = min(least, (time.perf_counter() - start) * 1e3)
        return least


def onnx_runtime(path, shape, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)}
    return InProcess(lambda: session.run(None, feed))


def open_vino(path, shape, threads):
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(list(shape))
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    data = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    return InProcess(lambda: request.infer([data], share_inputs=True, share_outputs=True))


def least_times(engines, rounds, seconds):
    """The least time of each engine, taking turns."""
    counts = {name: max(1, int(seconds * 1e3 / engine.runs(2))) for name, engine in engines.items()}
    least = dict.fromkeys(engines, float("inf"))
    for _ in range(rounds):
        for name, engine in engines.items():
            least[name] = min(least[name], engine.runs(counts[name]))
    return least


def end(engines):
    for engine in engines.values():
        if isinstance(engine, Timer):
            engine.process.stdin.close()
            engine.process.wait()


def codes_beside_floats(models, arguments):
    """A table of models of codes and of the float models that they were made of."""
    columns = [f"{name}, {what}" for name in ("onnx-swish", "ONNX Runtime", "OpenVINO") for what in ("8 bits", "float")]
    print(f"| model | {' | '.join(columns)} | against our float | against ONNX Runtime, 8 bits |")
    print(f"|---|{'---:|' * (len(columns) + 2)}")
    for model in models:
        paths, _, shape = model.rpartition(":")
        shape = tuple(map(int, shape.split("x")))
        engines = {}
        for path, what in zip(paths.split("=", 1), ("8 bits", "float")):
            start = {
                "onnx-swish": lambda: Timer(arguments.timer, path, shape, arguments.threads, "onnx-swish"),
                "ONNX Runtime": lambda: onnx_runtime(path, shape, arguments.threads),
                "OpenVINO": lambda: open_vino(path, shape, arguments.threads),
            }
            for name, begin in start.items():
                try:
                    engines[f"{name}, {what}"] = begin()
                except Exception as error:
                    print(f"{name} does not load {path}: {str(error).splitlines()[0]}", file=sys.stderr)
        least = least_times(engines, arguments.rounds, arguments.seconds)
        end(engines)
        figures = " | ".join(f"{least[column]:.2f}" if column in least else "" for column in columns)
        ours = least["onnx-swish, 8 bits"]
        beside = [least.get(column) for column in ("onnx-swish, float", "ONNX Runtime, 8 bits")]
        ratios = " | ".join(f"{ours / other:.2f}" if other else "" for other in beside)
        print(f"| {os.path.basename(paths.split('=')[0])} {'x'.join(map(str, shape))} | {figures} | {ratios} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="path:shape, or codes=float:shape for all of them")
    parser.add_argument("--timer", default="target/release/examples/timer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one engine in one round, roughly")
    parser.add_argument("--profile", action="store_true", help="also print onnx-swish's time by operator")
    arguments = parser.parse_args()
    print(f"{arguments.threads} thread(s), least time in ms, {arguments.rounds} rounds\n")
    if all("=" in model for model in arguments.models):
        return codes_beside_floats(arguments.models, arguments)
    print("| model | onnx-swish | tract kernels | stock tract | ONNX Runtime | OpenVINO | against ONNX Runtime |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for model in arguments.models:
        path, _, shape = model.rpartition(":")
        shape = tuple(map(int, shape.split("x")))
        engines = {
            name: Timer(arguments.timer, path, shape, arguments.threads, name)
            for name in ("onnx-swish", "no-conv", "tract")
        }
        engines["onnxruntime"] = onnx_runtime(path, shape, arguments.threads)
        engines["openvino"] = open_vino(path, shape, arguments.threads)
        least = least_times(engines, arguments.rounds, arguments.seconds)
        figures = " | ".join(f"{ms:.2f}" for ms in least.values())
        print(f"| {os.path.basename(path)} {'x'.join(map(str, shape))} | {figures} "
              f"| {least['onnx-swish'] / least['onnxruntime']:.2f} |", flush=True)
        if arguments.profile:
            for line in engines["onnx-swish"].profile():
                print(f"    {line}")
        end(engines)


if __name__ == "__main__":
    main()
