"""One list into a record file, as im2rec does it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from birdsod import _files, lstwriter
from birdsod.errors import ImageError
from birdsod.recordio._channel import Run, Tally, append, check_filled, fill
from birdsod.recordio._image_work import Task
from birdsod.recordio._index import index_path
from birdsod.recordio._list_check import endless_label
from birdsod.recordio._options import OnError, PackOptions, check_jobs, check_on_error
from birdsod.recordio._staging import Staging, refuse_existing, writing
from birdsod.recordio._writer import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.errors import ListError
    from birdsod.recordio._channel import Outcome
    from birdsod.recordio._packed import PackedChannel
    from birdsod.recordio._values import RefusedImage

__all__ = ["pack_list", "pack_rows"]


def pack_list(  # noqa: PLR0913 - the options that im2rec's users know, all of them named
    lst: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] = ".",
    out: str | os.PathLike[str] | None = None,
    resize: int | None = None,
    quality: int = 95,
    encoding: Literal[".jpg", ".png"] = ".jpg",
    center_crop: bool = False,
    pass_through: bool = False,
    color: Literal[-1, 0, 1] = 1,
    pack_label: bool = True,
    jobs: int = 1,
    on_error: OnError = "raise",
    overwrite: bool = False,
) -> PackedChannel:
    r"""Pack the images of one list into a record file with the bytes that im2rec makes of it.

    Where im2rec drops a row or an image without a word, or packs one that breaks off, this raises or refuses it by
    name. Labels are stored as listed: like im2rec, and unlike :func:`birdsod.pack`, a centre crop does not move
    boxes. Ids may occur twice, as in im2rec.

    Parameters
    ----------
    lst : path-like
        The list.
    root : path-like, default "."
        Folder that its paths are relative to.
    out : path-like, optional
        The ``.rec`` file, with its ``.idx`` beside it; by default beside the list.
    resize : int, optional
        Pixels of the shorter edge (``--resize``).
    quality : int, default 95
        JPEG quality, or PNG compression (``--quality``).
    encoding : {".jpg", ".png"}, default ".jpg"
        Format of the images in the records (``--encoding``).
    center_crop : bool, default False
        Keep the square of the shorter edge (``--center-crop``).
    pass_through : bool, default False
        Pack the files' bytes untouched (``--pass-through``). Unlike im2rec, their headers are checked.
    color : {1, 0, -1}, default 1
        Colour, grey, or as stored (``--color``).
    pack_label : bool, default True
        Pack all numbers of a row (``--pack-label``), not only the first.
    jobs : int, default 1
        Images worked on at a time (``--num-thread``).
    on_error : {"raise", "skip", "collect"}, default "raise"
        What to do with a row or an image that cannot be packed: stop; refuse it, go on and warn; or refuse it and
        go on quietly.
    overwrite : bool, default False
        Whether files of a previous time may be replaced.

    Returns
    -------
    PackedChannel

    Raises
    ------
    ListError
        If the list is missing or, under ``on_error="raise"``, for its first row that im2rec would skip or that
        has a label that is not finite.
    ImageError
        For the first image that cannot be packed, under ``on_error="raise"``.
    DatasetError
        If nothing can be packed.
    RecordError
        If an option is out of range, a file exists already, or one cannot be written.

    Source
    ------
    ``tools/im2rec.py`` of MXNet 1.9.1.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from birdsod import image
    >>> folder = tempfile.TemporaryDirectory()
    >>> photos = Path(folder.name)
    >>> _ = (photos / "a.png").write_bytes(image.encode(np.zeros((6, 8, 3), np.uint8), encoding=".png"))
    >>> _ = (photos / "birds.lst").write_text("7\t2\t5\t0\t0.1\t0.2\t0.5\t0.6\ta.png\n")
    >>> packed = pack_list(photos / "birds.lst", root=photos, resize=4)
    >>> packed.rec.name, packed.records, image.read_size(packed.open()[0].image)
    ('birds.rec', 1, ImageSize(width=5, height=4))
    >>> folder.cleanup()
    """
    options = PackOptions(resize, quality, encoding, center_crop=center_crop, pass_through=pass_through, color=color)
    check_on_error(on_error)
    check_jobs(jobs)
    lst = Path(os.path.abspath(lst))  # noqa: PTH100 - resolve() would follow links and rename the files
    rec = lst.with_suffix(".rec") if out is None else Path(os.path.abspath(out))  # noqa: PTH100 - the same
    run = Run(options, jobs, on_error)
    return pack_rows(lst, Path(root), rec, run, pack_label=pack_label, overwrite=overwrite)


def pack_rows(
    lst: Path, root: Path, rec: Path, run: Run, *, pack_label: bool, overwrite: bool, total: int | None = None
) -> PackedChannel:
    """Pack a list as ``run`` says; ``total`` is its number of rows where it is known."""
    names = [rec.name, index_path(rec).name]
    refuse_existing([rec.with_name(name) for name in names], overwrite=overwrite)
    tally = Tally()
    rows = _Rows(lst, root, tally, run, pack_label=pack_label)
    with Staging(rec.parent) as staging:
        with writing(rec), contextlib.closing(Pair(*(staging.folder / name for name in names), hashing=True)) as pair:
            fill(rows.tasks(), partial(rows.put, pair), run, name=rec.name, total=total)
            tally.refused = rows.refused_in_order()
            check_filled(rec.name, tally.records, tally.refused, run, tally.listed, calls=3)
            hashes = pair.finish()
        channel = tally.channel(rec.stem, pair, run.options, lst=lst, hashes=(*hashes, _files.sha256(lst)))
        staging.publish(names, overwrite=overwrite)
    return channel.within(rec.parent)


class _Rows:
    """The rows of a list on their way: read ahead of those that are packed, so each refusal keeps its line."""

    def __init__(self, lst: Path, root: Path, tally: Tally, run: Run, *, pack_label: bool) -> None:
        self._lst = lst
        self._root = root
        self._tally = tally
        self._run = run
        self._pack_label = pack_label
        self._under_way: deque[int] = deque()
        self._refused_at: list[int] = []

    def tasks(self) -> Iterator[Task]:
        """Yield the rows that can be packed."""
        for row in lstwriter.rows(self._lst, on_skip=self._refuse):
            label = row.label if self._pack_label else row.label[:1]
            flaw = None if self._run.endless_labels else endless_label(label, self._lst, row.line)
            if flaw is None:
                self._under_way.append(row.line)
                path = os.path.join(self._root, row.path)  # noqa: PTH118 - a fifth of the time
                yield Task(row.image_id, label, row.path, path)
            else:
                self._refuse(flaw, row.image_id, row.path)

    def put(self, pair: Pair, task: Task, outcome: Outcome) -> None:
        """Put away what became of the next of them."""
        line = self._under_way.popleft()
        if isinstance(outcome, ImageError):
            self._refused_at.append(line)
        append(pair, self._tally, task, outcome)

    def refused_in_order(self) -> list[RefusedImage]:
        """Return what was refused in the order of the list, however far ahead it was read."""
        pairs = zip(self._refused_at, self._tally.refused, strict=True)
        return [image for _, image in sorted(pairs, key=lambda pair: pair[0])]

    def _refuse(self, error: ListError, image_id: int | None = None, name: str | None = None) -> None:
        if self._run.on_error == "raise":
            raise error
        self._tally.listed += 1
        self._refused_at.append(error.line or 0)
        self._tally.refuse(image_id, str(error.value) if name is None else name, str(error))
