"""Requests held against botocore's own model of the service: types, required, unknown, patterns, ranges, enums."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from birdsod.testing._fake_sagemaker.errors import ServiceError, invalid
from birdsod.testing._fake_sagemaker.wiring import loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from botocore.model import ServiceModel, Shape

__all__ = ["check_request", "compiled", "problems", "service_model"]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "blob": (str, bytes),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
    "structure": (dict,),
    "list": (list,),
    "map": (dict,),
}
_NUMBERS = {"integer", "long", "float", "double"}
# The service writes its patterns for Java; these have no counterpart in re, and what comes near is enough.
_JAVA = {
    r"\p{ASCII}": r"[\x00-\x7f]",
    r"\p{Alnum}": "A-Za-z0-9",
    r"\p{L}": r"\w",
    r"\p{M}": "",
    r"\p{N}": r"\d",
    r"\p{P}": r"!-/:-@\[-`{-~",
    r"\p{Print}": " -~",
    r"\p{S}": "$+<=>^`|~",
    r"\p{Z}": r"\s",
    r"\z": r"\Z",
}


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service.

    Parameters
    ----------
    service : str
        Such as ``sagemaker``.

    Returns
    -------
    botocore.model.ServiceModel
    """
    from botocore.model import ServiceModel

    return ServiceModel(loader().load_service_model(service, "service-2"), service)


def check_request(service: str, operation: str, request: Mapping[str, Any]) -> None:
    """Refuse a request that does not fit the model, as the service does.

    Parameters
    ----------
    service, operation : str
        What is asked of whom.
    request : mapping
        What was sent.

    Raises
    ------
    ServiceError
        With all that is wrong.
    """
    shape = service_model(service).operation_model(operation).input_shape
    found = [] if shape is None else list(problems(shape, request, ""))
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise invalid(count + "; ".join(found))


def problems(shape: Shape, value: Any, place: str) -> Iterator[str]:  # noqa: ANN401 - whatever was sent
    """Yield what does not fit.

    Parameters
    ----------
    shape : botocore.model.Shape
        What it should be.
    value : object
        What was sent.
    place : str
        Where in the request it stands.

    Yields
    ------
    str

    Raises
    ------
    ServiceError
        If it is of another type.
    """
    kind = shape.type_name
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        message = f"{type(value).__name__} at '{place}' can not be converted to {kind}"
        raise ServiceError("SerializationException", message)
    yield from _constraints(shape, value, place)
    if kind in _PARTS:
        yield from _PARTS[kind](shape, value, place)


def _list(shape: Any, value: Sequence[Any], place: str) -> Iterator[str]:  # noqa: ANN401 - of a list
    for number, member in enumerate(value, start=1):
        yield from problems(shape.member, member, f"{place}.{number}.member")


def _map(shape: Any, value: Mapping[str, Any], place: str) -> Iterator[str]:  # noqa: ANN401 - of a map
    for key, member in value.items():
        yield from problems(shape.key, key, f"{place}.key")
        yield from problems(shape.value, member, f"{place}.{key}.value")


def _structure(shape: Any, value: Mapping[str, Any], place: str) -> Iterator[str]:  # noqa: ANN401 - of a structure
    members: Mapping[str, Shape] = shape.members
    for name in shape.metadata.get("required", []):
        if value.get(name) is None:
            yield f"Value null at '{_at(place, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in value.items():
        if name not in members:
            yield f"Unknown member '{_at(place, name)}', must be one of: {', '.join(members)}"
        elif member is not None:
            yield from problems(members[name], member, _at(place, name))


_PARTS: Mapping[str, Callable[[Any, Any, str], Iterator[str]]] = {"structure": _structure, "list": _list, "map": _map}


def _at(place: str, name: str) -> str:
    return ".".join(part for part in (place, name[:1].lower() + name[1:]) if part)


def _constraints(shape: Shape, value: Any, place: str) -> Iterator[str]:  # noqa: ANN401 - whatever was sent
    for constraint in (*_size(shape, value), *_form(shape, value)):
        yield f"Value '{value}' at '{place}' failed to satisfy constraint: Member must {constraint}"


def _size(shape: Shape, value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever was sent
    if shape.type_name in {"boolean", "structure", "timestamp"}:
        return
    number = shape.type_name in _NUMBERS
    size, word = (value, "value") if number else (len(value), "length")
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"have {word} greater than or equal to {least}"
    if most is not None and size > most:
        yield f"have {word} less than or equal to {most}"


def _form(shape: Shape, value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever was sent
    if shape.type_name != "string":
        return
    values = getattr(shape, "enum", [])
    if values and value not in values:
        yield f"satisfy enum value set: [{', '.join(values)}]"
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern).fullmatch(value):
        yield f"satisfy regular expression pattern: {pattern}"


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern of the service as Python reads it.

    Parameters
    ----------
    pattern : str
        As the model has it.

    Returns
    -------
    re.Pattern
    """
    for java, python in _JAVA.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)
