"""Which lists a prefix stands for, as im2rec sees it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.errors import ListError

if TYPE_CHECKING:
    from birdsod.recordio._losses import Losses

__all__ = ["matching_lists"]

# What make_lists puts between prefix and ending.
_MADE = re.compile(r"(_\d+)?(_train|_test|_val)?\.lst")
_ENDING = ".lst"


def matching_lists(prefix: str, losses: Losses) -> list[Path]:
    """Return the lists of a prefix in the order of their names: in the folder, or beginning with it.

    Parameters
    ----------
    prefix : str
        Absolute.
    losses : Losses
        What to do if there is none; surprises are told to it.
    """
    folder = prefix if os.path.isdir(prefix) else os.path.dirname(prefix)  # noqa: PTH112, PTH120 - a prefix is a text
    try:
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]  # noqa: PTH118, PTH208 - the same
    except OSError as error:
        cure = "check the path and its rights"
        raise ListError(
            "the folder of the prefix cannot be read", path=folder, cause=error.strerror, cure=cure
        ) from error
    named = [path for path in paths if path.startswith(prefix)]
    lists = [path for path in named if path.endswith(_ENDING) and _is_list(path, losses)]
    if not lists:
        losses.lose(_none(prefix, folder))
    for path in named:
        if path.lower().endswith(_ENDING) and not path.endswith(_ENDING):
            losses.say(f"{path} is not packed: its ending is not in small letters")
    if folder != prefix:
        _tell_unasked(prefix, lists, losses)
    return [Path(path) for path in lists]


def _is_list(path: str, losses: Losses) -> bool:
    if os.path.isfile(path):  # noqa: PTH113 - a text, as os.listdir gives it
        return True
    if not os.path.isdir(path):  # noqa: PTH112 - the same
        cause = "a link to a file that is missing"
        losses.lose(ListError("the list is no file", path=path, cause=cause, cure="remove the link"))
    return False


def _none(prefix: str, folder: str) -> ListError:
    cure = "make one with make_lists (birdsod im2rec --list), or give the beginning of the path of one"
    cause = None
    if folder == prefix and os.path.isfile(prefix + _ENDING):  # noqa: PTH113 - a prefix is a text
        cause = f"a prefix that is a folder stands for the lists in it, not for {prefix}{_ENDING}"
        cure = "rename the folder, or move the list into it"
    return ListError("no list has this prefix", path=prefix, cause=cause, cure=cure)


def _tell_unasked(prefix: str, lists: list[str], losses: Losses) -> None:
    exact = {prefix, prefix + _ENDING} & set(lists)
    unasked = [path for path in lists if (path not in exact if exact else not _MADE.fullmatch(path[len(prefix) :]))]
    if unasked:
        losses.say(f"the prefix {prefix} also takes {', '.join(map(os.path.basename, unasked))}")
