"""Marks in the journal: how far a record file is safe on disk, and reading them again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

from birdsod.recordio._channel import Tally
from birdsod.recordio._manifest import notes
from birdsod.recordio._writer import Kept, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from birdsod.recordio._journal import Entry
    from birdsod.recordio._shard_plan import Cuts

__all__ = ["Filled", "Mark", "Opened", "Reach", "Shelved", "reread", "staged_stem"]

_BLOCK = 1 << 20
_FIELDS = {
    "channel": str,
    **dict.fromkeys(("index", "begin", "row", "bytes", "idx_bytes"), int),
    "is_whole": bool,
    **dict.fromkeys(("sha256", "idx_sha256"), str),
    "tally": dict,
}
_COUNTS = ("listed", "records", "objects", "most_objects", "longest_label")


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


class Opened(NamedTuple):
    """A record file to go on with: its first row, the next one, what is in it, and what of it is kept."""

    begin: int
    row: int
    tally: Tally
    kept: Kept | None = None
    paths: tuple[Path, ...] = ()


@dataclass(slots=True)
class Shelved:
    """The record files of a channel that are safe."""

    filled: list[Filled] = field(default_factory=list)
    opened: Opened | None = None

    def holds_all_of(self, cuts: Cuts) -> bool:
        """Whether nothing is left to do."""
        whole = len(self.filled) > len(cuts.starts) and self.filled[-1].end == cuts.end
        return whole and self.opened is None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a record file is safe.

    Parameters
    ----------
    channel : str
        Its channel.
    index : int
        Its number.
    begin, row : int
        Its first row of the list, and the one after its last.
    is_whole : bool
        Whether nothing follows in this file.
    bytes, idx_bytes : int
        How far both files go.
    sha256, idx_sha256 : str
        SHA-256 of both so far.
    tally : Tally
        The counts of all so far, and the notes since the mark before.
    """

    channel: str
    index: int
    begin: int
    row: int
    is_whole: bool
    bytes: int
    idx_bytes: int
    sha256: str
    idx_sha256: str
    tally: Tally

    def to_json(self) -> Entry:
        """Return the entry of the journal."""
        return {"mark": asdict(self)}

    @classmethod
    def from_json(cls, entry: Entry) -> Mark | None:
        """Return the mark of an entry, if it is one."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            content = dict(entry["mark"])
            _check_types(content, _FIELDS)
            told = content.pop("tally")
            _check_types(told, dict.fromkeys(_COUNTS, int))
            counts = {name: told[name] for name in _COUNTS}
            noted = notes(told)
            clipped, dropped, refused = list(noted["clipped"]), list(noted["dropped"]), list(noted["refused"])
            return cls(**content, tally=Tally(**counts, clipped=clipped, dropped=dropped, refused=refused))
        return None


def staged_stem(name: str, index: int) -> str:
    """Return what the files are called before their number is known."""
    return f"{name}-{index:05d}"


@dataclass(frozen=True, eq=False)
class Reach:
    """What a run may do in a channel.

    Parameters
    ----------
    cuts : Cuts
        Where its record files begin.
    image_ids : int array
        Which images it has.
    """

    cuts: Cuts
    image_ids: NDArray[np.int64]

    def allows(self, mark: Mark, shelf: Shelved) -> bool:
        """Say whether a mark goes on where those before it ended."""
        cuts, turned = self.cuts, len(shelf.filled)
        at = shelf.filled[-1].end if shelf.filled else cuts.begin
        opened = shelf.opened or Opened(at, at, Tally())
        end = cuts.starts[turned] if turned < len(cuts.starts) else cuts.end
        return (
            (mark.index, mark.begin) == (cuts.first + turned, opened.begin)
            and opened.row <= mark.row <= end
            and (cuts.most_bytes is not None or (turned <= len(cuts.starts) and mark.is_whole <= (mark.row == end)))
            and _adds_up(mark.tally.after(opened.tally), mark.row - mark.begin)
            and self._has_all_of(mark.tally)
        )

    def _has_all_of(self, tally: Tally) -> bool:
        noted = {note.image_id for notes in (tally.clipped, tally.dropped, tally.refused) for note in notes}
        return not noted or noted <= self._ids

    @functools.cached_property
    def _ids(self) -> frozenset[int]:
        # As Python's numbers: what is noted may fit into no array.
        return frozenset(self.image_ids.tolist())


def _adds_up(tally: Tally, rows: int) -> bool:
    counts = [getattr(tally, name) for name in _COUNTS]
    return tally.listed == rows == tally.records + len(tally.refused) and min(counts) >= 0


def _check_types(content: Mapping[str, object], types: Mapping[str, type]) -> None:
    for name, kind in types.items():
        # By type, since True is an int to isinstance.
        if type(content[name]) is not kind:
            raise TypeError(name)


def reread(
    folder: Path, marks: Iterable[tuple[Mark, int]], reaches: Mapping[str, Reach]
) -> tuple[dict[str, Shelved], int]:
    """Return what the files hold of what the marks say, and where the last mark ends that is true.

    Each byte that is kept is read and hashed again, so that what the disk lost is not taken for safe.
    """
    shelves: dict[str, Shelved] = {}
    good = 0
    with contextlib.ExitStack() as held:
        files: _Files | None = None
        for mark, end in marks:
            reach, shelf = reaches.get(mark.channel), shelves.get(mark.channel, Shelved())
            if reach is None or not reach.allows(mark, shelf) or _is_open(shelves, mark.channel):
                break
            if shelf.opened is None:
                held.close()
                files = _Files.of(folder / staged_stem(mark.channel, mark.index), held)
            kept = None if files is None else files.kept(mark)
            if files is None or kept is None:
                break
            good = end
            shelves[mark.channel] = shelf
            _put(shelf, mark, kept, files)
    return shelves, good


def _is_open(shelves: Mapping[str, Shelved], channel: str) -> bool:
    """Say whether another channel has not come to its end: a run packs them one after the other."""
    return any(shelf.opened for name, shelf in shelves.items() if name != channel)


class _Files:
    """Both files of a record file, read along its marks."""

    def __init__(self, rec: Path, idx: Path, held: contextlib.ExitStack) -> None:
        self.rec = rec
        self.idx = idx
        self._reading = tuple((held.enter_context(path.open("rb")), hashlib.sha256()) for path in (rec, idx))

    @classmethod
    def of(cls, stem: Path, held: contextlib.ExitStack) -> _Files | None:
        with contextlib.suppress(FileNotFoundError):
            # Not with_suffix: a channel may have a point in its name.
            return cls(stem.with_name(f"{stem.name}.rec"), stem.with_name(f"{stem.name}.idx"), held)
        return None

    def kept(self, mark: Mark) -> Kept | None:
        """Read on to a mark; return what is kept if both files agree with it."""
        said = ((mark.bytes, mark.sha256), (mark.idx_bytes, mark.idx_sha256))
        rec, idx = (_read_on(*reading, *end) for reading, end in zip(self._reading, said, strict=True))
        return Kept(rec, idx, mark.tally.records) if rec and idx else None


def _read_on(stream: IO[bytes], digest: hashlib._Hash, size: int, sha256: str) -> Stretch | None:
    for block in _blocks(stream, size - stream.tell()):
        digest.update(block)
    agrees = stream.tell() == size and digest.hexdigest() == sha256
    return Stretch(size, digest.copy()) if agrees else None


def _blocks(stream: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0 and (block := stream.read(min(length, _BLOCK))):
        length -= len(block)
        yield block


def _put(shelf: Shelved, mark: Mark, kept: Kept, files: _Files) -> None:
    """Add what a mark says to what is safe."""
    tally = mark.tally.after(shelf.opened.tally if shelf.opened else Tally())
    if not mark.is_whole:
        shelf.opened = Opened(mark.begin, mark.row, tally, kept, (files.rec, files.idx))
        return
    shelf.opened = None
    sizes_and_hashes = (mark.bytes, mark.sha256, mark.idx_sha256)
    shelf.filled.append(Filled(mark.index, mark.begin, mark.row, files.rec, files.idx, *sizes_and_hashes, tally))
