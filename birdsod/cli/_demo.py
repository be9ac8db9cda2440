"""The command that shows everything."""

from pathlib import Path
from typing import Annotated

import typer

from birdsod.cli._data import CLASSES, DATA, JOBS, SIZES
from birdsod.cli._values import class_list, reported, say

__all__ = ["demo"]


@reported
def demo(  # noqa: PLR0913 - the options of a command
    *,
    out: Annotated[Path, typer.Option(help="Folder of everything it leaves.")],
    data: Annotated[Path | None, DATA] = None,
    classes: Annotated[str | None, CLASSES] = None,
    sizes: Annotated[Path | None, SIZES] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of the first run; 16, or 32 with --data.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is left to chance.")] = 0,
    jobs: Annotated[int, JOBS] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="Few images and epochs: that it works, not how well.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Use a folder that holds something else, which stays.")
    ] = False,
) -> None:
    """Run the whole walkthrough.

    On made-up birds, or on real ones with --data: read, look, pack, train, host, ask, judge, improve, compare.
    """
    from birdsod.demo import Demo, run_demo

    if data is None and (classes is not None or sizes is not None):
        raise typer.BadParameter("--classes and --sizes belong to real birds", param_hint="--data")
    run_demo(
        Demo(
            out=out,
            data=data,
            classes=class_list(classes),
            sizes=sizes,
            epochs=epochs,
            seed=seed,
            jobs=jobs,
            quick=quick,
            overwrite=overwrite,
        ),
        say,
    )
