"""What stands on a command line, read; and what goes wrong, told in one line."""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from birdsod.errors import BirdsodError

__all__ = ["archive_of", "assignments", "class_list", "complain", "reported", "say"]

P = ParamSpec("P")

_INTERRUPTED = 130
_STORE = "s3:"
# Cures name what Python calls it; here it is an option, a command, or nothing.
_HERE = {
    "pass overwrite=True": "pass --overwrite",
    "pack_label=True, --pack-label": "--pack-label",
    "merge them with birdsod.recordio.merge, or birdsod merge": "merge them with birdsod merge",
    "archive=": "--archive",
    ", or name its own hash with sha256=": "",
    "fetch it with download_cub": "fetch it with birdsod download",
    "read it as it is with load_cub": "read it as it is",
    ", or go on with dataset.readable()": "",
    ", or raise max_pixels if you trust it": "",
    "with reindex, or open the record file with scan=True": "with birdsod reindex",
    "leave jobs out": "leave --jobs out",
    "or leave out resume to": "or leave out --resume to",
    "leave shards out: shard names": "leave --shards out: --shard names",
    "such as (3, 16)": "such as 3/16",
    "pass_through, or resize and center_crop": "--pass-through, or --resize and --center-crop",
    "use base_network='efficientnet-lite0'": "use --base-network efficientnet-lite0",
    "with use_pretrained_model=0": "with --set use_pretrained_model=0",
    "give mini_batch_size=": "give --set mini_batch_size=",
}


def say(text: str) -> None:
    """Print a line of a result."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Print one line on standard error, whatever the text holds."""
    sys.stderr.write(" ".join(text.split("\n")) + "\n")


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors of a command into one line and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BirdsodError as error:
            error.cure = error.cure and _in_options(error.cure)
            complain(str(error))
            raise SystemExit(1) from error
        except BrokenPipeError:
            # Whoever read our output has seen enough; what is still in the buffer has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except OSError as error:
            complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            raise SystemExit(1) from error
        except KeyboardInterrupt:
            complain("interrupted")
            raise SystemExit(_INTERRUPTED) from None

    return run


def _in_options(cure: str) -> str:
    for python, option in _HERE.items():
        cure = cure.replace(python, option)
    return cure


def class_list(text: str | None) -> list[int | str] | None:
    """Read ``14,17`` or ``017.Cardinal,036.Northern_Flicker``."""
    if text is None:
        return None
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        import typer

        raise typer.BadParameter("name at least one class, such as 14,17", param_hint="--classes")
    return [int(item) if item.isdecimal() else item for item in items]


def assignments(items: list[str], option: str) -> dict[str, object]:
    """Read ``name=value`` pairs; a value is a number, ``true``, ``false``, ``null`` or a text."""
    read: dict[str, object] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name.strip():
            import typer

            raise typer.BadParameter(f"{item!r} is not name=value", param_hint=option)
        read[name.strip()] = _value(text.strip())
    return read


def _value(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    # Lists of numbers such as 10,20 stay text, and so does what JSON would make an object of.
    return value if value is None or isinstance(value, bool | int | float) else text


def archive_of(model: Path) -> str | os.PathLike[str]:
    """Return the model archive of a job's folder, or what was named: a path, or an address in the object store."""
    if model.parts[:1] == (_STORE,):
        # A path makes one slash of two.
        return f"{_STORE}//{'/'.join(model.parts[1:])}"
    return model / "model.tar.gz" if (model / "model.tar.gz").is_file() else model
