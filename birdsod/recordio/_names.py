"""Names of channels, which are names of files too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_names"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_names(names: Sequence[str]) -> None:
    """Refuse names that cannot be those of files, and no names at all."""
    if not names:
        raise DatasetError("there is no channel to pack", cure='give {"train": ..., "validation": ...}')
    cure = "choose letters, digits, - and _, such as 'train'"
    for name in names:
        if not _NAME.fullmatch(name):
            raise DatasetError("the name of a channel cannot be that of a file", value=name, cure=cure)
    if len({name.casefold() for name in names}) < len(names):
        message = "two channels differ in nothing but upper and lower case"
        raise DatasetError(message, value=names, cure="some file systems would write one over the other")
