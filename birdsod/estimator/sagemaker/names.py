"""Names that the service takes, and that no two jobs share."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

__all__ = ["JOB_NAME_LIMIT", "TUNING_NAME_LIMIT", "is_name", "unique_name"]

JOB_NAME_LIMIT = 63
TUNING_NAME_LIMIT = 32
_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_RANDOM = 4


def is_name(text: str, *, limit: int = JOB_NAME_LIMIT) -> bool:
    """Return whether a text is a name of the service: letters, digits and hyphens, none of them at an end.

    Parameters
    ----------
    text : str
        The name.
    limit : int, default 63
        How long it may be; 32 for a tuning job.

    Examples
    --------
    >>> is_name("birds-1"), is_name("birds_1"), is_name("birds-")
    (True, False, False)
    """
    return len(text) <= limit and _NAME.fullmatch(text) is not None


def unique_name(prefix: str, *, limit: int = JOB_NAME_LIMIT, now: datetime | None = None) -> str:
    """Return a new name of the service: the prefix, the second in UTC and four random letters.

    Parameters
    ----------
    prefix : str
        What it begins with; what the service does not take becomes a hyphen, what is too long is cut.
    limit : int, default 63
        How long the name may be.
    now : datetime.datetime, optional
        The moment; the present one by default.

    Returns
    -------
    str

    Examples
    --------
    >>> unique_name("my birds", now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[:24]
    'my-birds-20260102-030405'
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    tail = f"{moment:%Y%m%d-%H%M%S}-{''.join(secrets.choice(_LETTERS) for _ in range(_RANDOM))}"
    head = re.sub(r"[^a-zA-Z0-9]+", "-", prefix).strip("-")[: limit - len(tail) - 1].rstrip("-")
    return f"{head}-{tail}" if head else tail
