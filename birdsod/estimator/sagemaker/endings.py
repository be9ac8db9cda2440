"""Ending what was made: in the right order, patiently, and as often as one likes."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Literal

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.faults import code_of
from birdsod.estimator.sagemaker.resources import OVER, WAYS, described, end, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from birdsod.estimator.sagemaker.ledger import Resource
    from birdsod.estimator.sagemaker.session import Cloud

    State = Literal["stays", "goes", "gone"]

__all__ = ["PATIENCE_SECONDS", "end_all", "pause"]

# An endpoint that cannot start is given up by the service after an hour, mostly sooner; until then it cannot go.
PATIENCE_SECONDS = 1800.0

_GOING = frozenset({"Stopping", "Deleting"})
_AGAIN = "run `birdsod cleanup` again in a few minutes"


def pause(seconds: float) -> None:
    """Wait about so long: many that wait for the same should not ask at the same moment."""
    if seconds > 0:
        time.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - no secret


def end_all(
    cloud: Cloud,
    resources: Iterable[Resource],
    *,
    users: Mapping[Resource, Collection[Resource]],
    gone: Callable[[Resource], object],
    patience_seconds: float = PATIENCE_SECONDS,
    poll_seconds: float = 10.0,
) -> dict[Resource, CloudError]:
    """End resources and wait until they are gone; one that fails does not keep the others.

    Parameters
    ----------
    cloud : Cloud
        Where they are.
    resources : iterable of Resource
        What is to go, in an order in which it can.
    users : mapping of Resource to collection of Resource
        What uses a resource, which has to wait until all of that goes or is gone.
    gone : callable
        Called with each resource that is gone.
    patience_seconds : float, default 1800
        How long those that cannot go yet are waited for.
    poll_seconds : float, default 10.0
        Time between two looks.

    Returns
    -------
    dict
        What did not go, with the reason.
    """
    deadline = time.monotonic() + patience_seconds
    states: dict[Resource, State] = dict.fromkeys(resources, "stays")
    failed: dict[Resource, CloudError] = {}
    while True:
        for resource in [known for known, state in states.items() if state != "gone" and known not in failed]:
            if any(states.get(user, "gone") == "stays" for user in users.get(resource, ())):
                continue
            try:
                states[resource] = _step(cloud, resource, seconds=min(1.0, poll_seconds))
                if states[resource] == "gone":
                    gone(resource)
            except CloudError as error:
                failed[resource] = error
        waiting = [resource for resource, state in states.items() if state != "gone" and resource not in failed]
        waiting = [resource for resource in waiting if not _hopeless(resource, users, failed)]
        if not waiting or time.monotonic() >= deadline:
            break
        pause(poll_seconds)
    left = (resource for resource, state in states.items() if state != "gone" and resource not in failed)
    return failed | {
        resource: _leftover(
            states[resource],
            resource,
            [user for user in users.get(resource, ()) if user in failed or states.get(user) == "stays"],
        )
        for resource in left
    }


def _hopeless(resource: Resource, users: Mapping[Resource, Collection[Resource]], failed: Collection[Resource]) -> bool:
    return any(user in failed or _hopeless(user, users, failed) for user in users.get(resource, ()))


def _step(cloud: Cloud, resource: Resource, *, seconds: float) -> State:
    if WAYS[resource.kind].status is None:
        end(cloud, resource, seconds=seconds)
        return "gone"
    told = described(cloud, resource, seconds=seconds)
    status = None if told is None else status_of(resource, told)
    if status is None or (status in OVER and resource.kind != "endpoint"):
        return "gone"
    if status in _GOING:
        return "goes"
    try:
        return "goes" if end(cloud, resource, seconds=seconds) else "gone"
    except CloudError as error:
        # Not while it starts or is changed, or the job is over since we looked: the next look tells.
        if code_of(error) != "ValidationException":
            raise
        return "stays"


def _leftover(state: State, resource: Resource, users: Collection[Resource]) -> CloudError:
    if state == "goes":
        return CloudError(f"{resource} is going but not gone yet", cure=_AGAIN)
    if users:
        still = ", ".join(map(str, users))
        return CloudError(f"{resource} stays", cause=f"it is used by what is still there: {still}", cure=_AGAIN)
    cause = "an endpoint cannot be deleted while it is created or updated" if resource.kind == "endpoint" else None
    return CloudError(f"{resource} cannot be ended yet", cause=cause, cure=_AGAIN)
