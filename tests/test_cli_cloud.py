"""The commands that use the cloud, against a fake account over real HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from birdsod.cli._app import app
from birdsod.testing import FakeSageMaker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAST = ["--poll-seconds", "0"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import birdsod as bd

    folder = tmp_path_factory.mktemp("packed")
    birds = bd.synthetic_birds(folder / "birds", seed=3, classes=2, per_class=8)
    train, validation = birds.split()
    bd.pack({"train": train, "validation": validation}, folder / "work", resize=300)
    return folder / "work"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSageMaker]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("BIRDSOD_LEDGER", raising=False)
    with FakeSageMaker() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="birdsod")


def settings(account: FakeSageMaker) -> list[str]:
    return ["--bucket", account.bucket, "--role", account.role_arn, "--set", "mini_batch_size=8"]


def train(account: FakeSageMaker, packed: Path, *more: object) -> Any:
    return run("train", packed, "--engine", "sagemaker", *settings(account), *FAST, *more)


@pytest.fixture
def job(account: FakeSageMaker, packed: Path) -> str:
    result = train(account, packed)
    assert result.exit_code == 0, result.output
    return str(result.stdout.splitlines()[-1].partition(":")[0])


def test_what_a_job_may_cost_is_told_once(account: FakeSageMaker, packed: Path) -> None:
    told = train(account, packed)
    assert told.output.count("training on ml.g4dn.xlarge in us-east-1") == 1


@pytest.mark.parametrize("command", ["check", "status", "logs", "deploy", "cleanup"])
def test_every_command_has_help(command: str) -> None:
    assert command in run("--help").stdout
    result = run(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_job_is_trained_watched_hosted_asked_and_cleaned_up(
    account: FakeSageMaker, job: str, packed: Path, tmp_path: Path
) -> None:
    told = run("status", job)
    assert told.exit_code == 0
    assert "Completed" in told.stdout
    assert "cross_entropy" in told.stdout
    facts = json.loads(run("status", job, "--json").stdout)
    assert facts["status"] == "Completed"
    assert [epoch["epoch"] for epoch in facts["epochs"]] == sorted(epoch["epoch"] for epoch in facts["epochs"])
    lines = run("logs", job).stdout.splitlines()
    assert any("validation mAP" in line for line in lines)
    assert run("logs", job, "--follow", *FAST).stdout.splitlines()[-1] == "Completed"

    deployed = run("deploy", job, *FAST)
    assert "hosting on ml.m5.large" in deployed.stderr
    endpoint = deployed.stdout.strip()
    assert {each.kind for each in account.alive()} == {"endpoint", "endpoint-config", "model"}
    account.script_predictions([[1, 0.9, 0.1, 0.1, 0.5, 0.5], [0, 0.1, 0.0, 0.0, 1.0, 1.0]])
    photograph = next((packed.parent / "birds").rglob("*.jpg"))
    found = run("predict", "--endpoint", endpoint, photograph, "--json")
    (row,) = [json.loads(line) for line in found.stdout.splitlines()]
    assert (row["class_id"], row["confidence"]) == (1, 0.9)

    listed = run("cleanup", "--dry-run", *FAST)
    assert endpoint in listed.stdout
    assert len(account.alive()) == 3
    assert run("cleanup", "--older-than", "2h", *FAST).exit_code == 0
    assert len(account.alive()) == 3
    # From another machine: the ledger is not here, the tags are.
    assert run("cleanup", "--ledger", tmp_path / "other.jsonl", *FAST).exit_code == 0
    assert account.alive() == []
    assert "nothing" in run("cleanup", *FAST).stdout


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_serverless_endpoint(account: FakeSageMaker, job: str) -> None:
    assert run("deploy", job, "--serverless-memory-mb", "2048", *FAST).exit_code == 0
    (config,) = [call.request for call in account.calls if call.operation == "CreateEndpointConfig"]
    assert config["ProductionVariants"][0]["ServerlessConfig"]["MemorySizeInMB"] == 2048
    assert run("cleanup", *FAST).exit_code == 0
    assert account.alive() == []


def test_a_dry_run_prints_the_requests_and_creates_nothing(account: FakeSageMaker, packed: Path) -> None:
    result = train(account, packed, "--dry-run", "--option", "spot=true", "--epochs", "3")
    assert result.exit_code == 0
    request = json.loads(result.stdout)["CreateTrainingJob"]
    assert request["EnableManagedSpotTraining"] is True
    assert request["HyperParameters"]["epochs"] == "3"
    assert request["HyperParameters"]["base_network"] == "resnet-50"
    assert not [call for call in account.calls if call.operation.startswith("Create")]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_job_need_not_be_waited_for(account: FakeSageMaker, packed: Path) -> None:
    result = train(account, packed, "--no-wait")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].endswith(": InProgress")
    assert [each.kind for each in account.alive()] == ["training-job"]
    assert run("cleanup", *FAST).exit_code == 0
    assert account.alive() == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_job_that_has_measured_nothing_yet_is_told_without_a_table(account: FakeSageMaker, packed: Path) -> None:
    account.script_training(states=["Starting"])
    name = train(account, packed, "--no-wait").stdout.splitlines()[-1].partition(":")[0]
    told = run("status", name)
    assert told.exit_code == 0
    facts = [line.split() for line in told.stdout.splitlines()]
    assert facts == [["name", name], ["status", "InProgress"]]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_job_that_fails_is_1_with_its_reason(account: FakeSageMaker, packed: Path) -> None:
    account.script_training(failure="AlgorithmError: label_width is too small")
    result = train(account, packed)
    assert result.exit_code == 1
    assert "label_width is too small" in result.stderr


def test_check_tells_what_would_fail(account: FakeSageMaker, packed: Path) -> None:
    good = run("check", packed, *settings(account))
    assert good.exit_code == 0, good.output
    bad = run("check", packed, *settings(account), "--option", "instance_type=ml.p2.xlarge", "--json")
    assert bad.exit_code == 1
    told = json.loads(bad.stdout)
    assert any(finding["severity"] == "error" for finding in told["findings"])
    assert "what" in told["estimate"]
    assert not [call for call in account.calls if call.operation.startswith("Create")]


def test_an_own_container_takes_the_network_of_this_machine(account: FakeSageMaker, packed: Path) -> None:
    image = f"{account.account}.dkr.ecr.{account.region}.amazonaws.com/birdsod:1"
    result = train(account, packed, "--dry-run", "--image", image)
    assert json.loads(result.stdout)["CreateTrainingJob"]["HyperParameters"]["base_network"] == "efficientnet-lite0"


def test_the_region_can_be_named(account: FakeSageMaker) -> None:
    result = run("status", "no-such-job", "--region", account.region)
    assert result.exit_code == 1
    assert "no-such-job" in result.stderr
    result = run("status", "no-such-job", "--profile", "nobody")
    assert result.exit_code == 1
    assert "nobody" in result.stderr


def test_what_cannot_be_taken_down_is_1(account: FakeSageMaker, job: str) -> None:
    assert run("deploy", job, *FAST).exit_code == 0
    account.fail("DeleteModel", "AccessDeniedException", "not yours", times=100)
    result = run("cleanup", *FAST)
    assert result.exit_code == 1
    assert "not yours" in result.stdout


def test_images_are_needed() -> None:
    assert run("predict", "model.tar.gz").exit_code == 2


def test_hosting_may_be_refused_for_what_it_would_cost(account: FakeSageMaker, job: str) -> None:
    unknown = run("deploy", job, "--hours", "2", "--max-cost", "1", *FAST)
    assert unknown.exit_code == 1
    assert "the price is not known" in unknown.stderr
    endless = run("deploy", job, "--instance-type", "ml.m5.xlarge", "--max-cost", "1", *FAST)
    assert endless.exit_code == 1
    assert "nothing limits the time" in endless.stderr
    dear = run("deploy", job, "--instance-type", "ml.m5.xlarge", "--hours", "100", "--max-cost", "1", *FAST)
    assert dear.exit_code == 1
    assert "this may cost" in dear.stderr
    assert account.alive() == []
