"""The command that takes a record file apart."""

from pathlib import Path
from typing import Annotated

import typer

from birdsod.cli._values import complain, reported, say

__all__ = ["unpack"]


@reported
def unpack(
    *,
    rec: Annotated[str, typer.Argument(metavar="FILE.rec", help="The record file, or its URL.")],
    out: Annotated[Path, typer.Option(help="The new folder: images, and the list that names them.")],
    index: Annotated[str | None, typer.Option(help="Its index, if it does not lie beside it.")] = None,
    scan: Annotated[bool, typer.Option("--scan", help="Read the file without its index.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that was unpacked before.")] = False,
) -> None:
    """Write the images of a record file as files, with their list.

    Packing the list with --pass-through gives the record file again; records of which that is not so are named.
    """
    from birdsod.recordio import RecordReader
    from birdsod.recordio import unpack as take_apart

    with RecordReader(rec, index=index, scan=scan) as reader:
        result = take_apart(reader, out, overwrite=overwrite)
    for record in result.inexact:
        complain(f"{rec}, record {record.record}: {record.reason}")
    say(f"{result.records} images, {result.lst}")
