"""Hosting a trained model over HTTP, as SageMaker hosts one: ``GET /ping`` and ``POST /invocations``.

``python -m birdsod.serving model.tar.gz --port 8080`` serves a model until it is told to stop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from birdsod.serving._limits import Limits
    from birdsod.serving.client import Client
    from birdsod.serving.process import ServerProcess, start_server
    from birdsod.serving.server import Server

__all__ = ["Client", "Limits", "Server", "ServerProcess", "start_server"]

_HOME = {
    "Client": "client",
    "Limits": "_limits",
    "Server": "server",
    "ServerProcess": "process",
    "start_server": "process",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'birdsod.serving' has no attribute {name!r}")
    found: object = getattr(import_module(f"birdsod.serving.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
