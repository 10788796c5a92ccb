"""The examples for many machines, on a local Ray of two workers of which one is killed at work.

Nothing may be lost, done twice in the results, or wrong; and a second run touches nothing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import util
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import FIXTURES, HARDSWISH, REAL

import onnx_swish

for needed in ("ray", "fsspec", "pyarrow", "pandas", "PIL"):
    pytest.importorskip(needed, reason=f"{needed} is not installed; the examples for many machines need ray[data], fsspec and pillow")
if not Path("/proc/self/stat").exists():
    pytest.skip("workers at work are found in /proc, which Linux has", allow_module_level=True)

import fsspec
import pandas
import ray
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
# Seconds; on an idle machine with two cores all tests here together take 30, nearly all of it Ray's own.
WAIT = 400
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}


@pytest.fixture(scope="module")
def address():
    """A Ray of two workers; its folder has a short name, because those of sockets are limited."""
    os.environ.update(QUIET)
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    context = ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
        logging_level="error",
        _temp_dir=folder,
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def call(address, example, *arguments):
    return subprocess.Popen(
        [sys.executable, EXAMPLES / example, *map(str, arguments), "--workers", "2"],
        env={**os.environ, **QUIET, "RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    try:
        text, _ = process.communicate(timeout=WAIT)
    finally:
        process.kill()
    return process.returncode, text


def read(path):
    try:
        return path.read_bytes()
    except OSError:  # The process has ended.
        return b""


def is_ours(pid):
    """Whether this process, through Ray's own, started it."""
    while pid > 1:
        fields = read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
        if not fields:
            return False
        pid = int(fields[1])
        if pid == os.getpid():
            return True
    return False


def title(pid):
    return read(Path(f"/proc/{pid}/cmdline")).rstrip(b"\0").decode()


def kill_at_work(busy, process, may):
    """Kills a worker with this title, while it works: Ray gives a process the title of what it runs, and takes it away afterwards."""
    deadline = time.monotonic() + WAIT
    while process.poll() is None and time.monotonic() < deadline:
        for pid in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()] if may() else []:
            if not title(pid).startswith(busy) or not is_ours(pid):
                continue
            os.kill(pid, signal.SIGSTOP)
            # Stopped, it cannot get any further between this look and its death.
            at_work = title(pid).startswith(busy) and process.poll() is None
            os.kill(pid, signal.SIGKILL if at_work else signal.SIGCONT)
            if at_work:
                return pid
        time.sleep(0.005)
    return None


def state(folder):
    """Every file with its content, and what tells whether it was written again."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_models_are_fused_once_though_a_worker_dies(address, tmp_path):
    models, fused = tmp_path / "models", tmp_path / "fused"
    (models / "tiny").mkdir(parents=True)
    for name in ("hardswish.op13", "silu.op13", "glu.op13", "hardswish.dyn18"):
        shutil.copy(FIXTURES / f"exporters/{name}.onnx", models / "tiny")
    for number in range(4):
        shutil.copy(REAL, models / f"classifier{number}.onnx")
    (models / "broken.onnx").write_bytes(b"no model")
    files = sorted(str(path.relative_to(models)) for path in models.rglob("*.onnx"))
    command = ("ray_fuse.py", models, fused, "--shape", "x=1x3x48x192")

    process = call(address, *command)
    # With at least one model finished and one not.
    killed = kill_at_work("ray::fuse_one", process, lambda: any(fused.glob("*.onnx.json")))
    status, text = finish(process)
    assert killed is not None, f"no worker was killed at work:\n{text}"
    assert status == 1, text

    rows = report(fused)["models"]
    assert [row["file"] for row in rows] == files, "every model once"
    for row in rows:
        if row["file"] == "broken.onnx":
            assert row["status"] == "failed" and "not a readable ONNX model" in row["sentence"]
            assert not (fused / "broken.onnx").exists()
        else:
            direct = onnx_swish.fuse((models / row["file"]).read_bytes())
            assert row["status"] == "equal" and row["fusions"] == len(direct.report.fusions), row
            assert (fused / row["file"]).read_bytes() == direct
    written = {path for path in state(fused) if not path.endswith(".json")}
    assert written == set(files) - {"broken.onnx"}, "nothing half written is left"

    before = state(fused)
    status, text = finish(call(address, *command))
    assert status == 1 and f"{len(files) - 1} finished before" in text, text
    assert state(fused) == before, "a second run touches nothing"

    shutil.copy(FIXTURES / "exporters/silu.op13.onnx", models / "broken.onnx")
    shutil.copy(FIXTURES / "exporters/silu.op17.onnx", models / "tiny/silu.op13.onnx")
    status, text = finish(call(address, *command))
    assert status == 0 and f"{len(files) - 2} finished before" in text, text
    after = state(fused)
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {f"{name}.onnx{end}" for name in ("broken", "tiny/silu.op13") for end in ("", ".json")} | {"report.json"}


def loaded(name):
    spec = util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SETTINGS = {"emit": None, "target": None, "against": "tract", "rtol": None, "atol": None, "threads": 1, "shapes": {"x": [1, 3, 48, 192]}}


def test_buckets_give_and_take_models_with_external_data(tmp_path):
    fuse_one = loaded("ray_fuse").fuse_one
    bucket = fsspec.filesystem("memory")
    onnx.save(onnx.load(HARDSWISH), tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    bucket.put(f"{tmp_path}/", "/models/", recursive=True)
    row, before = fuse_one("memory://models", "memory://fused", "model.onnx", SETTINGS)
    assert row["status"] == "equal" and not before, row
    assert sorted(bucket.find("/fused")) == ["/fused/model.onnx", "/fused/model.onnx.json", "/fused/weights.bin"]
    assert fuse_one("memory://models", "memory://fused", "model.onnx", SETTINGS) == (json.loads(json.dumps(row)), True)
    # Other weights are another model.
    bucket.pipe("/models/weights.bin", bytes(len(bucket.cat("/models/weights.bin"))))
    assert fuse_one("memory://models", "memory://fused", "model.onnx", SETTINGS)[1] is False


def test_a_model_that_is_not_equal_is_a_row_and_not_written(tmp_path):
    fuse_one = loaded("ray_fuse").fuse_one
    row, _ = fuse_one(str(REAL.parent), str(tmp_path), REAL.name, {**SETTINGS, "rtol": 0.0, "atol": 0.0})
    assert row["status"] == "not equal" and "differs in" in row["sentence"]
    assert [path.name for path in tmp_path.iterdir()] == [f"{REAL.name}.json"]


def direct(session, path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((192, 48), Image.Resampling.BILINEAR))
    x = ((pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1)[None]
    return session.run(None, {"x": x.astype(np.float32)})[0][0]


def check_results(images, results):
    """Every image has one row, equal to a run of its own."""
    session = onnx_swish.Session(REAL)
    rows = pandas.concat([pandas.read_parquet(path) for path in sorted(results.glob("part-*.parquet"))])
    assert sorted(rows["file"]) == sorted(str(path.relative_to(images)) for path in images.rglob("*.png") if path.name != "broken.png")
    (output,) = set(rows.columns) - {"file", "bytes", "changed"}
    for file, scores in zip(rows["file"], rows[output], strict=True):
        np.testing.assert_allclose(scores, direct(session, images / file), rtol=1e-4, atol=1e-6, err_msg=file)


def draw(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((300, 60)).save(path)


def test_images_are_run_once_though_an_actor_dies(address, tmp_path):
    images, results = tmp_path / "images", tmp_path / "results"
    (images / "more").mkdir(parents=True)
    for number in range(60):
        draw(images / ("more" if number % 3 else "") / f"{number}.png", number)
    (images / "broken.png").write_bytes(b"no image")
    command = ("ray_batch.py", REAL, images, results, "--size", "48x192", "--rows-per-file", "6")

    process = call(address, *command)
    killed = kill_at_work("ray::MapWorker(MapBatches(Worker)).submit", process, lambda: any(results.glob("part-*.parquet")))
    status, text = finish(process)
    assert killed is not None, f"no actor was killed at work:\n{text}"
    assert status == 1 and "60 images run" in text, text
    assert list(json.loads((results / "failed.json").read_text())) == ["broken.png"]
    check_results(images, results)

    before = state(results)
    status, text = finish(call(address, *command))
    assert status == 1 and "60 finished before" in text, text
    assert state(results) == before, "a second run touches nothing"

    draw(images / "0.png", 100)
    draw(images / "new.png", 101)
    (images / "3.png").unlink()
    (images / "broken.png").unlink()
    status, text = finish(call(address, *command))
    assert status == 0 and "2 images run, 58 finished before" in text, text
    assert not (results / "failed.json").exists()
    check_results(images, results)


def test_wrong_calls_are_refused_in_words(tmp_path):
    for arguments, sentence in (
        (("ray_fuse.py", tmp_path, tmp_path / "out"), "lies in the source"),
        (("ray_fuse.py", tmp_path, f"{tmp_path}-out"), "ends in .onnx"),
        (("ray_batch.py", REAL, tmp_path, f"{tmp_path}-out"), "give --size HEIGHTxWIDTH"),
        (("ray_batch.py", tmp_path / "no.onnx", tmp_path, f"{tmp_path}-out"), "No such file"),
    ):
        status, text = finish(call("nowhere:1", *arguments))
        assert status == 2 and sentence in text and "Traceback" not in text, text
