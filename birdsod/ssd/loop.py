"""The training loop: update after update, and what happens after each epoch."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from birdsod import training_log as log
from birdsod.errors import TrainingError
from birdsod.ssd.checkpoint import read_checkpoint, write_checkpoint
from birdsod.ssd.feeding import fed
from birdsod.ssd.saving import save_trained
from birdsod.ssd.team import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from birdsod.hyperparameters import Hyperparameters
    from birdsod.recordio import Packed
    from birdsod.ssd.loader import Stream
    from birdsod.ssd.options import LocalOptions
    from birdsod.ssd.recipe import Recipe
    from birdsod.ssd.run import Progress, Run
    from birdsod.ssd.team import Team
    from birdsod.ssd.validation import Validation

__all__ = ["Loop", "Outcome", "Reports", "checkpoint_in"]

_LINE_EVERY = 20  # updates, as MXNet's SSD example reports
# What may change from one process to the next without another result.
_FREE_OPTIONS = {"device", "processes", "threads", "loader_threads", "loader_processes", "checkpoint_every"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far a run is, or how it ended.

    Parameters
    ----------
    completed : bool
        Whether the model is there; if not, there is a checkpoint to go on from.
    epochs : int
        Epochs done.
    updates : int
        Updates done.
    seconds : float
        Time spent, over all processes that worked on this run.
    reason : str or None, default None
        Why it ended before its last epoch.
    """

    completed: bool
    epochs: int
    updates: int
    seconds: float
    reason: str | None = None


def _ignore(_: object) -> None:
    return


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """How a run talks to whoever started it.

    Parameters
    ----------
    line : callable
        Takes each log line, without time stamp.
    progress : callable
        Takes an :class:`Outcome` after each update.
    stop : callable
        Asked after each update whether the run shall stop.
    """

    line: Callable[[str], None] = _ignore
    progress: Callable[[Outcome], None] = _ignore
    stop: Callable[[], bool] = _never


def checkpoint_in(directory: Path) -> Path:
    """Return where a run in a folder keeps what it can go on from."""
    return directory / "checkpoint" / "state.safetensors"


@dataclass(kw_only=True)
class Loop:
    """All parts of a run, put together; the parameters are those parts."""

    packed: Packed
    params: Hyperparameters
    options: LocalOptions
    recipe: Recipe
    reports: Reports
    directory: Path
    run: Run
    stream: Stream
    validation: Validation | None
    team: Team = ALONE
    _clock: float = field(default_factory=time.monotonic, init=False)
    _epoch_clock: float = field(default_factory=time.monotonic, init=False)
    _first: int = field(default=0, init=False)

    def work(self) -> Outcome:
        """Train to the end, or until asked to stop.

        Returns
        -------
        Outcome
        """
        self._begin()
        first, last = self.run.progress.update, self.recipe.updates
        device = self.run.network.anchors.device
        workers = {"threads": self.options.loader_threads, "processes": self.options.loader_processes}
        with contextlib.closing(self.stream.batches(first, last, **workers)) as batches:
            ready = fed(batches, device)
            while not self._enough():
                with self.team.one_fate():
                    batch = next(ready)
                self.run.step(batch)
                self._after_update()
                if self.team.any(self.reports.stop()):
                    self._save()
                    return self._outcome(completed=False, reason="asked to stop")
        return self._finish()

    @property
    def _checkpoint(self) -> Path:
        return checkpoint_in(self.directory)

    @property
    def _best(self) -> Path:
        return self.directory / "checkpoint" / "best.safetensors"

    def _begin(self) -> None:
        say = self.reports.line
        say(log.configuration_line(self.params.to_request()))
        for statement in self.recipe.statements():
            say(f"Setting: {statement}")
        hint = self.packed.image_shape_hint(self.params.image_shape)
        if hint:
            say(f"Hint: {hint}")
        self._compare()
        with self.team.file(self._checkpoint) as found:
            if found is not None:
                self.run.restore(found, self._identity())
        if found is not None:
            say(f"Going on after update {self.run.progress.update}, epoch {self.run.epoch}")
        self._first = self.run.progress.update
        self.reports.progress(self._outcome(completed=False))

    def _compare(self) -> None:
        """Make sure that all processes do the same."""
        own = json.dumps(self._identity(), sort_keys=True).encode()
        same = own == self.team.said(own)
        with self.team.one_fate():
            if not same:
                message = "this process has other data or settings than the first"
                cure = "give every machine all images (FullyReplicated) and the same settings"
                raise TrainingError(message, path=self.packed.directory, cure=cure)

    def _identity(self) -> dict[str, Any]:
        """Return what a run is: the same here, the same end."""
        options = {name: value for name, value in asdict(self.options).items() if name not in _FREE_OPTIONS}
        return {
            "hyperparameters": self.params.to_request(),
            "given": sorted(self.params.given),
            "options": options,
            "data": {name: channel.sha256 for name, channel in self.packed.channels.items()},
        }

    def _enough(self) -> bool:
        return self.run.progress.update >= self.recipe.updates or self._stopped_early()

    def _stopped_early(self) -> bool:
        params, progress = self.params, self.run.progress
        waited = progress.epochs - progress.improved
        enough = progress.epochs >= params.early_stopping_min_epochs and waited >= params.early_stopping_patience
        return params.early_stopping and enough

    def _after_update(self) -> None:
        progress = self.run.progress
        in_epoch = progress.update - self.recipe.first_update(progress.epochs)
        ends = progress.update in {self.recipe.first_update(progress.epochs + 1), self.recipe.updates}
        if in_epoch % _LINE_EVERY == 0 or ends:
            self._say_batches(in_epoch)
        if ends:
            self._after_epoch(in_epoch)
        self.reports.progress(self._outcome(completed=False))

    def _say_batches(self, in_epoch: int) -> None:
        done = min(in_epoch, self.run.progress.update - self._first)
        seconds = time.monotonic() - self._epoch_clock
        epoch = self.run.progress.epochs
        self.reports.line(log.batches_line(epoch, in_epoch, done * self.recipe.batch_size, seconds))

    def _after_epoch(self, batches: int) -> None:
        progress, say = self.run.progress, self.reports.line
        trained = min(batches, progress.update - self._first) * self.recipe.batch_size
        rate = trained / max(1e-9, time.monotonic() - self._epoch_clock)
        for name, value in progress.losses().items():
            say(log.quality_line(progress.epochs, batches, name, value))
        self._validate()
        say(log.progress_line(round(100 * progress.update / self.recipe.updates, 2)))
        say(log.throughput_line(round(rate, 2)))
        progress.epochs += 1
        progress.begin_epoch()
        if progress.epochs % self.options.checkpoint_every == 0 or self._enough():
            self._save()
        self._epoch_clock = time.monotonic()

    def _validate(self) -> None:
        progress = self.run.progress
        last = progress.update == self.recipe.updates
        if self.validation is None or ((progress.epochs + 1) % self.options.validate_every and not last):
            return
        value = self.validation.score(self.run.trained, progress.epochs // self.options.validate_every)
        self.reports.line(log.map_line(progress.epochs, value))
        if value > progress.to_beat * (1 + self.params.early_stopping_tolerance):
            progress.to_beat, progress.improved = value, progress.epochs + 1
        if value > progress.best:
            progress.best = value
            if self.options.keep == "best":
                self.reports.line(log.best_line(value))
                with self._leading() as leads:
                    if leads:
                        write_checkpoint(self._best, self.run.trained.state_dict(), {"epoch": progress.epochs})

    def _save(self) -> None:
        self._tick()
        with self._leading() as leads:
            if leads:
                self.run.save(self._checkpoint, self._identity())
        self.reports.line(log.checkpoint_line(str(self._checkpoint)))

    @contextlib.contextmanager
    def _leading(self) -> Iterator[bool]:
        """Tell whether this process writes; when it cannot, all fail with its reason."""
        with self.team.one_fate():
            yield self.team.leads

    def _tick(self) -> None:
        now = time.monotonic()
        self.run.progress.seconds += now - self._clock
        self._clock = now

    def _outcome(self, *, completed: bool, reason: str | None = None) -> Outcome:
        self._tick()
        progress: Progress = self.run.progress
        return Outcome(
            completed=completed,
            epochs=progress.epochs,
            updates=progress.update,
            seconds=progress.seconds,
            reason=reason,
        )

    def _finish(self) -> Outcome:
        with self._leading() as leads:
            if leads:
                self._write_model()
        early = self._stopped_early() and self.run.progress.update < self.recipe.updates
        reason = f"no better validation mAP in {self.params.early_stopping_patience} epochs" if early else None
        if reason:
            self.reports.line(f"Stopped early: {reason}")
        return self._outcome(completed=True, reason=reason)

    def _write_model(self) -> None:
        network = self.run.trained
        if self.options.keep == "best":
            network.load_state_dict(read_checkpoint(self._best)[0])
        save_trained(self.directory / "model.tar.gz", network, self.params, self.packed.class_table)
