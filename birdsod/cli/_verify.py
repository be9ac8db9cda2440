"""The commands that check and mend record files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from birdsod.cli._values import reported, say

__all__ = ["reindex", "repair", "verify"]

REC = typer.Argument(metavar="FILE.rec", help="The record file.")
JSON = typer.Option("--json", help="Print JSON.")
OVERWRITE = typer.Option("--overwrite", help="Replace what is there.")


@reported
def verify(
    *,
    path: Annotated[
        Path, typer.Argument(metavar="FILE.rec|FOLDER", help="The record file; or a folder or manifest: all its files.")
    ],
    deep: Annotated[bool, typer.Option("--deep", help="Also decode every image.")] = False,
    classes: Annotated[int | None, typer.Option(min=1, help="How many classes there are.")] = None,
    index: Annotated[Path | None, typer.Option(help="Its index, if it does not lie beside it.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Images decoded at once; all cores by default.")] = None,
    most: Annotated[int, typer.Option(min=1, help="Findings of each kind to print; all are counted.")] = 1000,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Check a record file, and index, list and manifest beside it; or all files of a folder.

    Of shards it checks too that all are there and belong together.

    Prints what it finds, a line each, and changes nothing. Exit code 1 if there is an error.
    """
    from birdsod.recordio import verify as check

    result = check(path, deep=deep, classes=classes, index=index, jobs=jobs, most=most)
    if as_json:
        say(json.dumps(result.to_json(), indent=1, allow_nan=False))
    else:
        for finding in result.findings:
            say(" ".join(str(finding).split("\n")))
        hidden = sum(result.counts.values()) - len(result.findings)
        if hidden:
            say(f"{hidden} more of the same kinds")
        say(str(result))
    if not result.ok:
        raise typer.Exit(1)


@reported
def repair(
    *,
    rec: Annotated[Path, REC],
    out: Annotated[Path, typer.Option(help="The new file; its index appears beside it.")],
    shifted: Annotated[
        bool, typer.Option(help="Find records also where bytes were lost or added between them.")
    ] = True,
    overwrite: Annotated[bool, OVERWRITE] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Copy every whole record of a damaged file into a new one.

    The damaged file stays as it is. Each stretch of bytes that is left out is named.
    """
    from birdsod.recordio import repair as save

    result = save(rec, out, shifted=shifted, overwrite=overwrite)
    if as_json:
        say(json.dumps(result.to_json(), indent=1))
        return
    for stretch in result.left_out:
        say(f"{rec}: {stretch}")
    say(str(result))


@reported
def reindex(
    *,
    rec: Annotated[Path, REC],
    overwrite: Annotated[bool, OVERWRITE] = False,
) -> None:
    """Write the index of a record file again, with the records' ids as keys."""
    from birdsod.recordio import reindex as write

    say(str(write(rec, overwrite=overwrite)))
