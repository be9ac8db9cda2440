"""Several files that take their final names together, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod._files import flush_folder
from birdsod.errors import RecordError
from birdsod.recordio._journal import head_of
from birdsod.recordio._leftovers import PREFIX, claim, clear
from birdsod.recordio._naming import ASIDE, Staged, alone, fingerprint, tell
from birdsod.recordio._taking import Taken, take

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from birdsod.recordio._taking import Purpose

__all__ = ["Staging", "refuse_existing", "unwritten", "writing"]


class Staging:
    """A hidden folder beside the final names, where files grow until all are whole.

    Leaving its ``with`` block removes it and what is still in it, whatever happened. What a killed process left
    goes when the next one stages there, unless it can be resumed.

    Parameters
    ----------
    directory : Path
        Where the files will appear; made if it is not there, and removed again if nothing appears.
    purpose : Purpose, optional
        What is packed, for a run that keeps a journal.
    resume : bool, default False
        Whether to take up the folder of a run of this purpose that was stopped, and to leave it if an error stops
        this one too.
    """

    def __init__(self, directory: Path, *, purpose: Purpose | None = None, resume: bool = False) -> None:
        self._directory = directory
        self._purpose = purpose
        self._resume = resume
        self._vain = not directory.exists()

    def __enter__(self) -> Self:
        with writing(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            clear(self._directory)
            taken = take(self._directory, self._purpose, resume=self._resume) if self._purpose else None
            self.folder, self._claim = taken or self._fresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or not self._resume or head_of(self.folder) is None:
            # First the previous files: without the journal beside them they would be taken for the only copies.
            shutil.rmtree(self.folder / ASIDE, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)
        self._claim.close()
        if self._vain:
            with contextlib.suppress(OSError):
                self._directory.rmdir()

    def _fresh(self) -> Taken:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._directory))
        try:
            return Taken(folder, claim(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def publish(self, names: Sequence[str] | Mapping[str, str], *, overwrite: bool, gone: Sequence[str] = ()) -> None:
        """Give files their final names; on an error, or when this process is killed, the previous ones come back.

        Parameters
        ----------
        names : sequence of str, or mapping of str to str
            Whole files in the folder, flushed to disk; a mapping says which final names they get. The last
            vouches for the others, so it goes first and comes last.
        overwrite : bool
            Whether files of these names may be replaced, also such as have appeared since this run began.
        gone : sequence of str, default ()
            Files of a previous time that have no successor: they disappear. A folder of such a name stays.

        Raises
        ------
        RecordError
            If a file exists already or cannot be written, or another process keeps the folder.
        """
        finals = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
        with alone(self._directory):
            for name, final in finals.items():
                _refuse(self._directory / final, overwrite=overwrite, for_folder=(self.folder / name).is_dir())
            self._rename(finals, gone)
        self._vain = False
        flush_folder(self._directory)

    def _rename(self, finals: Mapping[str, str], gone: Sequence[str]) -> None:
        aside = self.folder / ASIDE
        try:
            with writing(self._directory):
                self._tell(finals)
                aside.mkdir(exist_ok=True)
                for name in reversed(list(finals.values())):
                    _move(self._directory / name, aside / name)
                for name in gone:
                    if not (self._directory / name).is_dir():
                        _move(self._directory / name, aside / name)
                for staged, name in finals.items():
                    (self.folder / staged).rename(self._directory / name)
        except BaseException:
            self._put_back(finals, aside)
            raise

    def _tell(self, finals: Mapping[str, str]) -> None:
        """Say what is about to happen, for who comes after a kill; a journal says it already."""
        if self._purpose is None:
            rows = [Staged(name, final, fingerprint(self.folder / name)) for name, final in finals.items()]
            tell(self.folder, rows)

    def _put_back(self, finals: Mapping[str, str], aside: Path) -> None:
        for staged, name in finals.items():
            # What has left the folder stands under its final name already.
            if not (self.folder / staged).exists():
                with contextlib.suppress(FileNotFoundError):
                    (self._directory / name).replace(self.folder / staged)
        for previous in aside.iterdir() if aside.is_dir() else ():
            previous.replace(self._directory / previous.name)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell a failure of the file system as an error with the path."""
    try:
        yield
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError) -> RecordError:
    """Return the error that tells of a failure of the file system."""
    cause = error.strerror or str(error)
    return RecordError("the file cannot be written", path=path, cause=cause, cure="choose another place")


def refuse_existing(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Raise if a file is there already and may not be replaced; what a killed run began is undone first."""
    if not overwrite and any(os.path.lexists(path) for path in paths):
        for directory in {path.parent for path in paths}:
            clear(directory)
    for path in paths:
        _refuse(path, overwrite=overwrite)


def _refuse(path: Path, *, overwrite: bool, for_folder: bool = False) -> None:
    if os.path.lexists(path) and not overwrite:
        what = "folder" if for_folder else "file"
        raise RecordError(f"the {what} exists already", path=path, cure="pass overwrite=True, or choose another name")
    if path.is_dir() and not for_folder:
        raise RecordError("a folder has the name of the file", path=path, cure="choose another name")


def _move(path: Path, aside: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
