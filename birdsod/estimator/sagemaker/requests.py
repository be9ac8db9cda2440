"""What a training job is asked for with: a plan as values, and the exact request made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sagemaker.type_defs import (
        AlgorithmSpecificationTypeDef,
        ChannelTypeDef,
        CreateTrainingJobRequestTypeDef,
        OutputDataConfigTypeDef,
        ResourceConfigTypeDef,
        S3DataSourceTypeDef,
        StoppingConditionTypeDef,
        TagTypeDef,
    )

__all__ = [
    "CHECKPOINTS",
    "RECORDIO",
    "SEED_MODEL",
    "ChannelPlan",
    "TrainingPlan",
    "channel",
    "resources",
    "stopping",
    "tag_list",
    "training_request",
]

RECORDIO = "application/x-recordio"
SEED_MODEL = "application/x-sagemaker-model"
CHECKPOINTS = "/opt/ml/checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """One input of a training job.

    Parameters
    ----------
    name : str
        ``train``, ``validation``, ``model``, ...
    uri : str
        The object, or the prefix of the objects.
    content_type : str or None
        What the objects are.
    input_mode : {"File", "Pipe"}
        Whether they are copied to the machine first, or read as they come.
    kind : {"S3Prefix", "ManifestFile", "AugmentedManifestFile"}
        What the address names.
    attribute_names : tuple of str
        For an augmented manifest: the keys of its lines, in the order that the algorithm reads them.
    record_wrapper : {"None", "RecordIO"}
        Whether the service wraps each object in a record.
    """

    name: str
    uri: str
    content_type: str | None = None
    input_mode: Literal["File", "Pipe"] = "File"
    kind: Literal["S3Prefix", "ManifestFile", "AugmentedManifestFile"] = "S3Prefix"
    attribute_names: tuple[str, ...] = ()
    record_wrapper: Literal["None", "RecordIO"] = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """All that a training job is made of.

    Parameters
    ----------
    name : str
        Name of the job.
    image : str
        Address of the container.
    role : str
        ARN of the role that the job runs as.
    hyperparameters : mapping of str to str
        All values as text.
    channels : tuple of ChannelPlan
        The inputs.
    output_uri : str
        Prefix below which the model archive is written.
    instance_type : str
        Type of the machines.
    instances : int
        How many.
    volume_gb : int
        Disk of each.
    max_seconds : int
        How long it may train.
    max_wait_seconds : int or None
        With ``spot``: how long it may take, waiting included.
    spot : bool
        Whether it runs on spare capacity.
    checkpoint_uri : str or None
        Prefix that its checkpoints are copied to as they are written.
    input_mode : {"File", "Pipe"}
        How channels are read that do not say it themselves.
    kms_key : str or None
        Key that encrypts what is written.
    volume_kms_key : str or None
        Key that encrypts the disks.
    subnets, security_groups : tuple of str
        The private network that the machines join.
    tags : mapping of str to str
        Labels of the job.
    metrics : mapping of str to str
        Name and regular expression of each metric; only for a container of one's own.
    network_isolation : bool
        Whether the container may reach nothing.
    encrypt_traffic : bool
        Whether the machines talk to each other encrypted.
    """

    name: str
    image: str
    role: str
    hyperparameters: Mapping[str, str]
    channels: tuple[ChannelPlan, ...]
    output_uri: str
    instance_type: str = "ml.g4dn.xlarge"
    instances: int = 1
    volume_gb: int = 50
    max_seconds: int = 14_400
    max_wait_seconds: int | None = None
    spot: bool = False
    checkpoint_uri: str | None = None
    input_mode: Literal["File", "Pipe"] = "File"
    kms_key: str | None = None
    volume_kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    network_isolation: bool = False
    encrypt_traffic: bool = False


def training_request(plan: TrainingPlan) -> CreateTrainingJobRequestTypeDef:
    """Return the request that creates a training job.

    Parameters
    ----------
    plan : TrainingPlan
        What the job is made of.

    Returns
    -------
    dict
        What ``create_training_job`` takes, by keyword.

    Source
    ------
    CreateTrainingJob in the Amazon SageMaker API reference.

    Examples
    --------
    >>> plan = TrainingPlan(name="birds-1", image="i", role="r", hyperparameters={}, channels=(), output_uri="s3://b/o")
    >>> training_request(plan)["StoppingCondition"]
    {'MaxRuntimeInSeconds': 14400}
    """
    request: CreateTrainingJobRequestTypeDef = {
        "TrainingJobName": plan.name,
        "RoleArn": plan.role,
        "AlgorithmSpecification": _algorithm(plan),
        "HyperParameters": dict(plan.hyperparameters),
        "InputDataConfig": [channel(each) for each in plan.channels],
        "OutputDataConfig": _output(plan),
        "ResourceConfig": resources(plan),
        "StoppingCondition": stopping(plan),
        "EnableManagedSpotTraining": plan.spot,
        "EnableNetworkIsolation": plan.network_isolation,
        "EnableInterContainerTrafficEncryption": plan.encrypt_traffic,
        "Tags": tag_list(plan.tags),
    }
    if plan.checkpoint_uri is not None:
        request["CheckpointConfig"] = {"S3Uri": plan.checkpoint_uri, "LocalPath": CHECKPOINTS}
    if plan.subnets or plan.security_groups:
        request["VpcConfig"] = {"Subnets": list(plan.subnets), "SecurityGroupIds": list(plan.security_groups)}
    return request


def channel(plan: ChannelPlan) -> ChannelTypeDef:
    """Return one input of a training request.

    Parameters
    ----------
    plan : ChannelPlan
        The input.

    Returns
    -------
    dict

    Examples
    --------
    >>> channel(ChannelPlan(name="train", uri="s3://b/train/", content_type=RECORDIO))["ContentType"]
    'application/x-recordio'
    """
    source: S3DataSourceTypeDef = {
        "S3DataType": plan.kind,
        "S3Uri": plan.uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    if plan.attribute_names:
        source["AttributeNames"] = list(plan.attribute_names)
    made: ChannelTypeDef = {
        "ChannelName": plan.name,
        "DataSource": {"S3DataSource": source},
        "CompressionType": "None",
        "RecordWrapperType": plan.record_wrapper,
        "InputMode": plan.input_mode,
    }
    if plan.content_type is not None:
        made["ContentType"] = plan.content_type
    return made


def tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Return labels as the service takes them, sorted by name.

    Parameters
    ----------
    tags : mapping of str to str
        Name to value.

    Examples
    --------
    >>> tag_list({"team": "birds"})
    [{'Key': 'team', 'Value': 'birds'}]
    """
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def resources(plan: TrainingPlan) -> ResourceConfigTypeDef:
    """Return the machines of a training request."""
    made: ResourceConfigTypeDef = {
        # The service knows types that the stubs' list does not have yet: it judges, and preflight before it.
        "InstanceType": plan.instance_type,  # type: ignore[typeddict-item]
        "InstanceCount": plan.instances,
        "VolumeSizeInGB": plan.volume_gb,
    }
    if plan.volume_kms_key is not None:
        made["VolumeKmsKeyId"] = plan.volume_kms_key
    return made


def stopping(plan: TrainingPlan) -> StoppingConditionTypeDef:
    """Return the time limits of a training request."""
    made: StoppingConditionTypeDef = {"MaxRuntimeInSeconds": plan.max_seconds}
    if plan.spot and plan.max_wait_seconds is not None:
        made["MaxWaitTimeInSeconds"] = plan.max_wait_seconds
    return made


def _algorithm(plan: TrainingPlan) -> AlgorithmSpecificationTypeDef:
    made: AlgorithmSpecificationTypeDef = {"TrainingImage": plan.image, "TrainingInputMode": plan.input_mode}
    if plan.metrics:
        made["MetricDefinitions"] = [{"Name": name, "Regex": regex} for name, regex in plan.metrics.items()]
    return made


def _output(plan: TrainingPlan) -> OutputDataConfigTypeDef:
    made: OutputDataConfigTypeDef = {"S3OutputPath": plan.output_uri}
    if plan.kms_key is not None:
        made["KmsKeyId"] = plan.kms_key
    return made
