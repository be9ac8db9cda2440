"""Rows of the small text files that annotations come in, each with its line for what there is to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST = 2**63 - 1
_DIGITS = len(str(_LARGEST))
_KEY_AND_TEXT = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands and its fields."""

    path: Path
    line: int
    fields: tuple[str, ...]

    def fail(self, message: str, *, value: object, cause: str | None = None, cure: str) -> NoReturn:
        """Raise an error about this row."""
        raise DatasetError(message, path=self.path, line=self.line, value=value, cause=cause, cure=cure)

    def whole(self, field: int, what: str, *, largest: int = _LARGEST) -> int:
        """Return a field as a whole number of at least 0."""
        text = self.fields[field]
        # int() alone would also take '1_000', '+1' and digits of other scripts
        if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS or int(text) > largest:
            self.fail(f"the {what} is no whole number from 0", value=text, cause=_COLUMNS, cure=f"write the {what}")
        return int(text)

    def number(self, field: int, what: str) -> float:
        """Return a field as a finite number."""
        text = self.fields[field]
        try:
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.fail(f"{what} is no finite number", value=text, cause=_COLUMNS, cure="write it in pixels")
        return value


_COLUMNS = "columns are missing, swapped, or of another layout"


def read_rows(path: Path, columns: str) -> Iterator[Row]:
    """Yield the rows of a file with columns parted by blanks; the last column may hold blanks itself.

    A byte order mark, Windows line ends, blanks at line ends and empty lines are let pass.
    """
    count = len(columns.split())
    empty = True
    for line, text in enumerate(_text(path).split("\n"), start=1):
        fields = text.split(None, count - 1)
        if not fields:
            continue
        empty = False
        row = Row(path, line, (*fields[:-1], fields[-1].rstrip()))
        if len(fields) != count or (count > _KEY_AND_TEXT and len(fields[-1].split()) > 1):
            row.fail(f"a row must read {columns!r}", value=text.strip(), cause="a broken line", cure="mend the row")
        yield row
    if empty:
        raise DatasetError("the file is empty", path=path, cause="unpacking was cut short", cure="fetch the set again")


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        cure = "give the folder that holds it"
        raise DatasetError("the file cannot be read", path=path, cause=error.strerror, cure=cure) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            "the file is no UTF-8 text",
            path=path,
            line=data.count(b"\n", 0, error.start) + 1,
            value=data[error.start : error.end],
            cause="another encoding, or no text file at all",
            cure="save it as UTF-8",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
