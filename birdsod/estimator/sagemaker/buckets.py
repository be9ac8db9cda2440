"""The bucket that data and models are kept in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.faults import asking, code_of, is_missing

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["find_bucket", "split_uri"]

_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_URI = re.compile(r"s3://(?P<bucket>[^/]+)/?(?P<key>.*)", re.DOTALL)
# The one region whose name must not be said when a bucket is created there.
_UNSAID = "us-east-1"


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an address in the object store.

    Parameters
    ----------
    uri : str
        ``s3://bucket/key``.

    Raises
    ------
    CloudError
        If it is none.

    Examples
    --------
    >>> split_uri("s3://birds/jobs/model.tar.gz")
    ('birds', 'jobs/model.tar.gz')
    """
    found = _URI.fullmatch(uri)
    if found is None:
        raise CloudError("this is no address in the object store", value=uri, cure="give s3://bucket/key")
    return found["bucket"], found["key"]


def find_bucket(cloud: Cloud, given: str | None, *, create: bool = True) -> str:
    """Return the bucket's name, or that of the default one; see :meth:`Cloud.find_bucket`."""
    if given is not None:
        return _checked(given)
    name = f"sagemaker-{cloud.region}-{cloud.account}"
    if create:
        _make_sure(cloud, name)
    return name


def _checked(given: str) -> str:
    name = given.removeprefix("s3://").rstrip("/")
    if _BUCKET.fullmatch(name) is None or ".." in name:
        cure = "give its name alone: 3 to 63 lower-case letters, digits, dots and hyphens; prefix= names a folder in it"
        raise CloudError("this is no name of a bucket", value=given, cure=cure)
    return name


def _make_sure(cloud: Cloud, name: str) -> None:
    from botocore.exceptions import ClientError

    try:
        with asking("use the default bucket", resource=name):
            # The name can be guessed, so a stranger may have taken it: the owner is asked for.
            cloud.s3.head_bucket(Bucket=name, ExpectedBucketOwner=cloud.account)
    except CloudError as error:
        refused = isinstance(error.__cause__, ClientError)
        if refused and is_missing(error):
            _create(cloud, name)
        elif refused and code_of(error) in {"403", "Forbidden", "AccessDenied"}:
            cause = "another account has taken its name, or your policies do not let you see it"
            raise CloudError(
                "the default bucket cannot be used", value=name, cause=cause, cure="pass bucket= one of your own"
            ) from error
        else:
            raise


def _create(cloud: Cloud, name: str) -> None:
    options: dict[str, Any] = {"Bucket": name}
    if cloud.region != _UNSAID:
        options["CreateBucketConfiguration"] = {"LocationConstraint": cloud.region}
    try:
        with asking("create the default bucket", resource=name):
            cloud.s3.create_bucket(**options)
    except CloudError as error:
        # Another session of the same account was quicker.
        if code_of(error) not in {"BucketAlreadyOwnedByYou", "OperationAborted"}:
            error.cure = "pass bucket= an existing bucket of this region"
            raise
