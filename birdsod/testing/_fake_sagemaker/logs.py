"""CloudWatch Logs as far as jobs are read with it, with its pages, its empty pages and its repeated tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.log_store import Event, Stream
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["OPERATIONS"]

_MOST_EVENTS = 10_000
_MOST_STREAMS = 50


def describe_log_streams(region: Region, request: Json) -> Json:
    group = _group(region, request)
    rows = []
    for stream in list(group.values()):
        if not stream.name.startswith(request.get("logStreamNamePrefix", "")):
            continue
        if stream.hidden_looks:
            stream.hidden_looks -= 1
        else:
            rows.append(_stream_row(region, request, stream))
    rows.sort(key=lambda row: row["logStreamName"], reverse=request.get("descending", False))
    start, most = _offset(request.get("nextToken"), "s"), request.get("limit", _MOST_STREAMS)
    more = {"nextToken": f"s/{start + most}"} if start + most < len(rows) else {}
    return {"logStreams": rows[start : start + most], **more}


def describe_log_groups(region: Region, request: Json) -> Json:
    prefix = request.get("logGroupNamePrefix", "")
    names = sorted(name for name in region.logs.groups if name.startswith(prefix))
    return {"logGroups": [{"logGroupName": name, "arn": _arn(region, name)} for name in names]}


def get_log_events(region: Region, request: Json) -> Json:
    """Answer one page; as in the service a page may be empty before the end, and the last token repeats itself."""
    stream = _stream(region, request)
    script = region.world.scripts.logs
    size = min(request.get("limit", _MOST_EVENTS), script.page_size)
    seen = _chosen(stream.events[: max(0, len(stream.events) - stream.late)], request)
    token = request.get("nextToken")
    if token is None and not request.get("startFromHead", False):
        place, empty = max(0, len(seen) - size), 0
    else:
        place, empty = _place(token)
    if token is not None and token.startswith("b/"):
        rows, forward = seen[max(0, place - size) : place], place
        return _page(rows, f"f/{forward}/0", f"b/{max(0, place - size)}/0")
    if empty < script.empty_pages and place < len(seen):
        return _page([], f"f/{place}/{empty + 1}", f"b/{place}/0")
    rows = seen[place : place + size]
    if not rows:
        # Whoever read to here once more finds what came late.
        stream.late = 0
    return _page(rows, f"f/{place + len(rows)}/{0 if rows else empty}", f"b/{place}/0")


def filter_log_events(region: Region, request: Json) -> Json:
    group = _group(region, request)
    prefix, named = request.get("logStreamNamePrefix", ""), request.get("logStreamNames")
    streams = [
        stream
        for stream in group.values()
        if stream.name.startswith(prefix) and (named is None or stream.name in named) and not stream.hidden_looks
    ]
    pattern = request.get("filterPattern", "").strip('"')
    rows = [
        {**_row(event), "logStreamName": stream.name, "eventId": f"{stream.name}:{number}"}
        for stream in streams
        for number, event in enumerate(_chosen(stream.events, request))
        if pattern in event.message
    ]
    rows.sort(key=lambda row: (row["timestamp"], row["logStreamName"]))
    start, empty = _place(request.get("nextToken"))
    script = region.world.scripts.logs
    size = min(request.get("limit", _MOST_EVENTS), script.page_size)
    if empty < script.empty_pages and start < len(rows):
        return {"events": [], "searchedLogStreams": [], "nextToken": f"f/{start}/{empty + 1}"}
    more = {"nextToken": f"f/{start + size}/0"} if start + size < len(rows) else {}
    return {"events": rows[start : start + size], "searchedLogStreams": [], **more}


def create_log_group(region: Region, request: Json) -> Json:
    if request["logGroupName"] in region.logs.groups:
        raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
    region.logs.groups[request["logGroupName"]] = {}
    return {}


def create_log_stream(region: Region, request: Json) -> Json:
    if request["logStreamName"] in _group(region, request):
        raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")
    region.logs.write(request["logGroupName"], request["logStreamName"], [])
    return {}


def put_log_events(region: Region, request: Json) -> Json:
    from birdsod.testing._fake_sagemaker.log_store import Event

    stream = _stream(region, request)
    stream.events += [Event(row["timestamp"], row["message"]) for row in request["logEvents"]]
    return {"nextSequenceToken": str(len(stream.events))}


def _group(region: Region, request: Json) -> dict[str, Stream]:
    name = request.get("logGroupName") or request.get("logGroupIdentifier", "")
    if name not in region.logs.groups:
        raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
    return region.logs.groups[name]


def _stream(region: Region, request: Json) -> Stream:
    group = _group(region, request)
    stream = group.get(request["logStreamName"])
    if stream is None or stream.hidden_looks:
        raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
    return stream


def _stream_row(region: Region, request: Json, stream: Stream) -> Json:
    times = [event.timestamp for event in stream.events]
    known = {"firstEventTimestamp": min(times), "lastEventTimestamp": max(times)} if times else {}
    arn = f"{_arn(region, request.get('logGroupName', ''))}:log-stream:{stream.name}"
    return {"logStreamName": stream.name, "creationTime": stream.created, "arn": arn, **known}


def _arn(region: Region, group: str) -> str:
    return f"arn:aws:logs:{region.name}:{region.world.account}:log-group:{group}"


def _chosen(events: list[Event], request: Json) -> list[Event]:
    start, end = request.get("startTime", 0), request.get("endTime", float("inf"))
    return [event for event in events if start <= event.timestamp < end]


def _place(token: str | None) -> tuple[int, int]:
    """Return the offset of a token, and how many empty pages were answered there."""
    if token is None:
        return 0, 0
    cells = token.split("/")
    if len(cells) != 3 or cells[0] not in "fb" or not (cells[1].isdecimal() and cells[2].isdecimal()):  # noqa: PLR2004
        raise _bad_token()
    return int(cells[1]), int(cells[2])


def _offset(token: str | None, kind: str) -> int:
    if token is None:
        return 0
    found, _, number = token.partition("/")
    if found != kind or not number.isdecimal():
        raise _bad_token()
    return int(number)


def _bad_token() -> ServiceError:
    return ServiceError("InvalidParameterException", "The specified nextToken is invalid.")


def _row(event: Event) -> Json:
    return {"timestamp": event.timestamp, "message": event.message, "ingestionTime": event.timestamp}


def _page(events: list[Event], forward: str, backward: str) -> Json:
    return {
        "events": [_row(event) for event in events],
        "nextForwardToken": forward,
        "nextBackwardToken": backward,
    }


OPERATIONS: Mapping[str, Callable[[Region, Json], Json]] = {
    "CreateLogGroup": create_log_group,
    "CreateLogStream": create_log_stream,
    "DescribeLogGroups": describe_log_groups,
    "DescribeLogStreams": describe_log_streams,
    "FilterLogEvents": filter_log_events,
    "GetLogEvents": get_log_events,
    "PutLogEvents": put_log_events,
}
