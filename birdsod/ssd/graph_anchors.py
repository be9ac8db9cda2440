"""The anchors that a node of a graph of MXNet asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.ssd.anchors import multibox_prior

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from birdsod.mxnet import Node

__all__ = ["anchors_of_node"]


def anchors_of_node(node: Node, height: int, width: int) -> npt.NDArray[np.float32]:
    """Return the anchors of one feature map, as its node says: nothing about them is assumed.

    Parameters
    ----------
    node : Node
        A ``MultiBoxPrior``.
    height, width : int
        Cells of the feature map.

    Returns
    -------
    ndarray of float32
        Relative corners, ``(N, 4)``.

    Source
    ------
    Apache MXNet 1.9.1, ``_contrib_MultiBoxPrior``, whose defaults these are.
    """
    return multibox_prior(
        height,
        width,
        sizes=node.numbers("sizes", (1.0,)),
        ratios=node.numbers("ratios", (1.0,)),
        clip=node.flag("clip", default=False),
        steps=_pair(node, "steps", -1.0),
        offsets=_pair(node, "offsets", 0.5),
    )


def _pair(node: Node, name: str, default: float) -> tuple[float, float]:
    first, second = node.numbers(name, (default, default))
    return first, second
