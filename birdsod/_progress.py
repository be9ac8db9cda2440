"""The one progress bar: shown on a terminal or in a notebook, silent everywhere else."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tqdm.std import tqdm

T = TypeVar("T")


def bar(
    items: Iterable[T] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    description: str,
    unit: str = "image",
) -> tqdm[T]:
    """Return a progress bar over ``items``, or one that is moved by ``update``; bytes (``B``) show as kB and MB."""
    return cast(
        "tqdm[T]",
        _kind()(
            items,
            total=total,
            initial=initial,
            desc=description,
            unit=unit,
            unit_scale=unit == "B",
            disable=not _watched(),
            leave=False,
        ),
    )


def followed(items: Iterable[T], *, total: int | None, initial: int, description: str) -> Iterable[T]:
    """Return the items under a progress bar, or as they are where no one watches: tqdm takes long to load."""
    return bar(items, total=total, initial=initial, description=description) if _watched() else items


def _kind() -> Callable[..., object]:
    if notebook() is not None and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm_notebook

        return tqdm_notebook
    from tqdm.std import tqdm

    return tqdm


def _watched() -> bool:
    return sys.stderr.isatty() or notebook() is not None


def notebook() -> Any:  # noqa: ANN401 - IPython is not a dependency, so its types may not be there
    """Return the running notebook's shell; IPython in a terminal, or merely loaded, is none."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None
