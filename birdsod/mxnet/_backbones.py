"""The base networks of the built-in algorithm, operator by operator with MXNet's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.mxnet._expressions import operator, variable

if TYPE_CHECKING:
    from birdsod.mxnet._expressions import Expression

__all__ = ["convolution", "relu", "resnet50", "vgg16_reduced"]

_UNITS = (3, 4, 6, 3)
_FILTERS = (256, 512, 1024, 2048)
_STATISTICS: dict[str, dict[str, str]] = {
    "gamma": {},
    "beta": {},
    "moving_mean": {"__init__": '["zero", {}]'},
    "moving_var": {"__init__": '["one", {}]'},
}
_VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def resnet50() -> tuple[Expression, Expression]:
    """Return the last maps of the third and the fourth stage of a ResNet-50, pre-activated.

    Returns
    -------
    tuple of Expression

    Source
    ------
    He et al., "Identity Mappings in Deep Residual Networks" (2016), as MXNet 1.9.1's examples have it.
    """
    data = operator("_copy", "id", variable("data"))
    data = _batch_norm("bn_data", data, fix_gamma=True)
    body = _bare_convolution("conv0", data, 64, kernel=7, stride=2, pad=3)
    body = relu("relu0", _batch_norm("bn0", body))
    body = operator("Pooling", "pooling0", body, kernel=(3, 3), pad=(1, 1), pool_type="max", stride=(2, 2))
    stages, count = [], 0
    for stage, (units, width) in enumerate(zip(_UNITS, _FILTERS, strict=True), start=1):
        for unit in range(1, units + 1):
            stride = 2 if unit == 1 and stage > 1 else 1
            body = _residual_unit(f"stage{stage}_unit{unit}", body, width, stride, first=unit == 1, count=count)
            count += 1
        stages.append(body)
    return stages[2], stages[3]


def vgg16_reduced() -> tuple[Expression, Expression]:
    """Return the scaled fourth stage and the last map of a VGG-16 whose dense layers became convolutions.

    Returns
    -------
    tuple of Expression

    Source
    ------
    Liu et al., "SSD: Single Shot MultiBox Detector" (2016), as MXNet 1.9.1's example has it.
    """
    body = taken = variable("data")
    for stage, (width, layers) in enumerate(_VGG, start=1):
        for layer in range(1, layers + 1):
            name = f"{stage}_{layer}"
            body = relu(f"relu{name}", convolution(f"conv{name}", body, width, kernel=(3, 3), pad=(1, 1)))
        taken = body if stage == 4 else taken  # noqa: PLR2004 - the stage that SSD takes
        body = _vgg_pooling(stage, body)
    body = relu("relu6", convolution("fc6", body, 1024, kernel=(3, 3), pad=(6, 6), dilate=(6, 6)))
    body = relu("relu7", convolution("fc7", body, 1024, kernel=(1, 1), pad=(0, 0)))
    scale = variable(
        "relu4_3_scale", __init__='["constant", {"value": 20}]', __shape__="(1, 512, 1, 1)", __wd_mult__="0.1"
    )
    norm = operator("L2Normalization", "relu4_3_norm", taken, mode="channel")
    return operator("broadcast_mul", "broadcast_mul0", scale, norm), body


def _vgg_pooling(stage: int, body: Expression) -> Expression:
    if stage == len(_VGG):
        return operator("Pooling", f"pool{stage}", body, kernel=(3, 3), pad=(1, 1), pool_type="max", stride=(1, 1))
    # Odd maps of 75 become 38, not 37.
    rounding = {"pooling_convention": "full"} if stage == 3 else {}  # noqa: PLR2004 - see above
    return operator("Pooling", f"pool{stage}", body, kernel=(2, 2), pool_type="max", stride=(2, 2), **rounding)


def convolution(name: str, data: Expression, filters: int, **attributes: object) -> Expression:
    """Return a convolution with bias, whose parameters bear the operator's own attributes as MXNet's do."""
    texts = {key: str(value) for key, value in {**attributes, "num_filter": filters}.items()}
    weight, bias = (variable(f"{name}_{part}", **texts) for part in ("weight", "bias"))
    return operator("Convolution", name, data, weight, bias, **texts)


def relu(name: str, data: Expression) -> Expression:
    """Return a rectified map."""
    return operator("Activation", name, data, act_type="relu")


def _bare_convolution(
    name: str, data: Expression, filters: int, *, kernel: int, stride: int, pad: int | None
) -> Expression:
    texts = {"kernel": str((kernel, kernel)), "no_bias": "True", "num_filter": str(filters), "workspace": "256"}
    texts |= {"stride": str((stride, stride))} | ({} if pad is None else {"pad": str((pad, pad))})
    return operator("Convolution", name, data, variable(f"{name}_weight", **texts), **texts)


def _batch_norm(name: str, data: Expression, *, fix_gamma: bool = False) -> Expression:
    texts = {"eps": "2e-05", "fix_gamma": str(fix_gamma), "momentum": "0.9"}
    inputs = [variable(f"{name}_{part}", **texts, **beginning) for part, beginning in _STATISTICS.items()]
    return operator("BatchNorm", name, data, *inputs, **texts)


def _residual_unit(name: str, data: Expression, width: int, stride: int, *, first: bool, count: int) -> Expression:
    before = relu(f"{name}_relu1", _batch_norm(f"{name}_bn1", data))
    body = _bare_convolution(f"{name}_conv1", before, width // 4, kernel=1, stride=1, pad=0)
    body = relu(f"{name}_relu2", _batch_norm(f"{name}_bn2", body))
    body = _bare_convolution(f"{name}_conv2", body, width // 4, kernel=3, stride=stride, pad=1)
    body = relu(f"{name}_relu3", _batch_norm(f"{name}_bn3", body))
    body = _bare_convolution(f"{name}_conv3", body, width, kernel=1, stride=1, pad=0)
    shortcut = _bare_convolution(f"{name}_sc", before, width, kernel=1, stride=stride, pad=None) if first else data
    return operator("elemwise_add", f"_plus{count}", body, shortcut)
