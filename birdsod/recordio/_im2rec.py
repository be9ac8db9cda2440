"""All lists of a prefix into record files, as ``im2rec`` packs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from birdsod.recordio._channel import Run
from birdsod.recordio._im2rec_work import make_as_im2rec
from birdsod.recordio._list_check import read_through
from birdsod.recordio._list_search import matching_lists
from birdsod.recordio._losses import Losses, warn
from birdsod.recordio._options import PackOptions, check_jobs
from birdsod.recordio._pack_list import pack_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from birdsod.recordio._packed import PackedChannel

__all__ = ["im2rec"]


def im2rec(  # noqa: PLR0913 - the options that im2rec's users know, all of them named
    prefix: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    resize: int | None = None,
    quality: int = 95,
    encoding: Literal[".jpg", ".png"] = ".jpg",
    center_crop: bool = False,
    pass_through: bool = False,
    color: Literal[-1, 0, 1] = 1,
    pack_label: bool = False,
    jobs: int = 1,
    lenient: bool = False,
    on_remark: Callable[[str], object] | None = None,
) -> tuple[PackedChannel, ...]:
    r"""Pack every list of a prefix with the bytes that im2rec makes of it, and replace what was packed before.

    All lists are read before the first is packed. Where im2rec would lose a row, a label or an image, this
    raises; the files of each list appear together when they are whole.

    Parameters
    ----------
    prefix : path-like
        Lists are packed whose path begins with it and ends with ``.lst``: ``data/birds`` stands for
        ``data/birds.lst``, ``data/birds_train.lst``, ... and a folder for all lists in it. Each ``.rec`` and
        ``.idx`` lies beside its list.
    root : path-like
        Folder that the lists' paths are relative to.
    resize, quality, encoding, center_crop, pass_through, color, jobs
        As in :func:`birdsod.recordio.pack_list`.
    pack_label : bool, default False
        Pack all numbers of a row, as detection needs it, not only the first.
    lenient : bool, default False
        Do as im2rec does and only tell what is lost. Images that break off, and of kinds that only OpenCV
        reads, are packed; files that pass through are not looked at; a list of which nothing can be packed
        makes empty files.
    on_remark : callable, optional
        Called with a line for each surprise, and for each loss that is passed over; by default they are warnings.

    Returns
    -------
    tuple of PackedChannel
        One a list, in the order of their names.

    Raises
    ------
    ListError
        If there is no list, or one is empty, has a row that im2rec would skip, a label of which only the first
        number would be packed, or one that is not finite.
    ImageError
        For the first image that cannot be packed.
    RecordError
        If an option is out of range, or a file cannot be written.

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
    >>> _ = (photos / "birds_train.lst").write_text("7\t2\t5\t0\t0.1\t0.2\t0.5\t0.6\ta.png\n")
    >>> [channel.rec.name for channel in im2rec(photos / "birds", photos, pack_label=True)]
    ['birds_train.rec']
    >>> folder.cleanup()
    """
    losses = Losses(lenient, on_remark or warn)
    if pass_through and (resize is not None or center_crop):
        losses.say("files that pass through untouched are neither resized nor cropped")
        resize, center_crop = None, False
    options = PackOptions(resize, quality, encoding, center_crop=center_crop, pass_through=pass_through, color=color)
    check_jobs(jobs)
    # As im2rec; resolve() would follow links.
    lists = matching_lists(os.path.abspath(prefix), losses)  # noqa: PTH100 - see above
    folder = Path(os.path.abspath(root))  # noqa: PTH100 - see above
    rows = [read_through(lst, losses, pack_label=pack_label) for lst in lists]
    run = Run(options, jobs, "raise")
    if lenient:
        run = Run(options, jobs, "collect", work=make_as_im2rec, may_be_empty=True, endless_labels=True)
    return tuple(
        _pack(lst, folder, run, losses, pack_label=pack_label, total=total)
        for lst, total in zip(lists, rows, strict=True)
    )


def _pack(lst: Path, root: Path, run: Run, losses: Losses, *, pack_label: bool, total: int) -> PackedChannel:
    # Not with_suffix: it sees the ending of "..lst" in another place.
    rec = lst.with_name(os.path.splitext(lst.name)[0] + ".rec")  # noqa: PTH122 - see above
    channel = pack_rows(lst, root, rec, run, pack_label=pack_label, overwrite=True, total=total)
    for image in channel.refused:
        losses.say(f"not packed: {image.name}: {image.reason}")
    return channel
