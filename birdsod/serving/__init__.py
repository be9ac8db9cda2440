"""Hosting a trained model over HTTP, as SageMaker hosts one: ``GET /ping`` and ``POST /invocations``.

``python -m birdsod.serving model.tar.gz --port 8080`` serves a model until it is told to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod._lazy import load

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
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
