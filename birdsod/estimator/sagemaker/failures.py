"""Why a job failed: the algorithm's own reason, and the lines that led to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod import training_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Failure", "failure_lines"]

_STAMPED_ERROR = re.compile(r"^\[[^\]]*\b(?:ERROR|CRITICAL|FATAL)\b[^\]]*\]\s*(?P<text>.*\S)")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")
_EXCEPTION = re.compile(r"^(?P<text>(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)\b.*)")
_BEFORE = 10
_MOST_TRACEBACK = 40


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, in its own words.

    Parameters
    ----------
    reason : str
        The algorithm's reason.
    lines : tuple of str
        The lines that led to it, oldest first; the reason is in the last one.
    """

    reason: str
    lines: tuple[str, ...]


def failure_lines(lines: Sequence[str], *, before: int = _BEFORE) -> Failure | None:
    """Return the algorithm's own reason for a failure, and the lines that led to it.

    What it names a ``Customer Error`` (or ``Algorithm Error``, ``Platform Error``) comes first, then the last
    traceback, then the last line that is marked as an error.

    Parameters
    ----------
    lines : sequence of str
        The log.
    before : int, default 10
        How many lines before the reason are given, where it is no traceback.

    Returns
    -------
    Failure or None
        None where the log has no reason.

    Examples
    --------
    >>> failure_lines(["Reading images", "[01/02/2026 10:00:00 ERROR 14] Customer Error: no images"]).reason
    'Customer Error: no images'
    """
    own = [event for event in training_log.events(lines) if event.kind is training_log.Kind.ERROR]
    if own:
        return Failure(own[-1].text, _leading_to(lines, own[-1].line, before))
    traced = _last_traceback(lines)
    if traced is not None:
        return traced
    for number in range(len(lines), 0, -1):
        marked = _STAMPED_ERROR.search(lines[number - 1])
        if marked:
            return Failure(marked["text"], _leading_to(lines, number, before))
    return None


def _leading_to(lines: Sequence[str], number: int, before: int) -> tuple[str, ...]:
    said = [line for line in lines[: number - 1] if line.strip()]
    return (*said[max(0, len(said) - before) :], lines[number - 1])


def _last_traceback(lines: Sequence[str]) -> Failure | None:
    starts = [number for number, line in enumerate(lines) if _TRACEBACK.search(line)]
    if not starts:
        return None
    block = _block(lines[starts[-1] :])
    said = next((line for line in reversed(block) if line.strip()), block[-1])
    named = _EXCEPTION.search(said.strip())
    return Failure(named["text"] if named else said.strip(), tuple(block))


def _block(lines: Sequence[str]) -> list[str]:
    """Return a traceback up to its exception, shortened in the middle."""
    end = next((number for number, line in _outdented(lines)), len(lines) - 1)
    block = list(lines[: end + 1])
    if len(block) > _MOST_TRACEBACK:
        half = _MOST_TRACEBACK // 2
        return [*block[:half], "...", *block[-half:]]
    return block


def _outdented(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines) if number and line[:1].strip())
