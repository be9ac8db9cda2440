"""A loaded model: what it sees, what it answers, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load, save

from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, ImageError, InputError, MissingDependencyError
from birdsod.hyperparameters import Hyperparameters
from birdsod.image import encode, resize
from birdsod.ssd import load_model
from birdsod.ssd.artifact import read_artifact, save_artifact
from birdsod.ssd.building import build_network
from birdsod.ssd.detection import multibox_detection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from birdsod.ssd.model import Model

TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
PARAMS = Hyperparameters(
    num_classes=2, num_training_samples=60, base_network="efficientnet-lite0", nms_threshold=0.3, image_shape=300
)
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network("efficientnet-lite0", num_classes=2, image_shape=300)
    return save_artifact(tmp_path_factory.mktemp("model") / "model.tar.gz", network, PARAMS, TABLE)


@pytest.fixture(scope="module")
def model(archive: Path) -> Model:
    return load_model(archive, device="cpu")


@pytest.fixture
def folder(archive: Path, tmp_path: Path) -> Path:
    """The archive as a folder, to be damaged."""
    artifact = read_artifact(archive)
    (tmp_path / "model.safetensors").write_bytes(
        save({name: np.array(part) for name, part in artifact.tensors.items()})
    )
    (tmp_path / "hyperparams.json").write_text(json.dumps(dict(artifact.hyperparameters)))
    (tmp_path / "classes.json").write_text(json.dumps(artifact.classes.to_json()))
    return tmp_path


def pixels(height: int = 120, width: int = 200, seed: int = 0) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return resize(coarse, width=width, height=height).astype(np.uint8)


def test_a_model_knows_its_classes_and_hyperparameters(model: Model) -> None:
    assert model.classes == TABLE
    assert model.hyperparameters.nms_threshold == 0.3
    assert model.image_shape == 300


def test_detecting_is_the_network_followed_by_the_operator(archive: Path, model: Model) -> None:
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False).eval()
    network.load_state_dict({name: torch.from_numpy(part) for name, part in read_artifact(archive).tensors.items()})
    batch = resize(pixels(), width=300, height=300).transpose(2, 0, 1)[None].astype(np.float32)
    with torch.inference_mode():
        logits, offsets = network(torch.from_numpy(batch))
    expected = multibox_detection(
        logits.softmax(2).transpose(1, 2).numpy(),
        offsets.numpy(),
        network.anchors.numpy(),
        nms_threshold=0.3,
        nms_topk=400,
    )
    found = model.detect(batch)
    assert found.shape == (1, 5032, 6)
    assert (found[0, :50, 0] == expected[0, :50, 0]).mean() > 0.9
    np.testing.assert_allclose(found[0, :50, 1], expected[0, :50, 1], atol=1e-3)


def test_predicting_squeezes_the_image_and_answers_in_its_own_size(model: Model) -> None:
    image = pixels()
    found = model.predict(image)
    batch = resize(image, width=300, height=300).transpose(2, 0, 1)[None]
    rows = model.detect(batch)[0]
    rows = rows[rows[:, 0] >= 0]
    assert (found.width, found.height) == (200, 120)
    assert found.classes == TABLE
    assert len(found) == len(rows) > 0
    np.testing.assert_allclose(found.xyxy_relative, rows[:, 2:])
    assert (np.diff(found.confidence) <= 0).all()
    assert found.confidence.min() >= 0.01


def test_a_file_its_bytes_and_its_pixels_give_the_same(model: Model, tmp_path: Path) -> None:
    image = pixels()
    data = encode(np.ascontiguousarray(image[..., ::-1]), encoding=".png", quality=3)
    (tmp_path / "bird.png").write_bytes(data)
    expected = model.predict(image)
    assert model.predict(data) == expected
    assert model.predict(tmp_path / "bird.png") == expected
    assert model.predict(str(tmp_path / "bird.png")) == expected


def test_many_images_are_taken_a_few_at_a_time_and_answered_in_order(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def images() -> Iterator[Pixels]:
        for number in range(5):
            taken.append(number)
            yield pixels(height=100 + number, seed=number)

    detect, seen = model.detect, list[int]()

    def counted(batch: Any) -> Any:
        seen.append(len(taken))
        return detect(batch)

    monkeypatch.setattr(model, "detect", counted)
    answers = model.predict_batch(images(), batch_size=2)
    assert isinstance(answers, list)
    assert seen == [2, 4, 5]
    assert [found.height for found in answers] == [100, 101, 102, 103, 104]
    monkeypatch.undo()
    one_by_one = [len(model.predict(image)) for image in images()]
    together = [len(found) for found in model.predict_batch(images())]
    np.testing.assert_allclose(together, one_by_one, rtol=0.05)
    assert model.predict_batch([]) == []


def test_a_batch_of_nothing_is_refused(model: Model) -> None:
    with pytest.raises(InputError, match="at least one image"):
        model.predict_batch([pixels()], batch_size=0)


def test_an_image_that_cannot_be_read_is_refused(model: Model) -> None:
    with pytest.raises(ImageError):
        model.predict(b"not an image")
    with pytest.raises(ImageError, match="nope"):
        model.predict_batch([pixels(), "nope"])


def test_a_jpeg_that_breaks_off_is_refused(model: Model, tmp_path: Path) -> None:
    whole = encode(pixels())
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"half\.jpg: the JPEG breaks off within its pixels"):
        model.predict(tmp_path / "half.jpg")
    with pytest.raises(ImageError, match="the JPEG breaks off"):
        model.predict_batch([whole, whole[: len(whole) // 2]])


@pytest.mark.parametrize("shape", [(3, 300, 300), (1, 3, 300, 299), (1, 4, 300, 300)])
def test_a_batch_of_another_shape_is_refused(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(B, 3, 300, 300\)"):
        model.detect(np.zeros(shape, np.float32))


def test_loading_uses_up_no_random_numbers_and_sets_threads_on_request(archive: Path) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    load_model(archive, threads=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == 1


def test_threads_of_torch_are_told_too(archive: Path) -> None:
    before = torch.get_num_threads()
    try:
        load_model(archive, runtime="torch", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    tensors = load(weights.read_bytes())
    weights.write_bytes(save({**tensors, "class_heads.0.bias": np.zeros(7, np.float32)}))
    with pytest.raises(ArtifactError, match=r"1 of the weights do not fit .* class_heads\.0\.bias"):
        load_model(folder)
    weights.write_bytes(save({"other": np.zeros(1, np.float32)}))
    with pytest.raises(ArtifactError, match=r"weights do not fit .* \(got 'missing'\)"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nms_topk": "many"}, "nms_topk is no whole number"),
        ({"learning_rate": "-1"}, "hyperparams.json is malformed: .*learning_rate"),
        ({"base_network": "resnet-50"}, "the parameters do not fit the graph"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(folder: Path, change: dict[str, str], message: str) -> None:
    file = folder / "hyperparams.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ArtifactError, match=message):
        load_model(folder)


def test_an_archive_that_does_not_tell_its_base_network_is_refused(folder: Path) -> None:
    file = folder / "hyperparams.json"
    values = json.loads(file.read_text())
    del values["base_network"]
    file.write_text(json.dumps(values))
    # It is then the built-in algorithm's default.
    with pytest.raises(ArtifactError, match=r"this base network \(got 'vgg-16'\).*of another program") as caught:
        load_model(folder, runtime="onnxruntime")
    assert caught.value.path == str(folder)
    with pytest.raises(ArtifactError, match="weights do not fit"):
        load_model(folder, runtime="torch")


def test_without_torch_the_cure_is_named(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"torch is not installed.*birdsod\[local\]"):
        load_model(archive, runtime="torch")


def test_importing_the_room_loads_no_torch() -> None:
    code = (
        "import sys, birdsod.ssd, birdsod.ssd.anchors, birdsod.ssd.matching, birdsod.ssd.detection\n"
        "import birdsod.ssd.artifact, birdsod.ssd.model, birdsod.ssd.weights\n"
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_room_names_what_it_exports() -> None:
    import birdsod.ssd as room

    assert set(room.__all__) == set(dir(room))
    assert all(getattr(room, name) is not None for name in room.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        room.nothing  # noqa: B018 - asking is the test
