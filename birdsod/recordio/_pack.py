"""Data sets into record files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod import _files, lstwriter
from birdsod.errors import BirdsodError, DatasetError
from birdsod.recordio._admission import admit
from birdsod.recordio._channel import Run, Tally, fill
from birdsod.recordio._image_work import Task
from birdsod.recordio._manifest import MANIFEST, manifest_text, read_manifest
from birdsod.recordio._names import check_names
from birdsod.recordio._options import OnError, PackOptions, check_jobs, check_on_error
from birdsod.recordio._packed import Packed
from birdsod.recordio._staging import Staging, refuse_existing, writing
from birdsod.recordio._writer import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset
    from birdsod.recordio._packed import PackedChannel

__all__ = ["pack"]

_ENDINGS = (".lst", ".rec", ".idx")


def pack(  # noqa: PLR0913 - the options that im2rec's users know, all of them named
    channels: Mapping[str, DetectionDataset],
    directory: str | os.PathLike[str],
    *,
    resize: int | None = None,
    quality: int = 95,
    encoding: Literal[".jpg", ".png"] = ".jpg",
    center_crop: bool = False,
    pass_through: bool = False,
    jobs: int = 1,
    on_error: OnError = "raise",
    overwrite: bool = False,
    outside: Literal["clip", "raise"] = "clip",
) -> Packed:
    """Pack data sets into record files, one a channel, for training here or in the cloud.

    Writes ``<channel>.lst``, ``.rec`` and ``.idx`` and a ``packed.json`` that vouches for them. The bytes are those
    that im2rec makes of the same lists and options, whatever the number of jobs. All files appear together when
    everything is packed; an error or Ctrl-C leaves what was there before.

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
    jobs : int, default 1
        Images worked on at a time.
    on_error : {"raise", "skip", "collect"}, default "raise"
        What to do with an image that is missing, broken, breaks off, or has another size or impossible boxes:
        stop; refuse it, go on and warn; or refuse it and go on quietly. Refused images are named with their
        reasons in ``Packed.refused``.
    overwrite : bool, default False
        Whether files of a previous time may be replaced. Channels that its ``packed.json`` names and that are not
        packed again disappear with it.
    outside : {"clip", "raise"}, default "clip"
        What to do with a box that reaches outside its image: cut it and list it in ``clipped``, or raise.

    Returns
    -------
    Packed

    Raises
    ------
    DatasetError
        If there is no channel, one is empty, two have different classes, or ids occur twice.
    ImageError, BoxError
        For the first image that cannot be packed, under ``on_error="raise"``.
    RecordError
        If an option is out of range, a file exists already, or one cannot be written.
    """
    options = PackOptions(resize, quality, encoding, center_crop=center_crop, pass_through=pass_through)
    check_on_error(on_error)
    check_jobs(jobs)
    class_table = _shared_classes(channels)
    folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow links and rename the files
    names = [f"{name}{ending}" for name in channels for ending in _ENDINGS] + [MANIFEST]
    refuse_existing([folder / name for name in names], overwrite=overwrite)
    run = Run(options, jobs, on_error)
    with Staging(folder) as staging:
        staged = {
            name: _pack_channel(name, dataset, staging.folder, run, outside=outside)
            for name, dataset in channels.items()
        }
        with writing(folder):
            _files.write_text(staging.folder / MANIFEST, manifest_text(staged, class_table))
        staging.publish(names, gone=_gone(folder, channels) if overwrite else ())
    return Packed(folder, {name: channel.within(folder) for name, channel in staged.items()}, class_table)


def _gone(folder: Path, channels: Mapping[str, DetectionDataset]) -> list[str]:
    """Return the files of channels that were packed before and are no longer."""
    try:
        previous, _ = read_manifest(folder)
    except BirdsodError:
        # Whoever wrote it, it does not say which files are its own.
        return []
    return [f"{name}{ending}" for name in previous if name not in channels for ending in _ENDINGS]


def _pack_channel(
    name: str, dataset: DetectionDataset, folder: Path, run: Run, *, outside: Literal["clip", "raise"]
) -> PackedChannel:
    lst, rec, idx = (folder / f"{name}{ending}" for ending in _ENDINGS)
    tally = Tally()
    admitted = admit(dataset, tally, on_error=run.on_error, outside=outside)
    with writing(rec):
        tally.clipped += lstwriter.write(admitted, lst, outside=outside).clipped
        pair = Pair(rec, idx, hashing=True)
        with contextlib.closing(pair):
            sha256, idx_sha256 = fill(pair, _tasks(admitted, lst), tally, run, name=name, total=len(admitted))
    return tally.channel(name, pair, run.options, lst=lst, hashes=(sha256, idx_sha256, _files.sha256(lst)))


def _tasks(dataset: DetectionDataset, lst: Path) -> Iterator[Task]:
    """Yield the images with the labels of their rows, so that the records say exactly what the list says."""
    for row, image in zip(lstwriter.rows(lst), dataset, strict=True):
        size = (image.width, image.height)
        yield Task(row.image_id, row.label, row.path, str(image.path), size, follow_crop=True)


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
