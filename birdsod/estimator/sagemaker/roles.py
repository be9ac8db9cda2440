"""The role that jobs run as: given, or found as the SageMaker SDK finds it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.faults import asking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["find_role"]

# Where notebook instances and Studio spaces tell what they are.
METADATA = Path("/opt/ml/metadata/resource-metadata.json")
_CURE = "pass role= the name or ARN of an execution role, such as 'arn:aws:iam::123456789012:role/SageMakerRole'"
_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_NAME = re.compile(r"[\w+=,.@-]{1,64}")
_ASSUMED = re.compile(r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/]+)/.+")
_SIGNED_ON = "AWSReservedSSO_"
_EXECUTION = "AmazonSageMaker-ExecutionRole"


def find_role(cloud: Cloud, given: str | None) -> str:
    """Return the ARN of the role that jobs run as; see :meth:`Cloud.find_role`."""
    if given is not None:
        return _given(cloud, given)
    found = _of_notebook(cloud)
    return found or _of_caller(cloud)


def _given(cloud: Cloud, given: str) -> str:
    if _ARN.fullmatch(given):
        return given
    if _NAME.fullmatch(given) is None:
        raise CloudError("this is neither a role's name nor its ARN", value=given, cure=_CURE)
    try:
        return _arn_of(cloud, given)
    except CloudError as error:
        error.cure = _CURE
        raise


def _arn_of(cloud: Cloud, name: str) -> str:
    with asking("look up the role", resource=name):
        # Roles have paths, which their sessions do not tell.
        return cloud.iam.get_role(RoleName=name)["Role"]["Arn"]


def _of_notebook(cloud: Cloud) -> str | None:
    """Return the role of the notebook instance or Studio space that this runs in."""
    try:
        told = json.loads(METADATA.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(told, dict):
        return None
    if told.get("ExecutionRoleArn"):
        return str(told["ExecutionRoleArn"])
    with asking("find the role of this notebook"):
        if told.get("DomainId"):
            return _of_studio(cloud, told)
        if told.get("ResourceName"):
            return cloud.sagemaker.describe_notebook_instance(NotebookInstanceName=str(told["ResourceName"]))["RoleArn"]
    return None


def _of_studio(cloud: Cloud, told: Mapping[str, Any]) -> str | None:
    domain = str(told["DomainId"])
    if told.get("UserProfileName"):
        name = str(told["UserProfileName"])
        profile = cloud.sagemaker.describe_user_profile(DomainId=domain, UserProfileName=name)
        role = profile.get("UserSettings", {}).get("ExecutionRole")
        if role:
            return role
    settings = cloud.sagemaker.describe_domain(DomainId=domain)
    shared = settings.get("DefaultSpaceSettings", {}).get("ExecutionRole") if told.get("SpaceName") else None
    return shared or settings.get("DefaultUserSettings", {}).get("ExecutionRole")


def _of_caller(cloud: Cloud) -> str:
    found = _ASSUMED.fullmatch(cloud.caller)
    if found is None:
        cause = "you are signed in as a user, and jobs run as a role"
        raise CloudError("there is no role for the job", value=cloud.caller, cause=cause, cure=_CURE)
    name = found["name"]
    try:
        return _arn_of(cloud, name)
    except CloudError as error:
        if name.startswith(_SIGNED_ON):
            cause = "a role of single sign-on has a path that only iam:GetRole tells"
            message = "the path of your own role is not known"
            raise CloudError(message, value=name, cause=cause, cure=_CURE) from error
    # What may not look itself up has, nearly always, the path that its maker gives.
    folder = "service-role/" if name.startswith(_EXECUTION) else ""
    return f"arn:{found['partition']}:iam::{found['account']}:role/{folder}{name}"
