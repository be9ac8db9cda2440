"""How a job ended whose process did not say so itself."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from birdsod.ssd.job_files import FAILED, IN_PROGRESS, STOPPED, JobStatus, now

if TYPE_CHECKING:
    from birdsod.ssd._process import ProcessMark

__all__ = ["reason", "verdict"]


def verdict(told: JobStatus | None, process: ProcessMark, code: int | None, *, stopped: bool) -> JobStatus:
    """Return the last status of a job whose process is gone without having told it.

    Parameters
    ----------
    told : JobStatus or None
        What it told last.
    process : ProcessMark
        Which process it was.
    code : int or None
        Its exit code, negative for a signal; None where nobody knows.
    stopped : bool
        Whether it was asked to stop.

    Returns
    -------
    JobStatus
        ``Stopped`` or ``Failed``, with the reason.
    """
    last = told or JobStatus(status=IN_PROGRESS, process=process, started=now())
    if stopped or code == -signal.SIGTERM:
        return replace(last, status=STOPPED, ended=now())
    return replace(last, status=FAILED, ended=now(), reason=reason(code))


def reason(code: int | None) -> str:
    """Return in words what an exit code tells.

    Examples
    --------
    >>> reason(3)
    'the training process ended with exit code 3 and no word'
    """
    if code is None:
        return "the training process is gone without a word"
    if code >= 0:
        return f"the training process ended with exit code {code} and no word"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"the training process was ended by {name}{hint}"
