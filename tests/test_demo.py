"""The demonstration: everything in one go, and what it leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from birdsod.cli._app import app
from birdsod.demo import Demo, _as_file_name, _table, run_demo
from birdsod.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

RUNS = ("as_given", "mirrored")
FIGURES = {"map50", "map50_voc07", "map75", "coco_map", "per_class", "train_seconds", "updates"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run it once, small, on made-up birds."""
    pytest.importorskip("torch")
    out = tmp_path_factory.mktemp("demo") / "out"
    result = CliRunner().invoke(app, ["demo", "--out", str(out), "--quick", "--epochs", "1"])
    assert (result.exit_code, result.stderr) == (0, "")
    return out, result.stdout


@pytest.fixture(scope="module")
def report(made: tuple[Path, str]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((made[0] / "report.json").read_text())
    return read


def test_the_report_holds_both_runs(report: dict[str, Any]) -> None:
    assert set(report) == {*RUNS, "images"}
    assert report["images"] == {"train": 20, "validation": 20}
    for name in RUNS:
        assert set(report[name]) == FIGURES
        assert 0 <= report[name]["map50"] <= 1
        assert len(report[name]["per_class"]) == 5
        assert report[name]["train_seconds"] > 0


def test_both_runs_make_the_same_number_of_updates(report: dict[str, Any]) -> None:
    assert report["as_given"]["updates"] == report["mirrored"]["updates"] == 1


def test_the_trainer_mirrors_nothing_by_itself(made: tuple[Path, str]) -> None:
    specs = [json.loads(path.read_text()) for path in made[0].glob("jobs/*/job.json")]
    assert len(specs) == 2
    for spec in specs:
        assert (spec["options"]["mirror"], spec["options"]["keep"]) == (False, "last")


def test_the_detections_are_coco_results_of_the_data_set(made: tuple[Path, str]) -> None:
    from birdsod.dataset import load_cub

    birds = load_cub(made[0] / "made-up")
    validation = birds.subset("validation")
    detections = json.loads((made[0] / "detections.json").read_text())
    assert set(detections) == set(RUNS)
    for rows in detections.values():
        assert rows
        assert {row["image_id"] for row in rows} <= {record.image_id for record in validation}
        assert {row["category_id"] for row in rows} <= set(birds.class_table.source_ids)
        assert all(len(row["bbox"]) == 4 for row in rows)


def test_it_leaves_figures_models_and_records(made: tuple[Path, str]) -> None:
    out, _ = made
    from birdsod.recordio import Packed
    from birdsod.ssd import load_model

    figures = {path.stem for path in (out / "figures").glob("*.png")}
    assert {"species", "map_as_given", "map_mirrored", "compare"} <= figures
    assert sum(name.startswith("detections_") for name in figures) == 5
    assert Packed.open(out / "packed", verify=True).channels["train"].records == 20
    assert Packed.open(out / "packed-mirrored", verify=True).channels["train"].records == 40
    assert load_model(out / "models" / "mirrored.tar.gz").classes.names == Packed.open(out / "packed").class_table.names


def test_it_tells_where_it_is_and_prints_a_table(made: tuple[Path, str]) -> None:
    _, output = made
    assert "hosting the model" in output
    assert "as given  mirrored" in output
    assert "mAP@0.5, area" in output


def stop(*_: object, **__: object) -> None:
    raise InputError("stopped here")


def test_an_earlier_demo_is_replaced_and_what_is_not_its_own_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packed").mkdir()
    for name in ("report.json", "packed/train.rec", "notes.txt"):
        (tmp_path / name).write_text("from before")
    (tmp_path / "demo.json").write_text('{"made_by": "birdsod demo"}')
    monkeypatch.setattr("birdsod.demo._drawn", stop)
    with pytest.raises(InputError, match="stopped here"):
        run_demo(Demo(out=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "demo.json", "figures", "models"}


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"no earlier demo\. Cure: .*--overwrite"):
        run_demo(Demo(out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_overwrite_takes_a_folder_of_something_else_and_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    monkeypatch.setattr("birdsod.demo._drawn", stop)
    with pytest.raises(InputError, match="stopped here"):
        run_demo(Demo(out=tmp_path, overwrite=True))
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", "demo.json", "figures", "models"}


def test_a_link_that_an_earlier_demo_left_goes_and_what_it_names_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo.json").write_text('{"made_by": "birdsod demo"}')
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "flips").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr("birdsod.demo._drawn", stop)
    with pytest.raises(InputError, match="stopped here"):
        run_demo(Demo(out=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "demo.json", "figures", "models"}


@pytest.mark.parametrize("mark", [None, "no JSON", "[]", '{"made_by": "another"}'])
def test_things_of_its_names_that_it_did_not_make_are_never_replaced(tmp_path: Path, mark: str | None) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "precious.pt").write_text("weeks of training")
    if mark is not None:
        (tmp_path / "demo.json").write_text(mark)
    with pytest.raises(InputError, match="models"):
        run_demo(Demo(out=tmp_path, overwrite=True))
    assert (tmp_path / "models" / "precious.pt").read_text() == "weeks of training"


def test_a_folder_that_cannot_be_read_costs_no_earlier_result(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"made_by": "birdsod demo"}')
    (tmp_path / "report.json").write_text("earlier")
    with pytest.raises(InputError):
        run_demo(Demo(out=tmp_path, data=tmp_path / "nowhere"))
    assert (tmp_path / "report.json").read_text() == "earlier"


def test_a_folder_that_cannot_be_read_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_demo(Demo(out=tmp_path / "out", data=tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="a file stands"):
        run_demo(Demo(out=tmp_path / "out"))


def test_any_class_name_makes_a_file_name() -> None:
    assert _as_file_name("a/b.Lantern bird") == "a_b.Lantern_bird"


@pytest.mark.parametrize(
    ("settings", "epochs"), [({}, 16), ({"data": "birds"}, 32), ({"quick": True}, 2), ({"epochs": 5}, 5)]
)
def test_the_number_of_epochs(settings: dict[str, Any], epochs: int, tmp_path: Path) -> None:
    assert Demo(out=tmp_path, **settings).epochs_as_given == epochs


def test_real_birds_are_selected_and_a_quick_run_takes_few(tmp_path: Path) -> None:
    from birdsod.dataset import synthetic_birds
    from birdsod.demo import _given

    drawn = synthetic_birds(tmp_path / "birds", seed=0, classes=3, per_class=12)
    demo = Demo(out=tmp_path, data=tmp_path / "birds", classes=[drawn.class_table.source_ids[0]], quick=True)
    few = _given(demo)
    assert few is not None
    assert few.class_table.names == drawn.class_table.names[:1]
    assert few.classes[["train", "validation"]].to_numpy().tolist() == [[4, 4]]
    every = _given(Demo(out=tmp_path, data=tmp_path / "birds"))
    assert every is not None
    assert len(every) == 36


def test_a_class_without_a_figure_is_shown_as_none() -> None:
    run = {"map50": 0.5, "map50_voc07": 0.5, "map75": 0.25, "coco_map": 0.125, "train_seconds": 2.4}
    lines = _table({**run, "per_class": {"a": None}}, {**run, "per_class": {"a": 1.0}})
    assert lines[-2].split() == ["a", "none", "1.000"]
    assert lines[-1].split() == ["seconds", "2", "2"]
