"""Why a training failed, told where SageMaker looks for it."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from birdsod._files import write_text
from birdsod.errors import BirdsodError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MOST", "reason_of", "write_failure"]

MOST = 1024
"""Characters that SageMaker reads of a reason."""

_MORE = " ..."
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def reason_of(error: BaseException) -> str:
    r"""Return in one line why a training failed.

    Parameters
    ----------
    error : BaseException
        What ended it.

    Returns
    -------
    str
        At most 1024 characters.

    Examples
    --------
    >>> reason_of(ValueError("not a\nnumber"))
    'ValueError: not a number'
    """
    text = " ".join(_told(error).split())
    return text if len(text) <= MOST else text[: MOST - len(_MORE)] + _MORE


def write_failure(path: Path, reason: str) -> None:
    """Write the reason; where even that cannot be written, the log has it.

    Parameters
    ----------
    path : pathlib.Path
        ``output/failure`` of the tree.
    reason : str
        In one line.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, reason)


def _told(error: BaseException) -> str:
    if isinstance(error, BirdsodError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _FULL:
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{place}the disk is full ({error.strerror}). Cure: give the job a larger volume (volume_gb)."
    return f"{type(error).__name__}: {error}"
