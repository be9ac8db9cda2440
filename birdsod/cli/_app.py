"""The commands, brought together."""

from typing import Annotated

import typer

from birdsod import __version__
from birdsod.cli import (
    _cloud,
    _convert,
    _data,
    _demo,
    _im2rec,
    _merge,
    _model,
    _predict,
    _serve,
    _train,
    _unpack,
    _verify,
)
from birdsod.cli._values import say

__all__ = ["app"]

app = typer.Typer(
    help="From annotated photographs to a trained, hosted, tested object detector.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        say(f"birdsod {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


for _command in (
    _demo.demo,
    _data.download,
    _data.pack,
    _merge.merge,
    _train.check,
    _train.train,
    _predict.predict,
    _model.evaluate,
    _serve.serve,
    _convert.convert,
    _cloud.status,
    _cloud.logs,
    _cloud.deploy,
    _cloud.cleanup,
    _unpack.unpack,
    _verify.verify,
    _verify.repair,
    _verify.reindex,
):
    app.command()(_command)

# It reads its arguments itself: options such as --exts take several values.
app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    options_metavar="[OPTIONS] PREFIX ROOT",
)(_im2rec.im2rec)
