"""The validation mAP of a run: cheap, since what the frozen layers see in the validation images never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from birdsod.metrics import GroundTruth, Predictions, evaluate_boxes
from birdsod.ssd.artifact import NMS_TOPK
from birdsod.ssd.detection import multibox_detection
from birdsod.ssd.faithful import mean_precision, seen_in_pass
from birdsod.ssd.loader import in_order
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.loader import Batch, Source
    from birdsod.ssd.team import Team

    _Rows = npt.NDArray[np.float64]

__all__ = ["Validation"]

_BATCH = 16
_MEMORY = 1 << 29


@dataclass
class Validation:
    """Validation images, with what the frozen layers see in them kept as far as memory allows.

    Parameters
    ----------
    source : Source
        The validation images.
    params : Hyperparameters
        Size of the images, classes and thresholds.
    threads : int, default 2
        How many images are decoded at a time.
    passing : int, optional
        As MXNet scores, in batches of so many images, the last of which is filled up; see ``faithful``. By default each
        image counts once, by the area rule.
    memory : int, default 512 MiB
        Bytes that may be kept; beyond, features are computed anew each time.
    team : Team, optional
        The processes that score together, each some of the images.
    """

    source: Source
    params: Hyperparameters
    threads: int = 2
    passing: int | None = None
    memory: int = _MEMORY
    team: Team = ALONE
    _kept: list[tuple[tuple[torch.Tensor, ...], npt.NDArray[np.float32]]] | None = field(default=None, init=False)

    def score(self, network: AnyNetwork, turn: int = 0) -> float:
        """Return the mean average precision of a network.

        Parameters
        ----------
        network : AnyNetwork
            Its frozen layers must be the same at every call.
        turn : int, default 0
            How many times it was asked for before; what MXNet scores depends on it.

        Returns
        -------
        float
            0 if there are no objects.
        """
        training = network.training
        network.eval()
        try:
            with self.team.one_fate():
                parts = self._compare(network)
        finally:
            network.train(training)
        truth, found = (self.team.rows(rows) for rows in parts)
        # The rounding of another machine must not make another decision.
        return float(self.team.said(repr(self._mean(truth, found, turn)).encode()))

    def _mean(self, truth: _Rows, found: _Rows, turn: int) -> float:
        threshold = self.params.overlap_threshold
        if self.passing is not None:
            seen = seen_in_pass(turn, len(self.source), self.passing)
            return mean_precision(
                _truth(_repeated(truth, seen)), _found(_repeated(found, seen)), overlap_threshold=threshold
            )
        scores = evaluate_boxes(
            _truth(truth), _found(found), num_classes=self.params.num_classes, overlap_threshold=threshold
        )
        return float(np.nan_to_num(scores.map_area))

    @torch.no_grad()
    def _compare(self, network: AnyNetwork) -> tuple[_Rows, _Rows]:
        """Return rows of image, class and box, and of image, class, score and box; both by image."""
        first, objects, detections = self._share().start, [np.empty((0, 6))], [np.empty((0, 7))]
        for features, labels in self._seen(network):
            logits, offsets = network.forward_from(features)
            rows = multibox_detection(
                logits.float().softmax(2).transpose(1, 2).cpu().numpy(),
                offsets.float().cpu().numpy(),
                network.anchors.cpu().numpy(),
                nms_threshold=self.params.nms_threshold,
                nms_topk=NMS_TOPK,
            )
            objects.append(_numbered(labels, first))
            detections.append(_numbered(rows, first))
            first += len(labels)
        return np.concatenate(objects), np.concatenate(detections)

    def _share(self) -> slice:
        """Return whose images are this process's: whole batches, as they are where it is alone."""
        batches = self.team.share(-(-len(self.source) // _BATCH))
        return slice(batches.start * _BATCH, min(batches.stop * _BATCH, len(self.source)))

    def _seen(self, network: AnyNetwork) -> Iterator[tuple[tuple[torch.Tensor, ...], npt.NDArray[np.float32]]]:
        if self._kept is not None:
            yield from self._kept
            return
        kept, size = [], 0
        edge, share = self.params.image_shape, self._share()
        for batch in in_order(self.source, size=edge, batch_size=_BATCH, threads=self.threads, share=share):
            item = (network.forward_frozen(_images(batch, network)), batch.labels)
            size += sum(tensor.nbytes for tensor in item[0])
            if size <= self.memory:
                kept.append(item)
            yield item
        if size <= self.memory:
            self._kept = kept


def _images(batch: Batch, network: AnyNetwork) -> torch.Tensor:
    return torch.from_numpy(batch.images).to(network.anchors.device).permute(0, 3, 1, 2).float()


def _numbered(rows: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float64]:
    """Return the rows of all images that stand for something, behind the number of their image."""
    images, places = np.nonzero(rows[..., 0] >= 0)
    numbers = (images + first).astype(np.float64)
    return np.concatenate([numbers[:, None], rows[images, places].astype(np.float64)], axis=1)


def _repeated(rows: _Rows, images: npt.NDArray[np.int64]) -> _Rows:
    """Return the rows of some images, as often as they are named, as rows of images of their own."""
    ends = np.searchsorted(rows[:, 0], [images, images + 1])
    parts = [rows[first:last] for first, last in ends.T]
    numbers = np.repeat(np.arange(len(images), dtype=np.float64), [len(part) for part in parts])
    return np.column_stack([numbers, np.concatenate(parts)[:, 1:]])


def _truth(rows: _Rows) -> GroundTruth:
    return GroundTruth(_whole(rows[:, 0]), _whole(rows[:, 1]), rows[:, 2:6])


def _found(rows: _Rows) -> Predictions:
    return Predictions(_whole(rows[:, 0]), _whole(rows[:, 1]), rows[:, 2], rows[:, 3:7])


def _whole(column: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return column.astype(np.int64)
