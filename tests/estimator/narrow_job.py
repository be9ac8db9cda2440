"""The training process of a job, with ResNet-50 in every layer but few filters: ``narrow_job.py MODE JOB_DIR``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsod.mxnet import _backbones
from birdsod.ssd import job

if TYPE_CHECKING:
    from collections.abc import Callable


def main(mode: str, directory: str) -> int:
    _backbones._FILTERS = (8, 12, 16, 20)
    died = Path(directory) / "died"
    if mode == "dies" and not died.exists():
        die_after_saving(died)
    return job.main([directory])


def die_after_saving(mark: Path) -> None:
    """Kill this process when its first checkpoint is there, as a lost machine would."""
    from birdsod.ssd.run import Run

    save: Callable[..., None] = Run.save

    def save_and_die(*arguments: Any) -> None:
        save(*arguments)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    Run.save = save_and_die  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
