"""fuse, expand and inspect."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from . import _onnx_swish as native
from ._errors import InputError
from ._report import Expansion, Report
from ._result import ModelBytes, ModelMessage, PathObject, PathText, is_bytes, is_message


def fuse(
    model: Any,
    *,
    emit: str = "custom",
    target: str | None = None,
    quantized: bool = False,
    output: str | os.PathLike[str] | None = None,
    in_place: bool = False,
    force: bool = False,
    copy_external: bool = True,
    base_dir: str | os.PathLike[str] | None = None,
) -> Any:
    """Puts one operator in the place of every Swish, SiLU and HardSwish; all else stays, byte for byte.

    Args:
        model: a path (str or os.PathLike), bytes, or an onnx.ModelProto.
        emit: what an activation is written as: ``"custom"``, operators of this project, each with a model-local function that other
            runtimes run; ``"contrib"``, com.microsoft::QuickGelu, and HardSwish from opset 14; ``"standard"``, HardSwish from
            opset 14 and Swish from opset 24.
        target: the runtime that is to load the result, such as ``"onnxruntime@1.20"``; instead of ``emit``.
        quantized: also put a function of the file in the place of every quantised activation, from one 8-bit code to another, with its
            own nodes as the body; without it these stay as they are.
        output: where the result is written: a file, or a folder that takes it under the model's name. Without it, a path gives
            ``model.fused.onnx`` beside ``model.onnx``, and nothing is written where there is nothing to fuse; bytes and a ModelProto
            stay in memory.
        in_place: replace the file that ``model`` names.
        force: overwrite a file that is there.
        copy_external: where the result goes into another folder, copy the external data that it refers to.
        base_dir: the folder that external data is relative to, by default that of the file.

    Returns:
        The model in the kind in which it came: a path to it (str for str, pathlib.Path for any other), bytes, or an onnx.ModelProto.
        Its ``report`` is a :class:`Report`, its ``model`` the same without the report, as a plain str, Path, bytes or ModelProto.

    Raises:
        OSError: a file cannot be read or written; FileExistsError asks for ``force``.
        ModelError: the model is none, or its external data is missing or unsafe.
        InputError (a ValueError): an argument is wrong.
        FuseError: the result would pass the format's limit of 2 GiB.
    """
    where = _Where(model, output, in_place, force, copy_external)
    rewriting = native.fuse(model, emit, target, quantized, base_dir)
    return _finished(model, rewriting, Report, "fused", where)


def expand(
    model: Any,
    *,
    target: str | None = None,
    output: str | os.PathLike[str] | None = None,
    in_place: bool = False,
    force: bool = False,
    copy_external: bool = True,
    base_dir: str | os.PathLike[str] | None = None,
) -> Any:
    """Turns fused and standard Swish and HardSwish operators back into plain ones of the model's own opset.

    Args:
        model: a path, bytes, or an onnx.ModelProto.
        target: take only those apart that this runtime does not load, such as ``"onnxruntime@1.20"``.
        output: as in :func:`fuse`; without it ``model.plain.onnx`` beside a path.
        in_place, force, copy_external, base_dir: as in :func:`fuse`.

    Returns:
        The model in the kind in which it came, with ``report``, an :class:`Expansion`, and ``model``, as :func:`fuse` does.

    Raises:
        As :func:`fuse`.
    """
    where = _Where(model, output, in_place, force, copy_external)
    rewriting = native.expand(model, target, base_dir)
    return _finished(model, rewriting, Expansion, "plain", where)


def inspect(
    model: Any,
    *,
    emit: str = "custom",
    target: str | None = None,
    base_dir: str | os.PathLike[str] | None = None,
) -> Report:
    """Says what would be fused, what is one operator already, and what nearly matched and why it is left alone. Changes nothing.

    Args:
        model: a path, bytes, or an onnx.ModelProto.
        emit, target, base_dir: as in :func:`fuse`.

    Raises:
        OSError, ModelError, InputError: as :func:`fuse`.
    """
    return Report(native.inspect(model, emit, target, base_dir))


class _Where:
    """Where a result goes."""

    def __init__(self, model: Any, output: Any, in_place: bool, force: bool, copy_external: bool) -> None:
        self.output = None if output is None else os.fsdecode(output)
        if in_place and self.output is not None:
            raise InputError("in_place replaces the model, and output names another file: give one of them")
        if _in_memory(model):
            if in_place:
                raise InputError("in_place replaces a file, and the model was given in memory")
            if self.output is not None and _is_folder(self.output):
                raise InputError(f"{self.output} is a folder, and a model in memory has no name: name a file in it")
        self.in_place = in_place
        self.force = force
        self.copy_external = copy_external

    def of(self, model: str, suffix: str) -> str:
        """For a model of this path."""
        if self.in_place:
            return model
        if self.output is None:
            return _beside(model, suffix)
        if not _is_folder(self.output):
            return self.output
        path = os.path.join(self.output, os.path.basename(model))
        if os.path.realpath(path) == os.path.realpath(model):
            return _beside(path, suffix)
        return path

    def write(self, rewriting: native.Rewriting, path: str) -> None:
        if self.output is not None and _is_folder(self.output):
            os.makedirs(self.output, exist_ok=True)
        left, linked = rewriting.save(path, self.in_place, self.force, self.copy_external)
        if left:
            _warn(f"{path} refers to {', '.join(left)} for its weights, not copied: put it beside the model, or nothing will load it")
        if linked:
            _warn(
                f"{path} finds {', '.join(linked)} by a link out of its folder, which other runtimes may refuse, ONNX Runtime among them: "
                "output= names another folder, which gets a copy of the weights"
            )


def _warn(sentence: str) -> None:
    import warnings

    # The caller of fuse or expand.
    warnings.warn(sentence, stacklevel=5)


def _in_memory(model: Any) -> bool:
    return is_bytes(model) or is_message(model)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) or path.endswith(("/", os.sep))


def _beside(model: str, suffix: str) -> str:
    """``dir/net.onnx`` becomes ``dir/net.SUFFIX.onnx``."""
    stem, extension = os.path.splitext(model)
    return f"{stem}.{suffix}{extension or '.onnx'}"


def _finished(model: Any, rewriting: native.Rewriting, kind: Any, suffix: str, where: _Where) -> Any:
    """Writes what is to be written, and gives the model back in its own kind."""
    written = where.output
    if not _in_memory(model):
        path = os.fspath(model)
        # Nobody asked for a copy of the file as it is.
        if rewriting.changes > 0 or where.output is not None:
            written = where.of(path, suffix)
    if written is not None:
        where.write(rewriting, written)

    result: Any
    if is_bytes(model):
        result = ModelBytes(rewriting.to_bytes())
    elif is_message(model):
        # Not type(model): a result of ours is a cover of the message.
        result = ModelMessage(model.__class__.FromString(rewriting.to_bytes()))
    else:
        place = path if written is None else written
        result = PathText(place) if isinstance(model, str) else PathObject(pathlib.Path(place))
    result.report = kind(rewriting.report, written=written)
    return result
