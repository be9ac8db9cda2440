"""The record files of one channel as they grow, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._files import flush_folder
from birdsod.errors import ImageError
from birdsod.recordio._channel import Tally, append
from birdsod.recordio._marks import Filled, Mark, Opened, Shelved, staged_stem
from birdsod.recordio._writer import Pair

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.recordio._channel import Outcome
    from birdsod.recordio._image_work import Task
    from birdsod.recordio._journal import Journal
    from birdsod.recordio._shard_plan import Cuts

__all__ = ["Shelf"]

# Work that is lost at most, in images and in bytes, and done again after a run was stopped.
_ROWS_A_MARK = 1000
_BYTES_A_MARK = 64 << 20


class Shelf:
    """Where the records of a channel go.

    Parameters
    ----------
    folder : Path
        Where the files grow.
    name : str
        The channel.
    cuts : Cuts
        Where the files begin.
    journal : Journal
        Told what is safe on disk.
    shelved : Shelved
        What is there already.
    """

    def __init__(self, folder: Path, name: str, cuts: Cuts, journal: Journal, shelved: Shelved) -> None:
        self._folder = folder
        self._name = name
        self._cuts = cuts
        self._journal = journal
        self._filled = list(shelved.filled)
        at = self._filled[-1].end if self._filled else cuts.begin
        self._open(shelved.opened or Opened(at, at, Tally()))

    def put(self, task: Task, outcome: Outcome) -> None:
        """Put away what became of the next row."""
        while self._is_cut_at(self.row) or self._is_full_for(outcome):
            self._turn()
        append(self._pair, self._tally, task, outcome)
        self.row += 1
        rows, written = self.row - self._marked_row, self._pair.offset - self._marked_bytes
        if (rows >= _ROWS_A_MARK or written >= _BYTES_A_MARK) and not self._journal.is_busy:
            self._journal.later(self._pair.flush, self._mark(is_whole=False).to_json())

    def finish(self) -> list[Filled]:
        """Flush all to disk and return the files in their order."""
        while self._is_cut_at(self.row):
            self._turn()
        self._close()
        return self._filled

    def close(self) -> None:
        """Close what is open as it is."""
        self._pair.close()

    def _is_cut_at(self, row: int) -> bool:
        turned = len(self._filled)
        return turned < len(self._cuts.starts) and row >= self._cuts.starts[turned]

    def _is_full_for(self, outcome: Outcome) -> bool:
        most = self._cuts.most_bytes
        if most is None or not self._pair.count or isinstance(outcome, ImageError):
            return False
        return self._pair.offset + outcome.size > most

    def _turn(self) -> None:
        self._close()
        self._open(Opened(self.row, self.row, Tally()))

    def _open(self, opened: Opened) -> None:
        self._begin, self.row, self._tally = opened.begin, opened.row, opened.tally
        stem = staged_stem(self._name, self._index)
        self._pair = Pair(self._folder / f"{stem}.rec", self._folder / f"{stem}.idx", hashing=True, kept=opened.kept)
        self._remember()
        # A file is safe only when its name is.
        flush_folder(self._folder)

    def _close(self) -> None:
        self._journal.settle()
        pair, mark = self._pair, self._mark(is_whole=True)
        pair.finish()
        self._journal.add(mark.to_json())
        sizes_and_hashes = (mark.bytes, mark.sha256, mark.idx_sha256)
        self._filled.append(
            Filled(self._index, self._begin, self.row, pair.rec, pair.idx, *sizes_and_hashes, self._tally)
        )

    @property
    def _index(self) -> int:
        return self._cuts.first + len(self._filled)

    def _mark(self, *, is_whole: bool) -> Mark:
        rec, idx = self._pair.written()
        tally = self._tally.since(self._noted)
        self._remember()
        sizes_and_hashes = (rec.size, idx.size, rec.digest.hexdigest(), idx.digest.hexdigest())
        return Mark(self._name, self._index, self._begin, self.row, is_whole, *sizes_and_hashes, tally)

    def _remember(self) -> None:
        """Keep how far the journal goes."""
        self._marked_row, self._marked_bytes, self._noted = self.row, self._pair.offset, self._tally.lengths
