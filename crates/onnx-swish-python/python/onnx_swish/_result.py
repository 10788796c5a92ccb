"""What ``fuse`` and ``expand`` give back: the model in the kind in which it came, with its report.

A path comes back as a path (text as text), bytes as bytes, each in a subclass with ``report`` and ``model``. Messages of protobuf
admit no subclass, so a ModelProto comes back in a thin cover that passes everything on to it, and calls itself one (``isinstance``,
``onnx.save``, ``onnx.checker`` take it); where compiled code insists on the message itself, it is ``.model``.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Result(Generic[R]):
    """What the four kinds have in common."""

    report: R
    """What was done: a Report of fuse, an Expansion of expand."""

    @property
    def model(self) -> Any:
        """The model in the plain kind: str, pathlib.Path, bytes or onnx.ModelProto."""
        raise NotImplementedError


class PathText(str, Result[R]):
    """The path of a rewritten model, as text."""

    @property
    def model(self) -> str:
        """The same as a plain str."""
        return str(self)


class PathObject(type(pathlib.Path()), Result[R]):  # type: ignore[misc]
    """The path of a rewritten model."""

    @property
    def model(self) -> pathlib.Path:
        """The same as a plain pathlib.Path."""
        return pathlib.Path(os.fspath(self))

    def with_segments(self, *segments: Any) -> pathlib.Path:
        """Paths made from this one are plain ones (from Python 3.12 on)."""
        return pathlib.Path(*segments)

    def __reduce__(self) -> tuple[Any, ...]:
        return (pathlib.Path, (os.fspath(self),))


class ModelBytes(bytes, Result[R]):
    """A rewritten model."""

    @property
    def model(self) -> bytes:
        """The same as plain bytes."""
        return bytes(memoryview(self))


class ModelMessage(Result[R]):
    """A rewritten model, as the onnx.ModelProto that ``model`` is."""

    _message: Any

    def __init__(self, message: Any) -> None:
        object.__setattr__(self, "_message", message)

    @property
    def model(self) -> Any:
        """The message itself."""
        return object.__getattribute__(self, "_message")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self.model)

    def __getattr__(self, name: str) -> Any:
        # Asked for only what the cover itself does not have.
        return getattr(object.__getattribute__(self, "_message"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "report":
            object.__setattr__(self, name, value)
        else:
            setattr(self.model, name, value)

    def __bytes__(self) -> bytes:
        return bytes(self.model.SerializeToString())

    def __eq__(self, other: object) -> bool:
        return bool(self.model == (other.model if type(other) is ModelMessage else other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.model)

    def __dir__(self) -> list[str]:
        return ["model", "report", *dir(self.model)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.model.__reduce_ex__(protocol)


def is_bytes(model: object) -> bool:
    """Whether a model was given as bytes, in whichever type Python has for them."""
    return isinstance(model, (bytes, bytearray, memoryview))


def is_message(model: object) -> bool:
    """Whether a model was given as a message of protobuf."""
    return hasattr(model, "SerializeToString")
