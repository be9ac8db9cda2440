"""Requests held against botocore's model of the service, without HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.testing._fake_sagemaker.errors import ServiceError
from birdsod.testing._fake_sagemaker.front import OPERATIONS
from birdsod.testing._fake_sagemaker.shapes import check_request, compiled, service_model

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model/birds"


def refusal(operation: str, request: dict[str, Any]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        check_request("sagemaker", operation, request)
    return caught.value


@pytest.mark.parametrize(
    ("operation", "request_", "said"),
    [
        ("DescribeTrainingJob", {}, "Value null at 'trainingJobName' failed to satisfy constraint: Member must not be"),
        ("DescribeTrainingJob", {"TrainingJobName": None}, "must not be null"),
        ("DescribeTrainingJob", {"TrainingJobName": "a", "Nothing": 1}, "Unknown member 'nothing', must be one of"),
        ("DescribeTrainingJob", {"TrainingJobName": "a_b"}, "regular expression pattern"),
        ("ListTrainingJobs", {"MaxResults": 101}, "value less than or equal to 100"),
        ("ListTrainingJobs", {"StatusEquals": "Running"}, "enum value set: [InProgress, Completed"),
        ("DeleteTags", {"ResourceArn": ARN, "TagKeys": []}, "length greater than or equal to 1"),
        ("DeleteTags", {"ResourceArn": ARN, "TagKeys": ["a", ""]}, "'tagKeys.2.member'"),
        ("AddTags", {"ResourceArn": ARN, "Tags": [{"Key": "a"}]}, "'tags.1.member.value'"),
        ("CreateModel", {"ModelName": "a", "PrimaryContainer": {"Environment": {"a b": "c"}}}, "environment.key"),
    ],
)
def test_what_does_not_fit_is_named(operation: str, request_: dict[str, Any], said: str) -> None:
    error = refusal(operation, request_)
    assert error.code == "ValidationException"
    assert said in error.message


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("DescribeTrainingJob", {"TrainingJobName": 1}),
        ("ListTrainingJobs", {"MaxResults": "1"}),
        ("ListTrainingJobs", {"MaxResults": True}),
        ("ListTrainingJobs", {"CreationTimeAfter": "yesterday"}),
        ("AddTags", {"ResourceArn": ARN, "Tags": {}}),
    ],
)
def test_another_type_does_not_fit(operation: str, request_: dict[str, Any]) -> None:
    assert refusal(operation, request_).code == "SerializationException"


def test_all_problems_are_told_at_once() -> None:
    error = refusal("DescribeTrainingJob", {"TrainingJobName": "_" * 64})
    assert error.message.startswith("2 validation errors detected: ")


def patterns(shape: Any, seen: set[str]) -> Iterator[str]:
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    if "pattern" in shape.metadata:
        yield shape.metadata["pattern"]
    if shape.type_name == "structure":
        inner = list(shape.members.values())
    elif shape.type_name == "list":
        inner = [shape.member]
    else:
        inner = [shape.key, shape.value] if shape.type_name == "map" else []
    for member in inner:
        yield from patterns(member, seen)


def test_every_pattern_of_what_is_served_can_be_held_against() -> None:
    found = [
        pattern
        for service, operations in OPERATIONS.items()
        for operation in operations
        for pattern in patterns(service_model(service).operation_model(operation).input_shape, set())
    ]
    assert len(found) > 100
    for pattern in found:
        assert isinstance(compiled(pattern), re.Pattern)


def test_every_operation_that_is_served_is_one_of_the_service() -> None:
    for service, operations in OPERATIONS.items():
        assert set(operations) <= set(service_model(service).operation_names)
