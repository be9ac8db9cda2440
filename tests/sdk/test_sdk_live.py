"""The real SageMaker SDK 3 takes what the adapters give, and its request reaches a fake account."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.estimator.sagemaker.requests import RECORDIO, ChannelPlan, TrainingPlan, training_request
from birdsod.testing import FakeSageMaker

SDK = os.environ.get("BIRDSOD_SDK")
pytestmark = pytest.mark.skipif(not SDK, reason="needs the SageMaker SDK: make sdk")

ROOT = Path(__file__).parents[2]
VALUES = {
    "num_classes": "5",
    "num_training_samples": "150",
    "base_network": "resnet-50",
    "early_stopping": "True",
    "lr_scheduler_step": "10,20",
    "learning_rate": "0.002",
}


def plan_in(account: FakeSageMaker) -> TrainingPlan:
    store = account.session().client("s3")
    for name in ("train", "validation"):
        store.put_object(Bucket=account.bucket, Key=f"data/{name}/{name}.rec", Body=b"records")
    return TrainingPlan(
        name="birds-1",
        image=built_in_image(account.region),
        role=account.role_arn,
        hyperparameters=VALUES,
        channels=tuple(
            ChannelPlan(name=name, uri=f"s3://{account.bucket}/data/{name}/", content_type=RECORDIO)
            for name in ("train", "validation")
        ),
        output_uri=f"s3://{account.bucket}/jobs/",
        tags={"birdsod:ledger": "0"},
    )


def started(account: FakeSageMaker, plan: TrainingPlan, folder: Path) -> dict[str, Any]:
    assert SDK is not None
    environment = {**os.environ, **account.environment(), "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    command = [SDK, "-W", "ignore", str(Path(__file__).with_name("start_by_sdk.py"))]
    done = subprocess.run(
        command, input=json.dumps(asdict(plan)), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spot": True, "max_wait_seconds": 20_000, "checkpoint_uri": "s3://bucket/checkpoints/"},
        {"subnets": ("subnet-1",), "security_groups": ("sg-1",), "encrypt_traffic": True, "instances": 2},
        {"volume_gb": 80, "max_seconds": 7200, "kms_key": "key", "volume_kms_key": "other", "input_mode": "Pipe"},
    ],
    ids=["plain", "spot", "private", "encrypted"],
)
def test_the_sdk_asks_for_what_birdsod_asks_for(changes: dict[str, Any], tmp_path: Path) -> None:
    with FakeSageMaker() as account:
        plan = replace(plan_in(account), **changes)
        found = started(account, plan, tmp_path)
        (request,) = [dict(call.request) for call in account.calls if call.operation == "CreateTrainingJob"]
        expected: dict[str, Any] = {**training_request(plan)}
        # The SDK names jobs itself.
        assert request.pop("TrainingJobName").startswith("birdsod-")
        expected.pop("TrainingJobName")
        assert request == expected
        assert {name: found["params"][name] for name in VALUES} == VALUES
        assert found["tags"] == {"birdsod:ledger": "0"}
        assert f"spot={plan.spot}" in found["settings"]
        assert f"volume_gb={plan.volume_gb}" in found["settings"]
