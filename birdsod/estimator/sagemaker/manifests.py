"""Augmented manifests in the object store, fetched with their images."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, cast

from birdsod._files import appearing
from birdsod._ordered import in_threads
from birdsod._progress import bar
from birdsod.dataset._load_manifest import load_manifest
from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.buckets import split_uri
from birdsod.estimator.sagemaker.faults import asking
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.estimator.sagemaker.uploads import fetch, size_of

if TYPE_CHECKING:
    import os
    from typing import IO

    import boto3
    from tqdm.std import tqdm

    from birdsod.classes import ClassTable
    from birdsod.dataset import DetectionDataset

__all__ = ["fetch_manifest"]

_THREADS = 16
_SCHEME = "s3://"


def fetch_manifest(
    uri: str,
    directory: str | os.PathLike[str],
    *,
    session: boto3.Session | None = None,
    images: bool = True,
    label: str | None = None,
    class_table: ClassTable | None = None,
    unlabelled: Literal["raise", "leave_out"] = "raise",
) -> DetectionDataset:
    """Fetch an augmented manifest, as a labelling job of Ground Truth leaves it, and its images.

    The manifest is read and judged before an image is fetched. Images lie below ``directory/images`` under bucket
    and key, so several manifests can share the folder; one that is there with the same size is not fetched again.

    Parameters
    ----------
    uri : str
        ``s3://bucket/.../output.manifest``.
    directory : path-like
        The folder; made if it is not there.
    session : boto3.Session, optional
        Whose account; boto3's default otherwise.
    images : bool, default True
        Whether to fetch the images too.
    label, class_table, unlabelled
        As for :func:`birdsod.dataset.load_manifest`.

    Returns
    -------
    DetectionDataset
        Not split.

    Raises
    ------
    DatasetError
        If a line of the manifest is not about one image with boxes, or an image lies elsewhere than in S3.
    CloudError
        If the manifest or an image is not there, or the store refuses.
    """
    bucket, key = split_uri(uri)
    cloud, folder = Cloud.of(session), Path(directory)
    # Labelling jobs all name their manifest alike.
    own = hashlib.sha256(uri.encode()).hexdigest()[:16]
    path = folder / "manifests" / own / PurePosixPath(key or bucket).name
    path.unlink(missing_ok=True)
    fetch(cloud, uri, path)
    dataset = load_manifest(
        path,
        root=folder / "images",
        uri=_SCHEME,
        label=label,
        class_table=class_table,
        unlabelled=unlabelled,
    )
    if images:
        _bring(cloud, dataset.names, folder / "images")
    return dataset


def _bring(cloud: Cloud, names: list[str], root: Path) -> None:
    shown: tqdm[None] = bar(total=len(names), description="fetch")
    with shown:
        for _ in in_threads(lambda name: _fetch(cloud, _SCHEME + name, root / name), names, threads=_THREADS):
            shown.update()


def _fetch(cloud: Cloud, uri: str, path: Path) -> None:
    size = size_of(cloud, uri)
    if size is None:
        cause = "it was moved or deleted after it was labelled"
        raise CloudError("an image of the manifest is not there", value=uri, cause=cause, cure="leave its line out")
    if path.is_file() and path.stat().st_size == size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    bucket, key = split_uri(uri)
    with appearing(path) as stream, asking("fetch", resource=uri):
        body = cloud.s3.get_object(Bucket=bucket, Key=key)["Body"]
        shutil.copyfileobj(cast("IO[bytes]", body), stream)
