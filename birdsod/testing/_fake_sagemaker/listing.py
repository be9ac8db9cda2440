"""``List*``: filters, order and pages, alike for everything that is listed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from birdsod.testing._fake_sagemaker.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from birdsod.testing._fake_sagemaker.world import Json, Kept

__all__ = ["listed", "page"]

_PAGE = 10


def listed(
    things: Iterable[Kept],
    request: Mapping[str, Any],
    key: str,
    summary: Callable[[Kept], Json],
    status: Callable[[Kept], str] | None = None,
) -> Json:
    """Return one page of what exists.

    Parameters
    ----------
    things : iterable of Kept
        All that there is.
    request : mapping
        With filters, order and ``NextToken``.
    key : str
        Under which they are answered.
    summary : callable
        What is told of one.
    status : callable, optional
        Its status, where it has one.

    Returns
    -------
    dict
    """
    chosen = [kept for kept in things if _fits(kept, request)]
    if "StatusEquals" in request and status is not None:
        chosen = [kept for kept in chosen if status(kept) == request["StatusEquals"]]
    chosen.sort(key=_order(request.get("SortBy", "CreationTime"), status))
    if request.get("SortOrder", "Descending") == "Descending":
        chosen.reverse()
    return page([summary(kept) for kept in chosen], request, key)


def page(rows: list[Json], request: Mapping[str, Any], key: str) -> Json:
    """Return one page of rows, and the token of the next.

    Parameters
    ----------
    rows : list of dict
        All of them.
    request : mapping
        With ``MaxResults`` and ``NextToken``.
    key : str
        Under which they are answered.

    Returns
    -------
    dict

    Raises
    ------
    ServiceError
        If the token is none of ours.
    """
    token = request.get("NextToken", "from/0")
    prefix, _, number = token.partition("/")
    if prefix != "from" or not number.isdecimal():
        raise invalid("The provided pagination token is invalid.")
    start, most = int(number), request.get("MaxResults", _PAGE)
    more = {"NextToken": f"from/{start + most}"} if start + most < len(rows) else {}
    return {key: rows[start : start + most], **more}


def _fits(kept: Kept, request: Mapping[str, Any]) -> bool:
    if request.get("NameContains", "").lower() not in kept.name.lower():
        return False
    times = {"CreationTime": kept.created, "LastModifiedTime": kept.modified}
    for name, moment in times.items():
        if f"{name}After" in request and moment <= _moment(request[f"{name}After"]):
            return False
        if f"{name}Before" in request and moment >= _moment(request[f"{name}Before"]):
            return False
    return True


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _order(by: str, status: Callable[[Kept], str] | None) -> Callable[[Kept], tuple[Any, ...]]:
    def key(kept: Kept) -> tuple[Any, ...]:
        if by == "Name":
            return (kept.name,)
        if by == "Status" and status is not None:
            return (status(kept), kept.created)
        return (kept.modified if by == "LastModifiedTime" else kept.created,)

    return key
