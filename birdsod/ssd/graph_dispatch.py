"""One node of MXNet's graph handed to whoever computes or translates it; what cannot be done is told by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from birdsod.mxnet import Node

__all__ = ["dispatch", "refused"]


class _Shaped(Protocol):
    @property
    def shape(self) -> Sequence[int]: ...


T = TypeVar("T", bound=_Shaped)


def dispatch(operators: Mapping[str, Callable[[Node, Sequence[T]], T]], node: Node, inputs: Sequence[T]) -> T:
    """Return what an operator makes of its inputs.

    Parameters
    ----------
    operators : mapping of str to callable
        What is known, by MXNet's name.
    node : Node
        The operator.
    inputs : sequence
        In the order of the node's own inputs.

    Returns
    -------
    object
        Of the kind of the inputs.

    Raises
    ------
    ArtifactError
        If the operator, or one of its options, is not known, or the inputs do not fit; the node is named.
    """
    operator = operators.get(node.op)
    if operator is None:
        cure = f"known are {', '.join(sorted(operators))}"
        raise ArtifactError(f"node {node.name!r} has an operator that no detector uses", value=node.op, cure=cure)
    try:
        return operator(node, inputs)
    except (RuntimeError, IndexError, ValueError, TypeError, ArithmeticError) as error:
        if isinstance(error, ArtifactError):
            raise
        shapes = [tuple(each.shape) for each in inputs]
        message = f"node {node.name!r} ({node.op}) cannot be computed from its inputs"
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(message, value=shapes, cause=cause) from error


def refused(node: Node, name: str) -> ArtifactError:
    """Return the error that an option of a node has a value which is not known."""
    return ArtifactError(
        f"node {node.name!r} ({node.op}): {name} has a value that is not known here", value=node.attributes.get(name)
    )
