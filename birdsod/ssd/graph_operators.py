"""MXNet's operators, as far as a detector uses them, in PyTorch."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from birdsod.ssd.graph_anchors import anchors_of_node
from birdsod.ssd.graph_dispatch import dispatch, refused
from birdsod.ssd.shared_norm import Normalised, whole_batch_norm
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from birdsod.mxnet import Node
    from birdsod.ssd.team import Team

    Tensors = Sequence[torch.Tensor]
    Operator = Callable[[Node, Tensors], torch.Tensor]

__all__ = ["OPERATORS", "compute", "training_batch_norm"]

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "softrelu": functional.softplus,
    "tanh": torch.tanh,
}
_NORMS = {"instance": (1, 2, 3), "channel": (1,), "spatial": (2, 3)}
_PLANE = 2


def compute(node: Node, inputs: Tensors) -> torch.Tensor:
    """Return what an operator makes of its inputs.

    Parameters
    ----------
    node : Node
        The operator.
    inputs : sequence of Tensor
        In the order of the node's own inputs.

    Returns
    -------
    Tensor

    Raises
    ------
    ArtifactError
        If the operator, or one of its options, is not known here, or the inputs do not fit; the node is named.
    """
    return dispatch(OPERATORS, node, inputs)


def _same(node: Node, inputs: Tensors) -> torch.Tensor:
    del node
    return inputs[0]


def _batch_norm(node: Node, inputs: Tensors) -> torch.Tensor:
    if node.integer("axis", 1) != 1:
        raise refused(node, "axis")
    data, gamma, beta, mean, variance = inputs
    scale = None if node.flag("fix_gamma", default=True) else gamma
    return functional.batch_norm(data, mean, variance, scale, beta, training=False, eps=node.number("eps", 1e-3))


def training_batch_norm(node: Node, inputs: Tensors, team: Team = ALONE) -> torch.Tensor:
    """Return a map normalised by its own mean and variance, and let the moving statistics follow as MXNet does.

    Unlike PyTorch's, MXNet's moving variance follows the variance that is divided by the count itself, and a gamma
    that is fixed is set to one at each step, with a gradient of zero.

    Parameters
    ----------
    node : Node
        The operator.
    inputs : sequence of Tensor
        Map, gamma, beta, moving mean and moving variance; the last two are changed, and so is a fixed gamma.
    team : Team, optional
        The processes that have the other images of the batch: the statistics are those of the whole.

    Returns
    -------
    Tensor

    Source
    ------
    Apache MXNet 1.9.1, ``BatchNorm``.
    """
    data, gamma, beta, moving_mean, moving_variance = inputs
    if node.flag("fix_gamma", default=True):
        with torch.no_grad():
            gamma.fill_(1.0)
        gamma = gamma.detach() + (gamma - gamma)
    epsilon = node.number("eps", 1e-3)
    if team.size > 1:
        made = whole_batch_norm(data, gamma, beta, eps=epsilon, team=team)
    else:
        made = _own_batch_norm(data, gamma, beta, epsilon)
    share = 1 - node.number("momentum", 0.9)
    with torch.no_grad():
        moving_mean.lerp_(made.mean, share)
        moving_variance.lerp_(made.variance, share)
    return made.data


def _own_batch_norm(data: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, epsilon: float) -> Normalised:
    mean, variance = torch.zeros_like(beta.detach()), torch.zeros_like(beta.detach())
    # With a momentum of one they take what is there now. PyTorch divides the variance by one less than the count.
    made = functional.batch_norm(data, mean, variance, gamma, beta, training=True, momentum=1.0, eps=epsilon)
    count = data.numel() // data.shape[1]
    return Normalised(made, mean, variance * ((count - 1) / count), beta.new_tensor(count))


def _convolution(node: Node, inputs: Tensors) -> torch.Tensor:
    if len(node.integers("kernel", ())) != _PLANE:
        raise refused(node, "kernel")
    bias = None if node.flag("no_bias", default=False) else inputs[2]
    return functional.conv2d(
        inputs[0],
        inputs[1],
        bias,
        stride=node.integers("stride", (1, 1)),
        padding=node.integers("pad", (0, 0)),
        dilation=node.integers("dilate", (1, 1)),
        groups=node.integer("num_group", 1),
    )


def _activation(node: Node, inputs: Tensors) -> torch.Tensor:
    kind = node.text("act_type", "relu" if node.op == "relu" else "")
    if kind not in _ACTIVATIONS:
        raise refused(node, "act_type")
    return _ACTIVATIONS[kind](inputs[0])


def _pooling(node: Node, inputs: Tensors) -> torch.Tensor:
    data = inputs[0]
    kind, convention = node.text("pool_type", "max"), node.text("pooling_convention", "valid")
    if node.flag("global_pool", default=False):
        return data.amax((2, 3), keepdim=True) if kind == "max" else data.mean((2, 3), keepdim=True)
    kernel, stride, pad = (node.integers(name, default) for name, default in _WINDOW.items())
    if convention not in {"valid", "full"}:
        raise refused(node, "pooling_convention")
    if kind == "max":
        return functional.max_pool2d(_reaching(data, kernel, stride, pad, full=convention == "full"), kernel, stride)
    if kind == "avg" and convention == "valid":
        return functional.avg_pool2d(data, kernel, stride, pad)
    raise refused(node, "pool_type")


_WINDOW = {"kernel": (1, 1), "stride": (1, 1), "pad": (0, 0)}


def _reaching(
    data: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[int, ...], *, full: bool
) -> torch.Tensor:
    """Return the map with what lies around it, so that the windows cover it as MXNet's do.

    With the convention "full" the last window may reach beyond the padding: MXNet rounds up where PyTorch, even in its
    own ceiling mode, leaves a window out that would begin there.
    """
    sides: list[int] = []
    for size, width, step, before in zip(data.shape[3:1:-1], kernel[::-1], stride[::-1], pad[::-1], strict=True):
        beyond = -(size + 2 * before - width) % step if full else 0
        sides += [before, before + beyond]
    return functional.pad(data, sides, value=-torch.inf) if any(sides) else data


def _add(node: Node, inputs: Tensors) -> torch.Tensor:
    del node
    return functools.reduce(torch.add, inputs)


def _multiply(node: Node, inputs: Tensors) -> torch.Tensor:
    del node
    return functools.reduce(torch.mul, inputs)


def _transpose(node: Node, inputs: Tensors) -> torch.Tensor:
    axes = node.integers("axes", ())
    return inputs[0].permute(axes or tuple(reversed(range(inputs[0].ndim))))


def _flatten(node: Node, inputs: Tensors) -> torch.Tensor:
    del node
    return inputs[0].flatten(1)


def _concat(node: Node, inputs: Tensors) -> torch.Tensor:
    return torch.cat(list(inputs), dim=node.integer("dim", 1))


def _reshape(node: Node, inputs: Tensors) -> torch.Tensor:
    shape = node.integers("shape", ())
    if not shape or min(shape) < -1 or node.flag("reverse", default=False):
        raise refused(node, "shape")
    return inputs[0].reshape([inputs[0].shape[place] if size == 0 else size for place, size in enumerate(shape)])


def _softmax(node: Node, inputs: Tensors) -> torch.Tensor:
    if node.number("temperature", 1.0) != 1.0:
        raise refused(node, "temperature")
    return inputs[0].softmax(node.integer("axis", -1))


def _softmax_output(node: Node, inputs: Tensors) -> torch.Tensor:
    channels = node.flag("multi_output", default=False) or node.text("mode", "instance") == "channel"
    return inputs[0].softmax(1) if channels else inputs[0].flatten(1).softmax(1).reshape(inputs[0].shape)


def _l2_normalization(node: Node, inputs: Tensors) -> torch.Tensor:
    axes = _NORMS.get(node.text("mode", "instance"))
    if axes is None:
        raise refused(node, "mode")
    squares = inputs[0].square().sum(axes, keepdim=True)
    return inputs[0] / (squares + node.number("eps", 1e-10)).sqrt()


def _multibox_prior(node: Node, inputs: Tensors) -> torch.Tensor:
    height, width = inputs[0].shape[2:]
    return torch.from_numpy(anchors_of_node(node, height, width))[None].to(inputs[0].device)


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(("_copy", "identity", "BlockGrad", "Dropout"), _same),
    **dict.fromkeys(("elemwise_add", "broadcast_add", "_Plus", "_plus", "add_n", "ElementWiseSum"), _add),
    **dict.fromkeys(("elemwise_mul", "broadcast_mul", "_Mul", "_mul"), _multiply),
    **dict.fromkeys(("Activation", "relu"), _activation),
    **dict.fromkeys(("_contrib_MultiBoxPrior", "MultiBoxPrior"), _multibox_prior),
    **dict.fromkeys(("SoftmaxOutput", "SoftmaxActivation"), _softmax_output),
    **dict.fromkeys(("Reshape", "reshape"), _reshape),
    **dict.fromkeys(("Flatten", "flatten"), _flatten),
    **dict.fromkeys(("Concat", "concat"), _concat),
    "BatchNorm": _batch_norm,
    "Convolution": _convolution,
    "L2Normalization": _l2_normalization,
    "Pooling": _pooling,
    "softmax": _softmax,
    "transpose": _transpose,
}
"""What is known, by MXNet's name; older versions had other names for some."""
