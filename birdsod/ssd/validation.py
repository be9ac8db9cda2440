"""The validation mAP of a run: cheap, since what the frozen layers see in the validation images never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from birdsod.metrics import GroundTruth, Predictions, evaluate_boxes
from birdsod.ssd.artifact import NMS_TOPK
from birdsod.ssd.detection import multibox_detection
from birdsod.ssd.loader import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.ssd.building import AnyNetwork
    from birdsod.ssd.loader import Batch, Source

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
    memory : int, default 512 MiB
        Bytes that may be kept; beyond, features are computed anew each time.
    """

    source: Source
    params: Hyperparameters
    threads: int = 2
    memory: int = _MEMORY
    _kept: list[tuple[tuple[torch.Tensor, ...], npt.NDArray[np.float32]]] | None = field(default=None, init=False)

    def score(self, network: AnyNetwork) -> float:
        """Return the mean average precision of a network by the area rule.

        Parameters
        ----------
        network : AnyNetwork
            Its frozen layers must be the same at every call.

        Returns
        -------
        float
            0 if there are no objects.
        """
        training = network.training
        network.eval()
        try:
            truth, found = self._compare(network)
        finally:
            network.train(training)
        scores = evaluate_boxes(
            truth, found, num_classes=self.params.num_classes, overlap_threshold=self.params.overlap_threshold
        )
        return float(np.nan_to_num(scores.map_area))

    @torch.no_grad()
    def _compare(self, network: AnyNetwork) -> tuple[GroundTruth, Predictions]:
        first, objects, detections = 0, [], []
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
        there, found = np.concatenate(objects), np.concatenate(detections)
        return (
            GroundTruth(_whole(there[:, 0]), _whole(there[:, 1]), there[:, 2:6]),
            Predictions(_whole(found[:, 0]), _whole(found[:, 1]), found[:, 2], found[:, 3:7]),
        )

    def _seen(self, network: AnyNetwork) -> Iterator[tuple[tuple[torch.Tensor, ...], npt.NDArray[np.float32]]]:
        if self._kept is not None:
            yield from self._kept
            return
        kept, size = [], 0
        for batch in in_order(self.source, size=self.params.image_shape, batch_size=_BATCH, threads=self.threads):
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


def _whole(column: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return column.astype(np.int64)
