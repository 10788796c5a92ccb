"""The package: its command, its types, what importing it costs, and what it says of itself."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from importlib import metadata, resources
from pathlib import Path

import pytest

import onnx_swish

COMMAND = Path(sysconfig.get_path("scripts")) / ("onnx-swish.exe" if os.name == "nt" else "onnx-swish")


def run(*arguments):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True)


def test_the_command_is_on_the_path_and_of_this_version():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"onnx-swish {onnx_swish.__version__}\n")
    assert metadata.version("onnx-swish") == onnx_swish.__version__


def test_exit_statuses_are_the_commands(tmp_path, hardswish):
    assert run("fuse", "--check", hardswish).returncode == 1
    done = run("fuse", hardswish, "-o", tmp_path / "out.onnx")
    assert done.returncode == 0 and (tmp_path / "out.onnx").exists()
    assert run("fuse", "--check", tmp_path / "out.onnx").returncode == 0
    done = run("fuse", "nosuch.onnx")
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert run("nosuch").returncode == 2
    assert run("verify", hardswish).returncode == 0
    assert "onnx-swish" in run("bench", hardswish, "--runs", 2).stdout


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_the_command(hardswish):
    process = subprocess.Popen([COMMAND, "bench", hardswish, "--runs", "1000000"], stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == -signal.SIGINT


def test_importing_takes_little():
    """Under 50 ms by docs/python.md; here only that nothing heavy comes along, because timing never decides a test."""
    program = "import sys; before = set(sys.modules); import onnx_swish; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    heavy = {"numpy", "onnx", "onnxruntime", "json", "typing_extensions", "dataclasses", "asyncio", "html", "subprocess"}
    assert not heavy & set(done.stdout.split())


def test_it_is_typed():
    folder = resources.files("onnx_swish")
    assert (folder / "py.typed").is_file() and (folder / "_onnx_swish.pyi").is_file()


def test_mypy_takes_the_package_and_its_users(tmp_path):
    mypy = shutil.which("mypy", path=os.path.dirname(sys.executable))
    if mypy is None:
        pytest.skip("mypy is not installed")
    user = tmp_path / "user.py"
    user.write_text(
        "import onnx_swish\n"
        "report: onnx_swish.Report = onnx_swish.inspect('model.onnx')\n"
        "names: list[str] = [miss.reason for miss in report.near_misses]\n"
        "import onnx\n"
        "fused: str = onnx_swish.fuse('model.onnx')\n"
        "message = onnx_swish.fuse(onnx.load('model.onnx'))\n"
        "onnx.save(message, 'fused.onnx')\n"
        "nodes: int = len(message.graph.node) + len(message.report.fusions)\n"
        "result: bool = onnx_swish.verify(b'').equal\n"
        "shapes = [port.shape for port in onnx_swish.Session(b'', threads=2).get_inputs()]\n"
        "from collections import OrderedDict, UserDict\n"
        "from types import MappingProxyType\n"
        "session = onnx_swish.Session(b'', input_shapes=OrderedDict(x=(1, 3)))\n"
        "session.prepare(MappingProxyType({'x': [1, 3]}))\n"
        "outputs = session.run(['y'], UserDict({'x': [[1.0]]})) + session.run(None, MappingProxyType({'x': 1}))\n"
        "verified = onnx_swish.verify(b'', inputs=(MappingProxyType({'x': 1}),), input_shapes=UserDict({'x': (1,)}))\n"
        "exact: bool = all(one.equal and one.against_reference is None for one in verified.coverage)\n"
    )
    done = subprocess.run([mypy, "--strict", user], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_everything_public_says_what_it_does():
    for name in onnx_swish.__all__:
        one = getattr(onnx_swish, name)
        if name != "__version__":
            assert inspect.getdoc(one), name
    for method in ("run", "prepare", "convolutions", "get_inputs", "get_outputs"):
        assert inspect.getdoc(getattr(onnx_swish.Session, method)), method
    assert "Raises" in onnx_swish.fuse.__doc__ and "Raises" in onnx_swish.Session.__doc__


def test_stubs_name_the_parameters_that_there_are():
    import ast

    tree = ast.parse((resources.files("onnx_swish") / "_onnx_swish.pyi").read_text())
    session = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Session")
    methods = {node.name: node for node in session.body if isinstance(node, ast.FunctionDef)}

    def names(node):
        return [argument.arg for argument in node.args.args + node.args.kwonlyargs][1:]

    assert names(methods["__new__"]) == list(inspect.signature(onnx_swish.Session).parameters)
    for name in ("run", "prepare", "convolutions"):
        found = list(inspect.signature(getattr(onnx_swish.Session, name)).parameters)[1:]
        assert names(methods[name]) == found, name
