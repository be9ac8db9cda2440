"""Networks put together operator by operator, and laid out as MXNet lays them out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from birdsod.mxnet._graph import VARIABLE, Graph, Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Expression", "graph_of", "operator", "variable"]

_VERSION = 10901


@dataclass(frozen=True, eq=False)
class Expression:
    """One output of an operator, or a variable.

    Parameters
    ----------
    op, name : str
        As :class:`Node` has them.
    attributes : mapping of str to str
        As they are saved.
    inputs : tuple of Expression
        What it is computed from.
    output : int, default 0
        Which of the operator's outputs.
    origin : Expression, optional
        The operator's first output; none if it is that itself.
    """

    op: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Expression, ...] = ()
    output: int = 0
    origin: Expression | None = None

    def __getitem__(self, output: int) -> Expression:
        """Return another output of the same operator."""
        return replace(self, output=output, origin=self.node)

    @property
    def node(self) -> Expression:
        """The operator's first output, which stands for the operator."""
        return self.origin or self


def variable(name: str, **attributes: str) -> Expression:
    """Return a variable."""
    return Expression(VARIABLE, name, dict(sorted(attributes.items())))


def operator(op: str, name: str, *inputs: Expression, **attributes: object) -> Expression:
    """Return an operator; attributes are written as Python writes them."""
    texts = {key: str(value) for key, value in sorted(attributes.items())}
    return Expression(op, name, texts, inputs)


def graph_of(heads: Sequence[Expression]) -> Graph:
    """Return the graph of some outputs: each node after its inputs, in the order in which the heads want them."""
    places: dict[Expression, int] = {}
    nodes: list[Node] = []
    for head in heads:
        _place(head.node, places, nodes)
    return Graph(tuple(nodes), tuple((places[head.node], head.output) for head in heads), _VERSION)


def _place(wanted: Expression, places: dict[Expression, int], nodes: list[Node]) -> None:
    # Without recursion: a deep network has more operators one after the other than Python calls.
    waiting = [(wanted, 0)]
    while waiting:
        current, done = waiting.pop()
        if current in places:
            continue
        if done < len(current.inputs):
            waiting += [(current, done + 1), (current.inputs[done].node, 0)]
            continue
        inputs = tuple((places[each.node], each.output) for each in current.inputs)
        places[current] = len(nodes)
        nodes.append(Node(current.op, current.name, current.attributes, inputs))
