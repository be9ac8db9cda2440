"""One list of images into one record file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from birdsod import _progress
from birdsod.errors import DatasetError, ImageError
from birdsod.recordio._image_work import Made, Task, make
from birdsod.recordio._label import detection_label, is_detection_label
from birdsod.recordio._packed import PackedChannel
from birdsod.recordio._pipeline import in_order, one_core_each, workers
from birdsod.recordio._record import record_head
from birdsod.recordio._values import DroppedBox, RefusedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import ArrayLike

    from birdsod.lstwriter import ClippedBox
    from birdsod.recordio._image_work import Answer
    from birdsod.recordio._options import OnError, PackOptions
    from birdsod.recordio._writer import Pair

__all__ = ["Run", "Tally", "fill"]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Run:
    """How a whole call packs."""

    options: PackOptions
    jobs: int
    on_error: OnError
    work: Callable[[Task, PackOptions], Answer] = make
    may_be_empty: bool = False
    endless_labels: bool = False


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
        objects = len(detection_label(made.label)) if is_detection_label(made.label) else 0
        self.records += 1
        self.objects += objects
        self.most_objects = max(self.most_objects, objects)
        self.longest_label = max(self.longest_label, made.label.size)
        self.clipped += made.clipped
        self.dropped += made.dropped

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
    pair: Pair, tasks: Iterable[Task], tally: Tally, run: Run, *, name: str, total: int | None = None
) -> tuple[str, str]:
    """Pack the images of tasks in their order, and return the hashes of both files."""
    work = partial(_made, run=run)
    with workers(run.jobs) as (executor, ahead), one_core_each(run.jobs):
        answers = in_order(work, _counted(tasks, tally), executor=executor, ahead=ahead)
        for task, answer in _progress.bar(answers, total=total, description=f"packing {name}"):
            if isinstance(answer, ImageError):
                if run.on_error == "raise":
                    raise answer
                tally.refuse(task.image_id, task.name, str(answer))
            else:
                pair.append(task.image_id, [record_head(task.image_id, _stored(answer)), answer.image])
                tally.count(answer)
    if not (tally.records or run.may_be_empty):
        cause = tally.refused[0].reason if tally.refused else "the list is empty"
        raise DatasetError(f"no image of {name} can be packed", cause=cause, cure="look at the paths and files")
    if run.on_error == "skip" and tally.refused:
        _warn(tally, name)
    return pair.finish()


def _warn(tally: Tally, name: str) -> None:
    few = ", ".join(image.name for image in tally.refused[:_SHOWN])
    more = ", ..." if len(tally.refused) > _SHOWN else ""
    message = f"{name}: {len(tally.refused)} of {tally.listed} images were refused: {few}{more}"
    warnings.warn(message, UserWarning, stacklevel=5)


def _made(task: Task, run: Run) -> tuple[Task, Answer]:
    return task, run.work(task, run.options)


def _counted(tasks: Iterable[Task], tally: Tally) -> Iterator[Task]:
    for task in tasks:
        tally.listed += 1
        yield task


def _stored(made: Made) -> ArrayLike:
    """Return the label as im2rec stores it: a single number goes into the header."""
    return made.label if made.label.size > 1 else np.float32(made.label[0])
