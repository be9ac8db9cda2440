"""What the processes that train one network together tell each other."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed

from birdsod.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

__all__ = ["ALONE", "GoneError", "Team"]


class GoneError(TrainingError):
    """A process that trained with this one does not answer any more."""


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train one network together, seen from one of them.

    Every method but :meth:`share` is for all of them to call, in the same order. A team of one says nothing to nobody.

    Parameters
    ----------
    rank : int, default 0
        Which process this is; 0 leads.
    size : int, default 1
        How many there are.

    Examples
    --------
    >>> Team(1, 3).share(10), Team().total(torch.tensor(5))
    (slice(3, 6, None), tensor(5))
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the log, the checkpoints and the model."""
        return self.rank == 0

    def share(self, number: int) -> slice:
        """Return which of so many things are this process's own; the shares differ by one at most.

        Parameters
        ----------
        number : int
            How many there are.

        Returns
        -------
        slice
        """
        return slice(number * self.rank // self.size, number * (self.rank + 1) // self.size)

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of what all processes have, without gradients.

        Parameters
        ----------
        tensor : Tensor
            Of the same shape in each of them.

        Returns
        -------
        Tensor
            The given one, where this process is alone.
        """
        if self.size == 1:
            return tensor
        summed = tensor.detach().clone()
        with _answered():
            distributed.all_reduce(summed)
        return summed

    def any(self, answer: bool) -> bool:  # noqa: FBT001 - a question with one answer
        """Return whether the answer of any process is yes.

        Parameters
        ----------
        answer : bool
            This process's.

        Returns
        -------
        bool
        """
        return bool(self.total(torch.tensor(int(answer))))

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add up the gradients of all processes, in place.

        Parameters
        ----------
        parameters : iterable of Parameter
            The same in each of them; a parameter without a gradient has none in any.
        """
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.size == 1 or not gradients:
            return
        # One message for all: small ones cost their way more than their content.
        sums = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        lengths = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, torch.split(sums, lengths), strict=True):
            gradient.copy_(part.view_as(gradient))

    def follow(self, tensors: Iterable[torch.Tensor]) -> None:
        """Let tensors be what they are in the process that leads, in place.

        Parameters
        ----------
        tensors : iterable of Tensor
            Of the same shapes in every process.
        """
        if self.size > 1:
            for tensor in tensors:
                plain = tensor.detach().contiguous()
                with _answered():
                    distributed.broadcast(plain, 0)
                tensor.detach().copy_(plain)

    def said(self, content: bytes, rank: int = 0) -> bytes:
        """Return what one process says to all.

        Parameters
        ----------
        content : bytes
            What it is, where this is that process; otherwise it does not matter.
        rank : int, default 0
            Which process it is.

        Returns
        -------
        bytes
        """
        if self.size == 1:
            return content
        length = torch.tensor(len(content))
        with _answered():
            distributed.broadcast(length, rank)
            letters = torch.zeros(int(length), dtype=torch.uint8)
            if self.rank == rank and content:
                letters = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            if len(letters):
                distributed.broadcast(letters, rank)
        return letters.numpy().tobytes()

    def rows(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the rows of all processes, those of the first process first.

        Parameters
        ----------
        rows : ndarray of float64
            As many columns in each process.

        Returns
        -------
        ndarray of float64
        """
        if self.size == 1:
            return rows
        shape = rows.shape[1:]
        parts = (self.said(np.ascontiguousarray(rows).tobytes(), rank) for rank in range(self.size))
        return np.concatenate([np.frombuffer(part, dtype=np.float64).reshape(-1, *shape) for part in parts])

    @contextlib.contextmanager
    def file(self, path: Path) -> Iterator[Path | None]:
        """Give every process the file that the one that leads has, for a while.

        Parameters
        ----------
        path : pathlib.Path
            Where it lies in the process that leads; others need not see it.

        Yields
        ------
        pathlib.Path or None
            Where it lies for this process; None if there is none.
        """
        there = self.said(b"1" if path.exists() else b"0") == b"1"
        if not there or self.size == 1:
            yield path if there else None
            return
        content = self.said(path.read_bytes() if self.leads else b"")
        with tempfile.TemporaryDirectory(prefix="birdsod-") as folder:
            copy = Path(folder, path.name)
            copy.write_bytes(content)
            yield path if self.leads else copy

    @contextlib.contextmanager
    def one_fate(self) -> Iterator[None]:
        """Fail together: when the block fails in one process, the others learn why at its end.

        Nothing within the block may talk to the other processes.

        Raises
        ------
        TrainingError
            If another process failed; with its reason.
        """
        if self.size == 1:
            yield
            return
        try:
            yield
        except Exception as error:
            with contextlib.suppress(GoneError):
                self._first_failure(str(error) or type(error).__name__)
            raise
        failure = self._first_failure(None)
        if failure is not None:
            rank, reason = failure
            raise TrainingError(f"process {rank} of the {self.size} that train together failed", cause=reason)

    def _first_failure(self, reason: str | None) -> tuple[int, str] | None:
        first = torch.tensor(self.size if reason is None else self.rank)
        with _answered():
            distributed.all_reduce(first, distributed.ReduceOp.MIN)
        rank = int(first)
        return None if rank == self.size else (rank, self.said((reason or "").encode(), rank).decode())


ALONE = Team()
"""No other processes."""


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Say in our words that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        cause = " ".join(str(error).split())[:200]
        cure = "see what it said last, then go on from the checkpoint"
        raise GoneError("a process that trains together with this one is gone", cause=cause, cure=cure) from error
