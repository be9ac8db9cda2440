"""Finding what birdsod made in an account, from any machine, and ending it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.endings import PATIENCE_SECONDS, end_all
from birdsod.estimator.sagemaker.found import Found, find, find_noted, used_by
from birdsod.estimator.sagemaker.ledger import CALLER_TAG, KINDS, LEDGER_TAG, Ledger, Resource, caller_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["Cleaned", "CleanupReport", "cleanup"]

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of one resource.

    Parameters
    ----------
    resource : Resource
        The resource; its name is ``*`` where resources of a kind could not be listed.
    why : str
        Why it stays or went.
    created : datetime.datetime, optional
        When it was created, where that is known.
    error : CloudError, optional
        What kept it from going.
    """

    resource: Resource
    why: str = ""
    created: datetime | None = None
    error: CloudError | None = None

    def __str__(self) -> str:
        age = f", made {self.created:%Y-%m-%d %H:%M}" if self.created else ""
        return f"{self.resource}{age}: {self.error or self.why}"


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """What a clean-up did.

    Parameters
    ----------
    removed : tuple of Cleaned
        Jobs that were stopped, and what was deleted.
    kept : tuple of Cleaned
        What birdsod made and stays on purpose: too young, another caller's, or elsewhere.
    failed : tuple of Cleaned
        What should have gone and did not, each with its error.
    pending : tuple of Cleaned
        What would go: found in a dry run, or waiting for a yes.
    """

    removed: tuple[Cleaned, ...] = ()
    kept: tuple[Cleaned, ...] = ()
    failed: tuple[Cleaned, ...] = ()
    pending: tuple[Cleaned, ...] = ()

    def __str__(self) -> str:
        parts = {"removed": self.removed, "would go": self.pending, "kept": self.kept, "failed": self.failed}
        lines = [f"{what:8}  {item}" for what, items in parts.items() for item in items]
        return "\n".join(lines) or "nothing to clean up"


def cleanup(
    cloud: Cloud,
    *,
    ledger: Ledger | None = None,
    older_than: timedelta | str | None = None,
    dry_run: bool = False,
    everything: bool = False,
    yes: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
    poll_seconds: float = 10.0,
) -> CleanupReport:
    """End what birdsod made in an account and region: endpoints, their configurations and models, and running jobs.

    Found is what the ledger notes and what bears birdsod's tags, so it works from any machine. One's own are those
    made with the same ledger, or by the same caller: what the tags say decides, not the names. What bears no tag of
    birdsod's is never touched, nor what such a thing uses. It can be repeated as often as one likes. Artifacts in S3
    stay.

    Parameters
    ----------
    cloud : Cloud
        The account and region.
    ledger : Ledger, optional
        The ledger; the default one if left out.
    older_than : datetime.timedelta or str, optional
        Keep what is younger: ``"90s"``, ``"30m"``, ``"2h"`` or ``"7d"`` as text.
    dry_run : bool, default False
        Change nothing; the report's ``pending`` tells what would go.
    everything : bool, default False
        Also what others made with birdsod in the account. Without ``yes`` it is only listed.
    yes : bool, default False
        Whether everything is meant to go.
    patience_seconds : float, default 1800
        How long what cannot go yet is waited for, such as an endpoint that is being created.
    poll_seconds : float, default 10.0
        Time between two looks.

    Returns
    -------
    CleanupReport

    Raises
    ------
    CloudError
        If the caller cannot be told, the ledger not be read, or ``older_than`` is no age. What goes wrong with a
        single resource stands in the report instead.
    """
    age = _age(older_than)
    seconds = min(1.0, poll_seconds)
    search = _search(cloud, ledger or Ledger(), seconds=seconds, settle=not dry_run)
    wanted, kept = _sorted_out(search, caller=caller_tag(cloud.caller), everything=everything, age=age)
    users, unknown = _users(cloud, wanted, search.found, seconds=seconds)
    going, used = _unused(wanted, users)
    kept, failed = (*kept, *used, *search.elsewhere), (*search.failed, *unknown)
    if dry_run or (everything and not yes):
        why = "dry run" if dry_run else "listed only: yes=True removes it"
        return CleanupReport(kept=kept, failed=failed, pending=tuple(_told(item, why) for item in going))
    errors = end_all(
        cloud,
        [item.resource for item in going],
        users=users,
        gone=_noting(search),
        patience_seconds=patience_seconds,
        poll_seconds=poll_seconds,
    )
    removed = tuple(_told(item, "removed") for item in going if item.resource not in errors)
    left = (Cleaned(item.resource, created=item.created, error=errors.get(item.resource)) for item in going)
    return CleanupReport(removed, kept, (*failed, *(item for item in left if item.error)))


@dataclass(frozen=True, slots=True)
class _Search:
    """What was found, on the ledger and by tags."""

    ledger: Ledger
    noted: frozenset[Resource]
    found: tuple[Found, ...]
    elsewhere: tuple[Cleaned, ...] = ()
    failed: tuple[Cleaned, ...] = ()


def _search(cloud: Cloud, ledger: Ledger, *, seconds: float, settle: bool) -> _Search:
    """Look at the ledger and at what the account has; one kind that cannot be listed does not hide the others."""
    entries = ledger.open_resources()
    here = [entry for entry in entries if (entry.resource.region, entry.resource.account) == _place(cloud)]
    found, failed = _listed(cloud, seconds=seconds)
    for resource in (entry.resource for entry in here):
        try:
            item = found.get(resource) or find_noted(cloud, resource, seconds=seconds)
            if item is not None and item.tags.get(LEDGER_TAG) == ledger.id:
                found[resource] = item
                failed.pop(resource, None)
            elif settle:
                # It never came into being, is gone or over, or somebody else's of the same name.
                ledger.gone(resource)
        except CloudError as error:
            failed[resource] = Cleaned(resource, error=error)
    elsewhere = (
        Cleaned(
            entry.resource, f"in {entry.resource.region} of {entry.resource.account}: clean up there", entry.planned
        )
        for entry in entries
        if entry not in here
    )
    noted = frozenset(entry.resource for entry in here)
    return _Search(ledger, noted, tuple(found.values()), tuple(elsewhere), tuple(failed.values()))


def _listed(cloud: Cloud, *, seconds: float) -> tuple[dict[Resource, Found], dict[Resource, Cleaned]]:
    """Return what the account has, and what of it cannot be listed."""
    found: dict[Resource, Found] = {}
    failed: dict[Resource, Cleaned] = {}
    for kind in KINDS:
        try:
            for item in find(cloud, kind, seconds=seconds):
                if isinstance(item, Found):
                    found[item.resource] = item
                else:
                    failed[item[0]] = Cleaned(item[0], error=item[1])
        except CloudError as error:
            everyone = Resource(kind, "*", *_place(cloud))
            failed[everyone] = Cleaned(everyone, error=error)
    return found, failed


def _place(cloud: Cloud) -> tuple[str, str]:
    return cloud.region, cloud.account


def _sorted_out(
    search: _Search, *, caller: str, everything: bool, age: timedelta | None
) -> tuple[list[Found], tuple[Cleaned, ...]]:
    """Return what is to go, in order, and what stays with the reason."""
    own = {(CALLER_TAG, caller)}
    if search.ledger.path.exists():
        # Looking makes no ledger where there is none, which may be a place that cannot be written.
        own.add((LEDGER_TAG, search.ledger.id))
    going, kept = [], []
    for item in sorted(search.found, key=lambda item: KINDS.index(item.resource.kind)):
        if LEDGER_TAG not in item.tags:
            continue
        if not everything and not own & set(item.tags.items()):
            kept.append(_told(item, f"another caller's: {item.tags.get(CALLER_TAG, 'not told')}"))
        elif age is not None and datetime.now(UTC) - item.created < age:
            kept.append(_told(item, f"younger than {age}"))
        else:
            going.append(item)
    return going, tuple(kept)


def _users(
    cloud: Cloud, wanted: list[Found], found: Iterable[Found], *, seconds: float
) -> tuple[dict[Resource, list[Resource]], tuple[Cleaned, ...]]:
    """Return which endpoints and transform jobs use what is to go, and which of them do not tell."""
    parts = [item.resource for item in wanted if item.resource.kind in {"endpoint-config", "model"}]
    users: dict[Resource, list[Resource]] = {}
    unknown = []
    for item in found:
        if not parts or item.resource.kind not in {"endpoint", "transform-job"}:
            continue
        try:
            used = used_by(cloud, item.resource, seconds=seconds)
        except CloudError as error:
            # It may use any of them.
            used = parts
            unknown.append(Cleaned(item.resource, created=item.created, error=error))
        for part in set(used) & set(parts):
            users.setdefault(part, []).append(item.resource)
    return users, tuple(unknown)


def _unused(wanted: list[Found], users: Mapping[Resource, list[Resource]]) -> tuple[list[Found], tuple[Cleaned, ...]]:
    """Return what can go, and what is used by something that stays."""
    names = {item.resource for item in wanted}
    staying = {item.resource: [user for user in users.get(item.resource, ()) if user not in names] for item in wanted}
    used = (_told(item, f"used by {staying[item.resource][0]}") for item in wanted if staying[item.resource])
    return [item for item in wanted if not staying[item.resource]], tuple(used)


def _noting(search: _Search) -> Callable[[Resource], None]:
    def note(resource: Resource) -> None:
        if resource in search.noted:
            search.ledger.gone(resource)

    return note


def _told(item: Found, why: str) -> Cleaned:
    return Cleaned(item.resource, why, item.created)


def _age(given: timedelta | str | None) -> timedelta | None:
    if not isinstance(given, str):
        return given
    told = _AGE.fullmatch(given.strip().lower())
    if told is None:
        raise CloudError("this is no age", value=given, cure='give one such as "30m", "2h" or "7d"')
    return timedelta(**{_UNITS[told[2]]: float(told[1])})
