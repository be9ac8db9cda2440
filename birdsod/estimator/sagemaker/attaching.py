"""Finding an endpoint of an earlier session again, with all that belongs to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from birdsod.errors import ServingError
from birdsod.estimator.sagemaker.detector import SageMakerDetector, Site
from birdsod.estimator.sagemaker.job_record import JobRecord
from birdsod.estimator.sagemaker.ledger import Ledger, Resource
from birdsod.estimator.sagemaker.resources import described
from birdsod.estimator.sagemaker.undertaking import Undertaking
from birdsod.estimator.sagemaker.uploads import below

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.classes import ClassTable
    from birdsod.estimator.sagemaker.ledger import Kind
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["attach"]

# What a training job leaves: its prefix, its name, and the archive below them.
_ARTIFACT = re.compile(r"(?P<prefix>s3://.+)/(?P<job>[^/]+)/output/model\.tar\.gz")


def attach(
    cloud: Cloud,
    name: str,
    *,
    classes: ClassTable | None = None,
    ledger: Ledger | None = None,
    poll_seconds: float = 10.0,
) -> SageMakerDetector:
    """Return the detector of an endpoint that exists; see :meth:`SageMakerDetector.attach`.

    Parameters
    ----------
    cloud : Cloud
        Where it is.
    name : str
        Name of the endpoint.
    classes : ClassTable, optional
        What the class ids stand for.
    ledger : Ledger, optional
        The ledger.
    poll_seconds : float, default 10.0
        Time between two looks.

    Returns
    -------
    SageMakerDetector

    Raises
    ------
    ServingError
        If there is no such endpoint, or its classes are not known.
    CloudError
        If the service does not tell.
    """
    undertaking = Undertaking(cloud, ledger or Ledger(), poll_seconds=poll_seconds)

    def told(kind: Kind, wanted: str) -> Mapping[str, Any]:
        resource = Resource(kind, wanted, cloud.region, cloud.account)
        found = described(cloud, resource, seconds=min(1.0, poll_seconds))
        if found is None:
            cure = "see what there is with `birdsod cleanup --dry-run`, or look in another region"
            raise ServingError(f"there is no {resource}", cure=cure)
        undertaking.adopt(resource)
        return found

    config = told("endpoint-config", told("endpoint", name)["EndpointConfigName"])
    models = [told("model", variant["ModelName"]) for variant in config["ProductionVariants"]]
    known = classes or _classes(cloud, name, [model.get("PrimaryContainer", {}) for model in models])
    return SageMakerDetector(_site(name, config), known, undertaking, owned=False)


def _site(name: str, config: Mapping[str, Any]) -> Site:
    serverless = any("ServerlessConfig" in variant for variant in config["ProductionVariants"])
    output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {}).get("S3OutputPath")
    return Site(name, serverless, below(output, "images") if output else None)


def _classes(cloud: Cloud, name: str, containers: list[Mapping[str, Any]]) -> ClassTable:
    for container in containers:
        trained = _ARTIFACT.fullmatch(container.get("ModelDataUrl", ""))
        record = JobRecord.read(cloud, trained["prefix"], trained["job"]) if trained else None
        if record is not None:
            return record.classes
    message = f"the classes of endpoint {name} are not known"
    raise ServingError(message, cure="give them: SageMakerDetector.attach(name, classes=...)")
