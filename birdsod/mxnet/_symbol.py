"""``-symbol.json`` files, read: of MXNet 0.8 up to 1.9.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsod.errors import ArtifactError
from birdsod.mxnet._graph import Graph, Node

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["read_symbol"]

_MOST_BYTES = 64 << 20
# What the attributes of a node were called, newest first.
_ATTRIBUTES = ("attrs", "attr", "param")
_PAIR = 2


def read_symbol(source: str | os.PathLike[str] | bytes) -> Graph:
    """Read a ``-symbol.json`` file.

    Parameters
    ----------
    source : path-like or bytes
        The file, or its content.

    Returns
    -------
    Graph

    Raises
    ------
    ArtifactError
        If the file is missing, no such file, or names nodes that are not there.

    Examples
    --------
    >>> text = b'{"nodes": [{"op": "null", "name": "data", "inputs": []}], "heads": [[0, 0, 0]]}'
    >>> read_symbol(text).variables
    ('data',)
    """
    path = None if isinstance(source, bytes) else Path(source)
    try:
        content = json.loads(_content(source))
        nodes = tuple(_node(number, row) for number, row in enumerate(content["nodes"]))
        heads = tuple(_link(row, len(nodes)) for row in content["heads"])
        return Graph(nodes, heads, _version(content))
    except OSError as error:
        raise ArtifactError("the file cannot be read", path=path, cause=error.strerror) from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise ArtifactError("the file is no graph of MXNet", path=path, cause=cause, cure="get it again") from error


def _content(source: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        with Path(source).open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    return data


def _node(number: int, row: Mapping[str, Any]) -> Node:
    attributes: dict[str, str] = {}
    for key in _ATTRIBUTES:
        for name, value in row.get(key, {}).items():
            attributes.setdefault(str(name), str(value))
    inputs = tuple(_link(link, number) for link in row["inputs"])
    return Node(str(row["op"]), str(row["name"]), attributes, inputs)


def _link(row: list[int], before: int) -> tuple[int, int]:
    """Return where something comes from: a node that stands before."""
    source, output = row[:_PAIR]
    whole = type(source) is int and type(output) is int
    if not (whole and 0 <= source < before and output >= 0):
        raise ValueError(f"{row} leads to no earlier node")
    return source, output


def _version(content: Mapping[str, Any]) -> int | None:
    kind_and_value = content.get("attrs", {}).get("mxnet_version")
    return int(kind_and_value[1]) if kind_and_value else None
