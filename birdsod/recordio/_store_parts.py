"""An object of the store that grows part by part, unseen until it is whole."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from birdsod import _ordered
from birdsod.errors import CloudError
from birdsod.recordio._store import asking, conditionally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_s3.type_defs import CompletedMultipartUploadTypeDef, CompletedPartTypeDef, CopySourceTypeDef

    from birdsod.recordio._merge_parts import Limits, Part, Stretch
    from birdsod.recordio._store import Found, Prefix

__all__ = ["THREADS", "Growing", "Source"]

THREADS = 8
"""Requests under way at a time."""


class Source:
    """The objects that the parts are made of, one after the other.

    Parameters
    ----------
    place : Prefix
        Where they are.
    objects : sequence of (str, Found)
        Their names, and how they were listed.
    """

    def __init__(self, place: Prefix, objects: Sequence[tuple[str, Found]]) -> None:
        self.place = place
        self.objects = objects

    def read(self, stretch: Stretch) -> bytes:
        """Return some bytes of one of them."""
        name, found = self.objects[stretch.source]
        return self.place.read(name, found, stretch.begin, stretch.end)


class Growing:
    """One multipart upload; who begins it must finish or abort it.

    Parameters
    ----------
    place : Prefix
        Where the object appears.
    name : str
        Its name there.
    """

    def __init__(self, place: Prefix, name: str) -> None:
        self.name = name
        self._place = place
        self._client = place.client
        self._key: dict[str, Any] = {"Bucket": place.bucket, "Key": place.key(name)}
        self._uri = place.uri + name
        self._parts: list[CompletedPartTypeDef] = []
        with asking("begin", self._uri):
            self._upload = self._client.create_multipart_upload(**self._key)["UploadId"]

    def grow(self, parts: Sequence[Part], source: Source, limits: Limits, moved: Callable[[int], object]) -> None:
        """Send all parts, several at a time."""

        def send(numbered: tuple[int, Part]) -> CompletedPartTypeDef:
            number, part = numbered
            with asking("write", self._uri):
                return self._send(number, part, source, limits)

        with (
            _ordered.thread_pool(THREADS) as pool,
            contextlib.closing(
                _ordered.in_order(send, enumerate(parts, start=1), executor=pool, ahead=THREADS)
            ) as answers,
        ):
            for part, answer in zip(parts, answers, strict=True):
                self._parts.append(answer)
                moved(part.size)

    def finish(self, size: int, *, instead_of: Found | None) -> str:
        """Let the object appear, unless another has written it since it was listed, and return its tag."""
        with asking("finish", self._uri):
            tag = conditionally(self._complete, instead_of)
            found = self._client.head_object(**self._key)["ContentLength"]
        if found != size:
            message = f"the object has {found} bytes, not {size}"
            raise CloudError(message, path=self._uri, cause="somebody else wrote it", cure="merge again")
        return tag

    def _complete(self, condition: dict[str, Any]) -> str:
        parts: CompletedMultipartUploadTypeDef = {"Parts": self._parts}
        where: dict[str, Any] = {**self._key, "UploadId": self._upload, **condition}
        return self._client.complete_multipart_upload(**where, MultipartUpload=parts)["ETag"]

    def abort(self) -> None:
        """Take back what was sent, which is unseen but paid for."""
        with asking("take back the parts of", self._uri):
            self._client.abort_multipart_upload(**self._key, UploadId=self._upload)

    def _send(self, number: int, part: Part, source: Source, limits: Limits) -> CompletedPartTypeDef:
        where: dict[str, Any] = {**self._key, "UploadId": self._upload, "PartNumber": number}
        stretch = part.stretches[-1]
        if len(part.stretches) > 1 or not _is_copied(stretch, source, limits):
            data = b"".join(source.read(each) for each in part.stretches)
            return _told(number, self._client.upload_part(**where, Body=data))
        name, found = source.objects[stretch.source]
        if stretch.size < found.size:
            where["CopySourceRange"] = f"bytes={stretch.begin}-{stretch.end - 1}"
        origin: CopySourceTypeDef = {"Bucket": source.place.bucket, "Key": source.place.key(name)}
        answer = self._client.upload_part_copy(**where, CopySource=origin, CopySourceIfMatch=found.etag)
        return _told(number, answer["CopyPartResult"])


def _is_copied(stretch: Stretch, source: Source, limits: Limits) -> bool:
    """Say whether the store can copy it: a stretch of an object that is small cannot be copied without the rest."""
    size = source.objects[stretch.source][1].size
    return stretch.size == size or size > limits.least


def _told(number: int, answer: Any) -> CompletedPartTypeDef:  # noqa: ANN401 - answers of two kinds of requests
    """Return what the store wants to hear again of a part: its tag, and the checksums that it has told."""
    checksums = {key: answer[key] for key in answer if key.startswith("Checksum") and key != "ChecksumType"}
    return cast("CompletedPartTypeDef", {"PartNumber": number, "ETag": answer["ETag"], **checksums})
