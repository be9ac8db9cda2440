"""Killed at any point of training, hosting or transforming, a clean-up leaves nothing, and others' things alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.dataset import synthetic_birds
from birdsod.estimator.sagemaker import Cloud, Ledger
from birdsod.estimator.sagemaker.cleanup import cleanup
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.recordio import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from birdsod.testing import FakeSageMaker

SCRIPT = Path(__file__).with_name("killed_walkthrough.py")
Walk = "Callable[[int], tuple[int, int | None]]"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    birds = synthetic_birds(tmp_path_factory.mktemp("made-up") / "birds", seed=1, classes=2, per_class=6)
    train, validation = birds.split()
    folder = tmp_path_factory.mktemp("work") / "packed"
    pack({"train": train, "validation": validation}, folder, resize=300)
    return folder


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture
def walk(fake: FakeSageMaker, packed: Path, ledger: Ledger) -> Iterator[Callable[[int], tuple[int, int | None]]]:
    """Walks through training, hosting and transforming in a child that dies at the moment asked for."""
    environment = {**os.environ, **fake.environment(), "BIRDSOD_LEDGER": str(ledger.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(packed), fake.role_arn]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        source, answers = process.stdin, process.stdout
        assert source is not None
        assert answers is not None

        def ask(fatal: int) -> tuple[int, int | None]:
            source.write(f"{fatal}\n")
            source.flush()
            code, seen = json.loads(answers.readline())
            return code, seen

        yield ask
        source.close()


def plant(fake: FakeSageMaker, tags: dict[str, str], name: str) -> None:
    """Make an endpoint with all that belongs to it, as somebody else."""
    client = fake.session().client("sagemaker")
    rows: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
    store = fake.session().client("s3")
    store.put_object(Bucket=fake.bucket, Key="foreign/model.tar.gz", Body=b"a model")
    container: Any = {
        "Image": built_in_image(fake.region),
        "ModelDataUrl": f"s3://{fake.bucket}/foreign/model.tar.gz",
    }
    client.create_model(ModelName=name, ExecutionRoleArn=fake.role_arn, PrimaryContainer=container, Tags=rows)
    variant: Any = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], Tags=rows)
    client.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=rows)


# About 90 children, each killed at another moment.
@pytest.mark.slow
def test_killed_at_any_moment_a_clean_up_leaves_nothing_of_ours_and_all_of_others(
    fake: FakeSageMaker, walk: Callable[[int], tuple[int, int | None]], ledger: Ledger, tmp_path: Path
) -> None:
    plant(fake, {"team": "wrens"}, "birdsod-20260101-000000-abcd")
    plant(fake, {"birdsod:ledger": "0f", "birdsod:caller": "arn:aws:iam::1:user/wren"}, "birdsod-of-someone-else")
    planted = fake.alive()
    assert len(planted) == 6
    code, moments = walk(0)
    assert code == 0
    assert moments is not None
    assert moments > 40
    assert fake.alive() == planted
    left_behind = set()
    for fatal in range(1, moments + 1):
        assert walk(fatal)[0] == -signal.SIGKILL
        left_behind |= {item.kind for item in fake.alive()} if fake.alive() != planted else set()
        # Every other time from a machine that has another ledger.
        own = ledger if fatal % 2 else Ledger(tmp_path / "another-machine.jsonl")
        report = cleanup(Cloud.of(fake.session()), ledger=own, poll_seconds=0)
        assert fake.alive() == planted, fatal
        assert report.failed == ()
        assert len(report.kept) == 3
        again = cleanup(Cloud.of(fake.session()), ledger=own, poll_seconds=0)
        assert (again.removed, again.failed) == ((), ())
    assert left_behind == {"training-job", "model", "endpoint-config", "endpoint", "transform-job"}
    cleanup(Cloud.of(fake.session()), ledger=ledger, poll_seconds=0)
    assert ledger.open_resources() == ()
