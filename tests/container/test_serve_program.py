"""The program serve, as SageMaker runs it: a folder with the unpacked model, a port, a signal."""

from __future__ import annotations

import http.client
import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from birdsod.classes import ClassTable
from birdsod.container.__main__ import main
from birdsod.container.model_files import leave_model
from birdsod.hyperparameters import Hyperparameters
from birdsod.image import encode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.container.conftest import Laid

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a network that has learned nothing."""
    from birdsod.ssd import save_artifact
    from birdsod.ssd.building import build_network

    torch.manual_seed(0)
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=300, pretrained=False)
    params = Hyperparameters(
        num_classes=2, num_training_samples=8, mini_batch_size=8, base_network="efficientnet-lite0"
    )
    classes = ClassTable.numbered(2)
    return save_artifact(tmp_path_factory.mktemp("model") / "model.tar.gz", network, params, classes)


def ask(port: int, method: str, path: str, body: bytes | None = None, kind: str = "image/jpeg") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_model_of_the_folder_answers_until_told_to_stop(laid: Laid, archive: Path) -> None:
    leave_model(archive, laid.tree.model)
    port = {"SAGEMAKER_BIND_TO_PORT": "0"}
    process = laid.start("serve", "--host", "127.0.0.1", environment=port)
    try:
        assert process.stdout is not None
        told = next(found for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
        at = int(told[1])
        assert ask(at, "GET", "/ping")[0] == 200
        draw = torch.randint(0, 256, (90, 120, 3), dtype=torch.uint8).numpy()
        status, body = ask(at, "POST", "/invocations", encode(draw))
        assert status == 200
        assert all(len(row) == 6 for row in json.loads(body)["prediction"])
        assert ask(at, "POST", "/invocations", b"text", "text/plain")[0] == 415
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 0


def test_it_listens_to_all_at_the_port_of_the_contract(laid: Laid, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr("birdsod.ssd.load_model", lambda path: path)
    monkeypatch.setattr("birdsod.serving._run.run", lambda model, **more: asked.update(model=model, **more))
    monkeypatch.delenv("SAGEMAKER_BIND_TO_PORT", raising=False)
    assert main(["serve", "--root", str(laid.tree.root)]) == 0
    assert asked == {"model": laid.tree.model, "host": "0.0.0.0", "port": 8080, "stop": None}  # noqa: S104 - the contract's


def test_without_a_model_there_is_nothing_to_serve(laid: Laid, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--root", str(laid.tree.root)]) == 1
    assert str(laid.tree.model) in capsys.readouterr().err


def test_a_port_that_is_none_is_refused(
    laid: Laid, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "eighty")
    assert main(["serve", "--root", str(laid.tree.root)]) == 1
    assert "SAGEMAKER_BIND_TO_PORT is no port (got 'eighty')" in capsys.readouterr().err
