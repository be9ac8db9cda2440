"""What a run sets in its process while it lasts: threads, chance, determinism, memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING, Any

import torch

from birdsod.errors import HyperparameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.ssd.options import LocalOptions
    from birdsod.ssd.place import Place

__all__ = ["device_of", "keep_memory", "processes_here", "surroundings"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST_KEPT = 1 << 30
# Fewer do not keep a GPU busy, and the processes would only wait for each other.
_LEAST_IMAGES = 8


@contextlib.contextmanager
def surroundings(options: LocalOptions, processes: int = 1) -> Iterator[None]:
    """Set threads, seed and deterministic algorithms for a while; what was there before comes back.

    Parameters
    ----------
    options : LocalOptions
        Threads and seed.
    processes : int, default 1
        How many on this machine share its processor.

    Yields
    ------
    None
    """
    import cv2

    # cuBLAS reads this when it is first used; without it, it refuses deterministic work.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    deterministic: Any = torch.utils.deterministic  # its attribute is made at run time
    before = torch.get_num_threads(), cv2.getNumThreads(), torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = deterministic.fill_uninitialized_memory
    # Named, since with several graphics processors it would warn that it takes all of them.
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        try:
            torch.set_num_threads(options.threads or max(1, before[0] // processes))
            cv2.setNumThreads(0)  # images are decoded side by side already
            # On a graphics processor an operator may have no such algorithm: a warning, not the end of the training.
            torch.use_deterministic_algorithms(mode=True, warn_only=_name_of(options).startswith("cuda"))
            # Filling every fresh block would cost a fifth of an update; nothing here reads one before it is written.
            deterministic.fill_uninitialized_memory = False
            torch.manual_seed(options.seed)
            yield
        finally:
            torch.set_num_threads(before[0])
            cv2.setNumThreads(before[1])
            torch.use_deterministic_algorithms(mode=before[2], warn_only=warned)
            deterministic.fill_uninitialized_memory = filled


def device_of(options: LocalOptions, place: Place | None = None) -> torch.device:
    """Return the device that a process trains on.

    Parameters
    ----------
    options : LocalOptions
        Which device; ``"auto"`` takes a GPU where there is one.
    place : Place, optional
        Where the process stands among those that train together: each process of a machine has a GPU of its own.

    Returns
    -------
    torch.device

    Raises
    ------
    HyperparameterError
        If there is no such device, or not one for each process.
    """
    name = _name_of(options)
    if place is not None and name.startswith("cuda"):
        if name != "cuda" or place.local_size > torch.cuda.device_count():
            message = f"{place.local_size} processes need a GPU each, and there are {torch.cuda.device_count()}"
            raise HyperparameterError(message, value=options.device, cure='use device="auto" and fewer processes')
        name = f"cuda:{place.local_rank}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        cause = str(error).splitlines()[0]
        raise HyperparameterError("no such device", value=options.device, cause=cause, cure='use "auto"') from error
    if place is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def _name_of(options: LocalOptions) -> str:
    if options.device != "auto":
        return options.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def processes_here(options: LocalOptions, batch_size: int) -> int:
    """Return how many processes train together on this machine.

    Parameters
    ----------
    options : LocalOptions
        How many are asked for. Unless it says so, one for each GPU, as far as each has enough to do.
    batch_size : int
        Images of an update, which they share.

    Returns
    -------
    int
    """
    if options.processes is not None:
        return options.processes
    if _name_of(options) != "cuda":
        return 1
    return max(1, min(torch.cuda.device_count(), batch_size // _LEAST_IMAGES))


def keep_memory() -> bool:
    """Keep freed memory in this process instead of giving it back to the system, for the rest of its life.

    A network asks for the same large blocks at every update. By default each of them comes fresh from the
    system, which fills it with zeros; on two processor cores this makes a frozen forward pass three times as
    slow. Only for processes of one's own: it holds for everything in them.

    Returns
    -------
    bool
        Whether the system can do so; GNU/Linux can.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, _LARGEST_KEPT) and set_option(_M_TRIM_THRESHOLD, 2**31 - 1))
