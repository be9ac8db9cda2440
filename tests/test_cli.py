"""The command line: every command, every exit code."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

import birdsod
from birdsod.classes import ClassTable
from birdsod.cli._app import app
from birdsod.cli._packing import tell
from birdsod.cli._values import archive_of, assignments, class_list

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def cub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from birdsod.dataset import synthetic_birds

    folder = tmp_path_factory.mktemp("made-up")
    synthetic_birds(folder, seed=3, classes=2, per_class=4)
    return folder


@pytest.fixture(scope="module")
def birds(cub_folder: Path) -> Any:
    from birdsod.dataset import load_cub

    return load_cub(cub_folder)


@pytest.fixture(scope="module")
def model(birds: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a job leaves it, with a network that has learned nothing."""
    torch = pytest.importorskip("torch")
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd import save_artifact
    from birdsod.ssd.building import build_network

    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    params = Hyperparameters(
        num_classes=2, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0"
    )
    folder = tmp_path_factory.mktemp("job")
    save_artifact(folder / "model.tar.gz", network, params, birds.class_table)
    return folder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="birdsod")


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text.strip()


@pytest.mark.parametrize("command", ["demo", "download", "pack", "train", "predict", "evaluate", "serve"])
def test_every_command_has_help(command: str) -> None:
    assert command in run("--help").stdout
    result = run(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Usage: birdsod " + command in result.stdout


def test_the_version() -> None:
    assert run("--version").stdout == f"birdsod {birdsod.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["pack"],
        ["pack", "--out", "x"],
        ["pack", "--out", "x", "--data", "a", "--lst", "b"],
        ["pack", "--out", "x", "--lst", "b"],
        ["pack", "--out", "x", "--data", "a", "--classes", ","],
        ["pack", "--out", "x", "--data", "a", "--jobs", "0"],
        ["pack", "--out", "x", "--data", "a", "--on-error", "cry"],
        ["train", "x"],
        ["train", "x", "--out", "y", "--set", "epochs"],
        ["train", "x", "--out", "y", "--option", "=3"],
        ["predict"],
        ["predict", "x"],
        ["predict", "x", "y.jpg", "--out", "found.txt"],
        ["evaluate", "x", "--data", "y", "--classes", ""],
        ["serve"],
        ["serve", "x", "--port", "70000"],
        ["demo"],
        ["demo", "--out", "x", "--classes", "14"],
        ["demo", "--out", "x", "--epochs", "0"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", "--out", "{tmp}/out", "--data", "{tmp}/none"],
        ["pack", "--out", "{tmp}/out.rec", "--lst", "{tmp}/none.lst", "--root", "{tmp}"],
        ["train", "{tmp}/none", "--out", "{tmp}/jobs"],
        ["train", "{tmp}/none", "--out", "{tmp}/jobs", "--option", "sed=3"],
        ["predict", "{tmp}/none", "{tmp}/none.jpg"],
        ["evaluate", "{tmp}/none", "--data", "{tmp}/none"],
        ["serve", "{tmp}/none"],
        ["demo", "--out", "{tmp}/demo", "--data", "{tmp}/none"],
        ["download", "--out", "{tmp}/birds", "--archive", "{tmp}/none.tgz"],
    ],
)
def test_an_input_at_fault_is_1_with_one_line(arguments: list[str], tmp_path: Path) -> None:
    result = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 1
    assert one_line(result.stderr)
    assert "Traceback" not in result.output


def test_an_error_of_the_system_is_1_with_one_line(tmp_path: Path, cub_folder: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("pack", "--data", cub_folder, "--out", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert str(tmp_path / "file") in one_line(result.stderr)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "train.rec"), 1, "train.rec: No space left on device"),
        (OSError("odd"), 1, "odd"),
        (birdsod.BirdsodError("one\ntwo"), 1, "one two"),
    ],
)
def test_what_ends_a_command(error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("birdsod.dataset.load_cub", fail)
    result = run("pack", "--data", "x", "--out", "y")
    assert result.exit_code == code
    assert one_line(result.stderr) == line


@pytest.mark.parametrize(
    ("cure", "told"),
    [
        ("pass overwrite=True, or choose another name", "pass --overwrite, or choose another name"),
        ("give archive= for a local file", "give --archive for a local file"),
        ("give mini_batch_size=8 or less", "give --set mini_batch_size=8 or less"),
        ("replace them, or go on with dataset.readable()", "replace them"),
        ("fetch the set again", "fetch the set again"),
    ],
)
def test_cures_are_those_of_the_command_line(cure: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise birdsod.BirdsodError("broken", cure=cure)

    monkeypatch.setattr("birdsod.dataset.load_cub", fail)
    assert one_line(run("pack", "--data", "x", "--out", "y").stderr) == f"broken. Cure: {told}."


def test_pack_again_names_the_option(cub_folder: Path, tmp_path: Path) -> None:
    arguments = ["pack", "--data", cub_folder, "--out", tmp_path / "out"]
    assert run(*arguments).exit_code == 0
    again = one_line(run(*arguments).stderr)
    assert "pass --overwrite" in again
    assert run(*arguments, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("records", "clipped", "dropped", "told"),
    [
        (1, 1, 1, "1 record, 1 box cut at the edge, 1 box dropped with what was cropped away"),
        (7, 2, 3, "7 records, 2 boxes cut at the edge, 3 boxes dropped with what was cropped away"),
        (2, 0, 0, "2 records"),
    ],
)
def test_what_became_of_boxes_is_told(
    records: int, clipped: int, dropped: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from types import SimpleNamespace

    boxes: dict[str, Any] = {"clipped": [None] * clipped, "dropped": [None] * dropped, "refused": []}
    tell(cast("Any", SimpleNamespace(rec="a.rec", records=records, **boxes)))
    assert capsys.readouterr().out == f"a.rec: {told}\n"


def test_a_reader_that_has_seen_enough_is_no_error(model: Path, birds: Any) -> None:
    command = [sys.executable, "-m", "birdsod", "predict", str(model), str(birds[0].path), "--threshold", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() == 1


def test_pack_writes_both_channels(cub_folder: Path, tmp_path: Path) -> None:
    result = run("pack", "--data", cub_folder, "--out", tmp_path / "packed", "--resize", 100, "--jobs", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    packed = birdsod.Packed.open(tmp_path / "packed", verify=True)
    assert {name: channel.records for name, channel in packed.channels.items()} == {"train": 4, "validation": 4}
    assert f"{packed.channels['train'].rec}: 4 records" in result.stdout.splitlines()


def test_pack_takes_classes_and_a_split(cub_folder: Path, birds: Any, tmp_path: Path) -> None:
    name = birds.class_table.names[1]
    result = run(
        "pack", "--data", cub_folder, "--classes", name, "--split", 0.75, "--seed", 1, "--out", tmp_path / "packed"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    packed = birdsod.Packed.open(tmp_path / "packed")
    assert packed.class_table.names == (name,)
    assert packed.channels["train"].records == 3


def test_pack_packs_one_list(birds: Any, tmp_path: Path) -> None:
    birdsod.lstwriter.write(birds, tmp_path / "all.lst")
    arguments = ["--lst", tmp_path / "all.lst", "--root", birds.root, "--resize", 80, "--quality", 80]
    result = run("pack", *arguments, "--out", tmp_path / "all.rec")
    assert (result.exit_code, result.stderr) == (0, "")
    with birdsod.recordio.RecordReader(tmp_path / "all.rec") as reader:
        assert len(reader) == 8
    again = run("pack", *arguments, "--out", tmp_path / "all.rec")
    assert again.exit_code == 1
    assert one_line(again.stderr)
    assert run("pack", *arguments, "--out", tmp_path / "all.rec", "--overwrite").exit_code == 0


def test_pack_names_what_it_does_not_pack(birds: Any, tmp_path: Path) -> None:
    birdsod.lstwriter.write(birds, tmp_path / "all.lst")
    lines = (tmp_path / "all.lst").read_text().splitlines()
    broken = "\t".join([*lines[0].split("\t")[:-1], "no/such.jpg"])
    (tmp_path / "all.lst").write_text("\n".join([broken, *lines[1:]]) + "\n")
    arguments = ["--lst", tmp_path / "all.lst", "--root", birds.root, "--out", tmp_path / "all.rec"]
    assert run("pack", *arguments).exit_code == 1
    result = run("pack", *arguments, "--on-error", "skip")
    assert result.exit_code == 0
    assert "no/such.jpg" in one_line(result.stderr)
    assert result.stdout == f"{tmp_path / 'all.rec'}: 7 records, 1 refused\n"


def test_predict_prints_a_line_for_each_detection(model: Path, birds: Any) -> None:
    result = run("predict", model, birds[0].path, "--threshold", 0)
    assert result.exit_code == 0
    path, name, confidence, *box = result.stdout.splitlines()[0].split("\t")
    assert (path, name in birds.class_table.names) == (str(birds[0].path), True)
    assert 0 <= float(confidence) <= 1
    assert len([float(side) for side in box]) == 4
    assert run("predict", model, birds[0].path, "--threshold", 1).stdout == ""


def test_predict_prints_json(model: Path, birds: Any) -> None:
    result = run("predict", model / "model.tar.gz", birds[0].path, "--threshold", 0, "--json")
    row = json.loads(result.stdout.splitlines()[0])
    assert set(row) == {"image", "class_id", "name", "confidence", "xyxy"}
    assert birds.class_table.names[row["class_id"]] == row["name"]


def test_evaluate_prints_every_figure(model: Path, cub_folder: Path, birds: Any) -> None:
    result = run("evaluate", model, "--data", cub_folder)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "4 images"
    assert [line.split()[0] for line in lines[1:]] == [
        "map50",
        "map50_voc07",
        "map75",
        "coco_map",
        *birds.class_table.names,
    ]


def test_evaluate_prints_json(model: Path, cub_folder: Path, birds: Any) -> None:
    classes = ",".join(str(source_id) for source_id in birds.class_table.source_ids)
    result = run("evaluate", model, "--data", cub_folder, "--classes", classes, "--split", "all", "--json")
    assert json.loads(result.stdout)["images"] == 8


def test_evaluate_refuses_a_split_that_is_none(model: Path, cub_folder: Path) -> None:
    result = run("evaluate", model, "--data", cub_folder, "--split", "test")
    assert result.exit_code == 1
    assert one_line(result.stderr)


def test_serve_answers_until_ctrl_c(model: Path) -> None:
    command = [sys.executable, "-m", "birdsod", "serve", str(model), "--port", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    parts = urlsplit(running.stdout.readline().split()[-1])
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 200
    connection.close()
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, output, errors) == (0, "", "")


def test_train_passes_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from birdsod.estimator import LocalEstimator

    seen: list[LocalEstimator] = []

    def fit(self: LocalEstimator, data: object) -> SimpleNamespace:
        assert data is packed
        seen.append(self)
        return SimpleNamespace(status="Completed", artifact=tmp_path / "model.tar.gz")

    channels = {"train": SimpleNamespace(records=40)}
    packed = SimpleNamespace(
        directory=tmp_path, channels=channels, class_table=ClassTable((1, 2), ("a", "b")), longest_label=12
    )
    monkeypatch.setattr("birdsod.recordio.Packed.open", lambda _: packed)
    monkeypatch.setattr(LocalEstimator, "fit", fit)
    arguments = ["--epochs", 3, "--set", "lr_scheduler_step=1,2", "--set", "mini_batch_size=8"]
    options = ["--option", "mirror=false", "--option", "device=cpu", "--option", "updates=7"]
    result = run("train", tmp_path, "--out", tmp_path / "jobs", *arguments, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"Completed: {tmp_path / 'model.tar.gz'}\n"
    (estimator,) = seen
    params, local = estimator.params, estimator.options
    assert (params.epochs, params.lr_scheduler_step, params.mini_batch_size) == (3, "1,2", 8)
    assert (params.base_network, params.num_classes, params.num_training_samples) == ("efficientnet-lite0", 2, 40)
    assert (local.mirror, local.device, local.updates) == (False, "cpu", 7)


def test_download_prints_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsod.dataset.download_cub", lambda folder, **given: folder / str(given["url"]))
    assert run("download", "--out", tmp_path, "--url", "birds").stdout == f"{tmp_path / 'birds'}\n"


def test_the_program_ends_what_it_started_when_it_is_terminated(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, time\nimport birdsod.dataset\nfrom birdsod.cli import main\n"
        "def load(*_, **__):\n"
        "    try: print('loading', flush=True); time.sleep(60)\n"
        "    finally: print('cleaned up', flush=True)\n"
        "birdsod.dataset.load_cub = load\n"
        "sys.argv[1:] = ['pack', '--data', 'x', '--out', 'y']\nmain()\n"
    )
    running = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "loading\n"
    running.terminate()
    assert running.communicate(timeout=60)[0] == "cleaned up\n"
    assert running.returncode == 128 + signal.SIGTERM


def test_the_program_tells_its_exit_code() -> None:
    done = subprocess.run([sys.executable, "-m", "birdsod", "fly"], capture_output=True, check=False)
    assert done.returncode == 2


def test_classes_are_read_by_id_and_by_name() -> None:
    assert class_list("14, 036.Northern_Flicker,") == [14, "036.Northern_Flicker"]
    assert class_list(None) is None


def test_assignments_are_read_as_values() -> None:
    items = ["a=1", "b=0.5", "c=true", "d=null", "e=10,20", "f=x=y", 'g="q"', "h=[1]", "i="]
    assert assignments(items, "--set") == {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": None,
        "e": "10,20",
        "f": "x=y",
        "g": '"q"',
        "h": "[1]",
        "i": "",
    }


def test_the_folder_of_a_job_stands_for_its_archive(tmp_path: Path) -> None:
    assert archive_of(tmp_path) == tmp_path
    (tmp_path / "model.tar.gz").write_text("")
    assert archive_of(tmp_path) == tmp_path / "model.tar.gz"


@pytest.mark.parametrize("address", ["s3://birds/jobs/model.tar.gz", "s3://birds/model.onnx"])
def test_an_address_in_the_object_store_is_not_taken_for_a_path(address: str, tmp_path: Path) -> None:
    assert archive_of(type(tmp_path)(address)) == address


def test_predict_takes_folders_and_writes_what_it_finds(model: Path, birds: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(birds[0].path.read_bytes())
    (photos / "b.jpg").write_bytes(b"no image")
    result = run("predict", model, photos, "--threshold", 0)
    assert result.exit_code == 1
    assert "b.jpg" in one_line(result.stderr)
    result = run("predict", model, photos, "--threshold", 0, "--on-error", "skip")
    assert (result.exit_code, result.stdout.split("\t")[0]) == (0, str(photos / "a.jpg"))
    assert f"{photos / 'b.jpg'}: not looked at: " in one_line(result.stderr)
    for kind, files in {"csv": 1, "json": 2, "lst": 1}.items():
        out = tmp_path / f"found.{kind}"
        assert run("predict", model, photos, "--out", out).exit_code == 1
        assert not out.exists()
        result = run("predict", model, photos, "--out", out, "--root", photos, "--threshold", 0, "--on-error", "skip")
        assert result.exit_code == 0
        assert "b.jpg" in one_line(result.stderr)
        assert result.stdout.startswith(f"{out}: 2 images, ")
        assert result.stdout.endswith(" detections, 1 refused\n")
        assert len(list(tmp_path.glob("found.*"))) == files
        for path in tmp_path.glob("found.*"):
            path.rename(tmp_path / f"kept-{path.name}")
    assert (tmp_path / "kept-found.csv").read_text().startswith("image_id,image,class_id,source_id,name,confidence,")
    assert birdsod.lstwriter.read(tmp_path / "kept-found.lst")["path"].tolist() == ["a.jpg"]
    assert json.loads((tmp_path / "kept-found.images.json").read_text())["images"][0]["file_name"].endswith("a.jpg")


def test_predict_takes_record_files(model: Path, birds: Any, tmp_path: Path) -> None:
    with birdsod.recordio.RecordWriter(tmp_path / "a.rec") as writer:
        writer.write_record(7, [2, 5], birds[0].path.read_bytes())
    result = run("predict", model, tmp_path / "a.rec", "--threshold", 0)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split("\t")[0] == f"{tmp_path / 'a.rec'}[0]"
