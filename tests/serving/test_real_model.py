"""A real model archive, served by the module that a detector uses."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from birdsod.classes import ClassTable
from birdsod.errors import ServingError
from birdsod.estimator import Detector, LocalDetector, Predictor
from birdsod.serving import __main__ as module
from birdsod.serving import start_server

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a network that has learned nothing."""
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd import save_artifact
    from birdsod.ssd.building import build_network

    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    params = Hyperparameters(
        num_classes=2, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0"
    )
    return save_artifact(tmp_path_factory.mktemp("model") / "model.tar.gz", network, params, CLASSES)


@pytest.fixture(scope="module")
def picture() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (120, 90, 3)).astype(np.uint8)


def test_it_answers_over_http_as_it_does_in_this_process(artifact: Path, picture: np.ndarray) -> None:
    from birdsod.ssd import load_model

    expected = load_model(artifact).predict(picture)
    with LocalDetector("birdsod-1", start_server(artifact), CLASSES) as detector:
        assert isinstance(detector, Detector)
        assert isinstance(detector, Predictor)
        assert (detector.name, detector.classes) == ("birdsod-1", CLASSES)
        assert repr(detector) == f"LocalDetector('birdsod-1', '{detector.url}')"
        found = detector.predict(picture)
        (same,) = detector.predict_batch([picture])
    assert len(expected) > 0
    np.testing.assert_array_equal(found.class_id, expected.class_id)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)
    np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=1e-2)
    np.testing.assert_array_equal(same.xyxy, found.xyxy)
    with pytest.raises(ServingError, match="is closed"):
        detector.predict(picture)
    detector.close()


def test_an_archive_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"the server does not start.*none\.tar\.gz: no such model archive"):
        start_server(tmp_path / "none.tar.gz")


def test_the_module_tells_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.main([str(tmp_path / "none.tar.gz")]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'none.tar.gz'}: no such model archive\n"


def test_the_module_serves_until_it_is_terminated(artifact: Path) -> None:
    command = [sys.executable, "-m", "birdsod.serving", str(artifact), "--port", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline().startswith("listening at http://127.0.0.1:")
    running.terminate()
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, "")
