"""Log lines of the built-in object detection algorithm, written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "batches_line",
    "best_line",
    "checkpoint_line",
    "configuration_line",
    "error_line",
    "map_line",
    "progress_line",
    "quality_line",
    "stamped",
    "throughput_line",
]

_HOST = "algo-1"


def quality_line(epoch: int, batch: int, name: str, value: float, *, host: str = _HOST) -> str:
    """Return the line that tells a training loss.

    Parameters
    ----------
    epoch : int
        Counted from 0.
    batch : int
        Batches of the epoch so far.
    name : {"cross_entropy", "smooth_l1"}
        The loss.
    value : float
        Its mean over the epoch so far.
    host : str, optional
        The machine.

    Returns
    -------
    str

    Examples
    --------
    >>> quality_line(0, 9, "cross_entropy", 0.81)
    '#quality_metric: host=algo-1, epoch=0, batch=9 train cross_entropy <loss>=(0.81)'
    """
    return f"#quality_metric: host={host}, epoch={epoch}, batch={batch} train {name} <loss>=({float(value)!r})"


def map_line(epoch: int, value: float, *, host: str = _HOST) -> str:
    """Return the line that tells the validation mAP.

    Parameters
    ----------
    epoch : int
        Counted from 0.
    value : float
        Mean average precision.
    host : str, optional
        The machine.

    Returns
    -------
    str

    Examples
    --------
    >>> map_line(0, 0.0123)
    '#quality_metric: host=algo-1, epoch=0, validation mAP <score>=(0.0123)'
    """
    return f"#quality_metric: host={host}, epoch={epoch}, validation mAP <score>=({float(value)!r})"


def throughput_line(value: float, *, host: str = _HOST) -> str:
    """Return the line that tells how many records were trained on in a second.

    Parameters
    ----------
    value : float
        Records a second.
    host : str, optional
        The machine.

    Returns
    -------
    str

    Examples
    --------
    >>> throughput_line(115.2)
    '#throughput_metric: host=algo-1, train throughput=115.2 records/second'
    """
    return f"#throughput_metric: host={host}, train throughput={float(value)!r} records/second"


def progress_line(value: float, *, host: str = _HOST) -> str:
    """Return the line that tells how much of the training is done.

    Parameters
    ----------
    value : float
        In per cent.
    host : str, optional
        The machine.

    Returns
    -------
    str

    Examples
    --------
    >>> progress_line(12.5)
    '#progress_metric: host=algo-1, completed 12.5 % of epochs'
    """
    return f"#progress_metric: host={host}, completed {float(value)!r} % of epochs"


def batches_line(epoch: int, batches: int, examples: int, seconds: float) -> str:
    """Return the line that tells how far an epoch is.

    Parameters
    ----------
    epoch : int
        Counted from 0.
    batches, examples : int
        Of this epoch so far.
    seconds : float
        Since the epoch began.

    Returns
    -------
    str

    Examples
    --------
    >>> batches_line(0, 100, 3200, 27.7)
    'Epoch:    0, batches:    100, num_examples:   3200, 115.5 samples/sec, epoch time so far:  0:00:27.700000'
    """
    rate = examples / seconds if seconds > 0 else 0.0
    return (
        f"Epoch: {epoch:4d}, batches: {batches:6d}, num_examples: {examples:6d}, {rate:.1f} samples/sec, "
        f"epoch time so far:  {timedelta(seconds=seconds)}"
    )


def best_line(value: float) -> str:
    """Return the line that tells a new best validation mAP.

    Parameters
    ----------
    value : float
        Mean average precision.

    Returns
    -------
    str

    Examples
    --------
    >>> best_line(0.5)
    'Updating the best model with validation-mAP=0.5'
    """
    return f"Updating the best model with validation-mAP={float(value)!r}"


def checkpoint_line(path: str) -> str:
    """Return the line that tells where a checkpoint lies.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    str

    Examples
    --------
    >>> checkpoint_line("checkpoint/state.safetensors")
    'Saved checkpoint to "checkpoint/state.safetensors"'
    """
    return f'Saved checkpoint to "{path}"'


def configuration_line(values: Mapping[str, str]) -> str:
    """Return the line that tells all hyperparameters.

    Parameters
    ----------
    values : mapping of str to str
        As they are sent.

    Returns
    -------
    str

    Examples
    --------
    >>> configuration_line({"epochs": "30"})
    'Final configuration: {"epochs": "30"}'
    """
    return f"Final configuration: {json.dumps(dict(values), sort_keys=True)}"


def error_line(message: str) -> str:
    """Return the line that tells why a job failed, on one line.

    Parameters
    ----------
    message : str
        The reason.

    Returns
    -------
    str

    Examples
    --------
    >>> error_line("the loss is not finite")
    'Customer Error: the loss is not finite'
    """
    return f"Customer Error: {' '.join(message.split())}"


def stamped(text: str, *, when: datetime | None = None, level: str = "INFO", thread: int = 0) -> str:
    """Return ``text`` behind the time, level and thread that every line of the log begins with.

    Parameters
    ----------
    text : str
        The line.
    when : datetime, optional
        Now, unless given.
    level : str, optional
        ``INFO``, ``WARNING`` or ``ERROR``.
    thread : int, optional
        Number of the thread or process.

    Returns
    -------
    str

    Examples
    --------
    >>> stamped("Round of batches complete", when=datetime(2018, 8, 27, 6, 7, 55, tzinfo=UTC), thread=14)
    '[08/27/2018 06:07:55 INFO 14] Round of batches complete'
    """
    moment = when or datetime.now(UTC)
    return f"[{moment:%m/%d/%Y %H:%M:%S} {level} {thread}] {text}"
