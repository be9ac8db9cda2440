"""Images that came while the model worked go through it together."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from birdsod.serving._requests import Refusal, read_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from birdsod.detections import Detections
    from birdsod.estimator import Predictor
    from birdsod.serving._limits import Limits
    from birdsod.serving._metrics import Metrics

    Pixels = npt.NDArray[np.uint8]

__all__ = ["Batcher"]

_DECODERS = 4
_RETRY_SECONDS = "1"


@runtime_checkable
class _InBatches(Protocol):
    def predict_batch(self, images: Sequence[Pixels]) -> list[Detections]: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    pixels: Pixels
    answer: asyncio.Future[Detections]


class Batcher:
    """Asks a model in a thread of its own, about as many images at once as are waiting.

    Nothing waits for a batch to fill: an idle model gets the first image alone.

    Parameters
    ----------
    predictor : Predictor
        The model; with a ``predict_batch`` it gets several images at once.
    limits : Limits
        Most images of a batch, and most that wait.
    metrics : Metrics
        What is counted.
    """

    def __init__(self, predictor: Predictor, limits: Limits, metrics: Metrics) -> None:
        self._predictor = predictor
        self._limits = limits
        self._metrics = metrics
        self._admitted = 0
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        # Decoded images take far more memory than files: only as many as the next two batches need.
        self._decoded = asyncio.Semaphore(2 * limits.batch)
        self._decoders = ThreadPoolExecutor(min(_DECODERS, os.cpu_count() or 1), "birdsod-decoder")
        self._model = ThreadPoolExecutor(1, "birdsod-model")

    async def find(self, body: bytes) -> Detections:
        """Return what the model finds in an image file.

        Raises
        ------
        Refusal
            If too many images wait, or this is none that is taken.
        """
        if self._admitted >= self._limits.waiting:
            message = f"{self._admitted} images are waiting already"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, Retry_After=_RETRY_SECONDS)
        self._admit(1)
        try:
            return await self._found(body)
        finally:
            self._admit(-1)

    async def run(self) -> None:
        """Answer what waits, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                group = await self._group()
                await loop.run_in_executor(self._model, self._answer, group, loop)
        finally:
            self._model.shutdown(wait=False, cancel_futures=True)
            self._decoders.shutdown(wait=False, cancel_futures=True)

    def _admit(self, images: int) -> None:
        self._admitted += images
        self._metrics.waiting(images)

    async def _found(self, body: bytes) -> Detections:
        loop = asyncio.get_running_loop()
        async with self._decoded:
            pixels = await loop.run_in_executor(self._decoders, read_image, body, self._limits)
            answer: asyncio.Future[Detections] = loop.create_future()
            await self._waiting.put(_Waiting(pixels, answer))
            return await answer

    async def _group(self) -> list[_Waiting]:
        group = [await self._waiting.get()]
        while len(group) < self._limits.batch and not self._waiting.empty():
            group.append(self._waiting.get_nowait())
        return group

    def _answer(self, group: list[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
        self._metrics.batch(len(group))
        found = self._together([each.pixels for each in group])
        for each, result in zip(group, found, strict=True):
            loop.call_soon_threadsafe(_settle, each.answer, result)

    def _together(self, images: list[Pixels]) -> Sequence[Detections | Exception]:
        if len(images) > 1 and isinstance(self._predictor, _InBatches):
            try:
                return self._predictor.predict_batch(images)
            except Exception:  # noqa: BLE001, S110 - asked one by one, only the image that fails is told of it
                pass
        return [self._alone(each) for each in images]

    def _alone(self, pixels: Pixels) -> Detections | Exception:
        try:
            return self._predictor.predict(pixels)
        except Exception as error:  # noqa: BLE001 - it is the answer to this one request
            return error


def _settle(answer: asyncio.Future[Detections], result: Detections | Exception) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
