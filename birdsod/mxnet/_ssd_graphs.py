"""The detectors of the built-in algorithm as MXNet's graphs, for training and for hosting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from birdsod.errors import InputError
from birdsod.mxnet._backbones import convolution, relu, resnet50, vgg16_reduced
from birdsod.mxnet._expressions import graph_of, operator, variable

if TYPE_CHECKING:
    from birdsod.mxnet._expressions import Expression
    from birdsod.mxnet._graph import Graph

__all__ = ["BaseNetwork", "GraphOptions", "ssd_graph"]

BaseNetwork = Literal["resnet-50", "vgg-16"]

_VARIANCES = (0.1, 0.1, 0.2, 0.2)
_THREE = "(1,2,0.5)"
_FIVE = f"(1,2,0.5,3,{1 / 3})"
_HEAD_BIAS = {"__init__": '["constant", {"value": 0.0}]', "__lr_mult__": "2.0"}
# From this edge on VGG-16 has a seventh map, and other anchors.
_LARGE = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """What a detector's graph says besides its network.

    Parameters
    ----------
    nms_threshold : float, default 0.45
        A box that overlaps a better one of its class by this or more goes.
    nms_topk : int, default 400
        How many of the best boxes are looked at.
    overlap : float, default 0.5
        From which overlap on an anchor learns a box.
    three_digits : bool, default False
        Anchors as MXNet 1.9.1's example rounds them; the built-in algorithm has six digits.
    """

    nms_threshold: float = 0.45
    nms_topk: int = 400
    overlap: float = 0.5
    three_digits: bool = False


@dataclass(frozen=True, slots=True)
class _Map:
    """One map that anchors stand on."""

    source: Expression
    sizes: str
    ratios: str
    step: float = -1.0

    @property
    def per_cell(self) -> int:
        return self.sizes.count(",") + self.ratios.count(",") + 1

    @property
    def name(self) -> str:
        return "relu4_3" if self.source.name == "broadcast_mul0" else self.source.name


def ssd_graph(
    base_network: BaseNetwork,
    *,
    num_classes: int,
    image_shape: int,
    training: bool = True,
    options: GraphOptions | None = None,
) -> Graph:
    """Return the graph of a detector, node by node as the built-in algorithm has it.

    Parameters
    ----------
    base_network : {"resnet-50", "vgg-16"}
        The base network.
    num_classes : int
        Classes, background not counted.
    image_shape : int
        Edge of the square images in pixels.
    training : bool, default True
        With targets and losses, which is what the algorithm's container expects; or for detection alone.
    options : GraphOptions, optional
        Thresholds and limits.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If there is no such base network.

    Source
    ------
    Apache MXNet 1.9.1, example/ssd; the anchors of the built-in algorithm's own archives.

    Examples
    --------
    >>> graph = ssd_graph("resnet-50", num_classes=20, image_shape=512)
    >>> len(graph.nodes), len(graph.heads)
    (544, 4)
    """
    chosen = options or GraphOptions()
    if base_network == "resnet-50":
        return _detector(_resnet_maps(chosen), num_classes, chosen, training=training)
    if base_network == "vgg-16":
        return _detector(_vgg_maps(image_shape, chosen), num_classes, chosen, training=training)
    raise InputError("no base network of the built-in algorithm", value=base_network, cure="resnet-50 or vgg-16")


_SMALL_SIZES = ((0.1, 0.141421), (0.2, 0.272029), (0.37, 0.44699), (0.54, 0.619193), (0.71, 0.790443), (0.88, 0.961249))
_LARGE_SIZES = (
    (0.07, 0.1025),
    (0.15, 0.2121),
    (0.3, 0.3674),
    (0.45, 0.5196),
    (0.6, 0.6708),
    (0.75, 0.8216),
    (0.9, 0.9721),
)


def _sizes(pair: tuple[float, float], options: GraphOptions) -> str:
    small, large = pair
    return f"({small},{round(large, 3) if options.three_digits else large})"


def _resnet_maps(options: GraphOptions) -> list[_Map]:
    third, fourth = resnet50()
    further = _further(fourth, [(256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 2, 1), (128, 128, 2, 1)])
    ratios = (_THREE, _FIVE, _FIVE, _FIVE, _THREE, _THREE)
    sizes = (_sizes(pair, options) for pair in _SMALL_SIZES)
    return [_Map(*each) for each in zip((third, fourth, *further), sizes, ratios, strict=True)]


def _vgg_maps(image_shape: int, options: GraphOptions) -> list[_Map]:
    scaled, last = vgg16_reduced()
    if image_shape >= _LARGE:
        layers = [(256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 2, 1), (128, 256, 2, 1), (128, 256, 1, 1)]
        ratios = (_THREE, *[_FIVE] * 4, _THREE, _THREE)
        sizes = [f"({small},{large})" for small, large in _LARGE_SIZES]
        steps = [step / 512 for step in (8, 16, 32, 64, 128, 256, 512)]
    else:
        layers = [(256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0)]
        ratios = (_THREE, *[_FIVE] * 3, _THREE, _THREE)
        sizes = [_sizes(pair, options) for pair in _SMALL_SIZES]
        steps = [step / 300 for step in (8, 16, 32, 64, 100, 300)]
    return [_Map(*each) for each in zip((scaled, last, *_further(last, layers)), sizes, ratios, steps, strict=True)]


def _further(last: Expression, layers: list[tuple[int, int, int, int]]) -> list[Expression]:
    """Return smaller maps, each of a narrow and a wide convolution: filters of both, stride and padding."""
    found, body = [], last
    for number, (narrow, wide, stride, pad) in enumerate(layers, start=2):
        name = f"multi_feat_{number}_conv"
        body = _rectified(f"{name}_1x1", body, narrow, kernel=(1, 1), pad=(0, 0), stride=(1, 1))
        # The last map of the large VGG-16 has a single cell and keeps it.
        body = _rectified(f"{name}_3x3", body, wide, kernel=(3, 3), pad=(pad, pad), stride=(stride, stride))
        found.append(body)
    return found


def _rectified(name: str, data: Expression, filters: int, **attributes: object) -> Expression:
    return relu(f"{name}_relu", convolution(f"{name}_conv", data, filters, **attributes))


def _detector(maps: list[_Map], num_classes: int, options: GraphOptions, *, training: bool) -> Graph:
    offsets = [_head(each, "loc", 4 * each.per_cell, 2 * place, 3 * place + 1) for place, each in enumerate(maps)]
    width = num_classes + 1
    scores = [
        _head(each, "cls", width * each.per_cell, 2 * place + 1, 3 * place + 2) for place, each in enumerate(maps)
    ]
    loc_pred = _joined("multibox_loc_pred", offsets)
    rows = operator("Reshape", "reshape0", _joined("concat0", scores), shape=(0, -1, width))
    cls_pred = operator("transpose", "multibox_cls_pred", rows, axes=(0, 2, 1))
    flat = [operator("Flatten", f"flatten{3 * place + 3}", _anchors(each)) for place, each in enumerate(maps)]
    anchors = operator("Reshape", "multibox_anchors", _joined("concat1", flat), shape=(0, -1, 4))
    if not training:
        return graph_of([_detection(operator("softmax", "cls_prob", cls_pred, axis=1), loc_pred, anchors, options)])
    return graph_of(_losses(cls_pred, loc_pred, anchors, options))


def _head(each: _Map, kind: str, filters: int, transposed: int, flattened: int) -> Expression:
    name = f"{each.name}_{kind}_pred_conv"
    texts = {"kernel": "(3, 3)", "num_filter": str(filters), "pad": "(1, 1)", "stride": "(1, 1)"}
    weight, bias = variable(f"{name}_weight", **texts), variable(f"{name}_bias", **_HEAD_BIAS)
    found = operator("Convolution", name, each.source, weight, bias, **texts)
    found = operator("transpose", f"transpose{transposed}", found, axes=(0, 2, 3, 1))
    return operator("Flatten", f"flatten{flattened}", found)


def _joined(name: str, parts: list[Expression]) -> Expression:
    return operator("Concat", name, *parts, dim=1, num_args=len(parts))


def _anchors(each: _Map) -> Expression:
    shape = {"sizes": each.sizes, "ratios": each.ratios, "steps": (each.step, each.step), "clip": False}
    return operator("_contrib_MultiBoxPrior", f"{each.name}_anchors", each.source, **shape)


def _detection(cls_prob: Expression, loc_pred: Expression, anchors: Expression, options: GraphOptions) -> Expression:
    return operator(
        "_contrib_MultiBoxDetection",
        "detection",
        cls_prob,
        loc_pred,
        anchors,
        force_suppress=False,
        nms_threshold=options.nms_threshold,
        nms_topk=options.nms_topk,
        variances=_VARIANCES,
    )


def _losses(cls_pred: Expression, loc_pred: Expression, anchors: Expression, options: GraphOptions) -> list[Expression]:
    target = operator(
        "_contrib_MultiBoxTarget",
        "multibox_target",
        anchors,
        variable("label"),
        cls_pred,
        overlap_threshold=options.overlap,
        ignore_label=-1,
        negative_mining_ratio=3,
        minimum_negative_samples=0,
        negative_mining_thresh=0.5,
        variances=_VARIANCES,
    )
    cls_prob = operator(
        "SoftmaxOutput",
        "cls_prob",
        cls_pred,
        target[2],
        ignore_label=-1,
        use_ignore=True,
        grad_scale=1.0,
        multi_output=True,
        normalization="valid",
    )
    missed = operator("elemwise_mul", "_mul0", target[1], operator("elemwise_sub", "_minus0", loc_pred, target[0]))
    smooth = operator("smooth_l1", "loc_loss_", missed, scalar=1.0)
    loc_loss = operator("MakeLoss", "loc_loss", smooth, grad_scale=1.0, normalization="valid")
    cls_label = operator("MakeLoss", "cls_label", target[2], grad_scale=0)
    found = _detection(cls_prob, loc_pred, anchors, options)
    return [cls_prob, loc_loss, cls_label, operator("MakeLoss", "det_out", found, grad_scale=0)]
