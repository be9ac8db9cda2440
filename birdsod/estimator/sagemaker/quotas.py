"""How many instances of a type the account may use, and what to ask for where that is too few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_service_quotas.type_defs import ServiceQuotaTypeDef

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["Quota", "Use", "find_quota", "quota_name"]

Use: TypeAlias = Literal["training", "spot training", "endpoint", "transform", "tuning"]
"""What an instance is used for: each use has a quota of its own."""

_WORDS: dict[Use, str] = {
    "training": "training job",
    "spot training": "spot training job",
    "endpoint": "endpoint",
    "transform": "transform job",
    # A tuning job's trials are training jobs.
    "tuning": "training job",
}
_SERVICE = "sagemaker"


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of the account.

    Parameters
    ----------
    name : str
        As Service Quotas lists it.
    code : str
        Its code there, which a request for more names.
    value : float
        Instances at once.
    """

    name: str
    code: str
    value: float


def quota_name(instance_type: str, use: Use) -> str:
    """Return the name under which Service Quotas lists the limit of an instance type.

    Parameters
    ----------
    instance_type : str
        Such as ``ml.g4dn.xlarge``.
    use : {"training", "spot training", "endpoint", "transform", "tuning"}
        What it is for.

    Examples
    --------
    >>> quota_name("ml.g4dn.xlarge", "spot training")
    'ml.g4dn.xlarge for spot training job usage'
    """
    return f"{instance_type} for {_WORDS[use]} usage"


def find_quota(cloud: Cloud, instance_type: str, use: Use) -> Quota | None:
    """Return what the account may use of an instance type.

    Parameters
    ----------
    cloud : Cloud
        The account and region.
    instance_type : str
        Such as ``ml.g4dn.xlarge``.
    use : {"training", "spot training", "endpoint", "transform", "tuning"}
        What it is for.

    Returns
    -------
    Quota or None
        None if Service Quotas lists no such limit.

    Raises
    ------
    CloudError
        If the account does not let us ask, or the service does not answer.
    """
    from birdsod.estimator.sagemaker.faults import asking

    wanted = quota_name(instance_type, use)
    with asking("read the quotas"):
        # Asked for by name, since the codes are not documented; what is listed is what the account was granted.
        for row in _listed(cloud):
            if row.get("QuotaName", "").lower() == wanted.lower():
                return Quota(wanted, row.get("QuotaCode", ""), float(row.get("Value", 0.0)))
    return None


def _listed(cloud: Cloud) -> Iterator[ServiceQuotaTypeDef]:
    for page in cloud.quotas.get_paginator("list_service_quotas").paginate(ServiceCode=_SERVICE):
        yield from page.get("Quotas", ())
