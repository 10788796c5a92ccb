"""Measures what rewriting large model files costs, against copying them.

    cargo build --release --examples -p onnx-swish-model -p onnx-swish-fuse
    python docs/files.py [--rounds 5] [--tool "target/release/onnx-swish fuse --force {input} -o {output}"]
    python docs/files.py --peers        # also what is installed of onnx, onnxslim, onnxsim, onnxscript, onnxruntime

Every round copies and rewrites once, in turn, so that both meet the same disk and the same neighbours. Time is the
median of the rounds from start to exit, data on the disk; CPU is user and system time. Memory is the highest of all
rounds: resident counts mapped pages of the input, anonymous does not. Linux only, as /proc is read.
"""

import argparse
import importlib.util
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples"

# Nodes, Swish among them, megabytes of weights.
MODELS = {
    "100 MB, 5,000 nodes, 1,000 Swish": (5_000, 1_000, 100),
    "355 MB, 5,000 nodes, 1,000 Swish": (5_000, 1_000, 355),
    "100,000 nodes, 50,000 Swish": (100_000, 50_000, 0),
    "300,000 nodes, 150,000 Swish": (300_000, 150_000, 0),
    "1,000,000 nodes, 500,000 Swish": (1_000_000, 500_000, 0),
}

PEERS = {
    "onnx load + save": "import onnx; onnx.save(onnx.load(i), o)",
    "onnxslim": "import onnxslim; onnxslim.slim(i, o)",
    "onnxsim": "import onnx, onnxsim; m, _ = onnxsim.simplify(i); onnx.save(m, o)",
    "onnxscript rewriter": "import onnx, onnxscript.rewriter as r; onnx.save(r.rewrite(onnx.load(i)), o)",
    "onnxruntime extended": (
        "import onnxruntime as r; s = r.SessionOptions(); s.optimized_model_filepath = o;"
        "s.graph_optimization_level = r.GraphOptimizationLevel.ORT_ENABLE_EXTENDED;"
        "r.InferenceSession(i, s, providers=['CPUExecutionProvider'])"
    ),
}


def modules(code):
    """The top-level modules that a peer imports first."""
    names = code.split(";")[0].removeprefix("import ").split(", ")
    return [name.split(" as ")[0].split(".")[0] for name in names]


class Cost:
    """Seconds, CPU seconds, and peak megabytes resident and anonymous."""

    def __init__(self, seconds, cpu, resident, anonymous):
        self.seconds, self.cpu, self.resident, self.anonymous = seconds, cpu, resident, anonymous


def run(command, limit):
    """Runs a command to its end; None when it fails or takes too long."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    anonymous = 0
    while True:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        anonymous = max(anonymous, int(line.split()[1]) / 1024)
        except (FileNotFoundError, ProcessLookupError):
            pass
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - start > limit:
            process.kill()
            os.wait4(process.pid, 0)
            return None
        time.sleep(0.001)
    if code != 0:
        return None
    seconds = time.monotonic() - start
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, anonymous)


def copy(source, target):
    start = time.monotonic()
    subprocess.run(["cp", source, target], check=True)
    subprocess.run(["sync", target], check=True)
    return time.monotonic() - start


def fresh(path):
    if path.exists():
        path.unlink()
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tool", default=f"{EXAMPLES}/fuse_and_save {{input}} {{output}}")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--limit", type=float, default=120, help="seconds a peer may take")
    parser.add_argument("--only", default="", help="only models with this in their description")
    parser.add_argument("--folder", type=pathlib.Path, help="where to write the models; a temporary folder otherwise")
    args = parser.parse_args()
    folder = args.folder or pathlib.Path(tempfile.mkdtemp())
    print("| model | cp + sync | rewritten | times cp | CPU | resident | anonymous |")
    print("|---|---|---|---|---|---|---|")
    try:
        for name, sizes in MODELS.items():
            if args.only in name:
                measure(folder, name, sizes, args)
    finally:
        if not args.folder:
            shutil.rmtree(folder)


def measure(folder, name, sizes, args):
    source, target = folder / "model.onnx", folder / "out.onnx"
    subprocess.run([EXAMPLES / "large_model", source, *map(str, sizes)], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["sync", source], check=True)
    words = {"input": str(source), "output": str(target)}
    command = [word.format(**words) for word in shlex.split(args.tool)]
    copies, costs = [], []
    for _ in range(args.rounds):
        copies.append(copy(source, fresh(target)))
        fresh(target)
        cost = run(command, 600)
        if cost is None:
            sys.exit(f"failed: {shlex.join(command)}")
        costs.append(cost)
    copied = statistics.median(copies)
    rewritten = statistics.median(c.seconds for c in costs)
    cpu = statistics.median(c.cpu for c in costs)
    resident, anonymous = max(c.resident for c in costs), max(c.anonymous for c in costs)
    print(
        f"| {name} | {copied:.3f} s | {rewritten:.3f} s | {rewritten / copied:.1f} | {cpu:.3f} s "
        f"| {resident:.0f} MB | {anonymous:.0f} MB |",
        flush=True,
    )
    if args.peers:
        for peer, code in PEERS.items():
            if not all(importlib.util.find_spec(module) for module in modules(code)):
                print(f"| - {peer} | | not installed | | | | |", flush=True)
                continue
            program = f"import sys; i, o = sys.argv[1:]; {code}"
            cost = run([sys.executable, "-c", program, str(source), str(fresh(target))], args.limit)
            if cost is None:
                print(f"| - {peer} | | fails, or takes over {args.limit:.0f} s | | | | |", flush=True)
                continue
            print(
                f"| - {peer} | | {cost.seconds:.3f} s | {cost.seconds / copied:.1f} | {cost.cpu:.3f} s "
                f"| {cost.resident:.0f} MB | {cost.anonymous:.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
