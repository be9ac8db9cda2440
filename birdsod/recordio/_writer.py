"""Records into a ``.rec`` file and its ``.idx``."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from birdsod.errors import RecordError
from birdsod.recordio._framing import frame
from birdsod.recordio._index import index_line, index_path
from birdsod.recordio._options import whole_number
from birdsod.recordio._record import record_head
from birdsod.recordio._staging import Staging, refuse_existing, unwritten, writing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from numpy.typing import ArrayLike

    from birdsod.recordio._framing import Payload

__all__ = ["Kept", "Pair", "RecordWriter", "Stretch"]

_BLOCK = 1 << 20
_BEGIN = 8 << 20
# Linux takes 1024 pieces at a time.
_MOST_PIECES = 1000


class Stretch(NamedTuple):
    """The beginning of a file: how long it is, and the state of a SHA-256 that has seen it."""

    size: int
    digest: hashlib._Hash


class Kept(NamedTuple):
    """The beginning of a pair of files, with so many records."""

    rec: Stretch
    idx: Stretch
    records: int


class Pair:
    """A growing ``.rec`` and its ``.idx``, flushed to disk when closed.

    Parameters
    ----------
    rec, idx : Path
        The files; they must not exist.
    hashing : bool, default False
        Whether to keep the SHA-256 of both as they grow.
    kept : Kept, optional
        What of both files is kept; they must exist, and what follows is cut off.
    """

    def __init__(self, rec: Path, idx: Path, *, hashing: bool = False, kept: Kept | None = None) -> None:
        self.rec = rec
        self.idx = idx
        self.offset = kept.rec.size if kept else 0
        self.count = kept.records if kept else 0
        self._rec = _Growing(rec, hashing=hashing, kept=kept and kept.rec)
        self._idx = _Growing(idx, hashing=hashing, kept=kept and kept.idx)

    def append(self, key: int, parts: Sequence[Payload]) -> None:
        """Add one record; all parts but the last have a length divisible by four."""
        pieces = frame(parts)
        self.append_framed(key, pieces, sum(map(len, pieces)))

    def append_framed(self, key: int, pieces: Sequence[Payload], size: int) -> None:
        """Add one record that is framed, of so many bytes."""
        line = index_line(key, self.offset)
        self._idx.append([line], len(line))
        self._rec.append(pieces, size)
        self.offset += size
        self.count += 1

    def written(self) -> tuple[Stretch, Stretch]:
        """Hand all so far to the system, and return how far both files go and the state of their hashes."""
        return self._rec.written(), self._idx.written()

    def flush(self) -> None:
        """Flush to disk what the system has of both; another thread may do it."""
        self._rec.flush()
        self._idx.flush()

    def finish(self) -> tuple[str, str]:
        """Flush both to disk and return their hashes, empty unless they were asked for."""
        return self._rec.finish(), self._idx.finish()

    def close(self) -> None:
        """Close both as they are."""
        self._rec.close()
        self._idx.close()


class RecordWriter:
    """Writes records; ``.rec`` and ``.idx`` appear together when the ``with`` block ends well, and never else.

    Parameters
    ----------
    path : path-like
        The ``.rec`` file; its ``.idx`` lies beside it.
    overwrite : bool, default False
        Whether files of that name may be replaced. Until the block ends they stay as they are.

    Raises
    ------
    RecordError
        If a file exists already or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with RecordWriter(Path(folder.name) / "birds.rec") as writer:
    ...     writer.write_record(17, [2, 5, 0, 0.1, 0.2, 0.5, 0.6], b"the image")
    >>> sorted(path.name for path in Path(folder.name).iterdir())
    ['birds.idx', 'birds.rec']
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path: Path = Path(path)
        self.index_path: Path = index_path(self.path)
        if self.index_path == self.path:
            raise RecordError("the record file would have the name of its index", path=path, cure="name it .rec")
        self._overwrite = overwrite
        self._pair: Pair | None = None
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        refuse_existing([self.path, self.index_path], overwrite=self._overwrite)
        self._staging = self._exit.enter_context(Staging(self.path.parent))
        folder = self._staging.folder
        with writing(self.path):
            self._pair = Pair(folder / self.path.name, folder / self.index_path.name)
        self._exit.callback(self._pair.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._exit:
            pair, self._pair = self._pair, None
            if kind is None and pair is not None:
                with writing(self.path):
                    pair.finish()
                names = [self.path.name, self.index_path.name]
                self._staging.publish(names, overwrite=self._overwrite)

    def __len__(self) -> int:
        """Return the number of records written so far."""
        return self._open().count

    def write(self, payload: Payload, key: int) -> None:
        """Add a record of any bytes.

        Parameters
        ----------
        payload : bytes or memoryview
            Less than 2^29 bytes.
        key : int
            Its key in the index, 0 to 2**64 - 1.

        Raises
        ------
        RecordError
            If the payload or the key does not fit, the key is not a whole number, or the disk is full.
        """
        self._append(_number("the key", key), [_copied(payload)])

    def write_record(self, key: int, label: ArrayLike, image: Payload, *, id2: int = 0) -> None:
        """Add an image with its label.

        Parameters
        ----------
        key : int
            Id of the image, and its key in the index.
        label : float or array-like of shape (n,)
            One number, or the numbers of a detection label.
        image : bytes or memoryview
            An image file; it is not looked at.
        id2 : int, default 0
            A second id.

        Raises
        ------
        RecordError
            If an id or the image does not fit, an id is not a whole number, or the disk is full.
        """
        key = _number("the key", key)
        self._append(key, [record_head(key, label, id2=_number("id2", id2)), _copied(image)])

    def _append(self, key: int, parts: Sequence[Payload]) -> None:
        if not 0 <= key < 1 << 64:
            raise RecordError("the key does not fit into an index", value=key, cure="choose 0 to 2**64 - 1")
        # Not in a with block of writing, which takes a quarter as long as adding a small record.
        try:
            self._open().append(key, parts)
        except OSError as error:
            raise unwritten(self.path, error) from error

    def _open(self) -> Pair:
        if self._pair is None:
            raise RecordError("the writer is not open", path=self.path, cure="use it in a with block")
        return self._pair


def _number(name: str, value: int) -> int:
    return whole_number(name, value, valid="0 to 2**64 - 1")


def _copied(payload: Payload) -> bytes:
    """Copy what the caller may change later; bytes() alone would make so many zeros of a number."""
    return payload if type(payload) is bytes else bytes(memoryview(payload))


class _Growing:
    """A file that is only ever added to, in large steps and with no copy of what is added."""

    def __init__(self, path: Path, *, hashing: bool, kept: Stretch | None = None) -> None:
        self._file: IO[bytes] = path.open("r+b" if kept else "xb", buffering=0)
        self._digest = hashlib.sha256() if hashing else None
        self._waiting: list[Payload] = []
        self._bytes = 0
        self._size = self._begun = 0
        if kept:
            self._digest = kept.digest.copy()
            self._size = self._begun = kept.size
            self._file.truncate(kept.size)
            self._file.seek(kept.size)

    def written(self) -> Stretch:
        self._write()
        return Stretch(self._size, (self._digest or hashlib.sha256()).copy())

    def flush(self) -> None:
        os.fsync(self._file.fileno())

    def append(self, pieces: Sequence[Payload], size: int) -> None:
        self._waiting += pieces
        self._bytes += size
        if self._bytes >= _BLOCK or len(self._waiting) >= _MOST_PIECES:
            self._write()

    def finish(self) -> str:
        self._write()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest() if self._digest else ""

    def close(self) -> None:
        self._file.close()

    def _write(self) -> None:
        pieces, self._waiting = self._waiting, []
        self._size += self._bytes
        self._bytes = 0
        if self._digest:
            # Once for all: for each piece the interpreter's lock would be given away, and waited for again.
            pieces = [b"".join(pieces)]
            self._digest.update(pieces[0])
        for start in range(0, len(pieces), _MOST_PIECES):
            _write_all(self._file, pieces[start : start + _MOST_PIECES])
        if self._size - self._begun >= _BEGIN:
            _begin_flushing(self._file, self._begun, self._size)
            self._begun = self._size


def _begin_flushing(file: IO[bytes], start: int, stop: int) -> None:
    """Have the system begin to bring a part to the disk, so that little is left to wait for at the end.

    Linux begins when it is told that a part is not needed soon; what is not on the disk yet it keeps in memory.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), start, stop - start, os.POSIX_FADV_DONTNEED)


def _write_all(file: IO[bytes], pieces: Sequence[Payload]) -> None:
    """Write pieces in one call of the system where it can; it may stop early, at a signal or a full disk."""
    if hasattr(os, "writev"):
        done = os.writev(file.fileno(), pieces)
        if done == sum(map(len, pieces)):
            return
        rest = memoryview(b"".join(pieces))[done:]
    else:
        rest = memoryview(b"".join(pieces))
    while rest:
        rest = rest[file.write(rest) :]
