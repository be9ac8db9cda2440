"""What one call makes in the cloud: noted, made, and ended again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.endings import PATIENCE_SECONDS, end_all
from birdsod.estimator.sagemaker.faults import asking
from birdsod.estimator.sagemaker.ledger import CALLER_TAG, KINDS, LEDGER_TAG, Resource
from birdsod.estimator.sagemaker.resources import WAYS, described, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.estimator.sagemaker.ledger import Kind, Ledger
    from birdsod.estimator.sagemaker.session import Cloud

    State = Literal["planned", "ours", "adopted"]

__all__ = ["Undertaking"]


class Undertaking:
    """What one call makes in the cloud, so that all of it can be ended, wherever the call was interrupted.

    Parameters
    ----------
    cloud : Cloud
        Where it is made.
    ledger : Ledger
        Where it is noted.
    tags : mapping of str to str, optional
        More tags for what is made.
    poll_seconds : float, default 10.0
        Time between two looks.
    """

    def __init__(
        self, cloud: Cloud, ledger: Ledger, *, tags: Mapping[str, str] | None = None, poll_seconds: float = 10.0
    ) -> None:
        self.cloud = cloud
        self.poll_seconds = poll_seconds
        # The moment of birth is in them, so that they are this undertaking's alone.
        self.tags: dict[str, str] = {**(tags or {}), **ledger.tags(cloud)}
        self.foreign: tuple[Resource, ...] = ()
        self._ledger = ledger
        self._planned: dict[Resource, State] = {}
        self._lock = threading.RLock()

    @property
    def open(self) -> tuple[Resource, ...]:
        """What was planned and has not been ended, in the order in which it can be."""
        return tuple(sorted(self._planned, key=lambda resource: KINDS.index(resource.kind)))

    def make(self, kind: Kind, name: str, create: Callable[[], object]) -> Resource:
        """Note a resource, then make it.

        Parameters
        ----------
        kind, name : str
            What it is.
        create : callable
            Makes it, with :attr:`tags`.

        Returns
        -------
        Resource

        Raises
        ------
        CloudError
            If the service refuses.
        """
        resource = Resource(kind, name, self.cloud.region, self.cloud.account)
        self._planned[resource] = "planned"
        self._ledger.plan(resource)
        try:
            with asking("create", resource=str(resource)):
                create()
        except CloudError:
            # A request sent again after its answer was lost is refused, since the first one made it.
            if not self._was_made(resource):
                raise
        self._planned[resource] = "ours"
        return resource

    def adopt(self, resource: Resource) -> None:
        """Take on what an earlier session made; :meth:`end` ends it if it is the same ledger's, or the same caller's.

        Parameters
        ----------
        resource : Resource
            The resource.
        """
        self._planned[resource] = "adopted"

    def end(self, *, patience_seconds: float = PATIENCE_SECONDS) -> dict[Resource, CloudError]:
        """End all that was made, and wait until it is gone.

        It may be interrupted, and called again: what is gone is known to be.

        Parameters
        ----------
        patience_seconds : float, default 1800
            How long what cannot go yet is waited for.

        Returns
        -------
        dict
            What did not go, with the reason; it stays on the ledger.
        """
        with self._lock:
            failed = {}
            for resource in self.open:
                try:
                    self._forget_if_not_ours(resource)
                except CloudError as error:
                    failed[resource] = error
            ours = [resource for resource in self.open if resource not in failed]
            return failed | end_all(
                self.cloud,
                ours,
                users=_users(self.open),
                gone=self._forget,
                patience_seconds=patience_seconds,
                poll_seconds=self.poll_seconds,
            )

    def release(self) -> None:
        """End nothing of it from here any more; the ledger keeps it."""
        with self._lock:
            self._planned.clear()

    def _forget_if_not_ours(self, resource: Resource) -> None:
        """Forget what never came into being, or is someone else's who had the name first."""
        state = self._planned[resource]
        if state == "ours" or self._is_ours(resource, exactly=state == "planned"):
            self._planned[resource] = "ours"
        elif state == "planned":
            self._forget(resource)
        else:
            del self._planned[resource]
            self.foreign = (*self.foreign, resource)

    def _was_made(self, resource: Resource) -> bool:
        try:
            return self._is_ours(resource)
        except CloudError:
            # Why it was refused is what its user has to know.
            return False

    def _is_ours(self, resource: Resource, *, exactly: bool = True) -> bool:
        seconds = min(1.0, self.poll_seconds)
        told = described(self.cloud, resource, seconds=seconds)
        found = None if told is None else tags_of(self.cloud, told[WAYS[resource.kind].arn], seconds=seconds)
        if told is None or found is None:
            return False
        if exactly:
            return self.tags.items() <= found.items()
        return any(found.get(key) == self.tags[key] for key in (LEDGER_TAG, CALLER_TAG))

    def _forget(self, resource: Resource) -> None:
        self._ledger.gone(resource)
        del self._planned[resource]


def _users(resources: tuple[Resource, ...]) -> dict[Resource, tuple[Resource, ...]]:
    """Return what uses what: all of it belongs to one endpoint or one transform job."""
    return {
        resource: tuple(user for user in resources if KINDS.index(user.kind) < KINDS.index(resource.kind))
        for resource in resources
        if WAYS[resource.kind].status is None
    }
