"""The log of a scripted run, in the form of the built-in algorithm's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod import training_log as log

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOTICE", "scripted_log", "value_at"]

NOTICE = "This run is scripted by birdsod.testing.FakeSageMaker: nothing is trained, and its figures mean nothing."
_MOST_EPOCHS = 1000


def value_at(epoch: int) -> float:
    """Return the made-up validation mAP of an epoch, which rises towards 1.

    Parameters
    ----------
    epoch : int
        Counted from 0.

    Returns
    -------
    float

    Examples
    --------
    >>> value_at(0), value_at(3)
    (0.2, 0.5)
    """
    return round((epoch + 1) / (epoch + 5), 6)


def scripted_log(hyperparameters: Mapping[str, str], host: str, objective: float | None = None) -> list[str]:
    """Return the lines of a run that goes well.

    Parameters
    ----------
    hyperparameters : mapping of str to str
        As sent.
    host : str
        Such as ``algo-1``.
    objective : float, optional
        The validation mAP of the last epoch.

    Returns
    -------
    list of str
    """
    epochs = min(int(hyperparameters.get("epochs", "30")), _MOST_EPOCHS)
    samples = int(hyperparameters.get("num_training_samples", "1"))
    batches = max(1, samples // int(hyperparameters.get("mini_batch_size", "32")))
    scale = 1.0 if objective is None else objective / value_at(epochs - 1)
    lines = [NOTICE, log.configuration_line(hyperparameters)]
    for epoch in range(epochs):
        reached = round(scale * value_at(epoch), 6)
        lines += [
            log.batches_line(epoch, batches, samples, 10.0),
            log.quality_line(epoch, batches, "cross_entropy", round(2.0 / (epoch + 2), 6), host=host),
            log.quality_line(epoch, batches, "smooth_l1", round(1.0 / (epoch + 2), 6), host=host),
            log.map_line(epoch, reached, host=host),
            log.best_line(reached),
            log.throughput_line(100.0, host=host),
            log.progress_line(round(100.0 * (epoch + 1) / epochs, 6), host=host),
        ]
    return [log.stamped(line, thread=1) for line in lines]
