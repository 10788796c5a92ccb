"""Fuses and verifies every ONNX model of a folder on the workers of a Ray cluster, or of this machine.

    pip install onnx-swish onnx fsspec ray
    python examples/ray_fuse.py models/ fused/ --workers 2 --shape x=1x3x48x192
    python examples/ray_fuse.py s3://bucket/models s3://bucket/fused --address auto      # pip install s3fs

Given a folder, or a bucket path that fsspec knows, whose files end in `.onnx`; other folders in it are searched as well.

Writes the same tree with fused models and the external data that they refer to, beside each model `NAME.onnx.json`, what was found, and
at the end `report.json`. A model that is not equal to its original is not written. A model counts as finished when its `.json` is there and
fits the content of the source (SHA-256), the version of onnx_swish and the options: run the same command again after any interruption,
and only the rest is done. Every file appears whole or not at all. A model that fails is a row of the report, and is tried again by the next run.
Exits with 0 if every model is equal to its original, with 1 if one is not or failed, with 2 if the call is wrong.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile

import fsspec
import onnx
import ray
from fsspec.implementations.local import LocalFileSystem
from google.protobuf.message import DecodeError

import onnx_swish

REPORT = "report.json"
RECORD = ".json"
PART = ".part-"
RETRIES = 3
ROWS = 50


# --- One model, on a worker ---


def fuse_one(source, output, file, settings):
    """Fuses and verifies `file` of the folder `source` into `output`: its row of the report, and whether it was finished before."""
    row = {"file": file, "onnx_swish": onnx_swish.__version__, "settings": settings}
    try:
        return _fuse_one(source, output, row)
    except Exception as error:  # A row, whatever it is: the other models go on.
        return {**row, "status": "failed", "sentence": str(error) or type(error).__name__}, False


def _fuse_one(source, output, row):
    (theirs, source), (ours, output) = fsspec.core.url_to_fs(source), fsspec.core.url_to_fs(output)
    target = f"{output}/{row['file']}"
    # Within the output, so that moving a finished file there is one step of the file system.
    here = output if isinstance(ours, LocalFileSystem) else None
    with tempfile.TemporaryDirectory(prefix=PART, dir=here) as scratch:
        original = _fetch(theirs, f"{source}/{row['file']}", os.path.join(scratch, "in"))
        model, data = _read(original, theirs, f"{source}/{row['file']}")
        row = {**row, "sha256": _digest(original, data)}
        before = _record(ours, target + RECORD)
        if before is not None and all(before.get(key) == value for key, value in row.items()) and _there(ours, output, before["written"]):
            return before, True

        folder = os.path.join(scratch, "out")
        os.mkdir(folder)
        fused = onnx_swish.fuse(original, output=os.path.join(folder, os.path.basename(target)), **_given(row, "emit", "target"))
        names = {one.name for one in model.graph.input if not all(size.HasField("dim_value") for size in one.type.tensor_type.shape.dim)}
        shapes = {name: shape for name, shape in row["settings"]["shapes"].items() if name in names}
        result = onnx_swish.verify(original, fused, input_shapes=shapes, **_given(row, "against", "rtol", "atol", "threads"))
        row |= {
            "status": "equal" if result else "not equal",
            "sentence": None if result else _difference(result),
            "fusions": len(fused.report.fusions),
            "near_misses": [miss.message for miss in fused.report.near_misses],
            "max_abs": max((one.max_abs for one in result.outputs if one.max_abs is not None), default=None),
            "reference": result.reference,
            "written": {},
        }
        if result:
            # The model after its data, and the record last: what has a record is complete.
            for name in sorted(_files(folder), key=lambda name: name == os.path.basename(target)):
                path = os.path.join(os.path.dirname(row["file"]), name)
                row["written"][path] = os.path.getsize(os.path.join(folder, name))
                _publish(os.path.join(folder, name), ours, f"{output}/{path}")
        _write_json(row, ours, target + RECORD)
        return row, False


def _given(row, *names):
    return {name: row["settings"][name] for name in names if row["settings"][name] is not None}


def _fetch(fs, path, folder):
    """A local path to the file."""
    if isinstance(fs, LocalFileSystem):
        return path
    local = os.path.join(folder, os.path.basename(path))
    os.makedirs(os.path.dirname(local), exist_ok=True)
    fs.get_file(path, local)
    return local


def _read(local, fs, path):
    """The model without its external data, and local paths to that, which is fetched if need be."""
    try:
        model = onnx.load(local, load_external_data=False)
    except DecodeError:
        return onnx.ModelProto(), []  # `onnx_swish.fuse` says what is wrong with it.
    found = []
    for name in sorted(_locations(model)):
        if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
            raise ValueError(f"its external data `{name}` lies outside the model's folder; move it there")
        folder = os.path.join(os.path.dirname(local), os.path.dirname(name))
        found.append(_fetch(fs, f"{path.rpartition('/')[0]}/{name}", folder))
    return model, found


def _locations(model):
    """The files that tensors refer to, also those in branches, loops and functions."""
    tensors = list(model.graph.initializer)
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while nodes:
        for attribute in nodes.pop().attribute:
            tensors += [attribute.t, *attribute.tensors]
            for graph in [attribute.g, *attribute.graphs]:
                tensors += graph.initializer
                nodes += graph.node
    external = (tensor for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL)
    return {entry.value for tensor in external for entry in tensor.external_data if entry.key == "location"}


def _digest(model, data):
    """Of the model and its external data, each hashed by itself so that the border between two files counts."""
    digests = []
    for path in [model, *data]:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digests.append(digest.hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _files(folder):
    for path, _, names in os.walk(folder):
        yield from (os.path.relpath(os.path.join(path, name), folder) for name in names)


def _record(fs, path):
    try:
        record = json.loads(fs.cat_file(path))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and "written" in record else None


def _there(fs, output, written):
    try:
        return all(fs.info(f"{output}/{path}")["size"] == size for path, size in written.items())
    except FileNotFoundError:
        return False


def _difference(result):
    for one in result.outputs:
        if not one.equal:
            return f"output `{one.name}` differs in {one.outside} of {one.elements} elements, by {one.max_abs} at most"
    off = [one for one in result.coverage if not one.exact]
    return f"activation `{off[0].output}` is {off[0].max_ulp} ulp from its formula" if off else "not equal to the original"


def _publish(local, fs, path):
    """Makes a finished file visible at once: by a rename on a file system; objects in a bucket appear whole."""
    if isinstance(fs, LocalFileSystem):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(local, path)
    else:
        fs.put_file(local, path)


def _write_json(value, fs, path):
    """Writes it, unless it is there already."""
    text = json.dumps(value, indent=1) + "\n"
    if fs.exists(path) and fs.cat_file(path) == text.encode():
        return
    here = os.path.dirname(path) if isinstance(fs, LocalFileSystem) else None
    if here:
        os.makedirs(here, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PART, dir=here) as scratch:
        local = os.path.join(scratch, "value.json")
        with open(local, "w", encoding="utf-8") as file:
            file.write(text)
        _publish(local, fs, path)


# --- All models, on the driver ---


def fuse_all(source, output, files, settings, workers):
    """Yields each model's row, as they come; `workers` are under way at any time."""
    # A task whose worker dies runs again; it writes the same files.
    task = ray.remote(max_retries=RETRIES, num_cpus=settings["threads"])(fuse_one)
    waiting, running = list(reversed(files)), {}
    while waiting or running:
        while waiting and len(running) < workers:
            file = waiting.pop()
            running[task.remote(source, output, file, settings)] = file
        (done,), _ = ray.wait(list(running))
        file = running.pop(done)
        try:
            yield ray.get(done)
        except ray.exceptions.RayError as error:
            sentence = f"the worker died on it, {RETRIES + 1} times: {str(error).strip().splitlines()[0]}"
            yield {"file": file, "onnx_swish": onnx_swish.__version__, "settings": settings, "status": "failed", "sentence": sentence}, False


def table(rows):
    """The rows as text, those first that are not equal."""
    rows = sorted(rows, key=lambda row: (row["status"] == "equal", row["file"]))
    lines = [("model", "status", "fused", "left", "max abs", "")]
    for row in rows[:ROWS]:
        found = (row["fusions"], len(row["near_misses"]), f"{row['max_abs'] or 0:.1e}") if "fusions" in row else ("", "", "")
        lines.append((row["file"], row["status"], *map(str, found), row["sentence"] or ""))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return text if len(rows) <= ROWS else f"{text}\n... and {len(rows) - ROWS} more, all in {REPORT}"


def shape(text):
    """`x=1x3x224x224` as a pair."""
    name, _, sizes = text.rpartition("=")
    if not name or not all(size.isdecimal() for size in sizes.split("x")):
        raise argparse.ArgumentTypeError(f"`{text}` is no shape; write NAME=1x3x224x224")
    return name, [int(size) for size in sizes.split("x")]


def positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of at least 1")
    return int(text)


def arguments(argv):
    parser = argparse.ArgumentParser(description="Fuses and verifies every ONNX model of a folder or bucket path, on the workers of Ray.")
    add = parser.add_argument
    add("source", help="folder, or a URL that fsspec knows, such as s3://bucket/models")
    add("output", help="folder or URL for the fused models and the report; not inside the source")
    add("--workers", type=positive, default=2, help="models under way at a time (default: 2)")
    add("--threads", type=positive, default=1, help="threads of each (default: 1)")
    add("--shape", type=shape, action="append", default=[], metavar="NAME=1x3x224x224", help="of an input with free dimensions; repeatable")
    add("--emit", choices=["custom", "contrib", "standard"], help="what activations are written as (default: custom)")
    add("--target", help="the runtime that is to load the result, such as onnxruntime@1.20; instead of --emit")
    add("--against", choices=["tract", "onnxruntime"], default="tract", help="who computes the reference (default: tract)")
    add("--rtol", type=float, help="relative tolerance, instead of the usual one of the output's type")
    add("--atol", type=float, help="absolute tolerance, in units of the output's largest magnitude")
    add("--address", help="a Ray cluster, such as auto; by default RAY_ADDRESS, or a Ray of this machine for the time of the call")
    given = parser.parse_args(argv)
    if given.emit and given.target:
        parser.error("--emit and --target exclude each other")
    return parser, given


def connect(parser, address, processors):
    try:
        if address or os.environ.get("RAY_ADDRESS"):
            return ray.init(address=address)
        return ray.init(address="local", num_cpus=processors, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        parser.error(f"no Ray: {error}")


def clean(fs, output):
    """Takes away what killed workers left behind."""
    for path in fs.find(output, withdirs=True) if isinstance(fs, LocalFileSystem) and fs.exists(output) else []:
        if os.path.basename(path).startswith(PART) and fs.isdir(path):
            fs.rm(path, recursive=True)


def main(argv=None):
    parser, given = arguments(argv)
    try:
        (theirs, source), (ours, output) = fsspec.core.url_to_fs(given.source), fsspec.core.url_to_fs(given.output)
        found = theirs.find(source)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    if theirs == ours and f"{output}/".startswith(f"{source.rstrip('/')}/"):
        parser.error(f"the output {given.output} lies in the source; its models would be fused again: give another folder")
    files = sorted(path.removeprefix(source).lstrip("/") for path in found if path.endswith(".onnx"))
    if not files:
        parser.error(f"no file in {given.source} ends in .onnx")
    ours.makedirs(output, exist_ok=True)
    clean(ours, output)
    settings = {name: getattr(given, name) for name in ("emit", "target", "against", "rtol", "atol", "threads")}
    settings["shapes"] = dict(given.shape)

    rows, resumed = [], 0
    with connect(parser, given.address, given.workers * given.threads):
        urls = theirs.unstrip_protocol(source), ours.unstrip_protocol(output)
        for row, before in fuse_all(*urls, files, settings, given.workers):
            rows.append(row)
            resumed += before
            print(f"[{len(rows)}/{len(files)}] {row['file']}: {row['status']}{', finished before' if before else ''}", file=sys.stderr)
    clean(ours, output)
    rows.sort(key=lambda row: row["file"])
    counts = {status: sum(row["status"] == status for row in rows) for status in ("equal", "not equal", "failed")}
    _write_json({"onnx_swish": onnx_swish.__version__, "counts": counts, "models": rows}, ours, f"{output}/{REPORT}")
    print(table(rows))
    print(", ".join(f"{count} {status}" for status, count in counts.items()) + f"; {resumed} finished before; {given.output}/{REPORT}")
    return 0 if counts["equal"] == len(rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
