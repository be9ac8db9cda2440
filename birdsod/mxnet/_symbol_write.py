"""``-symbol.json`` files, written with the bytes of MXNet 1.9.1."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING

from birdsod import _files

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

    from birdsod.mxnet._graph import Graph, Node

__all__ = ["symbol_text", "write_symbol"]

# Outputs of an operator that has more than one; some of them MXNet keeps for itself.
_OUTPUTS = {"BatchNorm": 3, "L2Normalization": 2, "Pooling": 2, "_contrib_MultiBoxTarget": 3}
# Inputs that the operator changes as it runs: its moving mean and variance. MXNet counts how often.
_CHANGED = (3, 4)
_A_LINE_EACH_FROM = 11
_VERSION = 10901


def symbol_text(graph: Graph) -> str:
    """Return the content of a ``-symbol.json`` file, byte for byte as MXNet 1.9.1 saves the same graph.

    Parameters
    ----------
    graph : Graph
        Of operators that detectors have.

    Returns
    -------
    str

    Examples
    --------
    >>> from birdsod.mxnet import Graph, Node
    >>> symbol_text(Graph((Node("null", "data", {}),), heads=((0, 0),))).splitlines()[-2].strip()
    '"attrs": {"mxnet_version": ["int", 10901]}'
    """
    outputs = accumulate((_OUTPUTS.get(node.op, 1) for node in graph.nodes), initial=0)
    variables = [number for number, node in enumerate(graph.nodes) if node.is_variable]
    parts = {
        "nodes": _rows([_node(node) for node in graph.nodes], indent=4),
        "arg_nodes": _numbers(variables),
        "node_row_ptr": _numbers([*outputs]),
        "heads": _links(graph.heads),
        "attrs": json.dumps({"mxnet_version": ["int", graph.version or _VERSION]}),
    }
    return "{\n" + ", \n".join(f'  "{name}": {text}' for name, text in parts.items()) + "\n}"


def write_symbol(path: str | os.PathLike[str], graph: Graph) -> None:
    """Write a ``-symbol.json`` file, which appears whole or not at all.

    Parameters
    ----------
    path : path-like
        Where.
    graph : Graph
        As :func:`symbol_text` takes it.
    """
    _files.write_text(path, symbol_text(graph))


def _node(node: Node) -> str:
    attributes = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in node.attributes.items()]
    parts = [f'"op": {json.dumps(node.op)}', f'"name": {json.dumps(node.name)}']
    if len(attributes) == 1:
        parts.append(f'"attrs": {{{attributes[0]}}}')
    elif attributes:
        parts.append('"attrs": {\n        ' + ", \n        ".join(attributes) + "\n      }")
    changed = _CHANGED if node.op == "BatchNorm" else ()
    parts.append(f'"inputs": {_links(node.inputs, changed)}')
    return "{\n" + ", \n".join(f"      {part}" for part in parts) + "\n    }"


def _links(links: Sequence[tuple[int, int]], changed: Collection[int] = ()) -> str:
    rows = [f"[{source}, {output}, {int(place in changed)}]" for place, (source, output) in enumerate(links)]
    return _rows(rows, indent=8, many=_A_LINE_EACH_FROM)


def _numbers(values: Sequence[int]) -> str:
    return _rows([str(value) for value in values], indent=4, many=_A_LINE_EACH_FROM)


def _rows(rows: Sequence[str], *, indent: int, many: int = 1) -> str:
    """Return a list as text, in lines of its own from so many on."""
    if len(rows) < many:
        return "[" + ", ".join(rows) + "]"
    margin = " " * indent
    return "[\n" + ", \n".join(margin + row for row in rows) + "\n" + " " * (indent - 2) + "]"
