"""What our own network learns, against the laws that it must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod import bbox
from birdsod.ssd.anchors import TOP_DOWN_ANCHORS, anchors_by_cell
from birdsod.ssd.detection import decode
from birdsod.ssd.overlap import overlap_loss, overlap_objective
from birdsod.ssd.targets import BatchTargets, batch_targets

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

ANCHORS = torch.from_numpy(anchors_by_cell(TOP_DOWN_ANCHORS, [(4, 4), (2, 2)]))
BIRD = torch.tensor([[[1.0, 0.2, 0.3, 0.7, 0.9]]])


def of(labels: torch.Tensor, anchors: torch.Tensor = ANCHORS) -> BatchTargets:
    return batch_targets(anchors, labels, torch.zeros(len(labels), len(anchors), 3))


def generalised(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return the generalised intersection over union as its paper has it: overlap less the share of the gap."""
    around = np.concatenate([np.minimum(one[:2], other[:2]), np.maximum(one[2:], other[2:])])
    sizes = [float(np.prod(box[2:] - box[:2])) for box in (one, other, around)]
    overlap = float(bbox.iou(one[None], other[None])[0, 0])
    union = (sizes[0] + sizes[1]) / (1 + overlap)
    return overlap - (sizes[2] - union) / sizes[2]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0, 3))
def test_the_distance_is_that_of_the_boxes_that_detection_decodes(seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 0.6, 2)
    label = np.concatenate([[0], low, low + random.uniform(0.1, 0.4, 2)]).astype(np.float32)
    targets = of(torch.from_numpy(label)[None, None])
    offsets = torch.from_numpy(random.normal(0, spread, (1, 4 * len(ANCHORS))).astype(np.float32))
    _, distance = overlap_loss(torch.zeros(1, len(ANCHORS), 3), offsets, ANCHORS, targets)
    matched = (targets.cls_target[0] > 0).numpy()
    found = decode(ANCHORS.numpy()[matched], offsets.numpy().reshape(-1, 4)[matched])
    each = [1 - generalised(box.astype(np.float64), label[1:].astype(np.float64)) for box in found]
    assert distance.item() == pytest.approx(np.mean(each), abs=1e-3)


def test_the_right_offsets_leave_no_distance() -> None:
    targets = of(BIRD)
    _, distance = overlap_loss(torch.zeros(1, len(ANCHORS), 3), targets.loc_target, ANCHORS, targets)
    assert distance.item() == pytest.approx(0, abs=1e-5)


def test_boxes_move_to_their_objects_even_from_afar() -> None:
    anchors = torch.tensor([[0.0, 0.0, 0.1, 0.1]])
    label = torch.tensor([[[0.0, 0.5, 0.5, 0.9, 0.8]]])
    offsets = torch.zeros(1, 4, requires_grad=True)
    wanted = batch_targets(anchors, torch.tensor([[[0.0, 0.0, 0.0, 0.1, 0.1]]]), torch.zeros(1, 1, 2))
    aim = torch.tensor([[65.0, 60.0, np.log(4) / 0.2, np.log(3) / 0.2]])
    targets = wanted._replace(loc_target=aim)
    optimizer = torch.optim.Adam([offsets], lr=0.5)
    for _ in range(400):
        optimizer.zero_grad()
        _, distance = overlap_loss(torch.zeros(1, 1, 2), offsets, anchors, targets)
        torch.autograd.backward(distance)
        optimizer.step()
    box = decode(anchors.numpy(), offsets.detach().numpy())[0]
    np.testing.assert_allclose(box, label[0, 0, 1:], atol=0.02)


def test_a_score_is_right_when_it_tells_the_overlap() -> None:
    anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5]])
    targets = batch_targets(anchors, torch.tensor([[[1.0, 0.0, 0.0, 0.5, 0.4]]]), torch.zeros(1, 1, 3))
    for chance, settled in ((0.8, True), (0.6, False), (0.95, False)):
        logits = torch.tensor([[[1 - chance, 1e-12, chance]]]).log().requires_grad_()
        cross_entropy, _ = overlap_loss(logits, torch.zeros(1, 4), anchors, targets)
        (gradient,) = torch.autograd.grad(cross_entropy, logits)
        assert (gradient.abs().max().item() < 1e-5) == settled


def test_background_is_learned_without_doubt() -> None:
    anchors = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    targets = batch_targets(anchors, torch.tensor([[[0.0, 0.0, 0.0, 0.5, 0.5]]]), torch.zeros(1, 2, 2))
    logits = torch.tensor([[[0.0, 50.0], [1.0, 0.0]]])
    cross_entropy, _ = overlap_loss(logits, torch.zeros(1, 8), anchors, targets)
    assert cross_entropy.item() == pytest.approx(np.log(1 + np.exp(-1)) / 2, abs=1e-5)


def test_scores_do_not_pull_at_boxes() -> None:
    targets, offsets = of(BIRD), torch.zeros(1, 4 * len(ANCHORS), requires_grad=True)
    logits = torch.zeros(1, len(ANCHORS), 3, requires_grad=True)
    cross_entropy, _ = overlap_loss(logits, offsets, ANCHORS, targets)
    (gradient,) = torch.autograd.grad(cross_entropy, [offsets], allow_unused=True)
    assert gradient is None


def test_a_batch_without_objects_teaches_nothing() -> None:
    targets = of(torch.full((2, 1, 5), -1.0))
    logits = torch.randn(2, len(ANCHORS), 3, requires_grad=True)
    offsets = torch.randn(2, 4 * len(ANCHORS), requires_grad=True)
    cross_entropy, distance = overlap_loss(logits, offsets, ANCHORS, targets)
    assert cross_entropy.item() == distance.item() == 0
    gradients = torch.autograd.grad(cross_entropy + distance, [logits, offsets])
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_offsets_out_of_all_bounds_are_answered_by_numbers(value: float) -> None:
    offsets = torch.zeros(1, len(ANCHORS), 4)
    offsets[..., 2:] = value
    offsets.requires_grad_()
    losses = overlap_loss(torch.zeros(1, len(ANCHORS), 3), offsets.flatten(1), ANCHORS, of(BIRD))
    (gradient,) = torch.autograd.grad(sum(losses, torch.zeros(())), [offsets])
    assert torch.isfinite(gradient).all()
    assert all(torch.isfinite(loss) for loss in losses)


def test_half_precision_is_summed_in_single_precision() -> None:
    targets = of(BIRD)
    logits = torch.zeros(1, len(ANCHORS), 3, dtype=torch.bfloat16)
    losses = overlap_loss(logits, torch.zeros(1, 4 * len(ANCHORS), dtype=torch.bfloat16), ANCHORS, targets)
    assert {loss.dtype for loss in losses} == {torch.float32}


def test_the_log_tells_the_smooth_l1_of_the_built_in_algorithm(tiny_network: Callable[[int], Any]) -> None:
    torch.manual_seed(0)
    network = tiny_network(2)
    images, labels = torch.rand(2, 3, 300, 300) * 255, BIRD.repeat(2, 1, 1)
    answer = network.forward_from(network.forward_frozen(images))
    own, mxnet = overlap_objective(network.anchors, answer, labels), network.objective(answer, labels)
    assert own.figures[0] == mxnet.figures[0] > 0
    assert own.figures[2].item() == pytest.approx(mxnet.figures[2].item(), rel=1e-4)
    assert own.loss.requires_grad
    assert own.loss.item() > own.figures[1] > 0
