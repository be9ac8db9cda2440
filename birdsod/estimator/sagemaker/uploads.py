"""Files to the object store and back: whole or not at all, and not twice."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from birdsod._files import appearing, sha256
from birdsod._ordered import in_threads
from birdsod._progress import bar
from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.buckets import split_uri
from birdsod.estimator.sagemaker.faults import asking, code_of, is_missing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tqdm.std import tqdm

    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["FileUpload", "UploadReport", "below", "fetch", "read_bytes", "size_of", "upload_files", "write_object"]

HASH = "birdsod-sha256"
"""The object's metadata in which its SHA-256 is kept."""

_PART = 8 * 1024 * 1024
# Files of less than a part under way at once; an account's store answers thousands of requests a second.
_THREADS = 16
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "MethodNotAllowed", "NotImplemented"})


@dataclass(frozen=True, slots=True)
class FileUpload:
    """A file, and the object that it becomes.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    uri : str
        ``s3://bucket/key``.
    sha256 : str
        Its checksum.
    bytes : int
        Its size.
    """

    path: Path
    uri: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, path: Path, uri: str) -> FileUpload:
        """Return the upload of a file whose checksum is not known yet."""
        return cls(path, uri, sha256(path), path.stat().st_size)


@dataclass(frozen=True, slots=True)
class UploadReport:
    """What an upload did.

    Parameters
    ----------
    sent : tuple of str
        Addresses of the objects that were written.
    skipped : tuple of str
        Those that were there already, with the same bytes.
    """

    sent: tuple[str, ...]
    skipped: tuple[str, ...]


def upload_files(cloud: Cloud, files: Iterable[FileUpload], *, kms_key: str | None = None) -> UploadReport:
    """Write files to the object store; one that is there with the same checksum is skipped.

    An object appears when all of it has arrived. What an earlier upload that was killed has left of the same
    object, unseen but paid for, is taken away.

    Parameters
    ----------
    cloud : Cloud
        Where to.
    files : iterable of FileUpload
        What; each address once.
    kms_key : str, optional
        Key that encrypts the objects.

    Returns
    -------
    UploadReport

    Raises
    ------
    CloudError
        If the store refuses, or a file is not what its checksum says.
    """
    wanted = list(files)
    found = in_threads(lambda file: _is_there(cloud, file, kms_key), wanted, threads=_THREADS)
    there = {file.uri for file, is_there in zip(wanted, found, strict=True) if is_there}
    missing = [file for file in wanted if file.uri not in there]
    large = [file for file in missing if file.bytes >= _PART]
    for file in large:
        _check_file(file)
    shown: tqdm[None] = bar(total=sum(file.bytes for file in missing), description="upload", unit="B")
    with shown as progress:
        for file in large:
            _send(cloud, file, kms_key, progress.update)
        small = (file for file in missing if file.bytes < _PART)
        for size in in_threads(lambda file: _put(cloud, file, kms_key), small, threads=_THREADS):
            progress.update(size)
    _drop_leftovers(cloud, [file.uri for file in wanted])
    return UploadReport(tuple(file.uri for file in missing), tuple(file.uri for file in wanted if file.uri in there))


def write_object(cloud: Cloud, uri: str, data: bytes, *, content_type: str, kms_key: str | None = None) -> None:
    """Write a small object.

    Parameters
    ----------
    cloud : Cloud
        Where to.
    uri : str
        ``s3://bucket/key``.
    data : bytes
        All of it.
    content_type : str
        What it is.
    kms_key : str, optional
        Key that encrypts it.

    Raises
    ------
    CloudError
        If the store refuses.
    """
    bucket, key = split_uri(uri)
    with asking("write", resource=uri):
        cloud.s3.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, **_encryption(kms_key))


def read_bytes(cloud: Cloud, uri: str, *, most: int) -> bytes | None:
    """Return a small object, or None where there is none.

    Parameters
    ----------
    cloud : Cloud
        Where from.
    uri : str
        ``s3://bucket/key``.
    most : int
        Bytes that it may have.

    Raises
    ------
    CloudError
        If the store refuses, or the object is larger.
    """
    bucket, key = split_uri(uri)
    try:
        with asking("read", resource=uri):
            body = cloud.s3.get_object(Bucket=bucket, Key=key)["Body"]
            data = body.read(most + 1)
            body.close()
    except CloudError as error:
        if is_missing(error):
            return None
        raise
    if len(data) > most:
        raise CloudError(f"the object has more than {most:,} bytes", value=uri)
    return data


def size_of(cloud: Cloud, uri: str) -> int | None:
    """Return the size of an object, or None where there is none.

    Raises
    ------
    CloudError
        If the store refuses.
    """
    head = _head(cloud, uri)
    return None if head is None else int(head["ContentLength"])


def fetch(cloud: Cloud, uri: str, path: Path) -> Path:
    """Copy an object into a file that appears whole; one of the right size is kept.

    Parameters
    ----------
    cloud : Cloud
        Where from.
    uri : str
        ``s3://bucket/key``.
    path : pathlib.Path
        The file; its folder is made.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    CloudError
        If there is no such object, or the store refuses.
    """
    bucket, key = split_uri(uri)
    size = size_of(cloud, uri)
    if size is None:
        raise CloudError(
            "no such object", value=uri, cause="it was deleted, or never written", cure="check the address"
        )
    if path.is_file() and path.stat().st_size == size:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    shown: tqdm[None] = bar(total=size, description=path.name, unit="B")
    with shown as progress, appearing(path) as stream:
        with asking("fetch", resource=uri):
            cloud.s3.download_fileobj(bucket, key, stream, Callback=progress.update)
        # Parts arrive in any order, so where the last one ended says nothing.
        if stream.seek(0, os.SEEK_END) != size:
            raise CloudError("the object changed while it was fetched", value=uri, cure="fetch it again")
    return path


def _is_there(cloud: Cloud, file: FileUpload, kms_key: str | None) -> bool:
    try:
        head = _head(cloud, file.uri)
    except CloudError as error:
        # Whoever may write but not list is told 403 for what is not there.
        if code_of(error) in _DENIED:
            return False
        raise
    if head is None or head["ContentLength"] != file.bytes or head.get("Metadata", {}).get(HASH) != file.sha256:
        return False
    # An object that is there unencrypted does not do for whoever asks for a key.
    return kms_key is None or _is_key(kms_key, str(head.get("SSEKMSKeyId") or ""))


def _is_key(given: str, told: str) -> bool:
    # The store tells the key's ARN; an alias is not in it, so any key will do then.
    return told.endswith(given) or ("alias/" in given and told != "")


def _head(cloud: Cloud, uri: str) -> dict[str, Any] | None:
    bucket, key = split_uri(uri)
    try:
        with asking("look at", resource=uri):
            return dict(cloud.s3.head_object(Bucket=bucket, Key=key))
    except CloudError as error:
        if is_missing(error):
            return None
        raise


def _check_file(file: FileUpload) -> None:
    try:
        right = file.path.stat().st_size == file.bytes and sha256(file.path) == file.sha256
    except OSError as error:
        raise _unreadable(file, error) from error
    if not right:
        raise _changed(file)


def _unreadable(file: FileUpload, error: OSError) -> CloudError:
    return CloudError("the file cannot be read", path=file.path, cause=error.strerror, cure="pack or write again")


def _changed(file: FileUpload) -> CloudError:
    cause = "it was changed after it was packed or written"
    return CloudError("the file is not what was packed", path=file.path, cause=cause, cure="pack or write again")


def _put(cloud: Cloud, file: FileUpload, kms_key: str | None) -> int:
    """Write a file of less than a part: read once, so that what was checked is what is sent."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _changed(file)
    bucket, key = split_uri(file.uri)
    with asking("upload", resource=file.uri):
        cloud.s3.put_object(Bucket=bucket, Key=key, Body=data, Metadata={HASH: file.sha256}, **_encryption(kms_key))
    return len(data)


def _send(cloud: Cloud, file: FileUpload, kms_key: str | None, moved: Any) -> None:  # noqa: ANN401 - tqdm's update
    from boto3.s3.transfer import TransferConfig

    bucket, key = split_uri(file.uri)
    options: dict[str, Any] = {"Metadata": {HASH: file.sha256}, **_encryption(kms_key)}
    config = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART)
    try:
        with asking("upload", resource=file.uri):
            # On an error or an interrupt boto3 takes the parts back by itself.
            cloud.s3.upload_file(str(file.path), bucket, key, ExtraArgs=options, Config=config, Callback=moved)
    except CloudError as error:
        # Another session has written the same bytes meanwhile, and has taken our parts for leftovers.
        if not ("NoSuchUpload" in str(error) and _is_there(cloud, file, kms_key)):
            raise


def _drop_leftovers(cloud: Cloud, uris: Iterable[str]) -> None:
    for bucket, keys in _by_bucket(uris).items():
        try:
            with asking("look for broken uploads of", resource=f"s3://{bucket}/{next(iter(keys))}"):
                prefix = os.path.commonprefix(sorted(keys))  # noqa: RUF071 - the store lists by characters
                for page in cloud.s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
                    for upload in page.get("Uploads", []):
                        key = upload.get("Key", "")
                        if key in keys:
                            cloud.s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload.get("UploadId", ""))
        except CloudError as error:
            # Whoever may not list them has what was asked for all the same.
            if not (code_of(error) in _DENIED or is_missing(error)):
                raise


def _by_bucket(uris: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for bucket, key in map(split_uri, uris):
        found.setdefault(bucket, set()).add(key)
    return found


def _encryption(kms_key: str | None) -> dict[str, Any]:
    return {} if kms_key is None else {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}


def below(prefix_uri: str, *names: str) -> str:
    """Return the address of an object below a prefix.

    Examples
    --------
    >>> below("s3://birds/jobs/", "a", "model.tar.gz")
    's3://birds/jobs/a/model.tar.gz'
    """
    return "/".join([re.sub(r"/+$", "", prefix_uri), *names])
