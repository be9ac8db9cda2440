"""Batches on their way to the device of the network."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from birdsod.ssd.feeding import fed, to_device
from birdsod.ssd.loader import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU = torch.device("cpu")


def batches(count: int, made: list[int] | None = None) -> Iterator[Batch]:
    for number in range(count):
        if made is not None:
            made.append(number)
        images = np.full((2, 4, 4, 3), number, dtype=np.uint8)
        images[..., 1] = 7
        yield Batch(images, np.full((2, 1, 5), number, dtype=np.float32))


def test_on_a_processor_batches_pass_as_they_are() -> None:
    made: list[int] = []
    for number, batch in enumerate(fed(batches(3, made), CPU)):
        assert batch.images.shape == (2, 3, 4, 4)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert set(batch.images[:, 0].flatten().tolist()) == {number}
        assert set(batch.images[:, 1].flatten().tolist()) == {7}
        assert set(batch.labels.flatten().tolist()) == {number}
        assert made == list(range(number + 1))


def test_a_batch_is_not_copied_in_vain() -> None:
    (batch,) = batches(1)
    assert to_device(batch, CPU).images.data_ptr() == batch.images.ctypes.data


class Stream:
    """Takes note of who waits for whom, as a stream of a graphics processor would."""

    waited: int = 0

    def __init__(self, _: object = None) -> None:
        pass

    def wait_stream(self, other: object) -> None:
        assert isinstance(other, Stream)
        self.waited += 1


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_graphics_processor_gets_the_next_batch_meanwhile(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    now, pinned, kept = Stream(), list[int](), list[object]()

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.ndim)
        return tensor

    def move(tensor: torch.Tensor, device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        assert device.type == "cuda"
        assert non_blocking
        return tensor

    stand_ins: dict[str, Any] = {
        "Stream": Stream,
        "stream": lambda _: contextlib.nullcontext(),
        "current_stream": lambda _: now,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    for name, method in {"pin_memory": pin, "to": move, "record_stream": lambda *told: kept.append(told)}.items():
        monkeypatch.setattr(torch.Tensor, name, method)
    made: list[int] = []
    found = []
    for batch in fed(batches(count, made), torch.device("cuda")):
        found.append(int(batch.images[0, 0, 0, 0]))
        assert len(made) == min(count, len(found) + 1)
        assert now.waited == len(found)
    assert found == list(range(count))
    assert pinned == [4, 3] * count
    assert len(kept) == 2 * count
