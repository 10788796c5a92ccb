import os
from typing import Generic, Literal, Protocol, TypeVar, TypedDict, overload

from onnx import ModelProto  # Any where it is not installed
from typing_extensions import Unpack

from ._report import Expansion, Report
from ._result import ModelBytes, PathObject, PathText

_Path = str | os.PathLike[str]
_Bytes = bytes | bytearray | memoryview
_Emit = Literal["custom", "contrib", "standard"]

class _Message(Protocol):
    def SerializeToString(self) -> bytes: ...

_R = TypeVar("_R")

class _ModelMessage(ModelProto, Generic[_R]):  # type: ignore[misc]
    """A ModelProto with a report: what the cover passes itself off as."""

    report: _R
    @property
    def model(self) -> ModelProto: ...

class _Expand(TypedDict, total=False):
    target: str | None
    output: _Path | None
    in_place: bool
    force: bool
    copy_external: bool
    base_dir: _Path | None

class _Fuse(_Expand, total=False):
    emit: _Emit
    quantized: bool

# Messages first: without protobuf's types a ModelProto is taken for anything that comes before.
@overload
def fuse(model: _Message, **options: Unpack[_Fuse]) -> _ModelMessage[Report]: ...
@overload
def fuse(model: str, **options: Unpack[_Fuse]) -> PathText[Report]: ...
@overload
def fuse(model: _Bytes, **options: Unpack[_Fuse]) -> ModelBytes[Report]: ...
@overload
def fuse(model: os.PathLike[str], **options: Unpack[_Fuse]) -> PathObject[Report]: ...
@overload
def expand(model: _Message, **options: Unpack[_Expand]) -> _ModelMessage[Expansion]: ...
@overload
def expand(model: str, **options: Unpack[_Expand]) -> PathText[Expansion]: ...
@overload
def expand(model: _Bytes, **options: Unpack[_Expand]) -> ModelBytes[Expansion]: ...
@overload
def expand(model: os.PathLike[str], **options: Unpack[_Expand]) -> PathObject[Expansion]: ...
def inspect(
    model: _Path | _Bytes | _Message,
    *,
    emit: _Emit = "custom",
    target: str | None = None,
    base_dir: _Path | None = None,
) -> Report: ...
