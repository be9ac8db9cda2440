"""The channels of a job as packed data that the local engine trains on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from birdsod._files import sha256
from birdsod.classes import ClassTable
from birdsod.container.annotated import annotation_of, holds_attributes, named_classes, write_attributes, write_images
from birdsod.container.classes import CHANNEL as CLASSES
from birdsod.container.classes import read_known
from birdsod.errors import TrainingError
from birdsod.recordio import Packed, PackedChannel, RecordReader, reindex

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from birdsod.container.classes import Known
    from birdsod.container.tree import Tree

__all__ = ["Bringer", "channel_modes", "check_channels", "find_model"]

TRAIN, VALIDATION, MODEL = "train", "validation", "model"
_RECORDS = (TRAIN, VALIDATION)
_ARCHIVES = (".tar.gz", ".tgz")


def channel_modes(tree: Tree) -> dict[str, str]:
    """Return how each channel of a job is given: ``File``, ``FastFile`` or ``Pipe``.

    Parameters
    ----------
    tree : Tree
        Where ``inputdataconfig.json`` lies; where there is none, what lies in the folder of the data tells.

    Returns
    -------
    dict of str to str
    """
    told = tree.read_inputs()
    if told is not None:
        return {name: str(row.get("TrainingInputMode", "File")) for name, row in told.items()}
    entries = sorted(tree.data.iterdir()) if tree.data.is_dir() else []
    pipes = {entry.name.removesuffix("_0"): "Pipe" for entry in entries if entry.is_fifo()}
    return {**{entry.name: "File" for entry in entries if entry.is_dir()}, **pipes}


def check_channels(tree: Tree, names: Sequence[str], *, validated: bool) -> None:
    """Refuse a job that lacks a channel, or has one that nobody would read.

    Parameters
    ----------
    tree : Tree
        Where they lie.
    names : sequence of str
        What channels there are.
    validated : bool
        Whether the training needs ``validation``.

    Raises
    ------
    TrainingError
        With the channels that there are.
    """
    wanted = _RECORDS if validated else (TRAIN,)
    missing = [name for name in wanted if name not in names]
    if missing:
        message = f"no channel {' and no channel '.join(missing)}"
        raise TrainingError(message, path=tree.data, value=list(names), cure="give the job this channel")
    known = (*_RECORDS, *map(annotation_of, _RECORDS), CLASSES, MODEL)
    unknown = [name for name in names if name not in known]
    if unknown:
        cure = f"leave it out; there are {', '.join(known)}"
        raise TrainingError("nothing reads this channel", path=tree.data, value=unknown[0], cure=cure)


def find_model(tree: Tree, names: Collection[str]) -> Path | None:
    """Return the model that the channel ``model`` brings to go on from, None where there is no such channel.

    Parameters
    ----------
    tree : Tree
        Where the channels lie.
    names : collection of str
        What channels there are.

    Returns
    -------
    pathlib.Path or None
        An archive, or the folder of one that was unpacked.

    Raises
    ------
    TrainingError
        If the channel holds no model, or several.
    """
    if MODEL not in names:
        return None
    folder = tree.data / MODEL
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    archives = [path for path in files if path.name.endswith(_ARCHIVES)]
    if len(archives) > 1 or not files:
        message = f"the channel {MODEL} must hold one model"
        value = [path.name for path in archives[:5]]
        raise TrainingError(message, path=folder, value=value, cure="give it the model.tar.gz of a job, in File mode")
    return archives[0] if archives else folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringer:
    """Makes packed data of channels.

    Parameters
    ----------
    tree : Tree
        Where the channels lie.
    work : pathlib.Path
        An empty folder for what must be written meanwhile: indexes, merged and spooled records.
    num_classes : int
        Class ids are below.
    spool : callable
        Takes the name of a channel in Pipe mode and a file, and writes its records to it.
    """

    tree: Tree
    work: Path
    num_classes: int
    spool: Callable[[str, Path], None]

    def bring(self, modes: Mapping[str, str]) -> Packed:
        """Return the packed data.

        Parameters
        ----------
        modes : mapping of str to str
            The channels, and how each is given.

        Returns
        -------
        Packed
            Every label in them has been read.

        Raises
        ------
        TrainingError
            If a channel holds no record file.
        RecordError, ImageError
            If a record is malformed, with its file and number.
        DatasetError
            If an annotation, or the names of the classes, are malformed.
        """
        known = self.known()
        names = [name for name in _RECORDS if name in modes]
        channels = {name: self._channel(name, modes, known) for name in names}
        return Packed(self.tree.data, channels, known.table)

    def known(self) -> Known:
        """Return what is known of the channels besides their records.

        Returns
        -------
        Known
        """
        notes = self.tree.data / annotation_of(TRAIN)
        named = named_classes(notes) if notes.is_dir() else None
        return read_known(self.tree, named or ClassTable.numbered(self.num_classes))

    def _channel(self, name: str, modes: Mapping[str, str], known: Known) -> PackedChannel:
        if modes[name] == "Pipe":
            file = self._from_pipe(name)
        elif annotation_of(name) in modes:
            file = self.work / f"{name}.rec"
            write_images(self.tree.data / name, self.tree.data / annotation_of(name), file)
        else:
            file = self._one_file(name)
        return _described(name, file, self._index(name, file), known, self.num_classes)

    def _from_pipe(self, name: str) -> Path:
        stream, file = self.work / f"{name}.stream", self.work / f"{name}.rec"
        self.spool(name, stream)
        if not holds_attributes(stream):
            return stream.rename(file)
        write_attributes(stream, file)
        stream.unlink()
        return file

    def _one_file(self, name: str) -> Path:
        """Return the record file of a channel, several of them joined in the order of their names."""
        folder = self.tree.data / name
        files = sorted(path for path in folder.rglob("*.rec") if path.is_file())
        if not files:
            there = sorted(path.name for path in folder.rglob("*"))[:5]
            cure = "put a .rec file there: birdsod pack and birdsod im2rec write them"
            raise TrainingError(f"the channel {name} has no record file", path=folder, value=there, cure=cure)
        if len(files) == 1:
            return files[0]
        joined = self.work / f"{name}.rec"
        with joined.open("wb") as target:
            for file in files:
                with file.open("rb") as source:
                    shutil.copyfileobj(source, target)
        return joined

    def _index(self, name: str, file: Path) -> Path:
        beside = file.with_suffix(".idx")
        return beside if beside.is_file() else reindex(file, index=self.work / f"{name}.idx")


def _described(name: str, file: Path, index: Path, known: Known, num_classes: int) -> PackedChannel:
    with RecordReader(file, index=index) as reader:
        counts = _counted(reader, num_classes)
    if not counts["records"]:
        raise TrainingError(f"the channel {name} is empty", path=file, cure="pack some images")
    return PackedChannel(
        name=name,
        lst=file.with_suffix(".lst"),
        rec=file,
        idx=index,
        listed=counts["records"],
        bytes=file.stat().st_size,
        sha256=sha256(file),
        idx_sha256=sha256(index),
        lst_sha256="",
        options=known.options,
        **counts,
    )


def _counted(reader: RecordReader, num_classes: int) -> dict[str, Any]:
    """Read every label, so that what is malformed is found before hours of training, and count."""
    from birdsod.ssd.sources import RecordSource

    source = RecordSource(reader, num_classes)
    objects = [len(source.load(position)[1].class_ids) for position in range(len(reader))]
    return {
        "records": len(objects),
        "objects": sum(objects),
        "most_objects": max(objects, default=0),
        "longest_label": max((record.header.flag for record in reader), default=0),
    }
