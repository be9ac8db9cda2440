"""A server process without a model, for the tests of processes: ``python fake_server.py [MODE]``."""

from __future__ import annotations

import sys
import time

from birdsod.classes import ClassTable
from birdsod.detections import Detections
from birdsod.image import ImageSource, as_rgb
from birdsod.serving._run import run, stop_with_owner

CLASSES = ClassTable((17,), ("017.Cardinal",))


class Fixed:
    classes = CLASSES

    def predict(self, image: ImageSource) -> Detections:
        height, width = as_rgb(image).shape[:2]
        if height == 1:
            raise RuntimeError("too flat for this model")
        return Detections([0], [0.5], [[0.0, 0.25, 0.5, 1.0]], width, height, CLASSES)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(mode: str) -> None:
    if mode == "refuses":
        sys.exit("no model here")
    if mode == "silent":
        sys.exit(3)
    if mode == "hangs":
        time.sleep(600)
    if mode == "deaf":
        say("listening at http://127.0.0.1:9")
        time.sleep(600)
    if mode == "dies":
        say("listening at http://127.0.0.1:9")
        sys.exit("died after all")
    stop = stop_with_owner()
    if mode == "stubborn":
        stop.clear = stop.set = lambda: None  # type: ignore[method-assign]
    say("something that a library says")
    run(Fixed(), port=0, stop=stop)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "good")
