"""Models, endpoint configurations and endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.endpoints import OPERATIONS as ENDPOINTS
from birdsod.testing._fake_sagemaker.errors import invalid
from birdsod.testing._fake_sagemaker.listing import listed
from birdsod.testing._fake_sagemaker.training_rules import check_image, check_role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.world import Json, Kept, Region

__all__ = ["OPERATIONS"]


def create_model(region: Region, request: Json) -> Json:
    name = request["ModelName"]
    if name in region.models:
        raise invalid(f'Cannot create already existing model "{region.models[name].arn}".')
    check_role(region, request["ExecutionRoleArn"])
    containers = [request["PrimaryContainer"]] if "PrimaryContainer" in request else request.get("Containers", [])
    if not containers:
        raise invalid("You must provide either PrimaryContainer or Containers")
    for container in containers:
        check_image(region, container.get("Image", ""))
        _check_artifact(region, container)
    kept = region.models[name] = region.keep("model", name, request)
    return {"ModelArn": kept.arn}


def _check_artifact(region: Region, container: Json) -> None:
    uri = container.get("ModelDataUrl")
    if uri is not None and not s3.exists(region, uri):
        raise invalid(f"Could not find model data at {uri}.")


def describe_model(region: Region, request: Json) -> Json:
    return _told(_model(region, request), "ModelArn")


def delete_model(region: Region, request: Json) -> Json:
    region.drop(_model(region, request), region.models)
    return {}


def list_models(region: Region, request: Json) -> Json:
    return listed(region.models.values(), request, "Models", lambda kept: _row(kept, "Model"))


def _model(region: Region, request: Json) -> Kept:
    name = request["ModelName"]
    if name not in region.models:
        raise invalid(f'Could not find model "{region.arn("model", name)}".')
    return region.models[name]


def create_endpoint_config(region: Region, request: Json) -> Json:
    name = request["EndpointConfigName"]
    if name in region.configs:
        raise invalid(f'Cannot create already existing endpoint configuration "{region.configs[name].arn}".')
    for variant in request["ProductionVariants"]:
        _model(region, {"ModelName": variant.get("ModelName", "")})
        if "ServerlessConfig" not in variant and not {"InstanceType", "InitialInstanceCount"} <= set(variant):
            raise invalid(f"InstanceType and InitialInstanceCount are required for variant {variant['VariantName']}")
        if "ServerlessConfig" in variant and "InstanceType" in variant:
            raise invalid("ServerlessConfig and InstanceType cannot both be specified for a variant")
    kept = region.configs[name] = region.keep("endpoint-config", name, request)
    return {"EndpointConfigArn": kept.arn}


def describe_endpoint_config(region: Region, request: Json) -> Json:
    return _told(_config(region, request), "EndpointConfigArn")


def delete_endpoint_config(region: Region, request: Json) -> Json:
    region.drop(_config(region, request), region.configs)
    return {}


def list_endpoint_configs(region: Region, request: Json) -> Json:
    return listed(region.configs.values(), request, "EndpointConfigs", lambda kept: _row(kept, "EndpointConfig"))


def _config(region: Region, request: Json) -> Kept:
    name = request["EndpointConfigName"]
    if name not in region.configs:
        raise invalid(f'Could not find endpoint configuration "{region.arn("endpoint-config", name)}".')
    return region.configs[name]


def _told(kept: Kept, arn: str) -> Json:
    asked = {name: value for name, value in kept.request.items() if name != "Tags"}
    return {**asked, arn: kept.arn, "CreationTime": kept.created}


def _row(kept: Kept, kind: str) -> Json:
    return {f"{kind}Name": kept.name, f"{kind}Arn": kept.arn, "CreationTime": kept.created}


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "CreateEndpointConfig": create_endpoint_config,
    "CreateModel": create_model,
    "DeleteEndpointConfig": delete_endpoint_config,
    "DeleteModel": delete_model,
    "DescribeEndpointConfig": describe_endpoint_config,
    "DescribeModel": describe_model,
    "ListEndpointConfigs": list_endpoint_configs,
    "ListModels": list_models,
    **ENDPOINTS,
}
