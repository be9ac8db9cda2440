"""Caltech-UCSD Birds 200-2011 fetched, checked and unpacked."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod._files import flush_folder
from birdsod._files import sha256 as sha256_of
from birdsod.dataset._transfer import Refused, Source, Stalled, checked_url, discard, fetch
from birdsod.dataset._unpack import FOLDER, MOST_BYTES, is_whole, unpack
from birdsod.errors import DatasetError, DownloadError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = ["download_cub"]

SOURCES = (
    "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
    "https://s3.amazonaws.com/fast-ai-imageclas/CUB_200_2011.tgz",
)
LENGTH = 1_150_585_339
SHA256 = "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081"

_ARCHIVE = f"{FOLDER}.tgz"
_GROWTH = 1.25  # unpacked bytes to a byte of the archive, with room to spare
_LONGEST_PAUSE = 60.0
_PROGRESS = 1 << 20  # an attempt that brought as much was worth it and does not count

_log = logging.getLogger("birdsod")


@dataclass(frozen=True, slots=True)
class _Patience:
    timeout: float
    attempts: int
    backoff: float


def download_cub(
    directory: str | os.PathLike[str],
    *,
    url: str | None = None,
    archive: str | os.PathLike[str] | None = None,
    mirrors: Iterable[str] = (),
    sha256: str | None = SHA256,
    timeout: float = 30.0,
    attempts: int = 5,
    backoff: float = 1.0,
) -> Path:
    """Fetch Caltech-UCSD Birds 200-2011 (1.15 GB) and unpack it below a directory.

    A folder that is already there and whole is used as it is. A download that broke off, in this call or in an
    earlier one, goes on where it ended. The archive's length and hash are checked before it is unpacked, and the
    folder appears whole or not at all; the downloaded archive is deleted afterwards, a given one is kept. The
    data set's own terms allow non-commercial research and education only.

    Parameters
    ----------
    directory : path-like
        Where ``CUB_200_2011`` is to appear.
    url : str, optional
        An address to take the archive from in place of the known ones; http or https.
    archive : path-like, optional
        A local ``.tgz``, for machines without internet.
    mirrors : iterable of str, optional
        Further addresses, asked in turn when those before them fail.
    sha256 : str or None, optional
        What the archive must hash to; the published archive's by default. None takes whatever comes and logs
        a warning.
    timeout : float, default 30.0
        Seconds to wait for an answer, or for further bytes.
    attempts : int, default 5
        How often each address is asked before the next one; an attempt that brought a megabyte is not counted.
    backoff : float, default 1.0
        Seconds between the first two attempts; doubled each time, up to a minute.

    Returns
    -------
    Path
        The folder ``CUB_200_2011``.

    Raises
    ------
    DownloadError
        If no address gave the archive, the message says what each one answered and how to go on by hand; or if
        the directory cannot be written.
    DatasetError
        If the archive is damaged or not safe to unpack, or a folder of that name is there and not whole.

    References
    ----------
    C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie: The Caltech-UCSD Birds-200-2011 Dataset.
    Technical Report CNS-TR-2011-001, California Institute of Technology, 2011.

    Examples
    --------
    >>> folder = download_cub("data")  # doctest: +SKIP
    >>> folder = download_cub("data", archive="CUB_200_2011.tgz")  # doctest: +SKIP
    """
    if url is not None and archive is not None:
        raise DownloadError("both an address and a local archive are given", cure="give one of them")
    addresses = _addresses(url, mirrors)
    root = Path(directory)
    if _there(root / FOLDER):
        return root / FOLDER
    try:
        if archive is not None:
            return _from_archive(Path(archive), root, sha256)
        return _from_addresses(addresses, root, sha256, _Patience(timeout, max(attempts, 1), backoff))
    except OSError as error:
        cure = "name another directory"
        raise DownloadError("the data set cannot be put here", path=root, cause=error.strerror, cure=cure) from error


def _addresses(url: str | None, mirrors: Iterable[str]) -> tuple[str, ...]:
    addresses = ((url,) if url is not None else SOURCES) + tuple(mirrors)
    for address in addresses:
        wrong = checked_url(address)
        if wrong:
            raise DownloadError(wrong, value=address, cure="give archive= for a local file")
    return addresses


def _there(folder: Path) -> bool:
    if not folder.exists():
        return False
    if is_whole(folder):
        return True
    raise DatasetError(
        "the folder is there but not whole",
        path=folder,
        cause="a table is missing, or an image that images.txt lists",
        cure="read it as it is with load_cub, or delete it and download again",
    )


def _from_archive(archive: Path, root: Path, sha256: str | None) -> Path:
    if not archive.is_file():
        raise DatasetError("there is no such archive", path=archive)
    found = _mismatch(archive, sha256)
    if found:
        raise DatasetError(
            "the archive is not the one that was asked for",
            path=archive,
            cause=found,
            cure="download it again, or name its own hash with sha256=",
        )
    _check_room(root, int(archive.stat().st_size * _GROWTH))
    return unpack(archive, root)


def _mismatch(archive: Path, sha256: str | None) -> str | None:
    """Return how a file differs from what it should be, or None."""
    if sha256 is None:
        _log.warning("%s: taken as it is, its SHA-256 is not checked", archive)
        return None
    found = sha256_of(archive)
    return None if found == sha256.lower() else f"expected SHA-256 {sha256.lower()}, found {found}"


def _from_addresses(addresses: tuple[str, ...], root: Path, sha256: str | None, patience: _Patience) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    archive = root / _ARCHIVE
    if not archive.is_file() or sha256 is None or _mismatch(archive, sha256):
        _download(addresses, archive, sha256, patience)
    _check_room(root, int(archive.stat().st_size * _GROWTH))
    folder = unpack(archive, root)
    archive.unlink()
    return folder


def _download(addresses: tuple[str, ...], archive: Path, sha256: str | None, patience: _Patience) -> None:
    part = archive.with_name(f"{archive.name}.part")
    length = LENGTH if sha256 == SHA256 else None
    if length is not None:
        held = part.stat().st_size if part.exists() else 0
        _check_room(archive.parent, length - held + int(length * _GROWTH))
    reasons = []
    for address in addresses:
        source = Source(address, length, length or MOST_BYTES, patience.timeout, vouched=sha256 is not None)
        reason = _from_one(source, part, sha256, patience)
        if reason is None:
            part.replace(archive)
            discard(part)
            flush_folder(archive.parent)
            return
        _log.info("%s: %s", address, reason)
        reasons.append(f"{address}: {reason}")
    raise DownloadError(
        f"{archive.name} could not be downloaded",
        cause="; ".join(reasons),
        cure=f"fetch {addresses[0]} by hand, for example in a browser, and give it with archive=",
    )


def _from_one(source: Source, part: Path, sha256: str | None, patience: _Patience) -> str | None:
    """Fetch from one address; return why it did not work, or None when the right file is there."""
    reason = _with_patience(source, part, patience)
    if reason is not None:
        return reason
    found = _mismatch(part, sha256)
    if found:
        # A continued file may be a patchwork of two: the next address starts anew.
        discard(part)
    return found


def _with_patience(source: Source, part: Path, patience: _Patience) -> str | None:
    reason, failures = "", 0
    while failures < patience.attempts:
        before = _size(part)
        try:
            fetch(source, part)
        except Refused as refusal:
            return str(refusal)
        except Stalled as stall:
            reason = str(stall)
        except OSError as error:
            raise DownloadError("the download cannot be written", path=part, cause=str(error)) from error
        else:
            return None
        failures = 0 if _size(part) - before >= _PROGRESS else failures + 1
        if failures < patience.attempts:
            time.sleep(min(patience.backoff * 2.0 ** max(failures - 1, 0), _LONGEST_PAUSE))
    return f"{reason} (asked {patience.attempts} times)" if patience.attempts > 1 else reason


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"not enough room on the disk: {needed:,} bytes are needed, {free:,} are free",
            path=folder,
            cure="name a directory on another disk",
        )
