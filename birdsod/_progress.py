"""The one progress bar: shown on a terminal or in a notebook, silent everywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tqdm.std import tqdm

T = TypeVar("T")


def bar(
    items: Iterable[T] | None = None, *, total: int | None = None, description: str, unit: str = "image"
) -> tqdm[T]:
    """Return a progress bar over ``items``, or one that is moved by ``update``."""
    from tqdm.auto import tqdm as automatic

    return automatic(items, total=total, desc=description, unit=unit, disable=not _watched(), leave=False)


def _watched() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
