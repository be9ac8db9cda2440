"""``birdsod merge``, and ``birdsod verify`` of all that was packed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import birdsod as bd
from birdsod.cli._app import app
from birdsod.dataset import synthetic_birds
from birdsod.errors import RecordError, TrainingError
from birdsod.estimator.sagemaker.inputs import inputs_of
from birdsod.recordio import Packed, Sharded
from birdsod.testing import FakeSageMaker

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merge")
    birds = synthetic_birds(folder / "birds", seed=3, classes=2, per_class=4)
    train, validation = birds.split(seed=0)
    bd.pack({"train": train, "validation": validation}, folder / "shards", resize=40, shards=2)
    return folder / "shards"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="birdsod")


def test_shards_become_one_file_a_channel(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("merge", shards, "--out", out)
    assert result.stdout.splitlines() == [f"{out / name}.rec: 4 records" for name in ("train", "validation")]
    packed = Packed.open(out, verify=True)
    again = run("merge", shards, "--out", out)
    assert again.exit_code == 1
    assert "the file exists already. Cure: pass --overwrite, or choose another name." in again.stderr
    assert run("merge", shards, "--out", out, "--overwrite", "--no-verify").exit_code == 0
    assert Packed.open(out, verify=True) == packed


def test_within_the_store(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("merge", shards, "--out", tmp_path)
    with FakeSageMaker() as fake:
        s3 = fake.session().client("s3")
        for path in shards.iterdir():
            s3.upload_file(str(path), fake.bucket, f"in/{path.name}")
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        home = f"s3://{fake.bucket}"
        result = run("merge", f"{home}/in", "--out", f"{home}/out", "--region", "us-east-1")
        assert result.stdout.splitlines() == [f"{home}/out/{name}.rec: 4 records" for name in ("train", "validation")]
        for path in tmp_path.iterdir():
            assert s3.get_object(Bucket=fake.bucket, Key=f"out/{path.name}")["Body"].read() == path.read_bytes()
        mixed = run("merge", f"{home}/in", "--out", tmp_path / "here")
    assert mixed.exit_code == 1
    assert "shards are merged within folders or within the store" in mixed.stderr


def test_verify_takes_a_folder(shards: Path, tmp_path: Path) -> None:
    result = run("verify", shards)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith(f"{shards}: 8 records, 0 errors, 0 warnings, ")
    whole = run("merge", shards, "--out", tmp_path)
    assert whole.exit_code == 0
    (tmp_path / "train.idx").unlink()
    result = run("verify", tmp_path / "packed.json")
    assert result.exit_code == 1
    assert f"{tmp_path / 'train.idx'}: error: file-missing" in result.stdout
    result = run("verify", tmp_path, "--index", tmp_path / "validation.idx")
    assert (result.exit_code, "an index is that of one record file" in result.stderr) == (1, True)


def test_whoever_trains_on_shards_is_told_to_merge(shards: Path) -> None:
    with pytest.raises(TrainingError, match="these are shards") as told:
        inputs_of(Sharded.open(shards), input_mode="File", classes_channel=False)
    assert "birdsod.recordio.merge" in str(told.value.cure)
    with pytest.raises(RecordError, match=r"there is no packed\.json") as caught:
        Packed.open(shards)
    assert (caught.value.cause, "birdsod merge" in str(caught.value.cure)) == ("the folder holds shards", True)


def test_so_is_whoever_trains_on_them_here(shards: Path, tmp_path: Path) -> None:
    data: Any = Sharded.open(shards)
    # What the hyperparameters are made of, shards know as well.
    params = bd.Hyperparameters.for_data(data, base_network="efficientnet-lite0")
    assert params.num_training_samples == 4
    with pytest.raises(TrainingError, match="these are shards"):
        bd.LocalEstimator(params, tmp_path).fit(data)
