"""What a stopped run left in a folder: taken up, cleared away, or left to its own next run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from birdsod.errors import RecordError
from birdsod.recordio._journal import head_of
from birdsod.recordio._leftovers import Busy, hidden_folders, hold
from birdsod.recordio._naming import alone, has_appeared, put_back

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["START_ANEW", "Purpose", "Taken", "take"]

START_ANEW = "or leave out resume to pack from the start"
_NUMBERS = ("count", "most_bytes", "only")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a run packs: runs of one purpose write the same files.

    Parameters
    ----------
    channels : tuple of str
        Their names.
    count, most_bytes, only : int, optional
        Number or size of shards, and the one that is packed.
    """

    channels: tuple[str, ...]
    count: int | None
    most_bytes: int | None
    only: int | None

    def is_apart_from(self, other: Purpose) -> bool:
        """Whether the two write other files and may go on side by side, as the jobs of an array do."""
        if not set(self.channels) & set(other.channels):
            return True
        alone = self.only is not None and other.only is not None
        return alone and self.count == other.count and self.only != other.only

    @classmethod
    def from_json(cls, content: object) -> Purpose | None:
        """Return the purpose that a journal tells of, if it is one."""
        if not isinstance(content, dict) or set(content) != {"channels", *_NUMBERS}:
            return None
        channels, numbers = content["channels"], [content[name] for name in _NUMBERS]
        if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
            return None
        # By type, since True is an int to isinstance.
        known = all(number is None or type(number) is int for number in numbers)
        return cls(tuple(channels), *numbers) if known else None

    def __str__(self) -> str:
        if self.only is not None:
            cut = f", shard={(self.only, self.count)}"
        elif self.most_bytes is not None:
            cut = f", shards of {self.most_bytes} bytes"
        else:
            cut = f", shards={self.count}" if self.count is not None else ""
        return f"channels {', '.join(self.channels)}{cut}"


class Taken(NamedTuple):
    """A folder that a run has for itself until ``claim`` is closed."""

    folder: Path
    claim: contextlib.ExitStack


def take(directory: Path, purpose: Purpose, *, resume: bool) -> Taken | None:
    """Return what an earlier run of the purpose left, if it is to be resumed; else clear it away.

    What belongs to runs that write other files stays.
    """
    for folder, left in _journaled(directory):
        if purpose.is_apart_from(left):
            continue
        if resume and left != purpose:
            message = "the run that was stopped here packed something else"
            cure = f"give the same channels and shards, {START_ANEW}"
            raise RecordError(message, path=directory, value=str(left), cause=f"this one packs {purpose}", cure=cure)
        claim = _held(folder, directory, resume=resume)
        if claim is None:
            continue
        with alone(directory):
            # Killed after its last rename a run has done its work: what it packed stays.
            if resume or not has_appeared(folder, directory):
                put_back(folder, directory)
        if resume:
            return Taken(folder, claim)
        shutil.rmtree(folder, ignore_errors=True)
        claim.close()
    return None


def _journaled(directory: Path) -> Iterator[tuple[Path, Purpose]]:
    for folder in hidden_folders(directory):
        purpose = Purpose.from_json((head_of(folder) or {}).get("purpose"))
        if purpose is not None:
            yield folder, purpose


def _held(folder: Path, directory: Path, *, resume: bool) -> contextlib.ExitStack | None:
    """Return the claim on a folder; None if another process may have it."""
    try:
        # Whoever resumes knows that the run has stopped, wherever it ran; else another machine's is left alone.
        return hold(folder, anywhere=resume)
    except Busy as busy:
        if not resume:
            return None
        cause = "the run to resume still goes on, or has been resumed already"
        raise RecordError("another process packs this", path=directory, cause=cause, cure="wait for it") from busy
