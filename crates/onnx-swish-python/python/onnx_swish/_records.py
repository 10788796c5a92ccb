"""Reports: what was found, done, compared or measured.

Given the JSON that the command prints too; promises its fields as attributes, itself by ``to_dict()``, and a table for notebooks
in which nothing of a model's text is taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class Record:
    """One entry of a report; its fields are attributes."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """The fields as the command's JSON has them."""
        fields = self.__dict__.items()
        return {name: value.to_dict() if isinstance(value, Record) else value for name, value in fields}


class Document:
    """A whole report, decoded when somebody looks at it."""

    def __init__(self, json: str, **more: Any) -> None:
        self._json = json
        self._more = more
        self._decoded: dict[str, Any] | None = None

    @property
    def _fields(self) -> Any:
        if self._decoded is None:
            import json

            self._decoded = {**json.loads(self._json), **self._more}
        return self._decoded

    def to_dict(self) -> dict[str, Any]:
        """The command's JSON (docs/cli.md has its fields), in dicts, lists, text and numbers, as a copy of its own."""
        import json

        return {**json.loads(self._json), **self._more}


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in HTML; text is escaped."""
    from html import escape

    def line(cells: Iterable[object], tag: str) -> str:
        inside = "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


def html_text(text: str, tag: str = "p") -> str:
    """A paragraph, or another element, in HTML; the text is escaped."""
    from html import escape

    return f"<{tag}>{escape(text)}</{tag}>"


def counted(number: int, what: str) -> str:
    """``1 fusion``, ``2 fusions``."""
    plural = {"near miss": "near misses"}.get(what, f"{what}s")
    return f"{number} {what if number == 1 else plural}"
