"""What was found in a file, and what was done to it."""

from __future__ import annotations

from ._records import Document, Record, counted, html_table, html_text


class Fusion(Record):
    """An activation that becomes one operator."""

    activation: str
    """``silu``, ``swish`` or ``hard_swish``."""
    input: str
    """The value that it is applied to."""
    output: str
    """The value at its end, which keeps its name."""
    nodes: list[str]
    """The nodes that it replaces."""
    beta: float | str | None
    """Swish's beta: a number, or the name of a tensor; None for HardSwish."""
    alpha: float | None
    """HardSwish's slope; None for Swish."""
    offset: float | None
    """HardSwish's offset; None for Swish."""
    factor: float | None
    """A factor that stays behind as a Mul."""
    op: str
    """The operator that is written."""
    element_type: str | None
    """Its element type, if the file says."""
    rounding: str | None
    """A sentence where digits move by more than reassociation."""
    graph: str
    """``main``, or the path of the subgraph or function."""


class Quantised(Record):
    """An activation from one 8-bit code to another."""

    activation: str
    input: str
    output: str
    nodes: list[str]
    beta: float | None
    alpha: float | None
    offset: float | None
    factor: float | None
    op: str | None = None
    """The function that is written; None where the file keeps the nodes."""
    stays: str | None = None
    """Why it keeps them although functions were asked for."""
    graph: str


class AlreadyFused(Record):
    """An activation that is one operator already."""

    op: str
    output: str
    graph: str


class NearMiss(Record):
    """A gate that is left alone, and why."""

    output: str
    """The product's value."""
    gate: str
    """The gate's value."""
    reason: str
    """Machine-readable; docs/spellings.md lists all of them."""
    message: str
    """One sentence in the model's own names."""
    change: str
    """What would have to change."""
    graph: str


class TooNew(Record):
    """A version of the file that the runtime of ``target`` does not read."""

    what: str
    """``opset``, ``function_opset`` or ``ir_version``."""
    found: int
    """The file's."""
    newest: int
    """The newest that the runtime reads."""
    read_by: str | None
    """The first version of the runtime that reads the file's, if one is known."""


class Report(Document):
    """What ``fuse`` did, or ``inspect`` says it would do, and why not more."""

    @property
    def model(self) -> str | None:
        """The file; None where the model was no file."""
        return self._fields["model"]

    @property
    def opset(self) -> int | None:
        """The version of ONNX's own operators."""
        return self._fields["opset"]

    @property
    def ir_version(self) -> int:
        """The version of the file format."""
        return self._fields["ir_version"]

    @property
    def nodes(self) -> int:
        """How many nodes the file has, in all graphs and functions."""
        return self._fields["nodes"]

    @property
    def fusions(self) -> list[Fusion]:
        """What is fused."""
        return [Fusion(one) for one in self._fields["fusions"]]

    @property
    def quantised(self) -> list[Quantised]:
        """Activations from one 8-bit code to another, which stay unless ``quantized`` asks for functions."""
        return [Quantised(one) for one in self._fields["quantised"]]

    @property
    def already_fused(self) -> list[AlreadyFused]:
        """What was one operator before."""
        return [AlreadyFused(one) for one in self._fields["already_fused"]]

    @property
    def not_loaded(self) -> list[AlreadyFused]:
        """Those of them that the runtime of ``target`` does not load."""
        return [AlreadyFused(one) for one in self._fields.get("not_loaded", ())]

    @property
    def expanded(self) -> list[str]:
        """The outputs of operators that the runtime of ``target`` does not load, and that were taken apart first."""
        return list(self._fields.get("expanded", ()))

    @property
    def too_new(self) -> list[TooNew]:
        """The versions of the file that are newer than what the runtime reads; ``fuse`` and ``expand`` refuse such a file."""
        return [TooNew(one) for one in self._fields.get("too_new", ())]

    @property
    def functions_not_loaded(self) -> list[str]:
        """The functions that the file calls and the runtime does not load; ``fuse`` and ``expand`` refuse such a file."""
        return list(self._fields.get("functions_not_loaded", ()))

    @property
    def near_misses(self) -> list[NearMiss]:
        """Gates that are left alone."""
        return [NearMiss(one) for one in self._fields["near_misses"]]

    @property
    def notes(self) -> list[str]:
        """What else changes in the file, in sentences."""
        return list(self._fields.get("notes", ()))

    @property
    def written(self) -> str | None:
        """Where the result was written; None where it was not."""
        return self._fields.get("written")

    def _counts(self) -> list[str]:
        return [
            counted(len(self.fusions), "fusion"),
            f"{len(self.quantised)} quantised",
            f"{len(self.already_fused)} already fused",
            counted(len(self.near_misses), "near miss"),
        ]

    def __repr__(self) -> str:
        return f"<onnx_swish.Report: {', '.join(self._counts())}>"

    def _repr_html_(self) -> str:
        parts = [html_text(f"{self.model or 'model'}: {', '.join(self._counts())}")]
        if self.fusions:
            rows = [(one.op, one.input, one.output, " ".join(one.nodes)) for one in self.fusions]
            parts.append(html_table(("fused into", "input", "output", "nodes"), rows))
        if self.quantised:
            rows = [(one.activation, one.input, one.output, " ".join(one.nodes)) for one in self.quantised]
            parts.append(html_table(("quantised", "input", "output", "nodes"), rows))
        if self.already_fused:
            parts.append(html_table(("fused already", "output"), [(one.op, one.output) for one in self.already_fused]))
        if self.near_misses:
            misses = [(one.reason, one.message, one.change) for one in self.near_misses]
            parts.append(html_table(("left alone", "why", "what would have to change"), misses))
        parts += [html_text(note) for note in self.notes]
        return "".join(parts)


class Kept(Record):
    """An operator that could not be taken apart."""

    output: str
    message: str


class Expansion(Document):
    """What ``expand`` took apart."""

    @property
    def model(self) -> str | None:
        """The file; None where the model was no file."""
        return self._fields["model"]

    @property
    def expanded(self) -> list[str]:
        """The outputs of the operators that were taken apart."""
        return list(self._fields["expanded"])

    @property
    def kept(self) -> list[Kept]:
        """What stays, and why."""
        return [Kept(one) for one in self._fields["kept"]]

    @property
    def written(self) -> str | None:
        """Where the result was written; None where it was not."""
        return self._fields.get("written")

    def __repr__(self) -> str:
        return f"<onnx_swish.Expansion: {len(self.expanded)} expanded, {len(self.kept)} kept>"

    def _repr_html_(self) -> str:
        rows = [(output, "taken apart") for output in self.expanded]
        rows += [(one.output, one.message) for one in self.kept]
        return html_text(repr(self)) + html_table(("output", "what became of it"), rows)
