"""Tries onnx-swish on trained models from public packages, and writes README.md beside this file.

    cargo build --release --workspace --bin onnx-swish
    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
    python docs/models/try_models.py [--only WORD]... [--cache target/models] [--tool target/release/onnx-swish]

Needs Python 3.11, pip and npm besides; about 1.3 GB are downloaded once and kept in the cache. Which packages, which
files in them, and what they are given stands in models.json. Each model is inspected, fused and run by the command, and
the numbers are compared with ONNX Runtime's of the original file, its optimiser off. The fused file is given to ONNX
Runtime too, which says whether the file or the running is at fault when numbers differ.
"""

import argparse
import collections
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from gates import gated_products
from packages import Unavailable, model_file
from reference import Reference, compare, spread
from table import write_table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAMES = {"silu": "SiLU", "swish": "Swish", "hard_swish": "HardSwish"}


class Failed(Exception):
    """The command ended with an error; the text is its message."""


def reason(done):
    """Why the command failed, as its document or its lines say it; the file's name is in the row already."""
    if '"error": {' in done.stdout:
        error = json.loads(done.stdout)["error"]
        return " ".join(error["because"] or [error["message"]])
    said = " ".join(done.stderr.split())
    return said.partition(" because: ")[2] or said


class Command:
    """onnx-swish, with a limit on time."""

    def __init__(self, path, seconds):
        self.path, self.seconds = path, seconds

    def run(self, *arguments, allowed=(0,)):
        command = [str(self.path), *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=self.seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {self.seconds} s") from None
        if done.returncode not in allowed:
            raise Failed(reason(done) or f"ended with status {done.returncode}")
        return done.stdout

    def json(self, *arguments, **allowed):
        return json.loads(self.run(*arguments, "--format", "json", **allowed))


def try_model(entry, command, cache):
    """One row of the table."""
    row = {key: entry[key] for key in ("kind", "registry", "package", "version", "file", "licence")}
    try:
        path = model_file(entry, cache)
    except Unavailable as error:
        return row | {"unavailable": str(error)}
    row["bytes"] = path.stat().st_size
    work = cache / "work" / path.stem
    work.mkdir(parents=True, exist_ok=True)
    fused, given, got = work / "fused.onnx", work / "given.npz", work / "got.npz"
    try:
        row |= recognised(command, path, fused)
    except Failed as error:
        return row | {"why": str(error)}

    reference = Reference(path)
    inputs = reference.inputs(entry)
    expected = reference.outputs(inputs)
    row["file_equal"] = compare(expected, Reference(fused).outputs(inputs)).equal
    np.savez(given, **inputs)
    try:
        got.unlink(missing_ok=True)
        command.run("run", fused, "--inputs", given, "-o", got)
    except Failed as error:
        return row | {"loads": False, "why": str(error)}
    with np.load(got) as outputs:
        difference = compare(expected, outputs)
    row |= {"loads": True, "equal": difference.equal, "difference": difference.relative, "why": difference.reason}
    row["verify"] = verified(command, path, fused, given)
    if not difference.equal:  # perhaps nobody could be nearer: 8-bit codes flip, and rows of equal scores swap
        row["spread"] = spread(path, inputs, expected)
        row["as_itself"] = row["difference"] <= 2 * row["spread"]
    return row


def verified(command, path, fused, given):
    """What `verify` says, which compares with ONNX Runtime itself: "different", or what it judged by."""
    against = ("--against", "onnxruntime", "--ort-library", library())
    try:
        report = command.json("verify", path, fused, "--inputs", given, *against, allowed=(0, 1))
    except Failed as error:
        return str(error)
    judged = {output["judged_by"] for output in report["outputs"]} - {"tolerance"}
    return " and ".join(["equal", *sorted(judged)]) if report["equal"] else "different"


def library():
    """The shared library inside the package onnxruntime."""
    return next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))


def recognised(command, path, fused):
    """What was fused, what was explained, and which gates are neither."""
    report = command.json("inspect", path)
    command.run("fuse", "--force", path, "-o", fused)
    quantised = report.get("quantised", [])
    mentioned = {miss["output"] for miss in report["near_misses"]}
    mentioned |= {name for region in quantised for name in (region["output"], *region["nodes"])}
    silent = [" ".join(sorted(names)) for names, _ in gated_products(fused) if not names & mentioned]
    fusions = collections.Counter(NAMES.get(f["activation"], f["activation"]) for f in report["fusions"])
    in_codes = collections.Counter(NAMES.get(region["activation"], region["activation"]) for region in quantised)
    already = collections.Counter(f["op"] for f in report["already_fused"])
    return {
        "fused": dict(fusions), "quantised": dict(in_codes), "already": dict(already), "silent": silent,
        "explained": dict(collections.Counter(miss["reason"] for miss in report["near_misses"])),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", type=Path, default=ROOT / "target" / "release" / "onnx-swish")
    parser.add_argument("--cache", type=Path, default=ROOT / "target" / "models")
    parser.add_argument("--only", action="append", help="tries models whose package, file or kind holds this word; no table is written")
    parser.add_argument("--seconds", type=int, default=300, help="a limit for each call of the command")
    parser.add_argument("--table", type=Path, default=HERE / "README.md")
    arguments = parser.parse_args()

    cache, command = arguments.cache.resolve(), Command(arguments.tool.resolve(), arguments.seconds)
    rows = []
    for entry in json.loads((HERE / "models.json").read_text()):
        described = f"{entry['package']} {entry['file']} {entry['kind']}"
        if arguments.only and not any(word in described for word in arguments.only):
            continue
        rows.append(try_model(entry, command, cache))
        print(json.dumps(rows[-1]), flush=True)
    if not arguments.only:
        write_table(arguments.table, rows, command.run("--version").strip(), onnxruntime.__version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
