"""A prefix of a bucket in the object store, and what its refusals mean."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from birdsod.errors import CloudError, MissingDependencyError, RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import boto3
    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client

__all__ = ["MEANWHILE", "Found", "Prefix", "asking", "conditionally", "is_conflict", "s3_client"]

MEANWHILE = "merge again when nobody writes there"
"""What to do where two write to one address."""

_URI = re.compile(r"s3://(?P<bucket>[^/]+)/?(?P<key>.*)", re.DOTALL)
_MANIFEST = re.compile(r"shards[^/]*\.json")
_ATTEMPTS = 8
_READS = 4
_READ_SECONDS = 120
_POOL = 50
_MOST_AT_ONCE = 5 << 30
_CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict")
_DENIED = "ask for the rights to list, read, write and delete there"
_CURES = {
    "NoSuchBucket": "give an existing bucket",
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "NoCredentialsError": "run `aws configure` or `aws sso login`, or pass session=boto3.Session(profile_name=...)",
    **dict.fromkeys(_CONFLICTS, f"it was replaced meanwhile: {MEANWHILE}"),
    "NoSuchKey": f"it was deleted meanwhile: {MEANWHILE}",
}


class Found(NamedTuple):
    """An object as it is listed."""

    size: int
    etag: str


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """A folder of the store.

    Parameters
    ----------
    client : S3Client
        Who asks.
    bucket : str
        The bucket.
    prefix : str
        How the keys begin: empty, or with a slash at the end.
    """

    client: S3Client
    bucket: str
    prefix: str

    @classmethod
    def of(cls, client: S3Client, uri: str) -> Prefix:
        """Return the prefix that an address, or that of a manifest, names."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise RecordError("this is no address in the store", value=uri, cure="give s3://bucket/prefix/")
        folder, slash, name = match["key"].rpartition("/")
        key = folder + slash if _MANIFEST.fullmatch(name) else match["key"]
        return cls(client, match["bucket"], key.rstrip("/") + "/" if key.strip("/") else "")

    @property
    def uri(self) -> str:
        """Its address, with the last slash."""
        return f"s3://{self.bucket}/{self.prefix}"

    def key(self, name: str) -> str:
        """Return the key of an object."""
        return self.prefix + name

    def listing(self) -> dict[str, Found]:
        """Return the objects right below."""
        with asking("list", self.uri):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix, Delimiter="/"
            )
            rows = [row for page in pages for row in page.get("Contents", [])]
        return {
            row.get("Key", "").removeprefix(self.prefix): Found(row.get("Size", 0), row.get("ETag", "")) for row in rows
        }

    def read(self, name: str, found: Found, begin: int = 0, end: int | None = None) -> bytes:
        """Return the bytes of an object as it was listed, or a stretch of them."""
        wanted = found.size if end is None else end
        # A range of nothing is none that the store knows.
        if begin >= wanted:
            return b""
        with asking("read", self.uri + name):
            data = self._read(name, found, begin, wanted)
        if len(data) != wanted - begin:
            message = f"{len(data)} bytes came where {wanted - begin} were asked for"
            raise CloudError(message, path=self.uri + name, cure=_CURES["PreconditionFailed"])
        return data

    def _read(self, name: str, found: Found, begin: int, end: int) -> bytes:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        def once() -> StreamingBody:
            wanted = f"bytes={begin}-{end - 1}"
            return self.client.get_object(Bucket=self.bucket, Key=self.key(name), Range=wanted, IfMatch=found.etag)[
                "Body"
            ]

        for _ in range(_READS - 1):
            body = once()
            # Once the answer has begun, boto3 does not ask again.
            with contextlib.suppress(HTTPClientError, IncompleteReadError):
                return body.read()
        return once().read()

    def write(self, name: str, content: bytes | Path, *, instead_of: Found | None) -> str:
        """Write an object, unless another has written it since it was listed, and return its tag."""
        with asking("write", self.uri + name):
            if isinstance(content, Path) and content.stat().st_size > _MOST_AT_ONCE:
                return self._write_in_parts(name, content)
            return conditionally(lambda condition: self._put(name, content, condition), instead_of)

    def _put(self, name: str, content: bytes | Path, condition: dict[str, Any]) -> str:
        where = {"Bucket": self.bucket, "Key": self.key(name), **condition}
        if isinstance(content, bytes):
            return self.client.put_object(**where, Body=content)["ETag"]
        with content.open("rb") as stream:
            return self.client.put_object(**where, Body=stream)["ETag"]

    def _write_in_parts(self, name: str, path: Path) -> str:
        # On an error or an interrupt boto3 takes its parts back by itself; it knows no conditions.
        self.client.upload_file(str(path), self.bucket, self.key(name))
        return self.client.head_object(Bucket=self.bucket, Key=self.key(name))["ETag"]

    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is none the less gone."""
        with asking("delete", self.uri + name):
            self.client.delete_object(Bucket=self.bucket, Key=self.key(name))


def s3_client(session: boto3.Session | None) -> S3Client:
    """Return a client that asks again where the store is too busy.

    Raises
    ------
    MissingDependencyError
        If boto3 is not installed.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise MissingDependencyError("boto3 is not installed", cure='pip install "birdsod[cloud]"') from error

    config = Config(
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        read_timeout=_READ_SECONDS,
        max_pool_connections=_POOL,
    )
    with asking("open a client of", "S3"):
        found = session or boto3.DEFAULT_SESSION or boto3.Session()
        return found.client("s3", config=config)


def conditionally(write: Callable[[dict[str, Any]], str], found: Found | None) -> str:
    """Write on the condition that an object is as it was listed, or not there; a store may know no conditions."""
    from botocore.exceptions import ClientError

    try:
        return write({"IfNoneMatch": "*"} if found is None else {"IfMatch": found.etag})
    except ClientError as error:
        if _code_of(error) != "NotImplemented":
            raise
    return write({})


def is_conflict(error: CloudError) -> bool:
    """Say whether the store refused since another has written there."""
    return error.value in _CONFLICTS


@contextlib.contextmanager
def asking(action: str, what: str) -> Iterator[None]:
    """Turn what boto3 raises into an error with the store's code."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        code = _code_of(error)
        words = " ".join(str(error).split()).rstrip(".")
        raise CloudError(f"cannot {action} {what}: {words}", value=code, cure=_CURES.get(code)) from error


def _code_of(error: Exception) -> str:
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)
