"""MXNet's own files, read and written without MXNet: parameters (``.params``) and graphs (``-symbol.json``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

if TYPE_CHECKING:
    from birdsod.mxnet._arrays import SparseArray
    from birdsod.mxnet._graph import Graph, Node
    from birdsod.mxnet._params_read import read_params
    from birdsod.mxnet._params_write import params_bytes, write_params
    from birdsod.mxnet._symbol import read_symbol

__all__ = ["Graph", "Node", "SparseArray", "params_bytes", "read_params", "read_symbol", "write_params"]

_HOME = {
    "Graph": "_graph",
    "Node": "_graph",
    "SparseArray": "_arrays",
    "params_bytes": "_params_write",
    "read_params": "_params_read",
    "read_symbol": "_symbol",
    "write_params": "_params_write",
}


def __getattr__(name: str) -> object:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
