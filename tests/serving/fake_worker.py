"""One of several server processes, without a model: ``python fake_worker.py MODE --owned --descriptor N``."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from birdsod.classes import ClassTable
from birdsod.detections import Detections
from birdsod.image import ImageSource, as_rgb
from birdsod.serving._limits import AMONG_OTHERS
from birdsod.serving._run import LISTENING, run, stop_with_owner

CLASSES = ClassTable((17,), ("017.Cardinal",))


class Slow:
    """Takes a moment, so that requests are under way when the process is told to end."""

    classes = CLASSES

    def predict(self, image: ImageSource) -> Detections:
        height, width = as_rgb(image).shape[:2]
        if height == 1:
            os._exit(7)
        time.sleep(0.02)
        return Detections([0], [0.5], [[0.0, 0.25, 0.5, 1.0]], width, height, CLASSES)


def main(folder: str, descriptor: int) -> None:
    if (Path(folder) / "broken").exists():
        sys.exit("no model here")
    (Path(folder) / f"{os.getpid()}.started").touch()
    if (Path(folder) / "stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stdout.write(f"something that a library says\n{LISTENING} nowhere\n")
        sys.stdout.flush()
        stop_with_owner().wait()
    run(Slow(), stop=stop_with_owner(), limits=AMONG_OTHERS, listening=socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[-1]))
