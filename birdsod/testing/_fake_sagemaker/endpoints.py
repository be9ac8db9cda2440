"""Endpoints: created, updated, described, deleted; their states go on with each look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.errors import invalid
from birdsod.testing._fake_sagemaker.hosted_model import HostedModel
from birdsod.testing._fake_sagemaker.listing import listed
from birdsod.testing._fake_sagemaker.training_rules import check_quota

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.world import Json, Kept, Region

__all__ = ["OPERATIONS", "gone"]

_SETTLED = {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}


def create_endpoint(region: Region, request: Json) -> Json:
    name = request["EndpointName"]
    if name in region.endpoints:
        raise invalid(f'Cannot create already existing endpoint "{region.endpoints[name].arn}".')
    settings = _settings(region, request)
    kept = region.endpoints[name] = region.keep("endpoint", name, request)
    kept.more = {"states": _states(region), "reason": region.world.scripts.endpoint.failure, **settings}
    return {"EndpointArn": kept.arn}


def update_endpoint(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    _check_settled(kept)
    settings = _settings(region, request)
    kept.more["model"].close()
    kept.more |= {"states": ["Updating", "InService"], **settings}
    return {"EndpointArn": kept.arn}


def _states(region: Region) -> list[str]:
    script = region.world.scripts.endpoint
    if script.failure is None:
        return list(script.states)
    return [*(state for state in script.states if state not in _SETTLED), "Failed"]


def describe_endpoint(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    states = kept.more["states"]
    if kept.more["seen"] and len(states) > 1:
        states.pop(0)
        kept.modified = region.world.now()
    kept.more["seen"] = True
    if states[0] == "Gone":
        gone(region, kept)
        _found(region, request)
    settings, up = kept.more["settings"], states[0] in {"InService", "Updating"}
    variants = settings["ProductionVariants"]
    return {
        "EndpointName": kept.name,
        "EndpointArn": kept.arn,
        "EndpointConfigName": kept.more["config"],
        "EndpointStatus": states[0],
        "CreationTime": kept.created,
        "LastModifiedTime": kept.modified,
        **({"ProductionVariants": [_variant(variant) for variant in variants]} if up else {}),
        **({"AsyncInferenceConfig": settings["AsyncInferenceConfig"]} if "AsyncInferenceConfig" in settings else {}),
        **({"FailureReason": kept.more["reason"]} if states[0] == "Failed" and kept.more["reason"] else {}),
    }


def _variant(variant: Json) -> Json:
    count = variant.get("InitialInstanceCount", 0)
    weights = {"CurrentWeight": 1.0, "DesiredWeight": 1.0}
    return {"VariantName": variant["VariantName"], "CurrentInstanceCount": count, **weights}


def delete_endpoint(region: Region, request: Json) -> Json:
    kept = _found(region, request)
    _check_settled(kept)
    looks = region.world.scripts.endpoint.deleting
    if looks:
        kept.more |= {"states": [*["Deleting"] * looks, "Gone"], "seen": False}
    else:
        gone(region, kept)
    return {}


def gone(region: Region, kept: Kept) -> None:
    """Forget an endpoint, and end what answers for it."""
    kept.more["model"].close()
    region.drop(kept, region.endpoints)


def list_endpoints(region: Region, request: Json) -> Json:
    return listed(region.endpoints.values(), request, "Endpoints", _row, lambda kept: str(kept.more["states"][0]))


def _row(kept: Kept) -> Json:
    return {
        "EndpointName": kept.name,
        "EndpointArn": kept.arn,
        "CreationTime": kept.created,
        "LastModifiedTime": kept.modified,
        "EndpointStatus": kept.more["states"][0],
    }


def _check_settled(kept: Kept) -> None:
    if kept.more["states"][0] not in _SETTLED:
        raise invalid(f'Cannot update in-progress endpoint "{kept.arn}".')


def _settings(region: Region, request: Json) -> Json:
    """Return what an endpoint takes from its configuration; later changes of that do not touch it."""
    name = request["EndpointConfigName"]
    if name not in region.configs:
        raise invalid(f'Could not find endpoint configuration "{region.arn("endpoint-config", name)}".')
    settings = region.configs[name].request
    model = region.models.get(settings["ProductionVariants"][0]["ModelName"])
    if model is None:
        arn = region.arn("model", settings["ProductionVariants"][0]["ModelName"])
        raise invalid(f'Could not find model "{arn}".')
    for variant in settings["ProductionVariants"]:
        check_quota(region, variant.get("InstanceType", ""), variant.get("InitialInstanceCount", 0), "endpoint")
    uri = model.request.get("PrimaryContainer", {}).get("ModelDataUrl")
    return {"config": name, "settings": settings, "model": HostedModel(region, uri), "seen": False}


def _found(region: Region, request: Json) -> Kept:
    name = request["EndpointName"]
    if name not in region.endpoints:
        raise invalid(f'Could not find endpoint "{region.arn("endpoint", name)}".')
    return region.endpoints[name]


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "CreateEndpoint": create_endpoint,
    "DeleteEndpoint": delete_endpoint,
    "DescribeEndpoint": describe_endpoint,
    "ListEndpoints": list_endpoints,
    "UpdateEndpoint": update_endpoint,
}
