"""A part of a graph in the order in which it is computed, and the computing of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from birdsod.mxnet import Graph, Node

__all__ = ["Program"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Program:
    """What has to be computed, in order, for some nodes of a graph.

    Parameters
    ----------
    nodes : tuple of Node
        All nodes of the graph.
    outputs : tuple of int
        Numbers of the nodes that are wanted.
    order : tuple of int
        Numbers of the nodes that they are computed from, and their own.
    last_use : mapping of int to int
        The last node in the order that takes from each node.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    order: tuple[int, ...]
    last_use: Mapping[int, int]

    @classmethod
    def of(cls, graph: Graph, outputs: Sequence[int], given: Collection[int] = ()) -> Self:
        """Return the program for some nodes.

        Parameters
        ----------
        graph : Graph
            The graph.
        outputs : sequence of int
            Numbers of the nodes that are wanted.
        given : collection of int
            Numbers of nodes that are known when it runs; what they are computed from is left out.

        Returns
        -------
        Program
        """
        order = graph.needed_for(*outputs, given=given)
        computed = (number for number in order if number not in given)
        last_use = {source: number for number in computed for source, _ in graph.nodes[number].inputs}
        return cls(graph.nodes, tuple(outputs), order, last_use)

    def run(
        self, given: Mapping[int, T], parameter: Callable[[str], T], compute: Callable[[Node, Sequence[T]], T]
    ) -> list[T]:
        """Compute the wanted nodes, out of tensors or of what else stands for maps.

        Parameters
        ----------
        given : mapping of int to object
            What is known, by number of the node; the image data at least.
        parameter : callable
            Returns what a variable is, by its name.
        compute : callable
            Returns what a node makes of its inputs.

        Returns
        -------
        list of object
            In the order of the outputs.
        """
        made: dict[int, T] = {}
        for number in self.order:
            node = self.nodes[number]
            if number in given:
                made[number] = given[number]
                continue
            if node.is_variable:
                made[number] = parameter(node.name)
                continue
            made[number] = compute(node, [made[source] for source, _ in node.inputs])
            # A map that no later node takes is let go: at 512 pixels all together would fill gigabytes.
            for source, _ in node.inputs:
                if self.last_use[source] == number and source not in self.outputs:
                    made.pop(source, None)
        return [made[number] for number in self.outputs]
