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

    Walk = Callable[[int], tuple[int, list[str]]]

SCRIPT = Path(__file__).with_name("killed_walkthrough.py")


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
def walk(fake: FakeSageMaker, packed: Path, ledger: Ledger) -> Iterator[Walk]:
    """Walks through training, hosting and transforming in a child that dies at the moment asked for."""
    environment = {**os.environ, **fake.environment(), "BIRDSOD_LEDGER": str(ledger.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(packed), fake.role_arn]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        source, answers = process.stdin, process.stdout
        assert source is not None
        assert answers is not None

        def ask(fatal: int) -> tuple[int, list[str]]:
            source.write(f"{fatal}\n")
            source.flush()
            code, seen = json.loads(answers.readline())
            return code, seen or []

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


def kill_at(fake: FakeSageMaker, walk: Walk, ledgers: tuple[Ledger, Ledger], choose: Callable[[str], bool]) -> set[str]:
    """Kill a child at each of the chosen moments, and clean up after each; return the kinds that were left behind."""
    plant(fake, {"team": "wrens"}, "birdsod-20260101-000000-abcd")
    plant(fake, {"birdsod:ledger": "0f", "birdsod:caller": "arn:aws:iam::1:user/wren"}, "birdsod-of-someone-else")
    planted = fake.alive()
    assert len(planted) == 6
    code, moments = walk(0)
    assert code == 0
    assert len(moments) > 40
    assert fake.alive() == planted
    left_behind = set()
    for fatal in [number for number, moment in enumerate(moments, start=1) if choose(moment)]:
        assert walk(fatal)[0] == -signal.SIGKILL
        left_behind |= {item.kind for item in set(fake.alive()) - set(planted)}
        # Every other time from a machine that has another ledger.
        own = ledgers[fatal % 4 // 2]
        report = cleanup(Cloud.of(fake.session()), ledger=own, poll_seconds=0)
        assert fake.alive() == planted, moments[fatal - 1]
        assert report.failed == ()
        assert len(report.kept) == 3
        again = cleanup(Cloud.of(fake.session()), ledger=own, poll_seconds=0)
        assert (again.removed, again.failed) == ((), ())
    cleanup(Cloud.of(fake.session()), ledger=ledgers[0], poll_seconds=0)
    assert ledgers[0].open_resources() == ()
    return left_behind


def test_killed_after_each_creation_a_clean_up_leaves_nothing_of_ours_and_all_of_others(
    fake: FakeSageMaker, walk: Walk, ledger: Ledger, tmp_path: Path
) -> None:
    ledgers = ledger, Ledger(tmp_path / "another-machine.jsonl")
    left_behind = kill_at(fake, walk, ledgers, lambda moment: moment.startswith("after-call.sagemaker.Create"))
    assert left_behind == {"training-job", "model", "endpoint-config", "endpoint", "transform-job"}


# Many children, one for each moment.
@pytest.mark.slow
def test_killed_at_any_moment_a_clean_up_leaves_nothing_of_ours_and_all_of_others(
    fake: FakeSageMaker, walk: Walk, ledger: Ledger, tmp_path: Path
) -> None:
    ledgers = ledger, Ledger(tmp_path / "another-machine.jsonl")
    left_behind = kill_at(fake, walk, ledgers, lambda _moment: True)
    assert left_behind == {"training-job", "model", "endpoint-config", "endpoint", "transform-job"}
