"""The program ``train``: from the folder that SageMaker prepares to a model, or the reason why there is none."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod import training_log as log
from birdsod.container.channels import Bringer, channel_modes, check_channels, find_model
from birdsod.container.failure import reason_of, write_failure
from birdsod.container.hosts import Hosts
from birdsod.container.model_files import leave_checkpoint, leave_model
from birdsod.container.pipes import Stopped, most_bytes, spool
from birdsod.container.settings import read_settings
from birdsod.errors import BirdsodError, HyperparameterError
from birdsod.ssd.stopping import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.classes import ClassTable
    from birdsod.container.tree import Tree
    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed
    from birdsod.ssd.options import LocalOptions

__all__ = ["train"]

_ARCHIVE = "model.tar.gz"


def train(tree: Tree) -> int:
    """Train as a tree says, until done or told to stop, and leave there what SageMaker collects.

    A job that was stopped leaves a checkpoint to go on from, and the model of what it has learned so far.

    Parameters
    ----------
    tree : Tree
        The folder that SageMaker shares with the container.

    Returns
    -------
    int
        0, or 1 where it failed; then ``output/failure`` says why.
    """
    stop = Stop()
    with stop.listening():
        try:
            _Job(tree, stop).work()
        except Exception as error:  # noqa: BLE001 - whatever happened, the job says so
            return _failed(tree, error)
    return 0


class _Job:
    """One run of the program."""

    def __init__(self, tree: Tree, stop: Stop) -> None:
        self._tree = tree
        self._stop = stop
        self._params, self._options = _settings(tree)
        self._hosts = Hosts.of(tree)
        self._modes = channel_modes(tree)
        self._model = find_model(tree, self._modes)

    def work(self) -> None:
        """Bring the data, train, leave the model."""
        check_channels(self._tree, list(self._modes), validated=bool(self._options.validate_every))
        with tempfile.TemporaryDirectory(prefix="birdsod-") as folder:
            data, job = Path(folder, "data"), Path(folder, "job")
            data.mkdir()
            job.mkdir()
            spool_to = partial(self._spool, folder=data)
            bringer = Bringer(tree=self._tree, work=data, num_classes=self._params.num_classes, spool=spool_to)
            try:
                self._train(self._bring(bringer), job)
            except Stopped:
                self._leave_checkpoint(job, bringer.known().table)

    def _bring(self, bringer: Bringer) -> Packed:
        packed = bringer.bring(self._modes)
        if self._stop():
            raise Stopped
        return packed

    def _spool(self, name: str, target: Path, *, folder: Path) -> None:
        copied = spool(self._tree.pipe(name), target, most=most_bytes(folder), stop=self._stop)
        _say(f"Copied the channel {name} from its pipe to disk, {copied} bytes: epochs shuffle it")

    def _train(self, packed: Packed, folder: Path) -> None:
        from birdsod.ssd.loop import Reports
        from birdsod.ssd.surroundings import keep_memory
        from birdsod.ssd.training import train as train_detector

        keep_memory()
        self._tree.checkpoints.mkdir(parents=True, exist_ok=True)
        # SageMaker copies that folder to the bucket, and back before a job that was interrupted goes on.
        link = folder / "checkpoint"
        link.symlink_to(self._tree.checkpoints.resolve(), target_is_directory=True)
        told = str(link), str(self._tree.checkpoints)
        reports = Reports(line=lambda text: _say(text.replace(*told)), stop=self._stop)
        outcome = train_detector(
            packed,
            self._params,
            self._options,
            directory=folder,
            reports=reports,
            model=self._model,
            machines=self._hosts.machines(),
        )
        if not outcome.completed:
            raise Stopped
        if self._leads():
            self._leave(folder)

    def _leads(self) -> bool:
        """Tell whether this machine leaves what is learned: SageMaker collects the same names of all of them."""
        if self._hosts.rank == 0:
            return True
        _say(f"The log, the checkpoints and the model are those of {self._hosts.leader}")
        return False

    def _leave_checkpoint(self, folder: Path, classes: ClassTable) -> None:
        if not self._leads():
            return
        best = self._options.keep == "best"
        if leave_checkpoint(self._tree.checkpoints, folder / _ARCHIVE, self._params, classes, best=best):
            _say("Stopped: this is the model of what was learned so far")
            self._leave(folder)
        else:
            _say("Stopped before anything was learned: there is no model")

    def _leave(self, folder: Path) -> None:
        leave_model(folder / _ARCHIVE, self._tree.model)
        _say(f"Wrote the model to {self._tree.model}")


def _settings(tree: Tree) -> tuple[Hyperparameters, LocalOptions]:
    values: Mapping[str, str] = tree.read_hyperparameters()
    try:
        return read_settings(values)
    except HyperparameterError as error:
        error.path = error.path or str(tree.hyperparameters)
        raise


def _failed(tree: Tree, error: Exception) -> int:
    if not isinstance(error, BirdsodError):
        traceback.print_exception(error)
    reason = reason_of(error)
    _say(log.error_line(reason), level="ERROR")
    write_failure(tree.failure, reason)
    return 1


def _say(text: str, *, level: str = "INFO") -> None:
    sys.stdout.write(log.stamped(text, level=level, thread=os.getpid()) + "\n")
    sys.stdout.flush()
