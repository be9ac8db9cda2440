"""One list of images into one record file."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from birdsod import _progress
from birdsod.errors import DatasetError, ImageError
from birdsod.recordio._framing import frame
from birdsod.recordio._image_work import Made, Task, make
from birdsod.recordio._label import object_count
from birdsod.recordio._packed import PackedChannel
from birdsod.recordio._pipeline import in_order, through, workers
from birdsod.recordio._record import record_head
from birdsod.recordio._values import DroppedBox, RefusedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from numpy.typing import ArrayLike

    from birdsod.lstwriter import ClippedBox
    from birdsod.recordio._image_work import Answer
    from birdsod.recordio._options import OnError, PackOptions
    from birdsod.recordio._writer import Pair

__all__ = ["Outcome", "Ready", "Run", "Tally", "append", "check_filled", "fill"]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Run:
    """How a whole call packs."""

    options: PackOptions
    jobs: int | None
    on_error: OnError
    executor: Executor | None = None
    work: Callable[[Task, PackOptions], Answer] = make
    may_be_empty: bool = False
    endless_labels: bool = False


class Ready(NamedTuple):
    """An image whose record only has to be added: framed by whoever made it, since that means to look at each byte."""

    made: Made
    pieces: list[bytes]

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return sum(map(len, self.pieces))


Outcome: TypeAlias = Ready | ImageError


@dataclass(slots=True)
class Tally:
    """Counts that grow while a channel is packed."""

    listed: int = 0
    records: int = 0
    objects: int = 0
    most_objects: int = 0
    longest_label: int = 0
    clipped: list[ClippedBox] = field(default_factory=list)
    dropped: list[DroppedBox] = field(default_factory=list)
    refused: list[RefusedImage] = field(default_factory=list)

    def refuse(self, image_id: int | None, name: str, reason: str) -> None:
        """Count an image that is not packed."""
        self.refused.append(RefusedImage(image_id, name, reason))

    def count(self, made: Made) -> None:
        """Count an image that is packed."""
        objects = object_count(made.label)
        self.records += 1
        self.objects += objects
        self.most_objects = max(self.most_objects, objects)
        self.longest_label = max(self.longest_label, made.label.size)
        self.clipped += made.clipped
        self.dropped += made.dropped

    def after(self, before: Tally) -> Tally:
        """Return these counts with the notes of an earlier tally before these notes."""
        return replace(
            self,
            clipped=before.clipped + self.clipped,
            dropped=before.dropped + self.dropped,
            refused=before.refused + self.refused,
        )

    @property
    def lengths(self) -> tuple[int, int, int]:
        """How many notes there are of each kind."""
        return len(self.clipped), len(self.dropped), len(self.refused)

    def since(self, lengths: tuple[int, int, int]) -> Tally:
        """Return these counts with the notes that were made since there were so many."""
        clipped, dropped, refused = lengths
        return replace(
            self, clipped=self.clipped[clipped:], dropped=self.dropped[dropped:], refused=self.refused[refused:]
        )

    def channel(
        self, name: str, pair: Pair, options: PackOptions, *, lst: Path, hashes: tuple[str, str, str]
    ) -> PackedChannel:
        """Return the value that tells what was packed; hashes are those of record file, index and list."""
        sha256, idx_sha256, lst_sha256 = hashes
        return PackedChannel(
            name=name,
            lst=lst,
            rec=pair.rec,
            idx=pair.idx,
            listed=self.listed,
            records=self.records,
            objects=self.objects,
            most_objects=self.most_objects,
            longest_label=self.longest_label,
            bytes=pair.offset,
            sha256=sha256,
            idx_sha256=idx_sha256,
            lst_sha256=lst_sha256,
            options=options,
            clipped=tuple(self.clipped),
            dropped=tuple(self.dropped),
            refused=tuple(self.refused),
        )


def fill(
    tasks: Iterable[Task],
    put: Callable[[Task, Outcome], object],
    run: Run,
    *,
    name: str,
    total: int | None = None,
    done: int = 0,
) -> None:
    """Work on the images of tasks and put each answer away, in their order."""
    # Closed here and not by the collector: after an error nobody goes on working.
    with contextlib.closing(_answers(tasks, run)) as answers:
        for task, answer in _progress.followed(answers, total=total, initial=done, description=f"packing {name}"):
            if run.on_error == "raise" and isinstance(answer, ImageError):
                raise answer
            put(task, answer)


def append(pair: Pair, tally: Tally, task: Task, outcome: Outcome) -> None:
    """Add the record of an image, or count it among the refused."""
    tally.listed += 1
    if isinstance(outcome, ImageError):
        tally.refuse(task.image_id, task.name, str(outcome))
    else:
        pair.append_framed(task.image_id, outcome.pieces, outcome.size)
        tally.count(outcome.made)


def check_filled(
    name: str, records: int, refused: Sequence[RefusedImage], run: Run, listed: int, *, calls: int
) -> None:
    """Refuse a channel without a record; warn of images that are left out where that was asked for.

    The warning is named after the line that is so many calls above.
    """
    if not (records or run.may_be_empty):
        cause = refused[0].reason if refused else "the list is empty"
        raise DatasetError(f"no image of {name} can be packed", cause=cause, cure="look at the paths and files")
    if run.on_error == "skip" and refused:
        few = ", ".join(image.name for image in refused[:_SHOWN])
        more = ", ..." if len(refused) > _SHOWN else ""
        message = f"{name}: {len(refused)} of {listed} images were refused: {few}{more}"
        warnings.warn(message, UserWarning, stacklevel=calls + 1)


def _answers(tasks: Iterable[Task], run: Run) -> Generator[tuple[Task, Outcome], None, None]:
    work = partial(_worked, work=run.work, options=run.options)
    if run.executor is not None:
        with contextlib.closing(through(run.executor, work, tasks, jobs=run.jobs)) as pairs:
            yield from pairs
        return
    with workers(run.jobs or 1, decoding=not run.options.pass_through) as (executor, ahead):
        yield from in_order(work, tasks, executor=executor, ahead=ahead)


def _worked(task: Task, work: Callable[[Task, PackOptions], Answer], options: PackOptions) -> tuple[Task, Outcome]:
    answer = work(task, options)
    return task, answer if isinstance(answer, ImageError) else _ready(task, answer)


def _ready(task: Task, made: Made) -> Ready:
    # A single number stands in the header, as im2rec stores it.
    label: ArrayLike = made.label if made.label.size > 1 else np.float32(made.label[0])
    pieces = frame([record_head(task.image_id, label), made.image])
    # Views, of an image that is cut, do not travel to another process.
    return Ready(made, [piece if isinstance(piece, bytes) else bytes(piece) for piece in pieces])
