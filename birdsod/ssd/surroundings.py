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

__all__ = ["device_of", "keep_memory", "surroundings"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST_KEPT = 1 << 30


@contextlib.contextmanager
def surroundings(options: LocalOptions) -> Iterator[None]:
    """Set threads, seed and deterministic algorithms for a while; what was there before comes back.

    Parameters
    ----------
    options : LocalOptions
        Threads and seed.

    Yields
    ------
    None
    """
    import cv2

    # cuBLAS reads this when it is first used; without it, it refuses deterministic work.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    deterministic: Any = torch.utils.deterministic  # its attribute is made at run time
    before = torch.get_num_threads(), cv2.getNumThreads(), torch.are_deterministic_algorithms_enabled()
    filled = deterministic.fill_uninitialized_memory
    with torch.random.fork_rng():
        try:
            torch.set_num_threads(options.threads or before[0])
            cv2.setNumThreads(0)  # images are decoded side by side already
            torch.use_deterministic_algorithms(mode=True)
            # Filling every fresh block would cost a fifth of an update; nothing here reads one before it is written.
            deterministic.fill_uninitialized_memory = False
            torch.manual_seed(options.seed)
            yield
        finally:
            torch.set_num_threads(before[0])
            cv2.setNumThreads(before[1])
            torch.use_deterministic_algorithms(mode=before[2])
            deterministic.fill_uninitialized_memory = filled


def device_of(options: LocalOptions) -> torch.device:
    """Return the device that a run is on.

    Parameters
    ----------
    options : LocalOptions
        Which device; ``"auto"`` takes a GPU where there is one.

    Returns
    -------
    torch.device

    Raises
    ------
    HyperparameterError
        If there is no such device.
    """
    if options.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(options.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        cause = str(error).splitlines()[0]
        raise HyperparameterError("no such device", value=options.device, cause=cause, cure='use "auto"') from error
    return device


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
