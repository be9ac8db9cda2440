"""Tags of everything that was created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.errors import invalid
from birdsod.testing._fake_sagemaker.listing import page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["OPERATIONS"]

_MOST = 50


def add_tags(region: Region, request: Json) -> Json:
    tags = _tags(region, request)
    added = {**tags, **{tag["Key"]: tag["Value"] for tag in request["Tags"]}}
    if len(added) > _MOST:
        raise invalid(f"A resource can have at most {_MOST} tags")
    tags.update(added)
    return {"Tags": _rows(tags)}


def list_tags(region: Region, request: Json) -> Json:
    return page(_rows(_tags(region, request)), {"MaxResults": _MOST, **request}, "Tags")


def delete_tags(region: Region, request: Json) -> Json:
    tags = _tags(region, request)
    for key in request["TagKeys"]:
        tags.pop(key, None)
    return {}


def _tags(region: Region, request: Json) -> dict[str, str]:
    arn = request["ResourceArn"]
    if arn not in region.tags:
        raise invalid(f"Could not find resource {arn}.")
    return region.tags[arn]


def _rows(tags: Mapping[str, str]) -> list[Json]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "AddTags": add_tags,
    "DeleteTags": delete_tags,
    "ListTags": list_tags,
}
