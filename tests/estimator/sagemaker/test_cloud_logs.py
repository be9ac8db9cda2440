"""Every line of a log exactly once, however hard it is to read; real boto3 against a server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from birdsod import training_log
from birdsod.errors import CloudError
from birdsod.estimator.sagemaker.logs import TRAINING_JOBS, LogFollower, LogLine, read_logs
from birdsod.estimator.sagemaker.session import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from birdsod.testing import FakeSageMaker

FIRST, SECOND = "birds/algo-1-1763848000", "birds/algo-2-1763848000"


@pytest.fixture
def cloud(fake: FakeSageMaker) -> Cloud:
    session = fake.session()
    # One attempt a call, so that a refusal reaches the code that is tested here.
    inner: Any = session._session
    given = inner.get_default_client_config()
    once = Config(retries={"total_max_attempts": 1})
    inner.set_default_client_config(once if given is None else given.merge(once))
    return Cloud.of(session)


@pytest.fixture
def write(fake: FakeSageMaker) -> Callable[..., None]:
    """Write lines into a stream, at given moments or one a millisecond."""
    client = fake.session().client("logs")
    made: dict[str, int] = {}

    def put(stream: str, *texts: str, at: int | None = None) -> None:
        if not made:
            client.create_log_group(logGroupName=TRAINING_JOBS)
        if stream not in made:
            client.create_log_stream(logGroupName=TRAINING_JOBS, logStreamName=stream)
        start = made.get(stream, 1_763_848_000_000)
        rows = [
            {"timestamp": start + number if at is None else at, "message": text} for number, text in enumerate(texts)
        ]
        made[stream] = start + len(texts)
        for first in range(0, len(rows), 10_000):
            batch: Any = rows[first : first + 10_000]
            client.put_log_events(logGroupName=TRAINING_JOBS, logStreamName=stream, logEvents=batch)

    return put


def follower(cloud: Cloud) -> LogFollower:
    return LogFollower(cloud, TRAINING_JOBS, "birds/", poll_seconds=0)


def texts(lines: Iterator[LogLine]) -> list[str]:
    return [line.text for line in lines]


def asked(fake: FakeSageMaker, operation: str = "GetLogEvents") -> int:
    return sum(call.operation == operation for call in fake.calls)


def test_no_log_yet(cloud: Cloud) -> None:
    assert read_logs(cloud, "birds") == []
    assert list(follower(cloud).follow(lambda: True)) == []


def test_lines_know_their_stream_and_time(cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "starting", "done")
    assert read_logs(cloud, "birds") == [
        LogLine(FIRST, 1_763_848_000_000, "starting"),
        LogLine(FIRST, 1_763_848_000_001, "done"),
    ]


def test_other_jobs_are_not_read(cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "ours")
    write("birds-2/algo-1-1", "another's")
    assert [line.text for line in read_logs(cloud, "birds")] == ["ours"]


def test_fifty_thousand_lines_over_forty_pages(fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None]) -> None:
    fake.script_logs(page_size=1250, empty_pages=1)
    epochs = [training_log.map_line(number, 0.5) for number in range(500)]
    lines = [line for epoch in epochs for line in (epoch, *["Round of batches complete"] * 99)]
    write(FIRST, *lines)
    for after in (2, 17, 40):
        fake.fail("GetLogEvents", "ThrottlingException", after=after, times=2)
    found = texts(follower(cloud).follow(lambda: True))
    assert found == lines
    assert [event.epoch for event in training_log.events(found)] == list(range(500))
    assert asked(fake) > 80


def test_machines_are_merged_by_time(cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "a", at=1_763_848_000_001)
    write(SECOND, "b", at=1_763_848_000_002)
    write(FIRST, "c", at=1_763_848_000_003)
    assert [line.text for line in read_logs(cloud, "birds")] == ["a", "b", "c"]


def test_a_stream_that_comes_late_is_found(cloud: Cloud, write: Callable[..., None]) -> None:
    reader = follower(cloud)
    write(FIRST, "a")
    assert texts(reader.drain()) == ["a"]
    write(SECOND, "b")
    assert texts(reader.drain()) == ["b"]


def test_what_is_appended_is_read_once(cloud: Cloud, write: Callable[..., None]) -> None:
    reader = follower(cloud)
    steps = iter(range(5))

    def is_over() -> bool:
        number = next(steps)
        write(FIRST, f"step {number}")
        return number == 4

    assert texts(reader.follow(is_over)) == [f"step {number}" for number in range(5)]


def test_what_is_seen_only_after_the_end_is_read(fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None]) -> None:
    fake.fail("DescribeLogStreams", "ResourceNotFoundException", times=2)
    write(FIRST, "late")
    assert texts(follower(cloud).follow(lambda: True)) == ["late"]


def test_a_reader_that_was_left_loses_nothing(cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "a", "b", "c")
    reader = follower(cloud)
    assert next(reader.drain()).text == "a"
    assert texts(reader.drain()) == ["b", "c"]


def test_more_streams_than_a_page_names(cloud: Cloud, write: Callable[..., None]) -> None:
    streams = [f"birds/algo-{number}-1" for number in range(1, 56)]
    for stream in streams:
        write(stream, stream)
    assert sorted(line.text for line in read_logs(cloud, "birds")) == sorted(streams)


@pytest.mark.parametrize("moment", [None, 1_763_848_000_000])
def test_a_token_that_expired_doubles_nothing(
    fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None], moment: int | None
) -> None:
    fake.script_logs(page_size=3)
    lines = [f"line {number}" for number in range(10)]
    lines[4] = lines[5] = "twice"
    write(FIRST, *lines, at=moment)
    fake.fail("GetLogEvents", "InvalidParameterException", "The specified nextToken is expired.", after=2)
    assert texts(follower(cloud).drain()) == lines


def test_lines_of_an_earlier_moment_that_come_later(
    fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None]
) -> None:
    write(FIRST, "b", at=1_763_848_000_002)
    write(FIRST, "a", at=1_763_848_000_001)
    reader = follower(cloud)
    assert texts(reader.drain()) == ["b", "a"]
    fake.fail("GetLogEvents", "InvalidParameterException")
    write(FIRST, "c", at=1_763_848_000_003)
    assert texts(reader.drain()) == ["c"]


def test_a_token_that_expired_before_the_first_line(
    fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None]
) -> None:
    write(FIRST)
    reader = follower(cloud)
    assert texts(reader.drain()) == []
    write(FIRST, "at last")
    fake.fail("GetLogEvents", "InvalidParameterException")
    assert texts(reader.drain()) == ["at last"]


def test_a_refusal_that_no_token_explains(fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "a")
    fake.fail("GetLogEvents", "InvalidParameterException")
    with pytest.raises(CloudError, match="cannot read the log birds") as caught:
        list(follower(cloud).drain())
    assert caught.value.value == "InvalidParameterException"


def test_a_log_that_may_not_be_read(fake: FakeSageMaker, cloud: Cloud) -> None:
    fake.fail("DescribeLogStreams", "AccessDeniedException")
    with pytest.raises(CloudError, match="AccessDenied"):
        read_logs(cloud, "birds")


def test_a_stream_that_vanishes_ends(fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "a")
    fake.fail("GetLogEvents", "ResourceNotFoundException")
    reader = follower(cloud)
    assert texts(reader.drain()) == []
    assert texts(reader.drain()) == ["a"]


def test_expired_credentials_are_renewed(fake: FakeSageMaker, cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "a")
    before = cloud.logs
    fake.fail("GetLogEvents", "ExpiredTokenException")
    assert texts(follower(cloud).drain()) == ["a"]
    assert cloud.logs is not before


def test_an_event_of_several_lines_is_several_lines(cloud: Cloud, write: Callable[..., None]) -> None:
    write(FIRST, "Traceback:\n  in main\n", "\n", "end\r\n")
    assert [line.text for line in read_logs(cloud, "birds")] == ["Traceback:", "  in main", "", "end"]


def test_job_of_two_machines_is_followed_to_its_end(fake: FakeSageMaker, cloud: Cloud) -> None:
    fake.script_logs(page_size=7, empty_pages=2, late_lines=3, late_streams=2)
    for host in ("algo-1", "algo-2"):
        fake._here.region(fake.region).logs.write(
            TRAINING_JOBS, f"birds/{host}-1", [training_log.map_line(epoch, 0.5, host=host) for epoch in range(20)]
        )
    found = training_log.parse(texts(follower(cloud).follow(lambda: True)))
    assert sorted((event.host, event.epoch) for event in found) == [
        (host, epoch) for host in ("algo-1", "algo-2") for epoch in range(20)
    ]
