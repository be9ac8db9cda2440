"""Requests against the service's own model: what botocore refuses we refuse, and more, with the place."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import CloudError, MissingDependencyError, PreflightError
from birdsod.estimator.sagemaker import validation
from birdsod.estimator.sagemaker.findings import (
    FINDING_KINDS,
    Finding,
    describe,
    errors_of,
    raise_errors,
    warnings_of,
)
from birdsod.estimator.sagemaker.regions import (
    REGIONS,
    built_in_image,
    image_region,
    is_built_in,
    nearest_regions,
)
from birdsod.estimator.sagemaker.requests import RECORDIO, ChannelPlan, TrainingPlan, training_request
from birdsod.estimator.sagemaker.validation import allowed_values, request_findings

MODEL: Any = botocore.session.Session().get_service_model("sagemaker")
PLAN = TrainingPlan(
    name="birds-1",
    image=built_in_image("us-east-1"),
    role="arn:aws:iam::123456789012:role/birds",
    hyperparameters={"num_classes": "2"},
    channels=(ChannelPlan(name="train", uri="s3://birds/train/", content_type=RECORDIO),),
    output_uri="s3://birds/jobs/",
    tags={"Vögel": "drei & mehr".replace("&", "+")},
)


def request(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {**training_request(PLAN), **changes}
    return {name: value for name, value in made.items() if value is not ...}


def told(**changes: Any) -> list[str]:
    found = request_findings("CreateTrainingJob", request(**changes))
    assert all(finding.kind == "bad-request" and finding.severity == "error" and finding.cure for finding in found)
    return [finding.message for finding in found]


def test_a_fine_request_has_no_finding() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TrainingJobName": ...}, "TrainingJobName must be given"),
        ({"TrainingJobNam": "x"}, "TrainingJobNam is unknown to the service"),
        ({"TrainingJobName": 3}, "TrainingJobName must be a text"),
        ({"TrainingJobName": ""}, "TrainingJobName has 0 characters, at least 1 are needed"),
        ({"TrainingJobName": "b" * 64}, "TrainingJobName has 64 characters, at most 63 are taken"),
        ({"RoleArn": "arn:aws:iam::12:user/somebody"}, "RoleArn does not have the form that the service takes, "),
        ({"Tags": "none"}, "Tags must be a list"),
        ({"Tags": [{"Key": "a", "Value": "b"}] * 51}, "Tags has 51 entries, at most 50 are taken"),
        ({"Tags": [{"Key": "a"}]}, "Tags[0].Value must be given"),
        ({"Tags": [{"Key": "a|b", "Value": ""}]}, "Tags[0].Key does not have the form that the service takes, "),
        ({"HyperParameters": ["a"]}, "HyperParameters must be a mapping"),
        ({"HyperParameters": {"a": 1}}, "HyperParameters.a must be a text"),
        ({"HyperParameters": {1: "a"}}, "the key of HyperParameters.1 must be a text"),
        ({"HyperParameters": {"a": "b" * 2501}}, "HyperParameters.a has 2501 characters, at most 2500 are taken"),
        (
            {"HyperParameters": {"k" * 257: "b"}},
            f"the key of HyperParameters.{'k' * 40} has 257 characters, at most 256 are taken",
        ),
        (
            {"HyperParameters": {str(n): "b" for n in range(101)}},
            "HyperParameters has 101 entries, at most 100 are taken",
        ),
        ({"EnableManagedSpotTraining": 1}, "EnableManagedSpotTraining must be True or False"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "StoppingCondition.MaxRuntimeInSeconds is below 1"),
        (
            {"StoppingCondition": {"MaxPendingTimeInSeconds": 9_999_999}},
            "StoppingCondition.MaxPendingTimeInSeconds is above 2419200",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": True}},
            "StoppingCondition.MaxRuntimeInSeconds must be a whole ",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.g4dn.xlagre", "InstanceCount": 1, "VolumeSizeInGB": 5}},
            "ResourceConfig.InstanceType is none of the values that the service takes",
        ),
    ],
)
def test_each_fault_is_told_with_its_place(changes: dict[str, Any], message: str) -> None:
    (found,) = told(**changes)
    assert found.startswith(message)


def test_near_names_and_values_are_in_the_cure() -> None:
    unknown, instance = request_findings(
        "CreateTrainingJob",
        request(Tag=[], ResourceConfig={"InstanceType": "ml.g4dn.xlagre", "InstanceCount": 1, "VolumeSizeInGB": 5}),
    )[::-1]
    assert "Tags" in str(unknown.cure)
    assert "ml.g4dn.xlarge" in str(instance.cure)
    (strange,) = request_findings("DeleteEndpoint", {"EndpointName": "e", "Zzz": 1})
    assert strange.cure == "leave it out"


def test_of_a_union_exactly_one_member_is_taken() -> None:
    shape = next(
        MODEL.shape_for(name) for name in MODEL.shape_names if getattr(MODEL.shape_for(name), "is_tagged_union", False)
    )
    (found,) = validation._faults(shape, {}, "Source")
    assert found.message == "Source must have exactly one member"


def test_numbers_times_and_bytes_are_told_apart() -> None:
    metrics = {"Timestamp": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "MetricName": "m", "Value": 1, "Step": 1}
    batch = {"TrialComponentName": "t", "MetricData": [metrics]}
    assert request_findings("BatchPutMetrics", batch, service="sagemaker-metrics") == ()
    wrong = {**batch, "MetricData": [{**metrics, "Value": "high", "Timestamp": [1]}]}
    found = request_findings("BatchPutMetrics", wrong, service="sagemaker-metrics")
    assert {finding.message for finding in found} == {
        "MetricData[0].Value must be a number",
        "MetricData[0].Timestamp must be a time",
    }
    runtime = {"EndpointName": "e", "Body": 3}
    (body,) = request_findings("InvokeEndpoint", runtime, service="sagemaker-runtime")
    assert body.message == "Body must be bytes"


def test_documents_may_be_anything() -> None:
    class Shape:
        type_name = "document"

    assert list(validation._faults(Shape(), object(), "x")) == []


def test_patterns_that_python_cannot_say_are_passed_over() -> None:
    assert validation._fits(r"[\p{Greek}]+", "abc")
    assert not validation._fits(r"[\p{L}]+", "a|b")


def test_long_values_are_shortened() -> None:
    (found,) = request_findings("DeleteEndpoint", {"EndpointName": "_" + "b" * 300})
    assert len(str(found.value)) == 80


def test_an_unknown_operation_is_an_error() -> None:
    with pytest.raises(ValueError, match="no operation CreateBird"):
        request_findings("CreateBird", {})


def test_without_boto3_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    validation._model.cache_clear()
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(MissingDependencyError, match="birdsod\\[cloud\\]"):
        request_findings("DeleteEndpoint", {"EndpointName": "e"})


def test_allowed_values_are_those_of_the_model() -> None:
    assert "ml.m5.large" in allowed_values("CreateEndpointConfig", "ProductionVariants", "InstanceType")
    assert allowed_values("CreateEndpointConfig", "EndpointConfigName") == ()


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["InstanceType", "S3Uri", "Key", "Value", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*request(), "Unknown"]), values, max_size=4), st.booleans())
def test_what_botocore_refuses_is_refused(changes: dict[str, Any], whole: bool) -> None:
    asked = {**request(), **changes} if whole else changes
    report: Any = ParamValidator().validate(asked, MODEL.operation_model("CreateTrainingJob").input_shape)
    if report.has_errors():
        assert request_findings("CreateTrainingJob", asked)


# Findings


def test_findings_are_described_errors_first() -> None:
    doubt = Finding("schedule", "it never comes", "warning", 3, "a slip", "mend it")
    fault = Finding("role-missing", "no such role")
    text = describe([doubt, fault]).splitlines()
    assert text == [
        "error: role-missing: no such role.",
        "warning: schedule: it never comes (got 3). Likely cause: a slip. Cure: mend it.",
        "1 error, 1 warning",
    ]
    assert describe(()) == "nothing found: ready to run"
    assert (errors_of([doubt, fault]), warnings_of([doubt, fault])) == ((fault,), (doubt,))


def test_errors_are_raised_all_at_once_and_warnings_not() -> None:
    raise_errors([Finding("schedule", "it never comes", "warning")])
    with pytest.raises(PreflightError) as caught:
        raise_errors([Finding("role-missing", "no such role", cure="give one"), Finding("cpu-instance", "no GPU")])
    assert caught.value.value == ["role-missing", "cpu-instance"]
    assert "2 faults found" in str(caught.value)
    assert "no such role. Cure: give one." in str(caught.value)


def test_values_that_json_does_not_know_are_told_as_text() -> None:
    assert Finding("bad-box", "m", value=[0.1]).to_dict()["value"] == "[0.1]"
    assert Finding("bad-box", "m", value=3).to_dict()["value"] == 3
    assert all(FINDING_KINDS.values())


# Regions


def test_there_are_37_regions_each_with_an_image_of_its_own() -> None:
    images = [built_in_image(region) for region in REGIONS]
    assert len(set(images)) == 37
    assert all(map(is_built_in, images))
    assert [image_region(image) for image in images] == list(REGIONS)
    assert len({image.split(".")[0] for image in images}) == 37


@pytest.mark.parametrize(
    ("region", "image"),
    [
        ("us-east-1", "811284229777.dkr.ecr.us-east-1.amazonaws.com/object-detection:1"),
        ("cn-north-1", "390948362332.dkr.ecr.cn-north-1.amazonaws.com.cn/object-detection:1"),
        ("us-gov-west-1", "226302683700.dkr.ecr.us-gov-west-1.amazonaws.com/object-detection:1"),
        ("us-iso-east-1", "490574956308.dkr.ecr.us-iso-east-1.c2s.ic.gov/object-detection:1"),
        ("us-isob-east-1", "765400339828.dkr.ecr.us-isob-east-1.sc2s.sgov.gov/object-detection:1"),
        ("us-isof-south-1", "124985052026.dkr.ecr.us-isof-south-1.csp.hci.ic.gov/object-detection:1"),
    ],
)
def test_suffixes_follow_the_partition(region: str, image: str) -> None:
    assert built_in_image(region) == image


@pytest.mark.parametrize(
    ("region", "nearest"),
    [
        ("ap-southeast-5", "ap-southeast-1"),
        ("ap-southeast-6", "ap-southeast-2"),
        ("ap-southeast-7", "ap-southeast-1"),
        ("ap-east-2", "ap-east-1"),
        ("eu-west-1", "eu-west-2"),
        ("eu-west-9", "eu-west-1"),
        ("cn-east-7", "cn-north-1"),
    ],
)
def test_the_nearest_regions_are_of_the_same_part(region: str, nearest: str) -> None:
    assert nearest_regions(region)[0] == nearest


def test_a_region_without_the_algorithm_names_its_neighbours() -> None:
    with pytest.raises(CloudError, match="use us-west-1") as caught:
        built_in_image("mx-central-1")
    assert caught.value.value == "mx-central-1"


@pytest.mark.parametrize("image", ["birds", "811284229777.dkr.ecr.us-east-1.amazonaws.com/blazingtext:1", ""])
def test_other_images_are_not_the_built_in_one(image: str) -> None:
    assert not is_built_in(image)
