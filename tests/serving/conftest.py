"""A predictor that is no model, and images to ask it about."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from birdsod.classes import ClassTable
from birdsod.detections import Detections
from birdsod.image import as_rgb, encode
from birdsod.serving import Limits, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from birdsod.image import ImageSource

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))


class Fixed:
    """Finds two birds in every image, always in the same places."""

    def __init__(self) -> None:
        self.classes = CLASSES
        self.failure: Exception | None = None
        self.seen: list[tuple[int, ...]] = []
        self.entered = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def predict(self, image: ImageSource) -> Detections:
        self.entered.set()
        self.may_answer.wait(30)
        if self.failure:
            raise self.failure
        height, width = as_rgb(image).shape[:2]
        self.seen.append((width, height))
        boxes = [[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 0.25]]
        return Detections([1, 0], [0.875, 0.25], boxes, width, height, CLASSES)


@pytest.fixture
def predictor() -> Fixed:
    return Fixed()


@pytest.fixture
def serve(predictor: Fixed) -> Iterator[Callable[..., Server]]:
    running: list[Server] = []

    def start(**limits: float) -> Server:
        server = Server(predictor, limits=Limits(**limits))  # type: ignore[arg-type]
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


@pytest.fixture(scope="session")
def pixels() -> npt.NDArray[np.uint8]:
    rows, columns = np.mgrid[0:60, 0:80]
    return np.stack([rows * 4, columns * 3, rows + columns], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    return encode(pixels)


@pytest.fixture(scope="session")
def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    return encode(pixels, encoding=".png", quality=1)
