"""The beginning of a run: from the start, or from where one like it was stopped."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from birdsod import _files
from birdsod.errors import RecordError
from birdsod.recordio._journal import JOURNAL, Journal, entries, head_of
from birdsod.recordio._marks import Mark, Shelved, reread
from birdsod.recordio._taking import START_ANEW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from birdsod.recordio._journal import Entry
    from birdsod.recordio._listing import Listing
    from birdsod.recordio._marks import Reach
    from birdsod.recordio._options import PackOptions
    from birdsod.recordio._taking import Purpose

__all__ = ["Begun", "begin", "head"]

_SCHEMA = 1


class Begun(NamedTuple):
    """A journal to go on with, and what is there already of each channel."""

    journal: Journal
    shelves: dict[str, Shelved]


def head(purpose: Purpose, options: PackOptions, listings: Sequence[Listing], **further: str) -> Entry:
    """Return the first entry of a journal: all that decides about a byte of the result, but the pixels."""
    import cv2

    return {
        "schema": _SCHEMA,
        "purpose": asdict(purpose),
        "options": {**asdict(options), **further, "OpenCV": cv2.__version__},
        "lists": {listing.name: {"list": listing.sha256, "sizes": listing.sizes_sha256} for listing in listings},
    }


def begin(folder: Path, mine: Entry, reaches: Mapping[str, Reach]) -> Begun:
    """Return where to go on; what the journal does not vouch for, or no run could have done, is removed."""
    path = folder / JOURNAL
    before = head_of(folder)
    if before is None:
        journal = Journal(path)
        journal.add(mine)
        # The journal is found again only if the names on the way to it are safe.
        _files.flush_folder(folder)
        _files.flush_folder(folder.parent)
        return Begun(journal, {})
    _refuse_other(before, mine, folder.parent)
    _, first = next(entries(path))
    shelves, good = reread(folder, _marks(path), reaches)
    _clear(folder, shelves)
    return Begun(Journal(path, size=max(first, good)), shelves)


def _marks(path: Path) -> Iterator[tuple[Mark, int]]:
    for entry, end in entries(path):
        mark = Mark.from_json(entry)
        if mark is not None:
            yield mark, end


def _refuse_other(before: Entry, mine: Entry, directory: Path) -> None:
    """Refuse to go on with what was begun otherwise."""
    if before.get("schema") != _SCHEMA:
        message = "the run that was stopped here kept its journal in another way"
        cure = f"go on with the version of birdsod that began, {START_ANEW}"
        raise RecordError(message, path=directory, value=_shown(before, "schema"), cause="another version", cure=cure)
    options, lists_before = _mapping(before, "options"), _mapping(before, "lists")
    for name, value in mine["options"].items():
        if options.get(name) != value:
            message = f"the run that was stopped here packed with another {name}"
            cure = f"pack with {name}={_shown(options, name)!r}, {START_ANEW}"
            cause = f"this one packs with {name}={value!r}"
            raise RecordError(message, path=directory, value=_shown(options, name), cause=cause, cure=cure)
    for name, lists in mine["lists"].items():
        if lists_before.get(name) != lists:
            message = f"the run that was stopped here packed other images or boxes of channel {name!r}"
            cause = "the data set has changed, or another part of it was selected"
            raise RecordError(message, path=directory, cause=cause, cure=f"give the same data set, {START_ANEW}")


def _mapping(entry: Entry, name: str) -> Entry:
    """Return a part of a head; an empty one where it is not what birdsod writes."""
    part = entry.get(name)
    return part if isinstance(part, dict) else {}


def _shown(entry: Entry, name: str) -> str | float | None:
    """Return a value to be told in an error, unless it is none that an option has."""
    value = entry.get(name)
    return value if isinstance(value, str | int | float) else None


def _clear(folder: Path, shelves: dict[str, Shelved]) -> None:
    """Remove record files that the journal does not vouch for."""
    kept = {path.name for shelf in shelves.values() for filled in shelf.filled for path in (filled.rec, filled.idx)}
    kept |= {path.name for shelf in shelves.values() if shelf.opened for path in shelf.opened.paths}
    for path in folder.iterdir():
        if path.suffix in {".rec", ".idx"} and path.name not in kept:
            path.unlink()
