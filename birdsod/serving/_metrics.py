"""What a server counts, in the text form of Prometheus."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from http import HTTPStatus

__all__ = ["FOLDER", "Metrics"]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder where several processes count together; read when they start."""

_SIZES = (1, 2, 4, 8, 16, 32)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Requests, their time, batches and the queue of one server, or of all processes of one.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.request("/ping", 200, 0.001)
    >>> b'birdsod_requests_total{route="/ping",status="200"} 1.0' in metrics.text()[0]
    True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self._requests = Counter("birdsod_requests", "Requests answered.", ["route", "status"], registry=own)
        self._seconds = Histogram(
            "birdsod_request_seconds", "From a request's head to its answer.", ["route"], buckets=_SECONDS, registry=own
        )
        self._batches = Histogram(
            "birdsod_batch_images", "Images that went through the model together.", buckets=_SIZES, registry=own
        )
        self._waiting = Gauge(
            "birdsod_waiting_images", "Images between arrival and answer.", multiprocess_mode="livesum", registry=own
        )

    def request(self, route: str, status: int | HTTPStatus, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(int(status))).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, images: int) -> None:
        """Count what went through the model at once."""
        self._batches.observe(images)

    def waiting(self, images: int) -> None:
        """Note that so many more images wait, or fewer."""
        self._waiting.inc(images)

    def text(self) -> tuple[bytes, str]:
        """Return all counts and their content type.

        Returns
        -------
        tuple of bytes and str
        """
        registry = self._registry
        if os.environ.get(FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # ships half of its types
        return generate_latest(registry), CONTENT_TYPE_LATEST
