"""Mirrored copies of images, in a folder that remembers which source each was made of."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from birdsod import _progress
from birdsod._files import write_text
from birdsod._ordered import cores, in_threads
from birdsod.dataset._tables import relative_name
from birdsod.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from tqdm.std import tqdm

    from birdsod.dataset._record import ImageRecord

_LEDGER = "mirrored.json"


class _Source(NamedTuple):
    """What a mirrored file was made of; a file moved with its time and length is the same file."""

    path: str
    length: int
    time: int

    def is_content_of(self, other: _Source) -> bool:
        return (self.length, self.time) == (other.length, other.time)


@dataclass(frozen=True, slots=True)
class _Task:
    """One file to make."""

    name: str
    target: Path
    record: ImageRecord
    source: _Source


def write_mirrors(records: Sequence[ImageRecord], directory: Path, *, root: Path, jobs: int | None) -> list[Path]:
    """Make the mirrored file of each image that is not there yet; return all their paths, in order.

    The ledger is written before the files, so that a file which is not on it is never one of ours.
    """
    _check_directory(directory, root, jobs)
    tasks = [_task(record, directory) for record in records]
    ledger = _read_ledger(directory)
    for task in tasks:
        _check_free(task, ledger)
    todo = _outdated(tasks, ledger, jobs or cores())
    if todo:
        _prepare(directory, todo, ledger)
        _make(todo, jobs or cores())
    return [task.target for task in tasks]


def mirrored_images(
    records: Sequence[ImageRecord], paths: Sequence[Path], *, root: Path, largest: int
) -> dict[str, npt.NDArray[Any]]:
    """Return the images table of mirrored images; ids depend on the original and the whole set alone."""
    originals = np.array([record.image_id for record in records], dtype=np.int64)
    return {
        # An id of 0 would land on the largest id itself.
        "image_id": np.where(originals == 0, 2 * largest + 1, originals + largest),
        "path": np.array([relative_name(path, root) for path in paths], dtype=object),
        "width": np.array([record.width for record in records], dtype=np.int64),
        "height": np.array([record.height for record in records], dtype=np.int64),
        "split": np.array([record.split for record in records], dtype=object),
        "mirror_of": originals,
    }


def _check_directory(directory: Path, root: Path, jobs: int | None) -> None:
    if jobs is not None and jobs < 1:
        raise DatasetError("at least one job is needed", value=jobs, cure="leave jobs out to use all cores")
    if directory.exists() and not directory.is_dir():
        raise DatasetError(
            "a file stands where mirrored images should go", path=directory, cure="choose another folder"
        )
    if os.path.realpath(directory) == os.path.realpath(root):
        raise DatasetError(
            "mirrored images may not go to the folder of the originals",
            path=directory,
            cause="they would overwrite the originals",
            cure="choose another folder",
        )


def _task(record: ImageRecord, directory: Path) -> _Task:
    name = Path(record.name)
    # An image outside the root keeps its whole path below the folder.
    inner = Path("outside", *name.parts[1:]) if name.is_absolute() else name
    status = record.path.stat()
    source = _Source(str(record.path), status.st_size, status.st_mtime_ns)
    return _Task(inner.as_posix(), directory / inner, record, source)


def _check_free(task: _Task, ledger: dict[str, _Source]) -> None:
    """Refuse to write over a file that was not made here, or was made of another set's image."""
    known = ledger.get(task.name)
    if known is None:
        if os.path.lexists(task.target):
            raise DatasetError(
                "a file that is no mirrored image of ours stands where one should go",
                path=task.target,
                value=task.record.name,
                cause="the folder holds originals or other files",
                cure="choose an empty folder",
            )
    elif known.path != task.source.path and not known.is_content_of(task.source) and task.target.exists():
        raise DatasetError(
            f"the folder holds the mirrored image of another file, {known.path}",
            path=task.target,
            value=task.source.path,
            cause="two data sets share the folder",
            cure="choose a folder for each data set",
        )


def _outdated(tasks: Sequence[_Task], ledger: dict[str, _Source], threads: int) -> list[_Task]:
    """Return the tasks whose file is missing, broken or made of an older source."""
    current = [task.name in ledger and ledger[task.name].is_content_of(task.source) for task in tasks]
    checked = [task for task, good in zip(tasks, current, strict=True) if good]
    whole = dict(zip([task.name for task in checked], in_threads(_is_whole, checked, threads=threads), strict=True))
    return [task for task in tasks if not whole.get(task.name, False)]


def _is_whole(task: _Task) -> bool:
    from birdsod import image

    try:
        if image.read_size(task.target) != (task.record.width, task.record.height) or image.is_truncated(task.target):
            return False
        if image.sniff(task.target.read_bytes()) != "image/jpeg":
            # Only decoding tells whether the others are whole.
            image.decode(task.target)
    except ImageError:
        return False
    return True


def _prepare(directory: Path, todo: Sequence[_Task], ledger: dict[str, _Source]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for task in todo:
            task.target.unlink(missing_ok=True)
        _write_ledger(directory, ledger | {task.name: task.source for task in todo})
    except OSError as error:
        raise DatasetError(
            "mirrored images cannot be written here", path=directory, cause=error.strerror, cure="choose another folder"
        ) from error


def _make(tasks: Sequence[_Task], threads: int) -> None:
    shown: tqdm[int] = _progress.bar(total=len(tasks), description="mirroring")
    with shown:
        for _ in in_threads(_mirror, tasks, threads=threads):
            shown.update()


def _mirror(task: _Task) -> None:
    from birdsod import image

    image.mirror(task.record.path, task.target)


def _read_ledger(directory: Path) -> dict[str, _Source]:
    path = directory / _LEDGER
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["sources"]
        return {str(name): _Source(str(item[0]), int(item[1]), int(item[2])) for name, item in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DatasetError(
            "the list of mirrored images cannot be read",
            path=path,
            cause=f"{type(error).__name__}: {error}",
            cure="delete the folder, or choose another",
        ) from error


def _write_ledger(directory: Path, ledger: dict[str, _Source]) -> None:
    entries = {name: list(source) for name, source in sorted(ledger.items())}
    write_text(directory / _LEDGER, json.dumps({"made_by": "birdsod", "sources": entries}, indent=1) + "\n")
