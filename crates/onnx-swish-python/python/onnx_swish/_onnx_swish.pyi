"""The compiled half of the package; `crates/onnx-swish-python/src` has its documentation."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, final

__version__: str

@final
class NodeArg:
    """An input or an output of a model, as onnxruntime describes them."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> list[int | str | None]: ...

@final
class Session:
    """A model ready to run: read, fused in memory, on tract with this project's kernels."""

    def __new__(
        cls,
        model: Any,
        *,
        input_shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
        threads: int = 1,
        fuse: bool = True,
        convolutions: str = "auto",
        tables: bool = True,
        codes: bool = True,
        native_half: bool = False,
        cached_shapes: int | None = None,
        max_nodes: int | None = None,
        max_build_time: float | None = None,
        base_dir: str | os.PathLike[str] | None = None,
    ) -> Session: ...
    def get_inputs(self) -> list[NodeArg]: ...
    def get_outputs(self) -> list[NodeArg]: ...
    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list[Any]: ...
    def prepare(self, input_shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None) -> None: ...
    def convolutions(
        self, input_shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None
    ) -> list[dict[str, Any]]: ...

@final
class Rewriting:
    """A rewritten model, not yet written anywhere."""

    @property
    def report(self) -> str: ...
    @property
    def changes(self) -> int: ...
    def to_bytes(self) -> bytes: ...
    def save(self, path: str, in_place: bool, force: bool, copy_external: bool) -> tuple[list[str], list[str]]: ...

def fuse(model: Any, emit: str, target: str | None, quantized: bool, base_dir: Any) -> Rewriting: ...
def expand(model: Any, target: str | None, base_dir: Any) -> Rewriting: ...
def inspect(model: Any, emit: str, target: str | None, base_dir: Any) -> str: ...
def verify(original: Any, fused: Any, comparing: dict[str, Any], running: dict[str, Any]) -> str: ...
def bench(model: Any, runs: int, profile: bool, running: dict[str, Any]) -> tuple[str, str]: ...
def command(arguments: Sequence[str]) -> int: ...
