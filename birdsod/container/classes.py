"""What the class ids of the channels stand for: record files hold none of their names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from birdsod.classes import ClassTable
from birdsod.errors import DatasetError
from birdsod.recordio import PackOptions

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.container.tree import Tree

__all__ = ["CHANNEL", "Known", "read_known"]

CHANNEL = "classes"
"""The channel that brings the names, as :class:`birdsod.SageMakerEstimator` sends it to an own container."""

_PACKED = "packed.json"
_IMAGES = "images.json"
_TABLE = "classes.json"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the channels besides their records.

    Parameters
    ----------
    table : ClassTable
        Names of the classes.
    resize : int or None
        Pixels of the shorter edge that all images were packed with, where that is known.
    """

    table: ClassTable
    resize: int | None = None

    @property
    def options(self) -> PackOptions:
        """How the images were packed, as far as that is known."""
        return PackOptions(resize=self.resize)


def read_known(tree: Tree, otherwise: ClassTable) -> Known:
    """Return what the channel ``classes`` tells.

    Parameters
    ----------
    tree : Tree
        Where the channels lie.
    otherwise : ClassTable
        The classes where there is no such channel.

    Returns
    -------
    Known

    Raises
    ------
    DatasetError
        If the channel holds none of ``packed.json``, ``images.json`` and ``classes.json``, or it is malformed.
    """
    folder = tree.data / CHANNEL
    if not folder.exists():
        return Known(otherwise)
    for name in (_PACKED, _IMAGES, _TABLE):
        found = sorted(folder.rglob(name))
        if found:
            return _read(found[0])
    there = sorted(path.name for path in folder.rglob("*"))
    cure = f"give it {_PACKED} or {_IMAGES}, as birdsod wrote them, or {_TABLE} of a model; or leave the channel out"
    raise DatasetError(f"the channel {CHANNEL} does not name classes", path=folder, value=there, cure=cure)


def _read(path: Path) -> Known:
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
        rows = told["classes"] if isinstance(told, dict) else told
        channels = told["channels"].values() if isinstance(told, dict) else ()
        edges = {channel.get("options", {}).get("resize") for channel in channels}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{path.name} is malformed", path=path, cause=cause, cure="write it again") from error
    try:
        return Known(ClassTable.from_json(rows), edges.pop() if len(edges) == 1 else None)
    except DatasetError as error:
        error.path = str(path)
        raise
