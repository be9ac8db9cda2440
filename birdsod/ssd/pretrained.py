"""A network given the weights that training starts from, and what the log says of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError
from birdsod.ssd.graph_network import tensor_of
from birdsod.ssd.start import read_start
from birdsod.ssd.twin import TwinNetwork

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import torch

    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.start import Start

__all__ = ["go_on_from", "start_from"]

_CLASS_LAYERS = re.compile(r"class_heads\.|.*_cls_pred_conv_")
# Layers that a detector adds to a base network; they are the last to be named.
_ADDED = re.compile(r"multi_feat_|.*_pred_conv_|relu4_3_scale|necks\.|extras\.|.*_heads\.")
_LAYER = re.compile(r"[._](weight|bias|gamma|beta|(moving|running)_(mean|var)|num_batches_tracked)$")
_SHOWN = 12


def start_from(network: AnyNetwork, path: str | os.PathLike[str]) -> list[str]:
    """Give a network pretrained weights, as far as they are its own; layers that tell classes begin anew.

    Parameters
    ----------
    network : SSD or TwinNetwork
        It is changed.
    path : path-like
        As :func:`birdsod.ssd.start.read_start` takes them.

    Returns
    -------
    list of str
        Lines that say what was taken, what begins anew, and what of the file was not used.

    Raises
    ------
    ArtifactError
        If the file cannot be read, or none of it is the network's.
    """
    start = read_start(path)
    wanted = {name: each for name, each in network.state_dict().items() if not _CLASS_LAYERS.match(name)}
    taken = {name: start.arrays[name] for name, each in wanted.items() if _shape(start, name) == tuple(each.shape)}
    if not taken:
        raise ArtifactError(
            "none of these weights is one of the network's",
            path=start.file,
            value=_listed(start.arrays) or "no weights",
            cause="weights of another network",
            cure=f"give weights of layers such as {_listed(list(wanted)[:40])}",
        )
    _give(network, start, taken)
    count = len(network.state_dict())
    lines = [f"Weights: {len(taken)} of {count} parameters and statistics are from {start.file}"]
    for what, names in (("begin anew", network.state_dict()), ("of the file are not used", start.arrays)):
        others = sorted((name for name in names if name not in taken), key=lambda name: bool(_ADDED.match(name)))
        lines += [f"Weights: these layers {what}: {_listed(others)}"] if others else []
    return lines


def go_on_from(network: AnyNetwork, path: str | os.PathLike[str]) -> list[str]:
    """Give a network all weights of an earlier model.

    Parameters
    ----------
    network : SSD or TwinNetwork
        It is changed.
    path : path-like
        An archive, or the folder into which one was unpacked.

    Returns
    -------
    list of str
        A line that says so.

    Raises
    ------
    ArtifactError
        If the archive cannot be read, or its weights are not all of the network's.
    """
    start = read_start(path)
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    differing = [name for name in {**shapes, **start.arrays} if shapes.get(name) != _shape(start, name)]
    if differing:
        name = differing[0]
        raise ArtifactError(
            f"{len(differing)} of the weights of the model to go on from do not fit the network, the first is {name}",
            path=start.file,
            value=_shape(start, name) or "missing",
            cause=f"the network has {shapes.get(name, 'no such weights')}",
        )
    _give(network, start, shapes)
    return [f"Weights: training goes on from {start.file}"]


def _give(network: AnyNetwork, start: Start, names: Iterable[str]) -> None:
    tensors: dict[str, torch.Tensor] = {name: tensor_of(name, start.arrays[name]) for name in names}
    network.load_state_dict(tensors, strict=False)
    if isinstance(network, TwinNetwork):
        network.input_mean = start.input_mean


def _shape(start: Start, name: str) -> tuple[int, ...] | None:
    return tuple(start.arrays[name].shape) if name in start.arrays else None


def _listed(names: Iterable[str]) -> str:
    """Name the layers of parameters, each once and not too many."""
    layers = list(dict.fromkeys(_LAYER.sub("", name) for name in names))
    more = f" and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    return ", ".join(layers[:_SHOWN]) + more
