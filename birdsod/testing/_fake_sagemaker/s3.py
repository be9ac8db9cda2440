"""Objects in the account's own S3, as the service reads and writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.world import Region

__all__ = ["exists", "get", "join", "keys", "put", "split"]


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an address.

    Examples
    --------
    >>> split("s3://birds/data/train.rec")
    ('birds', 'data/train.rec')
    """
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def join(uri: str, name: str) -> str:
    """Return the address of something below another.

    Examples
    --------
    >>> join("s3://birds/jobs/", "model.tar.gz")
    's3://birds/jobs/model.tar.gz'
    """
    return f"{uri.rstrip('/')}/{name}"


def put(region: Region, uri: str, data: bytes) -> None:
    """Write an object."""
    bucket, key = split(uri)
    region.s3.put_object(Bucket=bucket, Key=key, Body=data)


def get(region: Region, uri: str) -> bytes:
    """Read an object."""
    bucket, key = split(uri)
    return region.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def keys(region: Region, uri: str) -> list[str]:
    """Return the keys under a prefix; none where there is no such bucket."""
    bucket, prefix = split(uri)
    pages = region.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    try:
        return [row.get("Key", "") for page in pages for row in page.get("Contents", [])]
    except region.s3.exceptions.ClientError:
        return []


def exists(region: Region, uri: str) -> bool:
    """Whether there is that very object."""
    bucket, key = split(uri)
    try:
        region.s3.head_object(Bucket=bucket, Key=key)
    except region.s3.exceptions.ClientError:
        return False
    return bool(key)
