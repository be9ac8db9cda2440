"""What is told while someone waits."""

from __future__ import annotations

__all__ = ["say"]


def say(text: str) -> None:
    """Print a line between the progress bars, where there are any."""
    from tqdm.std import tqdm

    tqdm.write(text)
