"""The commands that bring data and pack them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from birdsod.cli._packing import ON_ERROR, pack_one_list, tell, tell_of
from birdsod.cli._values import class_list, reported, say

__all__ = ["CLASSES", "DATA", "JOBS", "SIZES", "download", "pack"]


class OnError(StrEnum):
    """What happens with an image that cannot be packed."""

    RAISE = "raise"
    SKIP = "skip"


class Outside(StrEnum):
    """What happens with a box that leaves its image."""

    CLIP = "clip"
    RAISE = "raise"


DATA = typer.Option(help="A folder in the layout of CUB-200-2011.")
CLASSES = typer.Option(help="Classes by id or name, such as 14,17; all of them where it is left out.")
SIZES = typer.Option(help="File of image sizes, rows of: id width height.")
JOBS = typer.Option(min=1, help="Images worked on at once.")


@reported
def download(
    *,
    out: Annotated[Path, typer.Option(help="Folder that CUB_200_2011 is unpacked into.")],
    url: Annotated[str | None, typer.Option(help="Another place to fetch the archive from.")] = None,
    archive: Annotated[Path | None, typer.Option(help="The archive, fetched already.")] = None,
) -> None:
    """Fetch Caltech-UCSD Birds 200-2011 (1.2 GB).

    A download that broke off goes on; the archive is checked, and unpacked safely.
    """
    from birdsod.dataset import download_cub

    say(str(download_cub(out, url=url, archive=archive)))


@reported
def pack(  # noqa: PLR0913 - the options of a command
    *,
    out: Annotated[Path, typer.Option(help="Folder of the channels, or with --lst the .rec file.")],
    data: Annotated[Path | None, DATA] = None,
    classes: Annotated[str | None, CLASSES] = None,
    sizes: Annotated[Path | None, SIZES] = None,
    split: Annotated[
        float | None, typer.Option(help="Share to train on; the data set's own split if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    lst: Annotated[Path | None, typer.Option(help="A .lst file to pack as im2rec does, in place of --data.")] = None,
    root: Annotated[Path | None, typer.Option(help="With --lst: the folder that its paths start from.")] = None,
    color: Annotated[int, typer.Option(min=-1, max=1, help="With --lst: 1 colour, 0 grey, -1 as stored.")] = 1,
    resize: Annotated[int | None, typer.Option(min=1, help="Length of the shorter edge.")] = None,
    quality: Annotated[int, typer.Option(help="JPEG quality, or PNG compression.")] = 95,
    encoding: Annotated[str, typer.Option(help=".jpg or .png")] = ".jpg",
    center_crop: Annotated[bool, typer.Option("--center-crop", help="Cut out the middle square.")] = False,
    pass_through: Annotated[bool, typer.Option("--pass-through", help="Pack the files as they are.")] = False,
    jobs: Annotated[int, JOBS] = 1,
    on_error: Annotated[OnError, typer.Option(help="What to do with an image that cannot be packed.")] = OnError.RAISE,
    outside: Annotated[Outside, typer.Option(help="What to do with a box that leaves its image.")] = Outside.CLIP,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    shards: Annotated[
        str | None, typer.Option(help="Cut each channel into so many files, such as 16, or of a size, such as 512MB.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="Pack one shard of many, counted from 0 as in the file names: 0/16 to 15/16.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the same command was stopped.")] = False,
) -> None:
    """Pack a data set, or one list, as RecordIO."""
    how: dict[str, Any] = {
        "resize": resize,
        "quality": quality,
        "encoding": encoding,
        "center_crop": center_crop,
        "pass_through": pass_through,
        "jobs": jobs,
        "on_error": ON_ERROR[on_error.value],
        "overwrite": overwrite,
    }
    if data is not None and lst is None:
        how |= {"outside": outside.value, "shards": _count_or_size(shards), "shard": _pair(shard), "resume": resume}
        _pack_channels(data, class_list(classes), sizes, split, seed, out, how)
    elif data is not None or lst is None:
        raise typer.BadParameter("give one of --data and --lst", param_hint="--data")
    elif root is None:
        raise typer.BadParameter("--lst needs it: the folder that its paths start from", param_hint="--root")
    elif shards is not None or shard is not None or resume:
        raise typer.BadParameter("shards and --resume go with --data", param_hint="--lst")
    else:
        pack_one_list(lst, {**how, "root": root, "out": out, "color": color})


def _count_or_size(shards: str | None) -> int | str | None:
    return int(shards) if shards is not None and shards.isdecimal() else shards


def _pair(shard: str | None) -> tuple[int, int] | None:
    if shard is None:
        return None
    number, stroke, count = shard.partition("/")
    if not (stroke and number.isdecimal() and count.isdecimal()):
        raise typer.BadParameter(f"{shard!r} is not like 3/16", param_hint="--shard")
    return int(number), int(count)


def _pack_channels(
    data: Path,
    classes: list[int | str] | None,
    sizes: Path | None,
    split: float | None,
    seed: int,
    out: Path,
    how: dict[str, Any],
) -> None:
    from birdsod.dataset import load_cub
    from birdsod.recordio import Packed
    from birdsod.recordio import pack as pack_channels

    birds = load_cub(data, sizes=sizes)
    birds = birds if classes is None else birds.select(classes)
    train, validation = birds.split(split, seed=seed)
    packed = pack_channels({"train": train, "validation": validation}, out, **how)
    if isinstance(packed, Packed):
        for whole in packed.channels.values():
            tell(whole)
        return
    for name, channel in packed.channels.items():
        few = f"{len(channel.shards)} of {channel.of}" if len(channel.shards) < channel.of else str(channel.of)
        tell_of(f"{packed.directory / name}, {few} {'shard' if few == '1' else 'shards'}", channel)
