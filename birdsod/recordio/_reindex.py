"""The index of a record file, written again from the file itself."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod import _files, _progress
from birdsod.recordio._faults import Fault, FaultError
from birdsod.recordio._framing import read_frame
from birdsod.recordio._index import index_line, index_path
from birdsod.recordio._sources import mapped
from birdsod.recordio._staging import refuse_existing, writing

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from tqdm.std import tqdm

__all__ = ["reindex", "stored_id"]

_ID = struct.Struct("<8xQ8x")


def reindex(
    path: str | os.PathLike[str], *, index: str | os.PathLike[str] | None = None, overwrite: bool = False
) -> Path:
    r"""Write the ``.idx`` of a record file, with the records' ids as keys, as im2rec does.

    Parameters
    ----------
    path : path-like
        The ``.rec`` file.
    index : path-like, optional
        Where to write; by default beside it.
    overwrite : bool, default False
        Whether an index that is there may be replaced; it stays until the new one is whole.

    Returns
    -------
    Path
        The index.

    Raises
    ------
    RecordError
        If the record file is missing or malformed, holds a record without an id, or the index exists already or
        cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "birds.rec"
    >>> from birdsod.recordio import RecordWriter
    >>> with RecordWriter(file) as writer:
    ...     writer.write_record(17, [2, 5], b"the image")
    ...     writer.write_record(36, [2, 5], b"another")
    >>> reindex(file, overwrite=True).read_text().splitlines()
    ['17\t0', '36\t52']
    >>> folder.cleanup()
    """
    path = Path(path)
    target = index_path(path) if index is None else Path(index)
    refuse_existing([target], overwrite=overwrite)
    buffer, _ = mapped(path)
    with writing(target), _files.appearing(target) as stream:
        for key, offset in _keys(path, buffer):
            stream.write(index_line(key, offset))
    return target


def stored_id(payload: bytes | memoryview) -> int | None:
    """Return the id that a record holds, None if it is too short to hold one."""
    return int(_ID.unpack_from(payload)[0]) if len(payload) >= _ID.size else None


def _keys(path: Path, buffer: memoryview) -> Iterator[tuple[int, int]]:
    offset, record, size = 0, 0, len(buffer)
    bar: tqdm[None]
    with _progress.bar(total=size, description=path.name, unit="B") as bar:
        while offset < size:
            try:
                key, end = _key_at(buffer, offset, size)
            except FaultError as error:
                raise error.located(path, record) from None
            yield key, offset
            bar.update(end - offset)
            offset, record = end, record + 1


def _key_at(buffer: memoryview, offset: int, size: int) -> tuple[int, int]:
    """Return the id of the record at an offset, and where the next one begins."""
    payload, end = read_frame(buffer, offset, size)
    key = stored_id(payload)
    if key is None:
        raise FaultError(Fault.SHORT, offset, f"{len(payload)} of {_ID.size} bytes")
    return key, end
