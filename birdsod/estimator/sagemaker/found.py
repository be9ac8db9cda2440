"""What an account holds of birdsod's, and what uses it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.faults import asking, patient
from birdsod.estimator.sagemaker.ledger import Resource
from birdsod.estimator.sagemaker.resources import OVER, WAYS, described, status_of, tags_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from birdsod.estimator.sagemaker.ledger import Kind
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["Found", "find", "find_noted", "used_by"]


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that exists, or a job that runs.

    Parameters
    ----------
    resource : Resource
        The resource.
    created : datetime.datetime
        When it was created.
    tags : mapping of str to str
        Its tags.
    """

    resource: Resource
    created: datetime
    tags: Mapping[str, str]


def find(cloud: Cloud, kind: Kind, *, seconds: float = 1.0) -> list[Found | tuple[Resource, CloudError]]:
    """Return resources of a kind with their tags: all endpoints, all running jobs, and what has birdsod in its name.

    Parameters
    ----------
    cloud : Cloud
        Where they are.
    kind : str
        The kind.
    seconds : float, default 1.0
        Wait before a busy service is asked a second time.

    Returns
    -------
    list of Found or (Resource, CloudError)
        With an error where the tags of one are not told.

    Raises
    ------
    CloudError
        If the service does not list them.
    """
    way = WAYS[kind]
    found: list[Found | tuple[Resource, CloudError]] = []
    for listed in _listed(cloud, kind, seconds=seconds):
        resource = Resource(kind, listed[way.name], cloud.region, cloud.account)
        try:
            tags = tags_of(cloud, listed[way.arn], seconds=seconds)
        except CloudError as error:
            found.append((resource, error))
        else:
            if tags is not None:
                found.append(Found(resource, listed["CreationTime"], tags))
    return found


def find_noted(cloud: Cloud, resource: Resource, *, seconds: float = 1.0) -> Found | None:
    """Return a resource that was noted, with its tags; None where it does not exist, or is a job that is over.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    resource : Resource
        The resource.
    seconds : float, default 1.0
        Wait before a busy service is asked a second time.

    Returns
    -------
    Found or None

    Raises
    ------
    CloudError
        If the service does not tell.
    """
    told = described(cloud, resource, seconds=seconds)
    if told is None or (resource.kind.endswith("job") and status_of(resource, told) in OVER):
        return None
    tags = tags_of(cloud, told[WAYS[resource.kind].arn], seconds=seconds)
    return None if tags is None else Found(resource, told["CreationTime"], tags)


def used_by(cloud: Cloud, user: Resource, *, seconds: float = 1.0) -> list[Resource]:
    """Return the configuration and models that an endpoint uses, or the model of a transform job.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    user : Resource
        The endpoint or transform job.
    seconds : float, default 1.0
        Wait before a busy service is asked a second time.

    Returns
    -------
    list of Resource

    Raises
    ------
    CloudError
        If the service does not tell.
    """
    told = described(cloud, user, seconds=seconds)
    if told is None:
        return []
    if user.kind == "transform-job":
        return [_beside(user, "model", told["ModelName"])]
    config = _beside(user, "endpoint-config", told["EndpointConfigName"])
    variants = (described(cloud, config, seconds=seconds) or {}).get("ProductionVariants", [])
    return [config, *(_beside(user, "model", variant["ModelName"]) for variant in variants if "ModelName" in variant)]


def _beside(resource: Resource, kind: Kind, name: str) -> Resource:
    return Resource(kind, name, resource.region, resource.account)


def _listed(cloud: Cloud, kind: Kind, *, seconds: float) -> list[Mapping[str, Any]]:
    way = WAYS[kind]

    def ask(search: Mapping[str, str]) -> list[Mapping[str, Any]]:
        pages = cloud.sagemaker.get_paginator(cast("Any", way.listing)).paginate(**search)
        return [listed for page in pages for listed in page[way.found]]

    with asking("list", resource=f"{kind}s"):
        return [
            listed
            for search in way.searches
            for listed in patient(partial(ask, search), seconds=seconds, renew=cloud.renewed)
        ]
