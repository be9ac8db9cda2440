"""The record files of one channel as they grow, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod.errors import ImageError
from birdsod.recordio._channel import Tally, append, record_parts
from birdsod.recordio._framing import frame
from birdsod.recordio._writer import Pair

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.recordio._image_work import Answer, Task
    from birdsod.recordio._shard_plan import Cuts

__all__ = ["Filled", "Shelf", "staged_stem"]


@dataclass(frozen=True, slots=True)
class Filled:
    """A record file that is whole.

    Parameters
    ----------
    index : int
        Its number.
    begin, end : int
        Its rows of the list.
    rec, idx : Path
        The files.
    bytes : int
        Size of the record file.
    sha256, idx_sha256 : str
        SHA-256 of both.
    tally : Tally
        What is in it.
    """

    index: int
    begin: int
    end: int
    rec: Path
    idx: Path
    bytes: int
    sha256: str
    idx_sha256: str
    tally: Tally


def staged_stem(name: str, index: int) -> str:
    """Return what the files are called before their number is known."""
    return f"{name}-{index:05d}"


class Shelf:
    """Where the answers of a channel go.

    Parameters
    ----------
    folder : Path
        Where the files grow.
    name : str
        The channel.
    cuts : Cuts
        Where the files begin.
    """

    def __init__(self, folder: Path, name: str, cuts: Cuts) -> None:
        self._folder = folder
        self._name = name
        self._cuts = cuts
        self.filled: list[Filled] = []
        self.row = self._begin = cuts.begin
        self._open()

    def put(self, task: Task, answer: Answer) -> None:
        """Put away the answer to the next row."""
        while self._is_cut_at(self.row) or self._is_full_for(task, answer):
            self._turn()
        append(self._pair, self._tally, task, answer)
        self.row += 1

    def finish(self) -> list[Filled]:
        """Flush all to disk and return the files in their order."""
        while self._is_cut_at(self.row):
            self._turn()
        self._close()
        return self.filled

    def close(self) -> None:
        """Close what is open as it is."""
        self._pair.close()

    def _is_cut_at(self, row: int) -> bool:
        turned = len(self.filled)
        return turned < len(self._cuts.starts) and row >= self._cuts.starts[turned]

    def _is_full_for(self, task: Task, answer: Answer) -> bool:
        most = self._cuts.most_bytes
        if most is None or not self._pair.count or isinstance(answer, ImageError):
            return False
        return self._pair.offset + sum(map(len, frame(record_parts(task, answer)))) > most

    def _turn(self) -> None:
        self._close()
        self._begin = self.row
        self._open()

    def _open(self) -> None:
        self._index = self._cuts.first + len(self.filled)
        stem = staged_stem(self._name, self._index)
        self._tally = Tally()
        self._pair = Pair(self._folder / f"{stem}.rec", self._folder / f"{stem}.idx", hashing=True)

    def _close(self) -> None:
        pair = self._pair
        hashes = pair.finish()
        self.filled.append(
            Filled(self._index, self._begin, self.row, pair.rec, pair.idx, pair.offset, *hashes, self._tally)
        )
