"""A small data set, and packing that is killed at a byte: run as a script, it forks a victim for each line it reads."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import birdsod as bd
from birdsod import ClassTable, DetectionDataset, image
from birdsod.recordio import _journal, _shelf

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 30
TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
# A kill between two writes should be as likely as one within: each call counts as so many bytes.
_CALL = 40


def draw_photos(folder: Path) -> None:
    """Images of a few pixels each, some of them broken off."""
    random = np.random.default_rng(0)
    for number in range(COUNT):
        pixels = random.integers(0, 256, (9 + number % 4, 14, 3), dtype=np.uint8)
        data = image.encode(pixels, encoding=".jpg", quality=50)
        (folder / f"{number}.jpg").write_bytes(data[:-30] if number % 7 == 3 else data)


def dataset(photos: Path, begin: int = 0, end: int = COUNT, *, side: float = 8.0) -> DetectionDataset:
    """Each image with a box that leaves it and one that a centre crop drops."""
    ids = [1000 - number for number in range(begin, end)]
    boxes = [[-2.0, 1.0, side, 7.0], [0.0, 0.0, 1.0, 1.0]]
    columns = {
        name: [box[place] for _ in ids for box in boxes] for place, name in enumerate(("xmin", "ymin", "xmax", "ymax"))
    }
    return DetectionDataset.from_tables(
        {"image_id": ids, "path": [f"{number}.jpg" for number in range(begin, end)]},
        {"image_id": [image_id for image_id in ids for _ in boxes], "class_id": [0, 1] * len(ids), **columns},
        root=photos,
        class_table=TABLE,
    )


def channels(photos: Path) -> dict[str, DetectionDataset]:
    return {"train": dataset(photos, 0, 20), "validation": dataset(photos, 20)}


def pack(photos: Path, folder: Path, **how: Any) -> Any:
    return bd.pack(channels(photos), folder, resize=8, center_crop=True, on_error="collect", **how)


class Countdown:
    """Kills this process when so much was written."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.spent = 0

    def spend(self, cost: int) -> int | None:
        """Return how much of a write still happens before the kill, or None for all."""
        self.spent += cost
        self.left -= cost
        return None if self.left > 0 else max(self.left + cost, 0)

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hook(self) -> None:
        """Count what is written, flushed and renamed from now on."""
        writev, write_line = os.writev, _journal.Journal._write

        def counted(descriptor: int, pieces: Any) -> int:
            some = self.spend(sum(map(len, pieces)))
            if some is not None:
                os.write(descriptor, b"".join(pieces)[:some])
                self.kill()
            return writev(descriptor, pieces)

        def line(journal: _journal.Journal, entry: Any) -> None:
            whole = _journal.line_of(entry)
            some = self.spend(len(whole))
            if some is not None:
                journal._file.write(whole[:some])
                self.kill()
            write_line(journal, entry)

        hooked: tuple[tuple[object, str, Any], ...] = ((os, "writev", counted), (_journal.Journal, "_write", line))
        for home, name, call in hooked:
            setattr(home, name, call)
        for name in ("rename", "replace", "unlink", "mkdir"):
            setattr(Path, name, self._before(getattr(Path, name)))
        # A flush is a moment to be killed at; what the system has outlives a process without it, so none is waited for.
        os.fsync = self._before(lambda _: None)

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.spend(_CALL) is not None:
                self.kill()
            return call(*args, **kwargs)

        return counted


def _victim(order: dict[str, Any]) -> None:
    _shelf._ROWS_A_MARK = order["rows"]
    countdown = Countdown(order["left"])
    countdown.hook()
    how = {name: tuple(value) if isinstance(value, list) else value for name, value in order["how"].items()}
    pack(Path(order["photos"]), Path(order["folder"]), resume=True, **how)
    Path(order["spent"]).write_text(str(countdown.spent))


def serve() -> None:
    """Fork a process for each order, and tell how it ended."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                _victim(json.loads(line))
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a victim never comes back into the server
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # What every victim needs is loaded once.
    import_module("cv2")
    import_module("birdsod.recordio._pack")

    serve()
