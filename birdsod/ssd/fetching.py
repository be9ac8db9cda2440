"""Models that lie in the object store, fetched for as long as they are read."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from birdsod.errors import ArtifactError, CloudError
from birdsod.recordio._store import asking, s3_client
from birdsod.ssd._members import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fetched", "is_far"]

_URI = re.compile(r"s3://([^/]+)/(.*[^/])", re.DOTALL)
_SCHEME = "s3://"
_CURES = {
    **dict.fromkeys(("404", "NoSuchKey"), "check the address: there is no such object"),
    **dict.fromkeys(("403", "AccessDenied"), "ask for the right to read it, or use another profile"),
    "NoCredentialsError": "run `aws configure` or `aws sso login`",
}


def is_far(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is an address in the object store.

    Examples
    --------
    >>> is_far("s3://birds/jobs/model.tar.gz"), is_far("jobs/model.tar.gz")
    (True, False)
    """
    return os.fspath(path).startswith(_SCHEME)


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Fetch an object into a temporary file, which is gone after the block; errors of reading it name the address.

    Parameters
    ----------
    uri : str
        ``s3://bucket/key``.

    Yields
    ------
    pathlib.Path

    Raises
    ------
    ArtifactError
        If it is no address of an object, or the object is larger than any model.
    CloudError
        If it cannot be fetched.
    MissingDependencyError
        If boto3 is not installed.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise ArtifactError("this is no address of an object", value=uri, cure="give s3://bucket/key")
    bucket, key = match.groups()
    with tempfile.TemporaryDirectory(prefix="birdsod-") as folder:
        # What it is tells its end; nothing else of the key is safe as a name.
        file = Path(folder) / ("model.onnx" if key.endswith(".onnx") else "model.tar.gz")
        try:
            _fetch(bucket, key, uri, file)
            yield file
        except CloudError as error:
            error.cure = _CURES.get(str(error.value), error.cure)
            raise
        except ArtifactError as error:
            error.path = uri
            raise


def _fetch(bucket: str, key: str, uri: str, file: Path) -> None:
    client = s3_client(None)
    with asking("fetch", uri):
        size = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
    if size > MOST_BYTES:
        raise ArtifactError(f"the object has more than {MOST_BYTES:,} bytes", value=size)
    with asking("fetch", uri):
        client.download_file(bucket, key, str(file))
