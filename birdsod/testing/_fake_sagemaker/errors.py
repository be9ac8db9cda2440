"""Errors that the fake answers with, in the words of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ServiceError", "invalid"]


class ServiceError(Exception):
    """A request that is answered with an error; it never leaves the server.

    Parameters
    ----------
    code : str
        The service's own code, such as ``ValidationException``.
    message : str
        What it says.
    status : int, default 400
        HTTP status.
    fields : mapping, optional
        More fields of the answer.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})


def invalid(message: str) -> ServiceError:
    """Return the error that most refusals of SageMaker are."""
    return ServiceError("ValidationException", message)
