"""Runs a model over every image of a folder on Ray Data, one onnx_swish.Session per actor, and writes the results as Parquet.

    pip install onnx-swish fsspec pillow "ray[data]"
    python examples/ray_batch.py classifier.onnx images/ results/ --workers 2 --size 48x192
    python examples/ray_batch.py model.onnx s3://bucket/images s3://bucket/results --address auto      # pip install s3fs

Given a model in one file, with one input of images, [N, 3, height, width] or [N, height, width, 3], of float32 or uint8; and a folder,
or a bucket path that fsspec knows. Images become RGB, are stretched to the model's size, and as float32 are `(value / 255 - mean) / std`.

Writes `part-*.parquet`, one row per image: `file` (relative to the folder), `bytes` and `changed` of it, and each output under its name, as
(nested) lists. `pandas.read_parquet("results")` reads them all. A part appears whole or not at all, and an image counts as finished when its
row is there and size and time of change (in a bucket: its ETag) still fit: run the same command again after any interruption, and only the
rest is done. Images that cannot be read are listed in `failed.json` and tried again by the next run.
Exits with 0 if every image has its row, with 1 if one failed, with 2 if the call is wrong. One run at a time per folder of results.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import uuid

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from fsspec.implementations.local import LocalFileSystem
from PIL import Image, UnidentifiedImageError

import onnx_swish

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
FAILED = "failed.json"
PART = "part-"
METADATA = b"onnx_swish"
RETRIES = 3


class Preparation:
    """From the bytes of an image to the array that the model takes."""

    def __init__(self, session, size, mean, std):
        inputs = session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in TYPES or len(inputs[0].shape) != 4:
            raise ValueError(f"the model takes {inputs}; this needs one input of images, of float32 or uint8, with four dimensions")
        self.name, self.type, sizes = inputs[0].name, TYPES[inputs[0].type], list(inputs[0].shape)
        self.last = sizes[3] == 3 and sizes[1] != 3
        fixed = sizes[1:3] if self.last else sizes[2:4]
        self.size = [one if isinstance(one, int) else size and size[place] for place, one in enumerate(fixed)]
        if None in self.size:
            raise ValueError(f"the model takes images of any size, {sizes}; give --size HEIGHTxWIDTH")
        if size and self.size != list(size):
            raise ValueError(f"the model takes images of {self.size[0]}x{self.size[1]}, --size says {size[0]}x{size[1]}")
        self.fixed_batch = sizes[0] if isinstance(sizes[0], int) else None
        self.mean, self.std = np.float32(mean), np.float32(std)

    def image(self, content):
        height, width = self.size
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
        if self.type == np.float32:
            pixels = (pixels.astype(np.float32) / np.float32(255) - self.mean) / self.std
        return pixels if self.last else pixels.transpose(2, 0, 1)

    def run(self, session, images, batch):
        """Every output for all images, `batch` at a time; a model with a fixed number of them gets the last image repeated."""
        batch, found = self.fixed_batch or batch, []
        for start in range(0, len(images), batch):
            some = images[start : start + batch]
            filled = some + [some[-1]] * ((self.fixed_batch or 0) - len(some))
            outputs = session.run(None, {self.name: np.stack(filled)})
            for output, array in zip(session.get_outputs(), outputs, strict=True):
                if array.ndim == 0 or len(array) != len(filled):
                    raise ValueError(f"output `{output.name}` has shape {list(array.shape)} for {len(filled)} images: not one row for each")
            found.append([array[: len(some)] for array in outputs])
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]


class Worker:
    """An actor: one session, from its start to its end. A call makes one part of the results."""

    def __init__(self, model, threads, settings, source, output, batch):
        self.session = onnx_swish.Session(ray.get(model), threads=threads)
        self.prepare = Preparation(self.session, settings["size"], settings["mean"], settings["std"])
        (self.theirs, self.source), (self.ours, self.output) = fsspec.core.url_to_fs(source), fsspec.core.url_to_fs(output)
        self.settings, self.batch = settings, batch

    def __call__(self, rows):
        done, images, failed = [], [], []
        for row in zip(*(rows[name].tolist() for name in ("file", "bytes", "changed")), strict=True):
            try:
                images.append(self.prepare.image(self.theirs.cat_file(f"{self.source}/{row[0]}")))
                done.append(row)
            except UnidentifiedImageError:  # Its own words name an address in memory.
                failed.append((row[0], "no image of a format that Pillow reads"))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow's, of damaged PNGs.
                failed.append((row[0], str(error)))
        if done:
            outputs = self.prepare.run(self.session, images, self.batch)
            columns = {name: pa.array(column) for name, column in zip(("file", "bytes", "changed"), zip(*done, strict=True), strict=True)}
            columns |= {output.name: nested(array) for output, array in zip(self.session.get_outputs(), outputs, strict=True)}
            # Under a name that follows from what was asked for: who takes over from a dead worker writes the same file, never a second one.
            asked = json.dumps([rows[name].tolist() for name in ("file", "bytes", "changed")])
            name = f"{PART}{hashlib.sha256(asked.encode()).hexdigest()[:24]}.parquet"
            publish(encoded(pa.table(columns), self.settings), self.ours, f"{self.output}/{name}")
        return {
            "file": np.array([row[0] for row in done] + [file for file, _ in failed], dtype=object),
            "error": np.array([""] * len(done) + [error for _, error in failed], dtype=object),
        }


def nested(array):
    """Rows of any rank as lists of lists; no value is copied one by one."""
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def encoded(table, settings):
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(settings)}), sink)
    return sink.getvalue()


def publish(content, fs, path):
    """Makes a file visible at once: by a rename on a file system; objects in a bucket appear whole."""
    if not isinstance(fs, LocalFileSystem):
        return fs.pipe_file(path, content)
    hidden = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}.tmp")
    with open(hidden, "wb") as file:
        file.write(content)
    os.replace(hidden, path)


# --- All images, on the driver ---


def images_of(fs, folder):
    """Each image's size and time of change, by its path in the folder."""
    found = {}
    for path, info in sorted(fs.find(folder, detail=True).items()):
        if path.lower().endswith(SUFFIXES):
            changed = info.get("ETag") or info.get("mtime") or info.get("LastModified") or info.get("created") or ""
            found[path.removeprefix(folder).lstrip("/")] = (info["size"], str(changed))
    return found


def finished(fs, output, images, settings):
    """The images whose rows are there; rows of images that have changed or gone are taken out."""
    done = set()
    for path in sorted(fs.glob(f"{output}/{PART}*.parquet")):
        table = pq.read_table(io.BytesIO(fs.cat_file(path)))
        theirs = json.loads((table.schema.metadata or {}).get(METADATA, b"null"))
        if theirs != settings:
            raise ValueError(f"{path} holds results of {theirs}, this call is {settings}; give another folder for the results")
        rows = table.select(["file", "bytes", "changed"]).to_pylist()
        valid = [images.get(row["file"]) == (row["bytes"], row["changed"]) and row["file"] not in done for row in rows]
        done |= {row["file"] for row, keep in zip(rows, valid, strict=True) if keep}
        if not any(valid):
            fs.rm_file(path)
        elif not all(valid):
            publish(encoded(table.filter(pa.array(valid)), settings), fs, path)
    return done


def run_all(pending, construct, given):
    """Yields each image with its error or none, as parts are finished."""
    blocks = -(-len(pending) // given.rows_per_file)
    ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
    rows = [{"file": file, "bytes": size, "changed": changed} for file, (size, changed) in pending.items()]
    data = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        Worker,
        fn_constructor_kwargs=construct,
        batch_size=None,  # A block is a part.
        compute=ray.data.ActorPoolStrategy(size=given.workers),
        num_cpus=given.threads,
        # An actor that dies is started again, and so is what it was doing.
        max_restarts=-1,
        max_task_retries=RETRIES,
    )
    for row in data.iter_rows():
        yield row["file"], row["error"]


def positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of at least 1")
    return int(text)


def size(text):
    sizes = text.split("x")
    if len(sizes) != 2 or not all(one.isdecimal() and int(one) for one in sizes):
        raise argparse.ArgumentTypeError(f"`{text}` is no size; write HEIGHTxWIDTH, such as 224x224")
    return [int(one) for one in sizes]


def channels(text):
    values = [float(one) for one in text.split(",")]
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"`{text}` is neither one number nor three, such as 0.485,0.456,0.406")
    return values


def arguments(argv):
    parser = argparse.ArgumentParser(description="Runs a model over every image of a folder, on Ray Data; results as Parquet.")
    add = parser.add_argument
    add("model", help="ONNX file, or a URL that fsspec knows; weights inside it")
    add("images", help="folder, or a URL such as s3://bucket/images")
    add("output", help="folder or URL for the results")
    add("--size", type=size, metavar="HEIGHTxWIDTH", help="of the images the model is given, where it does not say so itself")
    add("--mean", type=channels, default=[0.5], help="one number or one per channel (default: 0.5)")
    add("--std", type=channels, default=[0.5], help="likewise (default: 0.5)")
    add("--batch", type=positive, default=8, help="images in one run of the model (default: 8)")
    add("--rows-per-file", type=positive, default=1000, help="images in a part of the results, lost at most if a worker dies (default: 1000)")
    add("--workers", type=positive, default=2, help="actors, each with its own session (default: 2)")
    add("--threads", type=positive, default=1, help="threads of each (default: 1)")
    add("--address", help="a Ray cluster, such as auto; by default RAY_ADDRESS, or a Ray of this machine for the time of the call")
    return parser, parser.parse_args(argv)


def connect(parser, address, processors):
    try:
        if address or os.environ.get("RAY_ADDRESS"):
            return ray.init(address=address)
        return ray.init(address="local", num_cpus=processors, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        parser.error(f"no Ray: {error}")


def main(argv=None):
    parser, given = arguments(argv)
    try:
        (theirs, source), (ours, output) = fsspec.core.url_to_fs(given.images), fsspec.core.url_to_fs(given.output)
        with fsspec.open(given.model, "rb") as file:
            model = file.read()
        settings = {
            "onnx_swish": onnx_swish.__version__,
            "model": hashlib.sha256(model).hexdigest(),
            "size": given.size,
            "mean": given.mean,
            "std": given.std,
        }
        # What is wrong with the model or the size is said here, not by every actor.
        session = onnx_swish.Session(model, threads=given.threads)
        prepare = Preparation(session, given.size, given.mean, given.std)
        prepare.run(session, [np.zeros((*prepare.size, 3) if prepare.last else (3, *prepare.size), prepare.type)], 1)
        images = images_of(theirs, source)
        if not images:
            raise ValueError(f"no file in {given.images} ends in {', '.join(SUFFIXES)}")
        ours.makedirs(output, exist_ok=True)
        done = finished(ours, output, images, settings)
    except (ImportError, OSError, ValueError, onnx_swish.Error) as error:
        parser.error(str(error))
    del session

    pending = {file: info for file, info in images.items() if file not in done}
    failed = {}
    if pending:
        with connect(parser, given.address, given.workers * given.threads):
            urls = {"source": theirs.unstrip_protocol(source), "output": ours.unstrip_protocol(output)}
            construct = {"model": ray.put(model), "threads": given.threads, "settings": settings, "batch": given.batch, **urls}
            for file, error in run_all(pending, construct, given):
                if error:
                    failed[file] = error
                    print(f"{file}: {error}", file=sys.stderr)
    report = (json.dumps(dict(sorted(failed.items())), indent=1) + "\n").encode()
    path = f"{output}/{FAILED}"
    if not failed and ours.exists(path):
        ours.rm_file(path)
    elif failed and not (ours.exists(path) and ours.cat_file(path) == report):
        publish(report, ours, path)
    print(f"{len(pending) - len(failed)} images run, {len(done)} finished before, {len(failed)} failed; results in {given.output}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
