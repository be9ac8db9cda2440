"""Which weights an archive of our own network holds, and of which shape; told without the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError
from birdsod.ssd.anchors import TOP_DOWN_ANCHORS
from birdsod.ssd.efficientnet_stages import STEM_CHANNELS, TAPS, blocks

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    Shape = tuple[int, ...]

__all__ = ["check_shapes", "weight_shapes"]

_CHANNELS = 128


def weight_shapes(num_classes: int) -> dict[str, Shape]:
    """Return names and shapes of the weights of the detector on EfficientNet-Lite0.

    Parameters
    ----------
    num_classes : int
        Classes, background not counted.

    Returns
    -------
    dict of str to tuple of int
        As the network's own state names them.

    Examples
    --------
    >>> weight_shapes(5)["class_heads.0.weight"]
    (72, 128, 3, 3)
    """
    return dict([*_base(), *_top_down(), *_heads("class_heads", num_classes + 1), *_heads("box_heads", 4)])


def check_shapes(wanted: Mapping[str, Shape], found: Mapping[str, Shape], path: str | os.PathLike[str]) -> None:
    """Raise if names or shapes of weights are not those of a network; the first that differs is named."""
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if differing:
        name = differing[0]
        raise ArtifactError(
            f"{len(differing)} of the weights do not fit the network that hyperparams.json names, the first is {name}",
            path=path,
            value=found.get(name, "missing"),
            cause=f"the network has {wanted.get(name, 'no such weights')}",
        )


def _base() -> Iterator[tuple[str, Shape]]:
    yield "base._conv_stem.weight", (STEM_CHANNELS, 3, 3, 3)
    yield from _norm("base._bn0", STEM_CHANNELS)
    for number, block in enumerate(blocks()):
        name, kernel = f"base._blocks.{number}", block.stage.kernel
        if block.stage.expansion > 1:
            yield f"{name}._expand_conv.weight", (block.wide, block.inputs, 1, 1)
            yield from _norm(f"{name}._bn0", block.wide)
        yield f"{name}._depthwise_conv.weight", (block.wide, 1, kernel, kernel)
        yield from _norm(f"{name}._bn1", block.wide)
        yield f"{name}._project_conv.weight", (block.stage.channels, block.wide, 1, 1)
        yield from _norm(f"{name}._bn2", block.stage.channels)


def _top_down() -> Iterator[tuple[str, Shape]]:
    channels = [block.stage.channels for block in blocks()]
    for number, tap in enumerate(TAPS):
        for kind, inputs, kernel in (("laterals", channels[tap - 1], 1), ("smoothers", _CHANNELS, 3)):
            name = f"top_down.{kind}.{number}"
            yield f"{name}.conv.weight", (_CHANNELS, inputs, kernel, kernel)
            yield from _norm(f"{name}.norm", _CHANNELS)


def _heads(kind: str, outputs: int) -> Iterator[tuple[str, Shape]]:
    for number, layers in enumerate(TOP_DOWN_ANCHORS):
        filters = outputs * sum(layer.per_cell for layer in layers)
        yield f"{kind}.{number}.weight", (filters, _CHANNELS, 3, 3)
        yield f"{kind}.{number}.bias", (filters,)


def _norm(name: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()
