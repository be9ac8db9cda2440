"""Service Quotas, as far as instances of SageMaker go."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.errors import ServiceError
from birdsod.testing._fake_sagemaker.listing import page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["OPERATIONS", "QUOTAS"]

_KINDS = ("ml.g4dn.xlarge", "ml.g4dn.2xlarge", "ml.g4dn.12xlarge", "ml.g5.xlarge", "ml.g5.2xlarge", "ml.m5.large")
_USES = ("for training job usage", "for spot training job usage", "for endpoint usage", "for transform job usage")
QUOTAS: Mapping[str, float] = {f"{kind} {use}": 4.0 for kind in _KINDS for use in _USES}
"""What the account has, unless scripted."""


def list_service_quotas(region: Region, request: Json) -> Json:
    _check_service(request)
    values = {**QUOTAS, **region.world.scripts.quotas}
    rows = [_row(region, name, value) for name, value in sorted(values.items())]
    return page(rows, {"MaxResults": 100, **request}, "Quotas")


def get_service_quota(region: Region, request: Json) -> Json:
    _check_service(request)
    for row in list_service_quotas(region, {**request, "MaxResults": 10_000})["Quotas"]:
        if row["QuotaCode"] == request["QuotaCode"]:
            return {"Quota": row}
    raise ServiceError("NoSuchResourceException", "The request failed because the specified quota does not exist.")


def _check_service(request: Json) -> None:
    if request["ServiceCode"] != "sagemaker":
        raise ServiceError(
            "NoSuchResourceException", "The request failed because the specified service does not exist."
        )


def _row(region: Region, name: str, value: float) -> Json:
    code = f"L-{zlib.crc32(name.encode()):08X}"
    arn = f"arn:aws:servicequotas:{region.name}:{region.world.account}:sagemaker/{code}"
    return {
        "ServiceCode": "sagemaker",
        "ServiceName": "Amazon SageMaker",
        "QuotaArn": arn,
        "QuotaCode": code,
        "QuotaName": name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "GetServiceQuota": get_service_quota,
    "ListServiceQuotas": list_service_quotas,
}
