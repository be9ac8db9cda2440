"""``birdsod pack`` into shards, one by one, and on after a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from birdsod.cli._app import app
from birdsod.recordio import Sharded, _image_work

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from birdsod.dataset import synthetic_birds

    folder = tmp_path_factory.mktemp("made-up")
    synthetic_birds(folder, seed=3, classes=2, per_class=4)
    return folder


def run(birds: Path, *arguments: object) -> Any:
    given = ["pack", "--data", birds, "--resize", 40, *arguments]
    return CliRunner().invoke(app, [str(argument) for argument in given], prog_name="birdsod")


def test_shards_and_those_of_an_array_are_the_same(birds: Path, tmp_path: Path) -> None:
    result = run(birds, "--out", tmp_path / "all", "--shards", 2)
    assert result.stdout.splitlines() == [
        f"{tmp_path / 'all' / name}, 2 shards: 4 records" for name in ("train", "validation")
    ]
    for index in range(2):
        result = run(birds, "--out", tmp_path / "array", "--shard", f"{index}/2")
        assert f"{tmp_path / 'array' / 'train'}, 1 of 2 shards: 2 records" in result.stdout.splitlines()
    whole, array = (Sharded.open(tmp_path / name, verify=True) for name in ("all", "array"))
    for name, channel in whole.channels.items():
        found = array.channels[name]
        assert [shard.sha256 for shard in found.shards] == [shard.sha256 for shard in channel.shards]


def test_shards_of_a_size(birds: Path, tmp_path: Path) -> None:
    result = run(birds, "--out", tmp_path, "--shards", "1GiB")
    assert f"{tmp_path / 'train'}, 1 shard: 4 records" in result.stdout.splitlines()


def test_resume_goes_on(birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_image_work, "_encoded", stopped)
        assert run(birds, "--out", tmp_path, "--resume").exit_code == 130
    result = run(birds, "--out", tmp_path, "--resume", "--quality", 80)
    assert result.exit_code == 1
    assert "Cure: pack with quality=95, or leave out --resume to pack from the start." in result.stderr
    assert run(birds, "--out", tmp_path, "--resume").exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "packed.json",
        *(f"{name}.{ending}" for name in ("train", "validation") for ending in ("lst", "rec", "idx")),
    }


@pytest.mark.parametrize("shard", ["3", "3/", "a/b", "/16", "-1/4", "1/2/3"])
def test_a_shard_is_a_number_of_many(birds: Path, tmp_path: Path, shard: str) -> None:
    result = run(birds, "--out", tmp_path / "out", "--shard", shard)
    assert result.exit_code == 2
    assert "is not like 3/16" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--shard", "2/2"],
            "0 to 1 (got 2). Cure: give the shard counted from 0 and the number of shards, such as 3/16.",
        ),
        (["--shard", "1/2", "--shards", "2"], "Cure: leave --shards out: --shard names their number."),
        (["--shards", "many"], "unknown size of shards (got 'many')"),
        (["--shards", "0"], "the number of shards is out of range (got 0)"),
        (["--shards", "5"], "channel 'train' has 4 images, which cannot fill 5 shards"),
    ],
)
def test_what_cannot_be_is_told_in_options(birds: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    result = run(birds, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--shards", "2"], ["--shard", "0/2"], ["--resume"]])
def test_a_list_has_none_of_them(tmp_path: Path, option: list[str]) -> None:
    arguments = ["pack", "--lst", "x", "--root", "y", "--out", str(tmp_path / "a.rec"), *option]
    result = CliRunner().invoke(app, arguments, prog_name="birdsod")
    assert result.exit_code == 2
    assert "go with --data" in result.stderr
