"""The command that takes the place of MXNet's ``im2rec.py``, with its arguments."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from birdsod.cli._values import complain, reported, say

__all__ = ["im2rec"]

_SWITCHES = ("--list", "--recursive", "--no-shuffle", "--pass-through", "--center-crop", "--pack-label", "--lenient")
_TRUTHS = frozenset({"true", "false", "yes", "no", "0", "1", "t", "f"})


@reported
def im2rec(context: typer.Context) -> None:
    """Make lists and record files as MXNet's im2rec does.

    Takes im2rec's arguments and makes its files, byte for byte; what it would lose without a word is an error.
    """
    given = _parser().read(context.args)
    if given.list:
        _make_lists(given)
    else:
        _pack(given)


def _make_lists(given: argparse.Namespace) -> None:
    from birdsod.recordio import make_lists

    made = make_lists(
        given.prefix,
        given.root,
        exts=given.exts,
        chunks=given.chunks,
        train_ratio=given.train_ratio,
        test_ratio=given.test_ratio,
        recursive=given.recursive,
        shuffle=not given.no_shuffle,
        lenient=given.lenient,
        on_remark=complain,
    )
    if given.recursive:
        # As im2rec prints it, and nothing else, for scripts that keep it as the table of classes.
        for label, folder in enumerate(made.folders):
            say(f"{folder} {label}")


def _pack(given: argparse.Namespace) -> None:
    from birdsod.recordio import im2rec as pack_prefix

    quality = min(max(given.quality, 0), 100) if given.lenient else given.quality
    packed = pack_prefix(
        given.prefix,
        given.root,
        resize=given.resize or None,
        quality=quality,
        encoding=given.encoding,
        center_crop=given.center_crop,
        pass_through=given.pass_through,
        color=given.color,
        pack_label=given.pack_label,
        jobs=max(given.num_thread, 1),
        lenient=given.lenient,
        on_remark=complain,
    )
    for channel in packed:
        refused = f", {len(channel.refused)} refused" if channel.refused else ""
        say(f"{channel.rec}: {channel.records} records{refused}")


class _Parser(argparse.ArgumentParser):
    """The parser of im2rec, whose complaints say the cure."""

    arguments: Sequence[str] = ()

    def read(self, arguments: list[str]) -> argparse.Namespace:
        """Parse the arguments of a call."""
        self.arguments = arguments
        return self.parse_args(arguments)

    def format_help(self) -> str:
        # As the other commands write it.
        return super().format_help().replace("usage:", "Usage:", 1)

    def error(self, message: str) -> NoReturn:
        raise typer.BadParameter(_cure(self.arguments, self) or message)


def _cure(arguments: Sequence[str], parser: argparse.ArgumentParser) -> str | None:
    """Return what to write in place of an argument that im2rec once had, or that is misspelt."""
    pairs = [argument.partition("=")[::2] if "=" in argument else (argument, "") for argument in arguments]
    for (name, value), (following, _) in zip(pairs, [*pairs, ("", "")][1:], strict=True):
        if name == "--shuffle":
            return "--shuffle is gone: lists are shuffled unless --no-shuffle is given"
        if name in _SWITCHES and (value or following).lower() in _TRUTHS:
            return f"{name} is a switch and takes no value: write {name} alone, or leave it out for False"
    options = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001 - no public list of them
    for name, _ in pairs:
        if name.startswith("--") and not any(option.startswith(name) for option in options):
            near = difflib.get_close_matches(name.replace("_", "-"), options, 1)
            return f"no such option: {name}" + (f", did you mean {near[0]}?" if near else "")
    return None


def _parser() -> _Parser:
    parser = _Parser(
        prog="birdsod im2rec",
        usage="birdsod im2rec [OPTIONS] PREFIX ROOT",
        description="Make lists of images (--list), or record files of the lists, with the bytes of MXNet's im2rec. "
        "What im2rec loses without a word is an error here.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("prefix", help="beginning of the paths of lists, .rec and .idx files")
    parser.add_argument("root", help="image folder")
    parser.add_argument("--lenient", action="store_true", help="pass over what im2rec passes over, and say so")
    _add_listing(parser.add_argument_group("making lists"))
    _add_packing(parser.add_argument_group("making record files"))
    return parser


def _add_listing(group: Any) -> None:  # noqa: ANN401 - argparse's type of groups is private
    group.add_argument("--list", action="store_true", help="make lists; without it, pack those of the prefix")
    group.add_argument("--exts", nargs="+", default=[".jpeg", ".jpg", ".png"], help="endings of images")
    group.add_argument("--chunks", type=int, default=1, help="number of sets of lists")
    group.add_argument("--train-ratio", type=float, default=1.0, help="share of the images in PREFIX_train.lst")
    group.add_argument("--test-ratio", type=float, default=0.0, help="share in PREFIX_test.lst; the rest is in _val")
    group.add_argument("--recursive", action="store_true", help="search folders too, each with a label of its own")
    group.add_argument("--no-shuffle", action="store_true", help="keep the order of the names")


def _add_packing(group: Any) -> None:  # noqa: ANN401 - argparse's type of groups is private
    group.add_argument("--pass-through", action="store_true", help="pack the files as they are")
    group.add_argument("--resize", type=int, default=0, help="length of the shorter edge; 0 keeps the size")
    group.add_argument("--center-crop", action="store_true", help="cut out the middle square; boxes do not follow")
    group.add_argument("--quality", type=int, default=95, help="JPEG quality to 100, or PNG compression to 9")
    group.add_argument("--num-thread", type=int, default=1, help="images worked on at once; the bytes are the same")
    group.add_argument("--color", type=int, default=1, choices=[-1, 0, 1], help="1 colour, 0 grey, -1 as stored")
    group.add_argument("--encoding", default=".jpg", choices=[".jpg", ".png"], help="format in the records")
    group.add_argument("--pack-label", action="store_true", help="pack all numbers of a label, as detection needs it")
