"""Losses whose gradients are MXNet's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from birdsod.ssd.loss import multibox_loss

OPS = Path(__file__).parents[1] / "golden" / "ops"


def test_cross_entropy_has_the_gradient_of_softmax_output() -> None:
    with np.load(OPS / "softmaxoutput_valid.npz") as golden:
        logits = torch.from_numpy(golden["data"].transpose(0, 2, 1).copy()).requires_grad_()
        labels, expected, probabilities = torch.from_numpy(golden["label"]), golden["grad"], golden["out"]
    nothing = torch.zeros(len(logits), 4 * logits.shape[1])
    cross_entropy, _ = multibox_loss(logits, nothing, labels, nothing, nothing)
    (gradient,) = torch.autograd.grad(cross_entropy, logits)
    np.testing.assert_allclose(gradient.numpy().transpose(0, 2, 1), expected, atol=1e-7)
    chosen = [probabilities[b, int(k), n] for (b, n), k in np.ndenumerate(labels.numpy()) if k >= 0]
    np.testing.assert_allclose(cross_entropy.item(), -np.log(chosen).mean(), rtol=1e-5)


def test_smooth_l1_has_the_gradient_of_make_loss() -> None:
    with np.load(OPS / "smoothl1_makeloss_valid.npz") as golden:
        distance, losses, expected = golden["data"], golden["out"], golden["grad"]
    predicted = torch.from_numpy(distance).requires_grad_()
    anchors = distance.shape[1] // 4
    ignored = torch.full((len(distance), anchors), -1)
    logits = torch.zeros(len(distance), anchors, 2)
    target = torch.zeros_like(predicted)
    _, smooth_l1 = multibox_loss(logits, predicted, ignored, target, torch.ones_like(predicted))
    (gradient,) = torch.autograd.grad(smooth_l1, predicted)
    np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(smooth_l1.item(), losses.sum() / (losses > 0).sum(), rtol=1e-5)


def test_a_batch_without_objects_teaches_nothing() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    predicted = torch.randn(2, 12, requires_grad=True)
    zeros = torch.zeros(2, 12)
    cross_entropy, smooth_l1 = multibox_loss(logits, predicted, torch.full((2, 3), -1), zeros, zeros)
    assert cross_entropy.item() == smooth_l1.item() == 0
    gradients = torch.autograd.grad(cross_entropy + smooth_l1, [logits, predicted])
    assert not any(gradient.any() for gradient in gradients)


def test_masked_anchors_never_count_whatever_their_targets() -> None:
    predicted = torch.zeros(1, 8, requires_grad=True)
    target = torch.tensor([[1.0] * 4 + [float("inf"), float("nan"), 5.0, 5.0]])
    mask = torch.tensor([[1.0] * 4 + [0.0] * 4])
    _, smooth_l1 = multibox_loss(torch.zeros(1, 2, 2), predicted, torch.tensor([[1, -1]]), target, mask)
    assert smooth_l1.item() == 0.5
    (gradient,) = torch.autograd.grad(smooth_l1, predicted)
    assert gradient.tolist() == [[-0.25] * 4 + [0.0] * 4]


def test_half_precision_predictions_are_summed_in_single_precision() -> None:
    logits = torch.zeros(1, 4, 3, dtype=torch.bfloat16)
    zeros = torch.zeros(1, 16)
    cross_entropy, smooth_l1 = multibox_loss(logits, zeros.bfloat16(), torch.zeros(1, 4), zeros, zeros)
    assert cross_entropy.dtype == smooth_l1.dtype == torch.float32
