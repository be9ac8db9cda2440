"""``birdsod.json``: what a job is about, beside its output, so that any machine that finds it knows the classes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from birdsod.classes import ClassTable
from birdsod.errors import BirdsodError, CloudError
from birdsod.estimator.sagemaker.uploads import below, read_bytes, write_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["JobRecord", "record_uri", "recorded_classes"]

SCHEMA = 1
_NAME = "birdsod.json"
_MOST_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What a training job is about.

    Parameters
    ----------
    name : str
        Name of the job.
    classes : ClassTable
        What the class ids stand for.
    hyperparameters : mapping of str to str
        As the job was given them.
    data : str
        Fingerprint of the data.
    image : str
        Address of the container.

    Examples
    --------
    >>> record = JobRecord("birds-1", ClassTable((17,), ("017.Cardinal",)), {"epochs": "3"}, "0f", "image:1")
    >>> JobRecord.from_json(record.to_json()) == record
    True
    """

    name: str
    classes: ClassTable
    hyperparameters: Mapping[str, str]
    data: str
    image: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values.

        Returns
        -------
        dict
        """
        return {"schema": SCHEMA, **asdict(self), "classes": self.classes.to_json()}

    @classmethod
    def from_json(cls, values: object) -> JobRecord:
        """Return the record that :meth:`to_json` wrote.

        Parameters
        ----------
        values : object
            Plain values.

        Returns
        -------
        JobRecord

        Raises
        ------
        CloudError
            If they are no record, or one of a later version.
        """
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            told = values.get("schema") if isinstance(values, dict) else type(values).__name__
            raise CloudError(f"{_NAME} has a form that this version does not know", value=told, cure=_CURE)
        try:
            hyperparameters = {str(name): str(value) for name, value in dict(values["hyperparameters"]).items()}
            classes = ClassTable.from_json(values["classes"])
            return cls(str(values["name"]), classes, hyperparameters, str(values["data"]), str(values["image"]))
        except (KeyError, TypeError, ValueError, BirdsodError) as error:
            raise CloudError(f"{_NAME} is malformed", value=str(error), cure=_CURE) from error

    def write(self, cloud: Cloud, output_uri: str, *, kms_key: str | None = None) -> str:
        """Write it below the prefix of the jobs' output.

        Parameters
        ----------
        cloud : Cloud
            Where to.
        output_uri : str
            The prefix that the job is given for its output.
        kms_key : str, optional
            Key that encrypts it.

        Returns
        -------
        str
            Its address.

        Raises
        ------
        CloudError
            If the store refuses.
        """
        uri = record_uri(output_uri, self.name)
        data = (json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n").encode()
        write_object(cloud, uri, data, content_type="application/json", kms_key=kms_key)
        return uri

    @classmethod
    def read(cls, cloud: Cloud, output_uri: str, name: str) -> JobRecord | None:
        """Return the record of a job, or None if it has none.

        Parameters
        ----------
        cloud : Cloud
            Where from.
        output_uri : str
            The prefix of the job's output.
        name : str
            Name of the job.

        Returns
        -------
        JobRecord or None

        Raises
        ------
        CloudError
            If the store refuses, or the record is malformed.
        """
        data = read_bytes(cloud, record_uri(output_uri, name), most=_MOST_BYTES)
        if data is None:
            return None
        try:
            values: object = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CloudError(f"{_NAME} is not JSON", value=str(error), cure=_CURE) from error
        return cls.from_json(values)


_CURE = "give the classes: SageMakerJob.attach(name, classes=...)"


def record_uri(output_uri: str, name: str) -> str:
    """Return the address of a job's record.

    Examples
    --------
    >>> record_uri("s3://birds/jobs/", "birds-1")
    's3://birds/jobs/birds-1/birdsod.json'
    """
    return below(output_uri, name, _NAME)


def recorded_classes(cloud: Cloud, output_uri: str, name: str, parameters: Mapping[str, str]) -> ClassTable:
    """Return the classes that a job was noted with; numbers for names where nobody noted them.

    Parameters
    ----------
    cloud : Cloud
        Where the job ran.
    output_uri, name : str
        Its output prefix and its name.
    parameters : mapping of str to str
        Its hyperparameters, which tell how many classes there are.

    Returns
    -------
    ClassTable
    """
    record = JobRecord.read(cloud, output_uri, name)
    return ClassTable.numbered(int(parameters.get("num_classes", "0"))) if record is None else record.classes
