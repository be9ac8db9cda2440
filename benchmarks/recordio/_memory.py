"""The most memory that a process and all its children held at a time."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

EVERY = 0.05


class Peak:
    """Looks at a tree of processes again and again while its ``with`` block runs; sizes in bytes.

    ``pss`` divides pages that several processes share among them. ``anonymous`` leaves out the pages of mapped files,
    which the system takes back when it needs them.
    """

    def __init__(self, pid: int) -> None:
        self.pss = self.anonymous = 0
        self._pid = pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            held = [_held(pid) for pid in _tree(self._pid)]
            self.pss = max(self.pss, sum(pss for pss, _ in held))
            self.anonymous = max(self.anonymous, sum(anonymous for _, anonymous in held))
            if self._end.wait(EVERY):
                return


def _tree(pid: int) -> Iterator[int]:
    yield pid
    # Processes may end at any time.
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from _tree(int(child))


def _held(pid: int) -> tuple[int, int]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return 0, 0
    sizes = {name: 1024 * int(size.split()[0]) for name, _, size in (line.partition(":") for line in lines)}
    return sizes.get("Pss", 0), sizes.get("Anonymous", 0)
