"""Channels that lie in the object store already: what is there, by names and sizes alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.findings import Finding
from birdsod.estimator.sagemaker.preflight_account import DENIED, not_checked, split_uri
from birdsod.estimator.sagemaker.preflight_channels import IMAGE_TYPES
from birdsod.estimator.sagemaker.requests import RECORDIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from birdsod.estimator.sagemaker.requests import ChannelPlan
    from birdsod.estimator.sagemaker.session import Cloud

__all__ = ["Listing", "annotation_findings", "listing_findings", "listings"]

_MOST = 200_000
_IMAGES = frozenset({".jpg", ".jpeg", ".png"})
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of a channel.

    Parameters
    ----------
    channel : ChannelPlan
        The channel.
    names : frozenset of str
        Their names below the channel's address.
    bytes : int
        All together.
    whole : bool
        Whether these are all: of very many only the first are listed.
    """

    channel: ChannelPlan
    names: frozenset[str]
    bytes: int
    whole: bool

    def stems(self, endings: Iterable[str]) -> set[str]:
        """Return the names with certain endings, without them."""
        wanted = frozenset(endings)
        paths = map(PurePosixPath, self.names)
        return {str(path.with_suffix("")) for path in paths if path.suffix.lower() in wanted}


def listings(cloud: Cloud, channels: Iterable[ChannelPlan]) -> tuple[dict[str, Listing], list[Finding]]:
    """List what lies in channels.

    Parameters
    ----------
    cloud : Cloud
        Who asks.
    channels : iterable of ChannelPlan
        Channels of record files, images or annotations.

    Returns
    -------
    listings : dict of str to Listing
        By the channels' names; those that may not be listed are left out.
    findings : list of Finding
        What could not be asked.
    """
    from birdsod.estimator.sagemaker.faults import asking

    found: dict[str, Listing] = {}
    doubts: list[Finding] = []
    for channel in channels:
        try:
            with asking("list", resource=channel.uri):
                found[channel.name] = _listing(cloud, channel)
        except CloudError as error:
            # That a bucket is missing is told where buckets are looked at.
            if error.value not in {*DENIED, "NoSuchBucket"}:
                doubts.append(not_checked(f"the channel {channel.name}", error))
    return found, doubts


def listing_findings(listing: Listing, *, samples: int | None) -> Iterator[Finding]:
    """Check what lies in a channel.

    Parameters
    ----------
    listing : Listing
        Its objects.
    samples : int or None
        ``num_training_samples``, where it is known.

    Yields
    ------
    Finding
    """
    channel, where = listing.channel, f"the channel {listing.channel.name}"
    if not listing.names:
        yield Finding("missing-object", f"nothing lies in {where}", value=channel.uri, cure="upload the data first")
    elif channel.content_type == RECORDIO:
        yield from _records(listing)
    elif channel.content_type in IMAGE_TYPES and channel.name in {"train", "validation"}:
        count = len(listing.stems(_IMAGES))
        if not count:
            message = f"{where} has no .jpg or .png file"
            yield Finding("empty-channel", message, value=channel.uri, cure="check the address, and the files' endings")
        elif channel.name == "train" and listing.whole and samples not in {None, count}:
            message = f"num_training_samples is not the {count} images of {where}"
            yield Finding("sample-count", message, value=samples, cure=f"give num_training_samples={count}")


def annotation_findings(images: Listing, annotations: Listing) -> Iterator[Finding]:
    """Check whether each image has its annotation, and each annotation its image.

    Parameters
    ----------
    images, annotations : Listing
        The two channels.

    Yields
    ------
    Finding
    """
    if not (images.whole and annotations.whole):
        return
    pictures, notes = images.stems(_IMAGES), annotations.stems([".json"])
    for one, other, what in ((pictures, notes, "images have no annotation"), (notes, pictures, "annotations no image")):
        lost = sorted(one - other)
        if lost:
            message = f"{len(lost)} {what} of the same name in the channels {images.channel.name}(_annotation)"
            cause = "other folders below the two addresses, or files that were left out"
            cure = "give each image a JSON file of its name, in the same folder"
            yield Finding("unmatched-annotations", message, "error", lost[:_SHOWN], cause, cure)


def _records(listing: Listing) -> Iterator[Finding]:
    files = sorted(name for name in listing.names if name.endswith(".rec") or not name)
    where = f"the channel {listing.channel.name}"
    if not files:
        message = f"{where} has no .rec file"
        yield Finding("empty-channel", message, value=listing.channel.uri, cure="upload the record file there")
    elif len(files) > 1:
        message = f"{where} has {len(files)} record files; the algorithm's documentation asks for one"
        cure = "merge them into one"
        yield Finding("several-records", message, "warning", files[:_SHOWN], cure=cure)


def _listing(cloud: Cloud, channel: ChannelPlan) -> Listing:
    bucket, prefix = split_uri(channel.uri)
    pages = cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    rows = ((row.get("Key", ""), row.get("Size", 0)) for page in pages for row in page.get("Contents", ()))
    first = list(itertools.islice(rows, _MOST + 1))
    # Consoles make an empty object for a folder.
    kept = [(key, size) for key, size in first[:_MOST] if not key.endswith("/")]
    base = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    names = frozenset(key.removeprefix(base) for key, _ in kept)
    return Listing(channel, names, sum(size for _, size in kept), len(first) <= _MOST)
