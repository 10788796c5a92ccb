"""verify and bench."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _onnx_swish as native
from ._records import Document, Record, counted, html_table, html_text

Progress = Callable[[str, int, int], object]
"""Called with what is being done, how much of it is done, and of how much (0: unknown). What it raises ends the work."""

Shapes = Mapping[str, Sequence[int]] | Sequence[int]
"""Sizes by the names of inputs, or those of the only input."""


class OutputComparison(Record):
    """How an output of the fused model compares with the reference's."""

    name: str
    element_type: str
    shape: list[int]
    fused_shape: list[int] | None
    """None where it is the same."""
    elements: int
    finite: int
    """How many of the reference's elements are finite numbers."""
    equal: bool
    decided: bool
    """False where ``equal`` says nothing: the output is so small that the absolute tolerance accepts any number of its size."""
    judged_by: str
    """``tolerance``, ``codes``, ``layers`` or ``rows``."""
    rtol: float
    atol: float
    floor: float
    largest: float
    """The largest magnitude."""
    max_abs: float
    max_rel: float
    max_ulp: int
    """The largest difference in units in the last place."""
    outside: int
    """Elements beyond the tolerance."""
    worst: dict[str, Any] | None
    top1_agreement: float | None
    """In how many rows the largest element is the same, of a classifier's output."""
    codes: dict[str, Any] | None
    rows: dict[str, Any] | None


class Coverage(Record):
    """A fused activation: what it was given, and how exactly it computed."""

    node: str
    op: str
    output: str | None
    element_type: str
    min: float | None
    max: float | None
    elements: int
    max_ulp: float
    """From its formula."""
    allowed_ulp: float
    exact: bool
    """Whether it is within."""
    worst: dict[str, Any] | None
    against_reference: OutputComparison | None
    """With ``each``: its value against the reference's value of that name; None where the reference has none, or was not asked."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        value = fields.get("against_reference")
        self.against_reference = None if value is None else OutputComparison(value)

    @property
    def equal(self) -> bool:
        """Whether nothing about it is off."""
        return self.exact and (self.against_reference is None or self.against_reference.equal)


class Verification(Document):
    """What ``verify`` found; true where every output is equal and every activation computes its formula."""

    def __bool__(self) -> bool:
        return self.equal

    @property
    def equal(self) -> bool:
        """The answer."""
        return self._fields["equal"]

    @property
    def reference(self) -> str:
        """What was compared with: ``tract``, ``onnxruntime 1.32``, or ``file``."""
        return self._fields["reference"]

    @property
    def outputs(self) -> list[OutputComparison]:
        """Each output."""
        return [OutputComparison(one) for one in self._fields["outputs"]]

    @property
    def coverage(self) -> list[Coverage]:
        """Each fused activation, in the order of execution."""
        return [Coverage(one) for one in self._fields["coverage"]]

    @property
    def on_codes(self) -> dict[str, int]:
        """What ran on 8-bit codes: ``activations`` and ``other_tables`` that ran as tables, and ``convolutions``."""
        return dict(self._fields["on_codes"])

    @property
    def first_off(self) -> dict[str, Any] | None:
        """The first activation that is off."""
        return self._fields["first_off"]

    @property
    def warnings(self) -> list[str]:
        """What to know before believing the answer."""
        return list(self._fields["warnings"])

    def __repr__(self) -> str:
        answer = "equal" if self.equal else "NOT equal"
        outputs = counted(len(self.outputs), "output")
        undecided = sum(one.equal and not one.decided for one in self.outputs)
        if undecided:
            outputs += f", {undecided} not decided"
        return f"<onnx_swish.Verification: {answer} to {self.reference}, {outputs}>"

    def _repr_html_(self) -> str:
        head = ("output", "type", "shape", "equal", "largest", "max abs", "max rel", "max ulp", "outside")
        rows = [
            (
                one.name,
                one.element_type,
                one.shape,
                one.equal if one.decided else "not decided",
                one.largest,
                one.max_abs,
                one.max_rel,
                one.max_ulp,
                one.outside,
            )
            for one in self.outputs
        ]
        parts = [html_text(repr(self)), html_table(head, rows)]
        if self.coverage:
            covered = [
                (one.op, one.output, f"{one.min} to {one.max}", one.max_ulp, one.allowed_ulp, one.equal)
                for one in self.coverage
            ]
            titles = ("activation", "output", "given", "max ulp", "allowed", "equal")
            parts.append(html_table(titles, covered))
        return "".join(parts + [html_text(warning) for warning in self.warnings])


class Variant(Record):
    """One contender's figures."""

    name: str
    """``tract``, ``tract+vzeroupper``, ``onnx-swish-no-convolutions`` or ``onnx-swish``."""
    median_ms: float
    min_ms: float
    spread: float
    peak_activation_bytes: int
    over_previous: dict[str, float] | None
    onnx_swish_over_this: dict[str, float]


class Bench(Document):
    """What ``bench`` measured."""

    def __init__(self, json: str, markdown: str) -> None:
        super().__init__(json)
        self._markdown = markdown

    @property
    def variants(self) -> list[Variant]:
        """The contenders, onnx-swish last."""
        return [Variant(one) for one in self._fields["variants"]]

    @property
    def warnings(self) -> list[str]:
        """What to know before believing the figures."""
        return list(self._fields["warnings"])

    def to_markdown(self) -> str:
        """The figures as a table for a document."""
        return self._markdown

    def __repr__(self) -> str:
        times = ", ".join(f"{one.name} {one.median_ms:.3g} ms" for one in self.variants)
        return f"<onnx_swish.Bench: {times}>"

    def _repr_html_(self) -> str:
        head = ("", "median ms", "min ms", "onnx-swish takes")
        rows = [
            (one.name, f"{one.median_ms:.3f}", f"{one.min_ms:.3f}", f"{one.onnx_swish_over_this['median']:.2f}")
            for one in self.variants
        ]
        return html_table(head, rows) + "".join(html_text(warning) for warning in self.warnings)


def verify(
    original: Any,
    fused: Any = None,
    *,
    against: str = "tract",
    ort_library: str | os.PathLike[str] | None = None,
    inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    expected: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    test_data: str | os.PathLike[str] | None = None,
    each: bool = False,
    rtol: float | None = None,
    atol: float | None = None,
    input_shapes: Shapes | None = None,
    threads: int = 1,
    seed: int = 0,
    convolutions: str = "auto",
    tables: bool = True,
    codes: bool = True,
    max_nodes: int | None = None,
    max_build_time: float | None = None,
    base_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Runs the original and the fused model on the same inputs and compares every output, and every activation with its formula.

    Args:
        original: a path, bytes, or an onnx.ModelProto.
        fused: the fused model, in any of these kinds; None fuses the original in memory.
        against: who computes the reference: ``"tract"``, its plain operators; or ``"onnxruntime"``, its optimiser off.
        ort_library: ONNX Runtime's shared library; by default that of the installed package ``onnxruntime``, or ``ORT_DYLIB_PATH``.
        inputs: arrays by the names of inputs, or a list of such sets; by default two sets of random ones.
        expected: known outputs by name, one set for each set of inputs; instead of ``against``.
        test_data: a folder of ``test_data_set_N/{input,output}_K.pb``, as the ONNX project publishes them; instead of the last two.
        each: also compare the value that each activation makes, and name the first that is off.
        rtol, atol: tolerances relative to the value and absolute, in units of the output's largest magnitude; by default what is usual
            for its element type, 1e-3 and 1e-4 for float32.
        input_shapes: sizes for free dimensions, where inputs are random.
        threads: threads of the engine.
        seed: of the random inputs.
        convolutions, tables, codes, max_nodes, max_build_time, base_dir: as in :class:`Session`.
        progress: hears how far the work is; see :data:`Progress`.

    Raises:
        KeyboardInterrupt: Ctrl-C; the work ends at its next step.
        InputError (a ValueError), ModelError, RunError, OSError: as :class:`Session`; RunError also where the reference cannot be had.
    """
    if against == "onnxruntime" and ort_library is None and not os.environ.get("ORT_DYLIB_PATH"):
        ort_library = _installed_onnxruntime()
    comparing = {
        "against": against,
        "ort_library": ort_library,
        "inputs": inputs,
        "expected": expected,
        "test_data": test_data,
        "each": each,
        "rtol": rtol,
        "atol": atol,
    }
    running = {
        "input_shapes": input_shapes,
        "threads": threads,
        "seed": seed,
        "convolutions": convolutions,
        "tables": tables,
        "codes": codes,
        "max_nodes": max_nodes,
        "max_build_time": max_build_time,
        "base_dir": base_dir,
        "progress": progress,
    }
    return Verification(native.verify(original, fused, comparing, running))


def bench(
    model: Any,
    *,
    input_shapes: Shapes | None = None,
    runs: int = 30,
    profile: bool = False,
    threads: int = 1,
    seed: int = 0,
    convolutions: str = "auto",
    tables: bool = True,
    codes: bool = True,
    max_nodes: int | None = None,
    max_build_time: float | None = None,
    base_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Times a model on tract as it is, on tract repaired, and here without and with its convolutions, in turn on the same inputs.

    Args:
        model: a path, bytes, or an onnx.ModelProto.
        input_shapes: sizes for free dimensions.
        runs: timed runs of each contender.
        profile: also time every operator; ``to_dict()`` has ``profile`` and ``profile_nodes`` then.
        threads, seed, convolutions, tables, codes, max_nodes, max_build_time, base_dir: as in :func:`verify`.
        progress: hears how far the work is, between two runs; see :data:`Progress`.

    Memory is not measured: only a program can install the allocator that counts it, and the command of the Rust package does.

    Raises:
        KeyboardInterrupt: Ctrl-C; the work ends with the run at hand.
        InputError (a ValueError), ModelError, RunError, OSError: as :class:`Session`.
    """
    running = {
        "input_shapes": input_shapes,
        "threads": threads,
        "seed": seed,
        "convolutions": convolutions,
        "tables": tables,
        "codes": codes,
        "max_nodes": max_nodes,
        "max_build_time": max_build_time,
        "base_dir": base_dir,
        "progress": progress,
    }
    json, markdown = native.bench(model, runs, profile, running)
    return Bench(json, markdown)


def _installed_onnxruntime() -> str | None:
    """The shared library of the installed package onnxruntime, which is not imported."""
    from importlib.util import find_spec

    package = find_spec("onnxruntime")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for name in ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll"):
            found = sorted(glob.glob(os.path.join(folder, "capi", name)))
            if found:
                return found[0]
    return None
