"""Where a job's files are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod._files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["ARTIFACT", "job_folder", "read_log", "write_log"]

ARTIFACT = "model.tar.gz"
_LOG = "log.txt"


def job_folder(cloud: Cloud, name: str) -> Path:
    """Return the folder of a job, below ``$XDG_CACHE_HOME`` or ``~/.cache``; it need not exist."""
    home = os.environ.get("XDG_CACHE_HOME")
    root = Path(home) if home else Path.home() / ".cache"
    return root / "birdsod" / "jobs" / cloud.account / cloud.region / name


def write_log(folder: Path, lines: Sequence[str]) -> None:
    """Keep the log of a job that is over."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _LOG, "".join(f"{line}\n" for line in lines))


def read_log(folder: Path) -> list[str]:
    """Return the log that was kept; empty if none was."""
    try:
        return (folder / _LOG).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
