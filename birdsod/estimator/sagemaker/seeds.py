"""The model that training starts from: found, compared, and named as a channel."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from birdsod._arguments import named
from birdsod.classes import ClassTable
from birdsod.errors import ArtifactError, BirdsodError, CloudError
from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.job_record import JobRecord
from birdsod.estimator.sagemaker.preflight_seed import seed_findings
from birdsod.estimator.sagemaker.requests import SEED_MODEL, ChannelPlan
from birdsod.estimator.sagemaker.uploads import FileUpload
from birdsod.ssd._members import read_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["Seed", "SeedJob", "seed_of"]

_HYPERPARAMETERS = "hyperparams.json"
_CLASSES = "classes.json"
_SHORT = 16
_OUTPUT = ("output", "model.tar.gz")


class SeedJob(Protocol):
    """A job whose model can be gone on from, on this machine or in the cloud."""

    @property
    def classes(self) -> ClassTable:
        """What the class ids stand for."""
        ...

    @property
    def artifact(self) -> Path:
        """The trained model on this machine."""
        ...


@dataclass(frozen=True, slots=True)
class Seed:
    """The model that training starts from.

    Parameters
    ----------
    uri : str or None
        Its address, where it is in the object store already.
    file : pathlib.Path or None
        The file, where it is on this machine.
    classes : ClassTable or None
        What its class ids stand for, where that is known.
    """

    uri: str | None = None
    file: Path | None = None
    classes: ClassTable | None = None

    def upload(self, bucket: str, prefix: str) -> FileUpload | None:
        """Return what must be uploaded: None for what is in the object store."""
        if self.file is None:
            return None
        there = FileUpload.of(self.file, "")
        home = "/".join(["s3:/", bucket, *filter(None, [prefix]), "seeds", there.sha256[:_SHORT]])
        return FileUpload(there.path, f"{home}/model.tar.gz", there.sha256, there.bytes)

    def channel(self, upload: FileUpload | None) -> ChannelPlan:
        """Return the channel that hands it to the job."""
        return ChannelPlan(name="model", uri=upload.uri if upload else str(self.uri), content_type=SEED_MODEL)

    def findings(self, sent: Mapping[str, str], classes: ClassTable) -> Iterator[Finding]:
        """Compare what is known of it here with what is to be trained.

        What lies in the object store is opened by preflight; here it is its class names that count, and the file
        on this machine.

        Parameters
        ----------
        sent : mapping of str to str
            Hyperparameters of the job.
        classes : ClassTable
            Its classes.

        Yields
        ------
        Finding
        """
        known = self.classes
        if self.file is not None:
            try:
                trained = _json(self.file, _HYPERPARAMETERS)
            except ArtifactError as error:
                yield Finding("seed-archive", error.message, "error", str(self.file), error.cause, error.cure)
                return
            yield from seed_findings(trained if isinstance(trained, dict) else {}, sent)
            known = known or _classes(self.file)
        if known is not None and len(known) == len(classes) and known.names != classes.names:
            differing = next((a, b) for a, b in zip(known.names, classes.names, strict=True) if a != b)
            yield Finding(
                "seed-classes",
                "the seed model knows other classes by the same numbers: what it has learned of them misleads",
                "warning",
                differing,
                "another selection or order of classes",
                "train without the seed, or on the same classes",
            )


def seed_of(cloud: Cloud, given: str | os.PathLike[str] | SeedJob | None) -> Seed | None:
    """Return the model that training starts from.

    Parameters
    ----------
    cloud : Cloud
        The account, for what is in its object store.
    given : str, path-like, job or None
        ``s3://bucket/key``, a ``model.tar.gz`` on this machine, or a job that has a model.

    Returns
    -------
    Seed or None

    Raises
    ------
    CloudError
        If it is none of these, or there is no such file.
    TrainingError
        If the job has no model.
    """
    if given is None:
        return None
    if isinstance(given, str) and given.startswith("s3://"):
        return Seed(uri=given, classes=_classes_beside(cloud, given))
    if isinstance(given, str | os.PathLike):
        file = Path(given)
        if not file.is_file():
            cure = "give s3://bucket/key, a model.tar.gz, or a job"
            raise CloudError("there is no model to start from", path=file, cure=cure)
        return Seed(file=file)
    uri = getattr(given, "artifact_uri", None)
    if isinstance(uri, str):
        return Seed(uri=uri, classes=given.classes)
    if not hasattr(given, "artifact"):
        cure = "give s3://bucket/key, a model.tar.gz, or a job"
        raise CloudError("this is no model to start from", value=named(given), cure=cure)
    return Seed(file=given.artifact, classes=given.classes)


def _classes_beside(cloud: Cloud, uri: str) -> ClassTable | None:
    """Return the classes that a job of ours has noted beside its model."""
    parts = uri.split("/")
    if tuple(parts[-2:]) != _OUTPUT:
        return None
    try:
        record = JobRecord.read(cloud, "/".join(parts[:-3]), parts[-3])
    except CloudError:
        # It only helps; whether the model itself can be read is preflight's to say.
        return None
    return record.classes if record else None


def _classes(file: Path) -> ClassTable | None:
    """Return the classes that the archive names; the built-in algorithm's names none."""
    try:
        rows = _json(file, _CLASSES)
        return ClassTable.from_json(rows) if isinstance(rows, list) else None
    except BirdsodError:
        return None


def _json(file: Path, name: str) -> object:
    members, _ = read_members(file, wanted=(name,))
    try:
        parsed: object = json.loads(members[name])
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{name} is not JSON", path=file, value=str(error)) from error
    return parsed
