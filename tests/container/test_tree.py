"""What SageMaker tells a container of its job and machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from birdsod.container import Hosts, Tree
from birdsod.container.__main__ import main
from birdsod.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.container.conftest import Laid


def test_the_folder_is_that_of_sagemaker_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Tree.find().root.as_posix() == "/opt/ml"
    monkeypatch.setenv("BIRDSOD_OPT_ML", str(tmp_path))
    assert Tree.find().root == tmp_path
    assert Tree.find(tmp_path / "other").root == tmp_path / "other"


def test_a_program_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there are no hyperparameters"),
        ("[]", "the file does not hold names with values"),
        ("{", "the file cannot be read"),
        ('{"epochs": 3}', "the hyperparameter epochs is no text"),
    ],
)
def test_hyperparameters_that_are_none_fail_the_job(laid: Laid, content: str | None, message: str) -> None:
    laid.tree.hyperparameters.unlink()
    if content is not None:
        laid.tree.hyperparameters.write_text(content)
    assert main(["train", "--root", str(laid.tree.root)]) == 1
    assert laid.tree.failure.read_text().startswith(f"{laid.tree.hyperparameters}: {message}")


def test_machines_are_counted_in_the_order_of_their_names(laid: Laid) -> None:
    told = {"current_host": "algo-2", "hosts": ["algo-2", "algo-10", "algo-1"], "network_interface_name": "eth0"}
    laid.tell(laid.tree.resources, told)
    hosts = Hosts.of(laid.tree)
    assert (hosts.names, hosts.leader, hosts.rank, len(hosts)) == (("algo-1", "algo-10", "algo-2"), "algo-1", 2, 3)
    assert hosts.interface == "eth0"


def test_where_nobody_tells_of_machines_there_is_one(laid: Laid) -> None:
    hosts = Hosts.of(laid.tree)
    assert (len(hosts), hosts.rank, hosts.interface) == (1, 0, None)


@pytest.mark.parametrize(
    "told",
    [
        {"current_host": "algo-3", "hosts": ["algo-1", "algo-2"]},
        {"current_host": "algo-1", "hosts": "algo-1"},
        {"current_host": 1, "hosts": [1]},
    ],
)
def test_a_machine_that_is_not_of_the_job_is_refused(laid: Laid, told: dict[str, Any]) -> None:
    laid.tell(laid.tree.resources, told)
    with pytest.raises(TrainingError, match="not among the machines"):
        Hosts.of(laid.tree)
