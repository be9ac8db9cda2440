"""Requests held against the service's own model, without asking the service.

botocore's client checks types, required and unknown keys, and lower limits. The model knows more: upper limits,
patterns and lists of allowed values, which the service would refuse only after the upload.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from birdsod.errors import MissingDependencyError
from birdsod.estimator.sagemaker.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["allowed_values", "request_findings"]


_SHOWN = 3
# Java's classes of characters within brackets, in Python's words.
_IN_BRACKETS = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": " ", r"\p{Alnum}": "a-zA-Z0-9"}


def request_findings(
    operation: str, request: Mapping[str, object], *, service: str = "sagemaker"
) -> tuple[Finding, ...]:
    """Hold a request against the service's model.

    Parameters
    ----------
    operation : str
        Such as ``CreateTrainingJob``.
    request : mapping
        What the client's method would take by keyword.
    service : str, default "sagemaker"
        The service's name in botocore.

    Returns
    -------
    tuple of Finding
        One for each fault, with its place in the request; nothing is sent.

    Raises
    ------
    MissingDependencyError
        If boto3 is not installed.
    ValueError
        If the service has no such operation.

    Examples
    --------
    >>> for finding in request_findings("DeleteEndpoint", {"EndpointName": "birds_1", "Force": True}):
    ...     print(finding.message)
    EndpointName does not have the form that the service takes, [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}
    Force is unknown to the service
    """
    return tuple(_faults(_input(service, operation), request, ""))


def allowed_values(operation: str, *path: str, service: str = "sagemaker") -> tuple[str, ...]:
    """Return the values that a member of a request may have, by the service's model.

    Parameters
    ----------
    operation : str
        Such as ``CreateTrainingJob``.
    *path : str
        Names of members from the request down; through a list without a word.
    service : str, default "sagemaker"
        The service's name in botocore.

    Returns
    -------
    tuple of str
        Empty where the model has no such list.

    Examples
    --------
    >>> allowed_values("CreateTrainingJob", "AlgorithmSpecification", "TrainingInputMode")
    ('Pipe', 'File', 'FastFile')
    """
    shape = _input(service, operation)
    for name in path:
        shape = shape.member if shape.type_name == "list" else shape
        shape = shape.members[name]
    return tuple(getattr(shape, "enum", ()))


@functools.lru_cache(maxsize=4)
def _model(service: str) -> Any:  # noqa: ANN401 - botocore has no types of its own
    try:
        import botocore.session
    except ImportError as error:
        raise MissingDependencyError("boto3 is not installed", cure='pip install "birdsod[cloud]"') from error
    return botocore.session.Session().get_service_model(service)


def _input(service: str, operation: str) -> Any:  # noqa: ANN401 - see above
    from botocore.model import OperationNotFoundError

    try:
        return _model(service).operation_model(operation).input_shape
    except OperationNotFoundError as error:
        message = f"{service} has no operation {operation}"
        raise ValueError(message) from error


def _faults(shape: Any, value: object, place: str) -> Iterator[Finding]:  # noqa: ANN401 - botocore's shapes
    takes, words = _TYPES.get(shape.type_name, (_anything, "anything"))
    if not takes(value):
        yield _fault(place, f"must be {words}", type(value).__name__, cure=f"give {words}")
        return
    yield from _CHECKS.get(shape.type_name, _nothing)(shape, value, place)


def _structure(shape: Any, value: Mapping[str, object], place: str) -> Iterator[Finding]:  # noqa: ANN401 - see above
    for name in shape.required_members:
        if name not in value:
            yield _fault(_below(place, name), "must be given", None, cure=f"give {_below(place, name)}")
    for name, each in value.items():
        if name in shape.members:
            yield from _faults(shape.members[name], each, _below(place, str(name)))
        else:
            yield _fault(
                _below(place, str(name)), "is unknown to the service", None, cure=_nearest(name, shape.members)
            )
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield _fault(
            place, "must have exactly one member", sorted(value), cure="give one of " + ", ".join(shape.members)
        )


def _list(shape: Any, value: Sequence[object], place: str) -> Iterator[Finding]:  # noqa: ANN401 - see above
    yield from _length(shape, value, place, "entries")
    for number, each in enumerate(value):
        yield from _faults(shape.member, each, f"{place}[{number}]")


def _map(shape: Any, value: Mapping[object, object], place: str) -> Iterator[Finding]:  # noqa: ANN401 - see above
    yield from _length(shape, value, place, "entries")
    for key, each in value.items():
        yield from _faults(shape.key, key, f"the key of {place}.{str(key)[:40]}")
        yield from _faults(shape.value, each, f"{place}.{str(key)[:40]}")


def _string(shape: Any, value: str, place: str) -> Iterator[Finding]:  # noqa: ANN401 - see above
    if shape.enum and value not in shape.enum:
        close = difflib.get_close_matches(value, shape.enum, n=_SHOWN) or shape.enum[:_SHOWN]
        yield _fault(place, "is none of the values that the service takes", value, cure=f"such as {', '.join(close)}")
        return
    wrong = list(_length(shape, value, place, "characters"))
    yield from wrong
    pattern = shape.metadata.get("pattern")
    if pattern and not wrong and not _fits(pattern, value):
        message = f"does not have the form that the service takes, {pattern}"
        yield _fault(place, message, _shortened(value), cure="see the form")


def _number(shape: Any, value: float, place: str) -> Iterator[Finding]:  # noqa: ANN401 - see above
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _fault(place, f"is below {least}", value, cure=f"give {least} or more")
    if most is not None and value > most:
        yield _fault(place, f"is above {most}", value, cure=f"give {most} or less")


def _length(shape: Any, value: Any, place: str, what: str) -> Iterator[Finding]:  # noqa: ANN401 - see above
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield _fault(place, f"has {len(value)} {what}, at least {least} are needed", None, cure=f"give {least} or more")
    if most is not None and len(value) > most:
        shown = _shortened(value) if isinstance(value, str) else None
        yield _fault(place, f"has {len(value)} {what}, at most {most} are taken", shown, cure="shorten it")


def _nothing(_shape: object, _value: object, _place: str) -> Iterator[Finding]:
    yield from ()


def _anything(_: object) -> bool:
    return True


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _row(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


_TYPES: dict[str, tuple[Callable[[object], bool], str]] = {
    "structure": (lambda value: isinstance(value, Mapping), "a mapping"),
    "map": (lambda value: isinstance(value, Mapping), "a mapping"),
    "list": (_row, "a list"),
    "string": (lambda value: isinstance(value, str), "a text"),
    "integer": (_whole, "a whole number"),
    "long": (_whole, "a whole number"),
    "float": (_real, "a number"),
    "double": (_real, "a number"),
    "boolean": (lambda value: isinstance(value, bool), "True or False"),
    "blob": (lambda value: isinstance(value, bytes | bytearray | str) or hasattr(value, "read"), "bytes"),
    "timestamp": (lambda value: isinstance(value, datetime | int | float | str), "a time"),
}
_CHECKS: dict[str, Callable[[Any, Any, str], Iterator[Finding]]] = {
    "structure": _structure,
    "map": _map,
    "list": _list,
    "string": _string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
}


def _fits(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return a pattern of the model in Python's dialect; None where that has no words for it."""
    for java, python in _IN_BRACKETS.items():
        pattern = pattern.replace(java, python)
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _fault(place: str, message: str, value: object, *, cure: str) -> Finding:
    return Finding("bad-request", f"{place or 'the request'} {message}", value=value, cure=cure)


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _nearest(name: object, names: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(str(name), names, n=_SHOWN)
    return "leave it out" if not close else f"leave it out, or did you mean {', '.join(close)}?"


def _shortened(value: str) -> str:
    return value if len(value) <= 80 else f"{value[:77]}..."  # noqa: PLR2004 - about a line
