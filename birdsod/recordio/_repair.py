"""What is whole in a damaged record file, saved into a new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsod import _progress
from birdsod.errors import RecordError
from birdsod.recordio._reindex import stored_id
from birdsod.recordio._sources import mapped
from birdsod.recordio._walk import Gap, payload_of, walk
from birdsod.recordio._writer import RecordWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from tqdm.std import tqdm

__all__ = ["LeftOut", "Repaired", "repair"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A stretch of a damaged file that is no whole record.

    Parameters
    ----------
    start, end : int
        Its first byte, and the first one after it.
    reason : str
        Why it was left out.
    """

    start: int
    end: int
    reason: str

    def __str__(self) -> str:
        return f"bytes {self.start} to {self.end} left out: {self.reason}"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair kept and left out; every byte of the source is one or the other.

    Parameters
    ----------
    source : Path
        The damaged file, which is as it was.
    output : Path
        The new one, with its index beside it.
    records : int
        Records kept.
    kept : int
        Bytes that they take in the source.
    left_out : tuple of LeftOut
        The other bytes, in order.
    """

    source: Path
    output: Path
    records: int
    kept: int
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values.

        Returns
        -------
        dict
        """
        rows = [{"start": row.start, "end": row.end, "reason": row.reason} for row in self.left_out]
        told = {"source": str(self.source), "output": str(self.output), "records": self.records, "kept": self.kept}
        return {**told, "left_out": rows}

    def __str__(self) -> str:
        lost = sum(row.end - row.start for row in self.left_out)
        return f"{self.output}: {self.records} records kept, {lost} bytes left out in {len(self.left_out)} stretches"


def repair(
    path: str | os.PathLike[str], output: str | os.PathLike[str], *, shifted: bool = True, overwrite: bool = False
) -> Repaired:
    """Copy every whole record of a damaged file into a new one, with a new index.

    A record is found by the magic number before it. Whatever bytes were overwritten or cut off at the end, every
    record that was not touched is kept, its bytes unchanged. So it is where bytes were lost or added, unless a
    record holds another whole record within its own bytes, or the damage forged the head of one. A record whose
    bytes changed but whose frame did not is kept too: RecordIO has no checksum.

    Parameters
    ----------
    path : path-like
        The damaged ``.rec`` file; it is not changed, and its index is not needed.
    output : path-like
        The new file; its ``.idx`` appears beside it.
    shifted : bool, default True
        Find records also where bytes were lost or added, so that they begin at offsets not divisible by four.
        Without it no bytes that a record holds can be mistaken for a record.
    overwrite : bool, default False
        Whether files of the new name may be replaced; never the damaged file itself or its index.

    Returns
    -------
    Repaired

    Raises
    ------
    RecordError
        If the file is missing, holds no whole record, or the new file exists already, is the old one or its
        neighbour, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file, new = Path(folder.name) / "birds.rec", Path(folder.name) / "saved.rec"
    >>> from birdsod.recordio import RecordWriter
    >>> with RecordWriter(file) as writer:
    ...     writer.write_record(17, [2, 5], b"the image")
    ...     writer.write_record(36, [2, 5], b"another")
    >>> _ = file.write_bytes(file.read_bytes()[3:])
    >>> saved = repair(file, new)
    >>> saved.records, [str(row) for row in saved.left_out]
    (1, ['bytes 0 to 49 left out: no record begins here, the magic number is missing'])
    >>> folder.cleanup()
    """
    source, target = Path(path), Path(output)
    buffer, _ = mapped(source)
    _refuse_source(source, target)
    left_out: list[LeftOut] = []
    writer = RecordWriter(target, overwrite=overwrite)
    kept = 0
    with writer:
        for payload, length in _whole(source.name, buffer, left_out, shifted=shifted):
            key = stored_id(payload)
            writer.write(payload, len(writer) if key is None else key)
            kept += length
        records = len(writer)
        if not records:
            cause = "it is no record file, or nothing of it is left"
            cure = "pack it again"
            raise RecordError("the file holds no whole record", path=source, cause=cause, cure=cure)
    return Repaired(source, target, records, kept, tuple(left_out))


def _whole(
    name: str, buffer: memoryview, left_out: list[LeftOut], *, shifted: bool
) -> Iterator[tuple[bytes | memoryview, int]]:
    """Yield payload and length of each whole record, and note the gaps."""
    bar: tqdm[None]
    with _progress.bar(total=len(buffer), description=name, unit="B") as bar:
        for stretch in walk(buffer, shifted=shifted):
            bar.update(stretch.end - stretch.start)
            if isinstance(stretch, Gap):
                _leave(left_out, stretch)
            else:
                yield payload_of(buffer, stretch), stretch.end - stretch.start


def _leave(left_out: list[LeftOut], gap: Gap) -> None:
    """Note a gap, as one with that before it if they meet and have the same reason."""
    start, reason = gap.start, gap.kind.value.message
    if left_out and (left_out[-1].end, left_out[-1].reason) == (start, reason):
        start = left_out.pop().start
    left_out.append(LeftOut(start, gap.end, reason))


def _refuse_source(source: Path, target: Path) -> None:
    """Refuse a new file that would replace the damaged one, its index, or by its own index either of them."""
    old = [source, source.with_suffix(".idx")]
    new = [target, target.with_suffix(".idx")]
    for path in new:
        if any(_same(path, other) for other in old):
            message = "the new file would take the place of the damaged one or of its index"
            raise RecordError(message, path=path, cure="choose another name, or another folder")


def _same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()
