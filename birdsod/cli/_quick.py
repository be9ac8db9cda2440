"""Plain calls of ``birdsod pack --lst``, read here: loading the parser of all commands takes as long as 300 images.

Only what leaves no doubt is read: known options, each once and written out, with plain values. Everything else,
help and mistakes too, is for the parser, which means the same by what is read here (a test holds that).
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from birdsod.cli._packing import ON_ERROR, pack_one_list
from birdsod.cli._values import reported

__all__ = ["plain_pack", "run"]

_NEEDED = {"lst", "root", "out"}
_SWITCHES = ("--center-crop", "--pass-through", "--overwrite")


def run(arguments: Sequence[str]) -> bool:
    """Do what a plain call asks for; False where it is none."""
    # The parser replaces wildcards on Windows.
    how = None if os.name == "nt" else plain_pack(arguments)
    if how is None:
        return False
    # NumPy's OpenBLAS starts a thread for each core when it is loaded, and packing multiplies no matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    reported(pack_one_list)(how.pop("lst"), how)
    return True


def plain_pack(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Return the arguments of ``pack_list`` that a plain call stands for, or None where it is none."""
    if not arguments or arguments[0] != "pack":
        return None
    how: dict[str, Any] = {}
    remaining = iter(arguments[1:])
    for option in remaining:
        name = option.removeprefix("--").replace("-", "_")
        value = True if option in _SWITCHES else _value(option, next(remaining, ""))
        if value is None or name in how:
            return None
        how[name] = value
    return how if how.keys() >= _NEEDED else None


def _value(option: str, text: str) -> object:
    """Return the value of an option, or None for one that is not plain."""
    return _VALUES[option](text) if option in _VALUES and text and not text.startswith("-") else None


def _from(least: int) -> Callable[[str], int | None]:
    def number(text: str) -> int | None:
        # 007, 1_000 and numbers of other scripts are left to the parser.
        plain = text.isascii() and text.isdecimal() and len(text) <= len("65500") and str(int(text)) == text
        return int(text) if plain and int(text) >= least else None

    return number


_VALUES: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("--lst", "--root", "--out"), Path),
    "--resize": _from(1),
    "--quality": _from(0),
    "--jobs": _from(1),
    "--color": {"0": 0, "1": 1}.get,
    "--encoding": str,
    "--on-error": ON_ERROR.get,
}
