"""MXNet's own files, read and written without MXNet: parameters (``.params``) and graphs (``-symbol.json``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.mxnet._arrays import SparseArray
    from birdsod.mxnet._graph import Graph, Node
    from birdsod.mxnet._params_read import read_params
    from birdsod.mxnet._params_write import params_bytes, write_params
    from birdsod.mxnet._ssd_graphs import GraphOptions, ssd_graph
    from birdsod.mxnet._symbol import read_symbol
    from birdsod.mxnet._symbol_write import symbol_text, write_symbol

__all__ = [
    "Graph",
    "GraphOptions",
    "Node",
    "SparseArray",
    "params_bytes",
    "read_params",
    "read_symbol",
    "ssd_graph",
    "symbol_text",
    "write_params",
    "write_symbol",
]

_HOME = {
    "Graph": "_graph",
    "GraphOptions": "_ssd_graphs",
    "Node": "_graph",
    "SparseArray": "_arrays",
    "params_bytes": "_params_write",
    "read_params": "_params_read",
    "read_symbol": "_symbol",
    "ssd_graph": "_ssd_graphs",
    "symbol_text": "_symbol_write",
    "write_params": "_params_write",
    "write_symbol": "_symbol_write",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
