"""Batches on the device of the network: copied while it computes, as bytes, which become numbers there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from birdsod.ssd.loader import Batch

__all__ = ["Fed", "fed", "to_device"]


class Fed(NamedTuple):
    """A batch on the device of the network.

    Parameters
    ----------
    images : Tensor
        RGB, uint8, ``(B, 3, H, W)`` in channels-last memory.
    labels : Tensor
        Rows ``class, xmin, ymin, xmax, ymax``, filled up with -1, ``(B, most objects, 5)``.
    """

    images: torch.Tensor
    labels: torch.Tensor


def fed(batches: Iterable[Batch], device: torch.device) -> Generator[Fed, None, None]:
    """Yield batches on a device; on a graphics processor the next one is on its way meanwhile.

    Parameters
    ----------
    batches : iterable of Batch
        As the loader makes them.
    device : torch.device
        Where the network is.

    Yields
    ------
    Fed
    """
    if device.type != "cuda":
        for batch in batches:
            yield to_device(batch, device)
        return
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # PyTorch's
    waiting: list[tuple[Fed, Callable[[], None]]] = []
    for batch in batches:
        waiting.append(_sent(batch, device, beside))
        if len(waiting) > 1:
            yield _arrived(*waiting.pop(0))
    for each in waiting:
        yield _arrived(*each)


def to_device(batch: Batch, device: torch.device) -> Fed:
    """Return a batch on a device.

    Parameters
    ----------
    batch : Batch
        As the loader makes it.
    device : torch.device
        Where the network is.

    Returns
    -------
    Fed
    """
    return _moved(torch.from_numpy(batch.images), torch.from_numpy(batch.labels), device)


def _moved(images: torch.Tensor, labels: torch.Tensor, device: torch.device, *, wait: bool = True) -> Fed:
    return Fed(images.to(device, non_blocking=not wait).permute(0, 3, 1, 2), labels.to(device, non_blocking=not wait))


def _sent(batch: Batch, device: torch.device, beside: torch.cuda.Stream) -> tuple[Fed, Callable[[], None]]:
    """Begin to copy a batch on a stream of its own, out of memory that the device can read by itself."""
    images, labels = torch.from_numpy(batch.images).pin_memory(), torch.from_numpy(batch.labels).pin_memory()
    with torch.cuda.stream(beside):
        sent = _moved(images, labels, device, wait=False)

    def wait() -> None:
        now = torch.cuda.current_stream(device)
        now.wait_stream(beside)
        for tensor in sent:
            # Its memory is not used again before this stream is done with it.
            tensor.record_stream(now)

    return sent, wait


def _arrived(sent: Fed, wait: Callable[[], None]) -> Fed:
    wait()
    return sent
