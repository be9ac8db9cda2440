"""The program train, as SageMaker runs it: a process, a folder, a signal."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from birdsod import training_log
from birdsod.ssd import load_model, read_artifact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.recordio import Packed
    from tests.container.conftest import Laid

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, packed: Packed) -> tuple[Laid, str]:
    """Train without an interruption; return the folder and what the program said."""
    from tests.container.conftest import Laid

    laid = Laid(tmp_path_factory.mktemp("straight") / "ml", packed).both()
    code, said, complained = laid.run("train")
    assert (code, complained) == (0, "")
    return laid, said


def weights(folder: Path) -> Mapping[str, npt.NDArray[Any]]:
    return read_artifact(folder).tensors


def test_a_trained_model_is_left_as_plain_files(straight: tuple[Laid, str]) -> None:
    laid, _ = straight
    tree = laid.tree
    assert {path.name for path in tree.model.iterdir()} == {"model.safetensors", "hyperparams.json", "classes.json"}
    assert not tree.failure.exists()
    model = load_model(tree.model)
    assert model.classes == laid.packed.class_table
    with laid.packed.channels["validation"].open() as reader:
        assert len(model.predict(reader[0].image).confidence)


def test_the_log_is_that_of_the_built_in_algorithm(straight: tuple[Laid, str]) -> None:
    laid, said = straight
    lines = said.splitlines()
    frame = training_log.to_frame(lines)
    assert frame["epoch"].tolist() == [0, 1, 2]
    assert frame[["cross_entropy", "smooth_l1", "map", "throughput"]].notna().all(axis=None)
    assert any("Setting: updates = 3 (local option)" in line for line in lines)
    assert any(f'Saved checkpoint to "{laid.tree.checkpoints}/state.safetensors"' in line for line in lines)
    assert lines[-1].endswith(f"Wrote the model to {laid.tree.model}")


def test_told_to_stop_it_leaves_a_model_and_goes_on_to_the_same_weights(laid: Laid, straight: tuple[Laid, str]) -> None:
    process = laid.both().start("train")
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "#quality_metric" in line:
            process.send_signal(signal.SIGTERM)
            break
    rest, complained = process.communicate()
    assert (process.returncode, complained) == (0, "")
    assert "this is the model of what was learned so far" in rest
    early = read_artifact(laid.tree.model)
    assert early.hyperparameters["_birdsod_stopped_after_update"] in {"1", "2"}
    assert load_model(laid.tree.model).classes == laid.packed.class_table
    code, said_later, _ = laid.run("train")
    assert code == 0
    assert "Going on after update" in said_later
    whole, reference = weights(laid.tree.model), weights(straight[0].tree.model)
    assert whole.keys() == reference.keys()
    assert all((whole[name] == reference[name]).all() for name in whole)
    assert "_birdsod_stopped_after_update" not in read_artifact(laid.tree.model).hyperparameters


def test_a_missing_channel_is_told_where_sagemaker_looks(laid: Laid) -> None:
    laid.channel("train", laid.packed.channels["train"].rec)
    code, said, complained = laid.run("train")
    assert (code, complained) == (1, "")
    reason = laid.tree.failure.read_text()
    assert reason.startswith(f"{laid.tree.data}: no channel validation (got ['train'])")
    assert said.splitlines()[-1].endswith(f"Customer Error: {reason}")
    assert not laid.tree.model.exists()


def test_a_full_disk_is_told_as_such(laid: Laid) -> None:
    # No file may grow above 8 MB, as if that were all that the disk has left.
    code, _, _ = laid.both().run("train", before=["bash", "-c", 'ulimit -f 8000; exec "$@"', "bash"])
    assert code == 1
    assert "the disk is full" in laid.tree.failure.read_text()
    assert "volume_gb" in laid.tree.failure.read_text()
    assert list(laid.tree.checkpoints.iterdir()) == []
