"""The built-in algorithm's own networks, trained here as MXNet trains them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import nn

from birdsod.errors import ArtifactError, HyperparameterError
from birdsod.ssd.graph_operators import OPERATORS, compute, training_batch_norm
from birdsod.ssd.graph_program import Program
from birdsod.ssd.initial import initial_tensors
from birdsod.ssd.objective import multibox_objective
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from birdsod.mxnet import Graph, Node
    from birdsod.ssd.objective import Objective
    from birdsod.ssd.team import Team

__all__ = ["TwinNetwork"]

_NORM = "BatchNorm"
_STATISTIC = "aux:"
# Layers that SSD adds to a base network.
_ADDED = re.compile(r"multi_feat_|relu4_3_scale|.*_(cls|loc)_pred_conv_")
_DECAYING = ("_weight", "_gamma")


class TwinNetwork(nn.Module):
    """A detector of MXNet's, operator by operator as its graph of training says, that learns as MXNet's does.

    Parameters bear MXNet's names. Batch normalisation uses the batch's own statistics in training, frozen or not, and
    its moving statistics follow, as in MXNet.

    Parameters
    ----------
    graph : Graph
        Of training, as :func:`birdsod.mxnet.ssd_graph` makes them. Parameters begin as MXNet's trainer begins, from
        torch's global generator.
    image_shape : int
        Edge of the square images in pixels.

    Attributes
    ----------
    graph : Graph
        The graph.
    num_classes : int
        Classes, background not counted.
    input_mean : tuple of float
        What is subtracted from red, green and blue: nothing, unless parameters that were trained so are taken over.
    team : Team
        The processes that train it, each on a part of the batch; none but this one to begin with.
    anchors : Tensor
        Relative corners, ``(N, 4)`` float32.

    Raises
    ------
    ArtifactError
        If it is no graph of training of a detector.

    Examples
    --------
    >>> from birdsod.mxnet import ssd_graph
    >>> network = TwinNetwork(ssd_graph("resnet-50", num_classes=5, image_shape=300), image_shape=300)
    >>> network.num_classes, tuple(network.anchors.shape), tuple(network.conv0_weight.shape)
    (5, (2268, 4), (64, 3, 7, 7))
    """

    anchors: torch.Tensor

    def __init__(self, graph: Graph, *, image_shape: int) -> None:
        super().__init__()
        self.graph = graph
        self.image_shape = image_shape
        self.input_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self.team: Team = ALONE
        self._images = _number_of(graph, "data")
        anchors, self._wanted = _ends(graph)
        for name, tensor in initial_tensors(graph).items():
            self._register(name, tensor)
        self._divide()
        scores, boxes = self._first_run(anchors)
        self.num_classes: int = scores.shape[1] - 1
        self.register_buffer("anchors", boxes.reshape(-1, 4), persistent=False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class scores and box offsets of every anchor.

        Parameters
        ----------
        images : Tensor
            RGB, float32, 0 to 255, ``(B, 3, image_shape, image_shape)``.

        Returns
        -------
        class_logits : Tensor
            Scores before the softmax, background first, ``(B, N, num_classes + 1)``.
        offsets : Tensor
            ``(B, 4 * N)``.
        """
        return self.forward_from(self.forward_frozen(images))

    def answer(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class probabilities and box offsets of every anchor, as detection takes them.

        Parameters
        ----------
        images : Tensor
            As :meth:`forward` takes them.

        Returns
        -------
        probabilities : Tensor
            Background first, ``(B, num_classes + 1, N)``.
        offsets : Tensor
            ``(B, 4 * N)``.
        """
        logits, offsets = self(images)
        return logits.softmax(dim=2).transpose(1, 2), offsets

    @torch.no_grad()
    def forward_frozen(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run what is frozen and comes before every batch normalisation, without keeping anything for gradients.

        Parameters
        ----------
        images : Tensor
            As :meth:`forward` takes them.

        Returns
        -------
        tuple of Tensor
            All that the other layers take from it; at least the images less the mean.
        """
        mean = images.new_tensor(self.input_mean).reshape(1, 3, 1, 1)
        given = {self._images: images - mean if any(self.input_mean) else images}
        return tuple(self._frozen.run(given, self._tensor, self._compute))

    def forward_from(self, features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Run everything after the frozen layers.

        Parameters
        ----------
        features : tuple of Tensor
            What :meth:`forward_frozen` returned.

        Returns
        -------
        class_logits, offsets : Tensor
            As :meth:`forward` returns them.
        """
        given = dict(zip(self._frozen.outputs, features, strict=True))
        scores, offsets = self._learning.run(given, self._tensor, self._compute)
        return scores.transpose(1, 2), offsets

    def objective(
        self, answer: tuple[torch.Tensor, torch.Tensor], labels: torch.Tensor, team: Team = ALONE
    ) -> Objective:
        """Return the loss of an answer, as :func:`multibox_objective` does."""
        return multibox_objective(self.anchors, answer, labels, team)

    def freeze(self, pattern: str) -> tuple[str, ...]:
        """Leave the parameters whose names match out of training; all others take part in it.

        Statistics of batch normalisation go on following, as they do in MXNet.

        Parameters
        ----------
        pattern : str
            A regular expression that must match from the start of MXNet's name; empty: nothing is frozen.

        Returns
        -------
        tuple of str
            The names of the frozen parameters.

        Raises
        ------
        HyperparameterError
            If the pattern is no regular expression.

        Examples
        --------
        >>> from birdsod.mxnet import ssd_graph
        >>> network = TwinNetwork(ssd_graph("vgg-16", num_classes=5, image_shape=300), image_shape=300)
        >>> network.freeze("conv1_")
        ('conv1_1_weight', 'conv1_1_bias', 'conv1_2_weight', 'conv1_2_bias')
        """
        try:
            matcher = re.compile(pattern)
        except re.error as error:
            message = "freeze_layer_pattern is no regular expression"
            raise HyperparameterError(message, value=pattern, cause=str(error)) from error
        frozen = tuple(name for name, _ in self.named_parameters() if pattern and matcher.match(name))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in frozen)
        self._divide()
        return frozen

    def base_parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters of the base network."""
        named = self.named_parameters()
        return [each for name, each in named if each.requires_grad and not _ADDED.match(name)]

    def new_parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters of the further maps and of the heads."""
        return [each for name, each in self.named_parameters() if each.requires_grad and _ADDED.match(name)]

    def update_factors(self) -> dict[nn.Parameter, tuple[float, float]]:
        """Return what the learning rate and the weight decay of each parameter are multiplied by.

        Weight decay pulls at weights and gammas. A variable of the graph may tell factors of its own: biases of the
        heads learn twice as fast.

        Returns
        -------
        dict of Parameter to (float, float)

        Source
        ------
        Apache MXNet 1.9.1, ``Optimizer.set_lr_mult`` and ``set_wd_mult``.
        """
        told = {node.name: node for node in self.graph.nodes if node.is_variable}
        return {
            parameter: (
                told[name].number("__lr_mult__", 1.0),
                told[name].number("__wd_mult__", float(name.endswith(_DECAYING))),
            )
            for name, parameter in self.named_parameters()
        }

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return parameters and statistics as MXNet's file of parameters has them.

        Returns
        -------
        dict of str to ndarray
        """
        statistics = dict(self.named_buffers())
        statistics.pop("anchors")
        kinds = (("arg:", dict(self.named_parameters())), (_STATISTIC, statistics))
        return {
            prefix + name: tensor.detach().cpu().contiguous().numpy()
            for prefix, tensors in kinds
            for name, tensor in tensors.items()
        }

    def _register(self, name: str, tensor: torch.Tensor) -> None:
        plain = name.partition(":")[2]
        if name.startswith(_STATISTIC):
            self.register_buffer(plain, tensor)
        else:
            self.register_parameter(plain, nn.Parameter(tensor))

    def _divide(self) -> None:
        """Part the graph into what is the same at every step for the same images, and the rest."""
        given, learning = self._frontier()
        self._frozen = Program.of(self.graph, given, (self._images,))
        self._learning = learning

    def _frontier(self) -> tuple[list[int], Program]:
        nodes, fixed, taken = self.graph.nodes, {self._images}, list[int]()
        frozen = {name for name, each in self.named_parameters() if not each.requires_grad}
        for number in Program.of(self.graph, self._wanted).order:
            node, sources = nodes[number], [source for source, _ in nodes[number].inputs]
            if node.is_variable:
                fixed.update([number] if node.name in frozen else [])
            elif node.op != _NORM and fixed.issuperset(sources):
                fixed.add(number)
            else:
                taken += [source for source in sources if source in fixed and self._carries(source)]
        taken += [number for number in self._wanted if number in fixed]
        return sorted(set(taken)), Program.of(self.graph, self._wanted, taken)

    def _carries(self, number: int) -> bool:
        """Tell whether a node is made from images, and is no parameter."""
        return number == self._images or not self.graph.nodes[number].is_variable

    def _tensor(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = getattr(self, name)
        return tensor

    def _compute(self, node: Node, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        if node.op == _NORM and self.training and not node.flag("use_global_stats", default=False):
            return training_batch_norm(node, inputs, self.team)
        return OPERATORS[node.op](node, inputs)

    @torch.no_grad()
    def _first_run(self, anchors: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Run once without learning: what does not fit together shows now, and the graph alone knows the anchors."""
        program = Program.of(self.graph, (self._wanted[0], anchors), (self._images,))
        given = {self._images: torch.zeros(1, 3, self.image_shape, self.image_shape)}
        scores, boxes = program.run(given, self._tensor, compute)
        return scores, boxes


def _number_of(graph: Graph, variable: str) -> int:
    for number, node in enumerate(graph.nodes):
        if node.is_variable and node.name == variable:
            return number
    raise ArtifactError(f"the graph has no input named {variable}")


def _ends(graph: Graph) -> tuple[int, tuple[int, int]]:
    """Return the numbers of the nodes that make the anchors, and those of the scores and the offsets."""
    targets, detections = graph.of_kind("_contrib_MultiBoxTarget"), graph.of_kind("_contrib_MultiBoxDetection")
    if len(targets) != 1 or len(detections) != 1:
        message = "the graph is not one of a detector's training: it has not one MultiBoxTarget and MultiBoxDetection"
        raise ArtifactError(message, value=[node.name for node in (*targets, *detections)])
    (anchors, _), _, (scores, _) = targets[0].inputs
    return anchors, (scores, detections[0].inputs[1][0])
