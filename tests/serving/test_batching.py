"""Images that wait go through the model together, and only the one that fails is told of it."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod.classes import ClassTable
from birdsod.detections import Detections
from birdsod.image import encode
from birdsod.serving import Limits, Server
from birdsod.serving._batching import Batcher
from birdsod.serving._metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

CLASSES = ClassTable((17,), ("017.Cardinal",))


class Together:
    """Answers with the height of each image, and notes how many it got at once."""

    classes = CLASSES

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.may_answer = threading.Event()

    def predict(self, image: Any) -> Detections:
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        self.batches.append(len(images))
        self.entered.set()
        self.may_answer.wait(30)
        if any(image.shape[0] == 13 for image in images):
            raise RuntimeError("thirteen")
        return [self._found(image) for image in images]

    def _found(self, image: npt.NDArray[np.uint8]) -> Detections:
        height, width = image.shape[:2]
        return Detections([0], [height / 100], [[0, 0, 1, 1]], width, height, CLASSES)


@pytest.fixture
def model() -> Together:
    return Together()


@pytest.fixture
def server(model: Together) -> Iterator[Server]:
    with Server(model, limits=Limits(batch=3, waiting=6)) as running:
        yield running
        model.may_answer.set()


def ask(server: Server, height: int) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    body = encode(np.zeros((height, 20, 3), np.uint8))
    connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said, answer.msg


def metrics(server: Server) -> dict[str, float]:
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    connection.close()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def crowd(server: Server, model: Together, heights: Sequence[int]) -> list[Future[Any]]:
    """Ask about the first image, and about the others while the model works on it; all wait when this returns."""
    pool = ThreadPoolExecutor(len(heights))
    futures = [pool.submit(ask, server, heights[0])]
    assert model.entered.wait(30)
    futures += [pool.submit(ask, server, height) for height in heights[1:]]
    pool.shutdown(wait=False)
    while metrics(server)["birdsod_waiting_images"] < len(heights):
        pass
    return futures


def test_what_waits_goes_together_and_answers_find_their_way(server: Server, model: Together) -> None:
    heights = [10, 20, 30, 40, 50]
    futures = crowd(server, model, heights)
    model.may_answer.set()
    found = [future.result()[1]["prediction"][0][1] for future in futures]
    assert found == pytest.approx([height / 100 for height in heights])
    assert model.batches[0] == 1
    assert sum(model.batches) == 5
    assert 1 < max(model.batches) <= 3


def test_only_the_image_that_fails_is_told_of_it(
    server: Server, model: Together, capfd: pytest.CaptureFixture[str]
) -> None:
    futures = crowd(server, model, [10, 13, 20])
    model.may_answer.set()
    assert [future.result()[0] for future in futures] == [200, 500, 200]
    assert "thirteen" in capfd.readouterr().err


def test_one_image_too_many_is_asked_to_come_again(server: Server, model: Together) -> None:
    futures = crowd(server, model, [10, 20, 30, 40, 50, 60])
    status, said, headers = ask(server, 70)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert said == {"error": "6 images are waiting already"}
    model.may_answer.set()
    assert {future.result()[0] for future in futures} == {200}
    assert ask(server, 70)[0] == 200


def test_requests_are_counted(server: Server, model: Together) -> None:
    model.may_answer.set()
    assert ask(server, 10)[0] == 200
    assert ask(server, 13)[0] == 500
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    for path in ("/ping", "/nothing", "/else"):
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()
    counted = metrics(server)
    assert counted['birdsod_requests_total{route="/invocations",status="200"}'] == 1
    assert counted['birdsod_requests_total{route="/invocations",status="500"}'] == 1
    assert counted['birdsod_requests_total{route="/ping",status="200"}'] == 1
    assert counted['birdsod_requests_total{route="other",status="404"}'] == 2
    assert counted['birdsod_request_seconds_count{route="/invocations"}'] == 2
    assert counted["birdsod_batch_images_sum"] == 2
    assert counted["birdsod_waiting_images"] == 0


def test_whoever_goes_away_while_waiting_stops_nobody_else(server: Server, model: Together) -> None:
    futures = crowd(server, model, [10])
    leaving = http.client.HTTPConnection(*server.address, timeout=30)
    leaving.request("POST", "/invocations", encode(np.zeros((20, 20, 3), np.uint8)), {"Content-Type": "image/jpeg"})
    while metrics(server)["birdsod_waiting_images"] < 2:
        pass
    leaving.close()
    model.may_answer.set()
    assert futures[0].result()[0] == 200
    assert ask(server, 30)[0] == 200


def test_an_image_that_nobody_waits_for_any_more_stops_nobody_else(model: Together) -> None:
    faults: list[dict[str, Any]] = []

    async def asked() -> Detections:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        batcher = Batcher(model, Limits(), Metrics())
        working = asyncio.create_task(batcher.run())
        leaving = asyncio.create_task(batcher.find(encode(np.zeros((10, 20, 3), np.uint8))))
        assert await asyncio.to_thread(model.entered.wait, 30)
        leaving.cancel()
        staying = asyncio.create_task(batcher.find(encode(np.zeros((30, 20, 3), np.uint8))))
        await asyncio.wait([leaving])
        model.may_answer.set()
        found = await staying
        working.cancel()
        await asyncio.wait([working])
        assert leaving.cancelled()
        return found

    assert asyncio.run(asked()).confidence.tolist() == pytest.approx([0.3])
    assert model.batches == [1, 1]
    assert faults == []


def test_a_model_that_hangs_does_not_keep_the_server(model: Together) -> None:
    server = Server(model)
    server.start()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(ask, server, 10)
        assert model.entered.wait(30)
        server.stop(grace=0.3)
        status, said, _ = future.result()
    model.may_answer.set()
    assert (status, said) == (503, {"error": "the server is stopping"})
