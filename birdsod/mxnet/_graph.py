"""A network as MXNet saves it: operators, and what flows between them."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Graph", "Node"]

VARIABLE = "null"
_LONGEST = 1000
_FLAGS = {"True": True, "1": True, "False": False, "0": False}


@dataclass(frozen=True, slots=True)
class Node:
    """An operator, or a variable that is given.

    Parameters
    ----------
    op : str
        Its kind; ``"null"`` for a variable.
    name : str
        Its name; a variable's is that of its parameter.
    attributes : mapping of str to str
        As they were saved; what is not there has the operator's default.
    inputs : tuple of (int, int)
        Where its inputs come from: number of the node, and which of its outputs.
    """

    op: str
    name: str
    attributes: Mapping[str, str]
    inputs: tuple[tuple[int, int], ...] = ()

    @property
    def is_variable(self) -> bool:
        """Whether it is given rather than computed."""
        return self.op == VARIABLE

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a word."""
        return self.attributes.get(name, default)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an attribute that is a whole number."""
        found = self._value(name, default)
        if isinstance(found, bool) or not isinstance(found, int):
            raise self._fault(name)
        return found

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        found = self.numbers(name, (default,))
        if len(found) != 1:
            raise self._fault(name)
        return found[0]

    def numbers(self, name: str, default: Sequence[float]) -> tuple[float, ...]:
        """Return an attribute that is a row of numbers; one alone is a row of one."""
        found = self._value(name, tuple(default))
        row: Sequence[object] = found if isinstance(found, tuple | list) else (found,)
        try:
            numbers = [float(value) for value in row if isinstance(value, int | float) and not isinstance(value, bool)]
        except OverflowError as error:
            raise self._fault(name) from error
        if len(numbers) < len(row) or not all(map(math.isfinite, numbers)):
            raise self._fault(name)
        return tuple(numbers)

    def integers(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """Return an attribute that is a row of whole numbers."""
        row = self.numbers(name, default)
        if any(value != int(value) for value in row):
            raise self._fault(name)
        return tuple(int(value) for value in row)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an attribute that is true or false."""
        text = self.attributes.get(name, str(default))
        if text not in _FLAGS:
            raise self._fault(name)
        return _FLAGS[text]

    def _value(self, name: str, default: object) -> object:
        text = self.attributes.get(name)
        if text is None and default is not None:
            return default
        try:
            # Literals only: nothing is executed. The length bounds how deep they can nest.
            return ast.literal_eval((text or "")[:_LONGEST])
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise self._fault(name) from error

    def _fault(self, name: str) -> ArtifactError:
        message = f"node {self.name!r} ({self.op}): the attribute {name!r} cannot be read"
        return ArtifactError(message, value=self.attributes.get(name), cause="damage, or another version of MXNet")


@dataclass(frozen=True, slots=True)
class Graph:
    """A network as MXNet saves it.

    Parameters
    ----------
    nodes : tuple of Node
        Each after those that it takes from.
    heads : tuple of (int, int)
        The outputs: number of the node, and which of its outputs.
    version : int, optional
        Of the MXNet that saved it: 10901 is 1.9.1.
    """

    nodes: tuple[Node, ...]
    heads: tuple[tuple[int, int], ...]
    version: int | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of what is given: parameters, data and labels."""
        return tuple(node.name for node in self.nodes if node.is_variable)

    def of_kind(self, op: str) -> tuple[Node, ...]:
        """Return the nodes of an operator, in order."""
        return tuple(node for node in self.nodes if node.op == op)

    def needed_for(self, *heads: int, given: Collection[int] = ()) -> tuple[int, ...]:
        """Return the numbers of the nodes that some nodes are computed from, and their own, in order.

        What the nodes in ``given`` are computed from is left out.

        Examples
        --------
        >>> given = [Node("null", name, {}) for name in ("data", "label")]
        >>> graph = Graph((*given, Node("Flatten", "flat", {}, ((0, 0),))), heads=((2, 0),))
        >>> graph.needed_for(2)
        (0, 2)
        """
        wanted, found = [*heads], set[int]()
        while wanted:
            number = wanted.pop()
            if number not in found:
                found.add(number)
                wanted += [source for source, _ in self.nodes[number].inputs if number not in given]
        return tuple(sorted(found))
