"""Data sets into record files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, overload

import numpy as np

from birdsod.errors import DatasetError
from birdsod.recordio._channel import Run
from birdsod.recordio._names import check_names
from birdsod.recordio._options import OnError, PackOptions, check_jobs, check_on_error
from birdsod.recordio._pack_run import Request, pack_channels
from birdsod.recordio._pipeline import check_executor
from birdsod.recordio._shard_plan import plan_of

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import Unpack

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.recordio._packed import Packed
    from birdsod.recordio._sharded import Sharded

__all__ = ["pack"]


class _How(TypedDict, total=False):
    """The options that do not decide what is returned."""

    resize: int | None
    quality: int
    encoding: Literal[".jpg", ".png"]
    center_crop: bool
    pass_through: bool
    jobs: int | None
    executor: Executor | None
    on_error: OnError
    overwrite: bool
    outside: Literal["clip", "raise"]
    resume: bool


@overload
def pack(
    channels: Mapping[str, DetectionDataset],
    directory: str | os.PathLike[str],
    *,
    shards: None = None,
    shard: None = None,
    **how: Unpack[_How],
) -> Packed: ...
@overload
def pack(
    channels: Mapping[str, DetectionDataset],
    directory: str | os.PathLike[str],
    *,
    shards: int | str,
    shard: None = None,
    **how: Unpack[_How],
) -> Sharded: ...
@overload
def pack(
    channels: Mapping[str, DetectionDataset],
    directory: str | os.PathLike[str],
    *,
    shards: None = None,
    shard: tuple[int, int],
    **how: Unpack[_How],
) -> Sharded: ...
@overload
def pack(
    channels: Mapping[str, DetectionDataset],
    directory: str | os.PathLike[str],
    *,
    shards: int | str | None = None,
    shard: tuple[int, int] | None = None,
    **how: Unpack[_How],
) -> Packed | Sharded: ...
def pack(  # noqa: PLR0913 - the options that im2rec's users know, all of them named
    channels: Mapping[str, DetectionDataset],
    directory: str | os.PathLike[str],
    *,
    resize: int | None = None,
    quality: int = 95,
    encoding: Literal[".jpg", ".png"] = ".jpg",
    center_crop: bool = False,
    pass_through: bool = False,
    jobs: int | None = None,
    executor: Executor | None = None,
    on_error: OnError = "raise",
    overwrite: bool = False,
    outside: Literal["clip", "raise"] = "clip",
    shards: int | str | None = None,
    shard: tuple[int, int] | None = None,
    resume: bool = False,
) -> Packed | Sharded:
    """Pack data sets into record files, one a channel, for training here or in the cloud.

    Writes ``<channel>.lst``, ``.rec`` and ``.idx`` and a ``packed.json`` that vouches for them. The bytes are those
    that im2rec makes of the same lists and options, whatever the number of jobs or shards and whoever works. All
    files appear together when everything is packed; an error or Ctrl-C leaves what was there before.

    Parameters
    ----------
    channels : mapping of str to DetectionDataset
        By name: ``{"train": ..., "validation": ...}``. All have the same classes.
    directory : path-like
        Where the files go; made if it is not there.
    resize : int, optional
        Pixels of the shorter edge. Without it images keep their size but are decoded and encoded again, as
        im2rec does.
    quality : int, default 95
        JPEG quality, or PNG compression.
    encoding : {".jpg", ".png"}, default ".jpg"
        Format of the images in the records.
    center_crop : bool, default False
        Keep the square of the shorter edge. Boxes follow the crop: cut to it and listed in ``clipped``, or
        listed in ``dropped`` where nothing is left. (im2rec leaves them where they were.) The ``.lst`` tells of
        the whole images.
    pass_through : bool, default False
        Pack the files' bytes untouched. Their headers and sizes are checked, their pixels are not decoded.
    jobs : int, optional
        Images worked on at a time: threads of this process, by default one. With an executor the number of its
        workers, where it does not tell: eight images a worker are under way.
    executor : concurrent.futures.Executor, optional
        Works on the images in place of threads: processes, or a cluster by ``Client.get_executor()`` of Dask. Its
        workers must see the image files under the same paths. It is not shut down.
    on_error : {"raise", "skip", "collect"}, default "raise"
        What to do with an image that is missing, broken, breaks off, or has another size or impossible boxes:
        stop; refuse it, go on and warn; or refuse it and go on quietly. Refused images are named with their
        reasons in ``refused``.
    overwrite : bool, default False
        Whether files of a previous time may be replaced. Those that the previous manifest names and that are not
        packed again disappear with it; with ``shard`` only ``shards.json`` does, since it would speak for all.
    outside : {"clip", "raise"}, default "clip"
        What to do with a box that reaches outside its image: cut it and list it in ``clipped``, or raise.
    shards : int or str, optional
        Cut each channel into so many record files, ``train-00000-of-00004.rec`` and so on, each with an index and
        a list of its own, with as many images each; or into files of a size, such as ``"512MB"`` (10^6 bytes) or
        ``"1GiB"`` (2^30), which only a record that is larger exceeds. ``shards.json`` vouches for them.
    shard : tuple of int, optional
        ``(3, 16)`` packs only the shard that ``shards=16`` would number 3 (they count from 0), and writes
        ``shards-00003-of-00016.json``: the jobs of an array pack side by side and need not know each other.
        :meth:`Sharded.open` reads what all have packed.
    resume : bool, default False
        Go on where a run with the same channels and options was stopped: killed, without power, or, if it too was
        told to resume, by an error or Ctrl-C. About a thousand images or 64 MiB are done again, and the bytes are
        those of a run that was never stopped, unless an image file has changed since. Every run keeps the journal
        that this needs; without ``resume`` what was left is cleared away. Where there is nothing to resume, packing
        starts from the start.

    Returns
    -------
    Packed, or Sharded where shards were asked for

    Raises
    ------
    DatasetError
        If there is no channel, one is empty or has fewer images than shards, two have different classes, or ids
        occur twice.
    ImageError, BoxError
        For the first image that cannot be packed, under ``on_error="raise"``.
    RecordError
        If an option is out of range, a file exists already or cannot be written, or the executor fails.
    """
    options = PackOptions(resize, quality, encoding, center_crop=center_crop, pass_through=pass_through)
    check_on_error(on_error)
    check_jobs(jobs)
    check_executor(executor)
    plan = plan_of(shards, shard)
    class_table = _shared_classes(channels)
    for name, dataset in channels.items():
        plan.check(name, len(dataset))
    folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow links and rename the files
    run = Run(options, jobs, on_error, executor)
    request = Request(channels, class_table, folder, plan, run, outside, overwrite=overwrite, resume=resume)
    return pack_channels(request)


def _check_kinds(channels: object) -> None:
    """Refuse what is not data sets by name; a data set alone is the likely slip where no type checker looks."""
    from birdsod.dataset import DetectionDataset

    rows = channels.items() if isinstance(channels, Mapping) else [(None, channels)]
    for name, dataset in rows:
        if not (isinstance(name, str) and isinstance(dataset, DetectionDataset)):
            cure = 'give {"train": ..., "validation": ...}'
            raise DatasetError("channels are data sets by name", value=(name, dataset), cure=cure)


def _shared_classes(channels: Mapping[str, DetectionDataset]) -> ClassTable:
    """Return the class table of all channels, after checking that they can be packed together."""
    _check_kinds(channels)
    check_names(list(channels))
    first = next(iter(channels))
    table = channels[first].class_table
    for name, dataset in channels.items():
        if not len(dataset):
            raise DatasetError(f"channel {name!r} is empty", cure="leave it out, or give it images")
        if dataset.class_table != table:
            message = f"channels {first!r} and {name!r} have different classes"
            raise DatasetError(message, value=dataset.class_table.names[:5], cure="select the classes, then split")
        ids, counts = np.unique(dataset.image_ids, return_counts=True)
        if counts.max() > 1:
            message = f"an image id occurs twice in channel {name!r}"
            raise DatasetError(message, value=int(ids[counts.argmax()]), cure="give each image its own id")
    return table
