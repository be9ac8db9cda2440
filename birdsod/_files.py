"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 1 << 20


@contextlib.contextmanager
def appearing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` for writing; it takes the name ``path`` only when the block ends well.

    The bytes are flushed to disk before the rename, and the folder after it, so that a power cut leaves
    either the old file or the new one. On an exception the temporary file is removed.
    """
    target = Path(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(_default_mode())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    flush_folder(target.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file that appears at once."""
    with appearing(path) as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole UTF-8 file that appears at once."""
    write_bytes(path, text.encode())


def write_pieces(path: str | os.PathLike[str], pieces: Iterable[str]) -> None:
    """Write a whole UTF-8 file that appears at once, and is nowhere held as a whole."""
    with appearing(path) as stream:
        for piece in pieces:
            stream.write(piece.encode())


def flush_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, read block by block."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
