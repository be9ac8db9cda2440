"""Models that training starts from: what they were, against what is to be trained."""

from __future__ import annotations

import json
import tarfile
from typing import IO, TYPE_CHECKING, Any

from birdsod._hyperparameter_rules import RULES
from birdsod.errors import ArtifactError, CloudError, HyperparameterError
from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.preflight_account import split_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["read_seed", "seed_findings", "seed_findings_at"]

_MEMBER = "hyperparams.json"
_MOST_JSON = 1_000_000
_MOST_MEMBERS = 1000
_SAME = ("base_network", "num_classes")


def read_seed(stream: IO[bytes]) -> dict[str, Any]:
    """Return the hyperparameters that a model archive was trained with.

    The archive is read as it comes, nothing is written, and nothing of it is run.

    Parameters
    ----------
    stream : binary file
        The ``model.tar.gz``; need not seek.

    Returns
    -------
    dict
        As in its ``hyperparams.json``.

    Raises
    ------
    ArtifactError
        If it is no such archive.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for number, member in enumerate(archive):
                if number == _MOST_MEMBERS:
                    break
                if member.name.rpartition("/")[2] == _MEMBER and member.isfile() and member.size <= _MOST_JSON:
                    return _parsed(archive.extractfile(member))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ArtifactError("the seed model is no readable .tar.gz", cause=str(error), cure="train it again") from error
    cure = "give the model.tar.gz of a job of the object detection algorithm"
    raise ArtifactError(f"the seed model has no {_MEMBER}", cause="another algorithm wrote it", cure=cure)


def seed_findings(trained: Mapping[str, object], sent: Mapping[str, str]) -> Iterator[Finding]:
    """Compare what a seed model was with what is to be trained.

    Parameters
    ----------
    trained : mapping
        The hyperparameters of the seed, as :func:`read_seed` returns them.
    sent : mapping of str to str
        The hyperparameters of the job.

    Yields
    ------
    Finding

    Examples
    --------
    >>> [finding.kind for finding in seed_findings({"num_classes": "5"}, {"num_classes": "6"})]
    ['seed-classes']
    """
    for name, kind in zip(_SAME, ("seed-network", "seed-classes"), strict=True):
        before, now = _value(name, trained), _value(name, sent)
        if before is not None and now is not None and before != now:
            message = f"{name} is {now}, the seed model has {before}: it must stay the same"
            cure = f"give {name}={before!r}, or train without the seed"
            yield Finding(kind, message, value=now, cure=cure)


def seed_findings_at(cloud: Cloud, uri: str, sent: Mapping[str, str]) -> Iterator[Finding]:
    """Compare a seed model in S3 with what is to be trained.

    Parameters
    ----------
    cloud : Cloud
        Who reads it.
    uri : str
        Its address.
    sent : mapping of str to str
        The hyperparameters of the job.

    Yields
    ------
    Finding
    """
    from birdsod.estimator.sagemaker.faults import asking, is_missing

    bucket, key = split_uri(uri)
    try:
        with asking("read the seed model", resource=uri):
            body = cloud.s3.get_object(Bucket=bucket, Key=key)["Body"]
            try:
                trained = read_seed(body)  # type: ignore[arg-type]  # tarfile only ever reads it
            finally:
                body.close()
    except ArtifactError as error:
        yield Finding("seed-archive", error.message, "error", uri, error.cause, error.cure)
    except CloudError as error:
        if is_missing(error):
            yield Finding("missing-object", "the seed model is not there", value=uri, cure="check the address")
        else:
            yield Finding("not-checked", error.message, "warning", error.value, error.cause, error.cure)
    else:
        yield from seed_findings(trained, sent)


def _parsed(stream: IO[bytes] | None) -> dict[str, Any]:
    content = json.loads(stream.read().decode("utf-8")) if stream is not None else None
    if not isinstance(content, dict):
        message = f"{_MEMBER} is no table of values"
        raise ValueError(message)  # noqa: TRY004 - the file is at fault, as when it is no JSON
    return content


def _value(name: str, values: Mapping[str, object]) -> object:
    """Return a value in the parameter's own type; None where it is not there or cannot be read."""
    if name not in values and name == "num_classes":
        return None
    try:
        return RULES[name].check(name, values.get(name, RULES[name].default))
    except HyperparameterError:
        return None
