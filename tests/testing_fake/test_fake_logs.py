"""Logs of the fake cloud, through boto3: pages, empty pages, repeated tokens, what comes late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from birdsod.testing import FakeSageMaker
    from tests.testing_fake.conftest import Account

GROUP = "/aws/sagemaker/TrainingJobs"


def write(account: Account, stream: str, count: int) -> None:
    events = [{"timestamp": 1_700_000_000_000 + number, "message": f"line {number}"} for number in range(count)]
    groups = [row["logGroupName"] for row in account.logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]]
    if not groups:
        account.logs.create_log_group(logGroupName=GROUP)
    account.logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    if events:
        account.logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def page(account: Account, stream: str = "birds/algo-1", **more: Any) -> Any:
    return account.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, **more)


def forward(account: Account, stream: str = "birds/algo-1") -> list[list[str]]:
    """Read forward until the token repeats itself; return the lines of each page."""
    pages: list[list[str]] = []
    told = page(account, stream, startFromHead=True)
    while True:
        pages.append([event["message"] for event in told["events"]])
        token = told["nextForwardToken"]
        told = page(account, stream, startFromHead=True, nextToken=token)
        if told["nextForwardToken"] == token and not told["events"]:
            return pages
        assert len(pages) < 100


def test_a_stream_is_read_to_its_end_where_the_token_repeats(account: Account, fake: FakeSageMaker) -> None:
    write(account, "birds/algo-1", 25)
    fake.script_logs(page_size=10)
    assert [len(lines) for lines in forward(account)] == [10, 10, 5]
    assert [line for lines in forward(account) for line in lines] == [f"line {number}" for number in range(25)]
    assert [len(page(account, startFromHead=True, limit=3)["events"])] == [3]


def test_pages_may_be_empty_before_the_end(account: Account, fake: FakeSageMaker) -> None:
    write(account, "birds/algo-1", 25)
    fake.script_logs(page_size=10, empty_pages=2)
    assert [len(lines) for lines in forward(account)] == [0, 0, 10, 0, 0, 10, 0, 0, 5]


def test_the_end_is_read_without_a_start(account: Account, fake: FakeSageMaker) -> None:
    write(account, "birds/algo-1", 25)
    fake.script_logs(page_size=10)
    last = page(account)
    assert [event["message"] for event in last["events"]] == [f"line {number}" for number in range(15, 25)]
    before = page(account, nextToken=last["nextBackwardToken"])
    assert before["events"][0]["message"] == "line 5"
    assert page(account, nextToken=last["nextForwardToken"])["events"] == []


def test_times_choose_events(account: Account) -> None:
    write(account, "birds/algo-1", 25)
    chosen = page(account, startFromHead=True, startTime=1_700_000_000_010, endTime=1_700_000_000_013)["events"]
    assert [event["message"] for event in chosen] == ["line 10", "line 11", "line 12"]


def test_the_last_lines_may_come_late(account: Account, fake: FakeSageMaker) -> None:
    fake.script_logs(late_lines=3)
    account.train()
    stream = "birds-1/algo-1-1700000000"
    first = page(account, stream, startFromHead=True)
    assert len(first["events"]) == 20
    assert page(account, stream, startFromHead=True, nextToken=first["nextForwardToken"])["events"] == []
    assert len(page(account, stream, startFromHead=True, nextToken=first["nextForwardToken"])["events"]) == 3


def test_streams_of_further_hosts_may_come_late(account: Account, fake: FakeSageMaker) -> None:
    fake.script_logs(late_streams=2)
    fake.script_training(hosts=3)
    account.train()

    def streams() -> list[str]:
        rows = account.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="birds-1/")["logStreams"]
        return [row["logStreamName"].partition("-17")[0] for row in rows]

    with pytest.raises(ClientError, match="log stream does not exist"):
        page(account, "birds-1/algo-2-1700000000")
    assert streams() == ["birds-1/algo-1"]
    assert streams() == ["birds-1/algo-1"]
    assert streams() == ["birds-1/algo-1", "birds-1/algo-2", "birds-1/algo-3"]
    assert len(page(account, "birds-1/algo-2-1700000000", startFromHead=True)["events"]) == 23


def test_streams_are_listed_by_prefix_and_page(account: Account) -> None:
    for number in range(3):
        write(account, f"birds/algo-{number}", number)
    write(account, "fish/algo-1", 1)
    ask = account.logs.describe_log_streams
    first = ask(logGroupName=GROUP, logStreamNamePrefix="birds/", limit=2)
    assert [row["logStreamName"] for row in first["logStreams"]] == ["birds/algo-0", "birds/algo-1"]
    assert "firstEventTimestamp" not in first["logStreams"][0]
    assert first["logStreams"][1]["lastEventTimestamp"] == 1_700_000_000_000
    second = ask(logGroupName=GROUP, logStreamNamePrefix="birds/", limit=2, nextToken=first["nextToken"])
    assert [row["logStreamName"] for row in second["logStreams"]] == ["birds/algo-2"]
    assert "nextToken" not in second
    assert ask(logGroupName=GROUP, descending=True)["logStreams"][0]["logStreamName"] == "fish/algo-1"


def test_events_of_several_streams_are_filtered(account: Account, fake: FakeSageMaker) -> None:
    write(account, "birds/algo-1", 12)
    write(account, "birds/algo-2", 2)
    write(account, "fish/algo-1", 2)
    fake.script_logs(page_size=5, empty_pages=1)
    pages = account.logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNamePrefix="birds/")
    found = [[event["message"] for event in part["events"]] for part in pages]
    assert [len(part) for part in found] == [0, 5, 0, 5, 0, 4]
    named = account.logs.filter_log_events(logGroupName=GROUP, logStreamNames=["fish/algo-1"], filterPattern='"line 1"')
    assert named["events"] == []
    named = account.logs.filter_log_events(
        logGroupName=GROUP, logStreamNames=["fish/algo-1"], filterPattern='"line 1"', nextToken="f/0/1"
    )
    assert [event["message"] for event in named["events"]] == ["line 1"]


def test_what_is_not_there_is_told(account: Account) -> None:
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*The specified log group does not exist\."):
        page(account)
    write(account, "birds/algo-1", 1)
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*The specified log stream does not exist\."):
        page(account, "birds/algo-2")
    with pytest.raises(ClientError, match="ResourceAlreadyExistsException"):
        account.logs.create_log_group(logGroupName=GROUP)
    with pytest.raises(ClientError, match="ResourceAlreadyExistsException"):
        account.logs.create_log_stream(logGroupName=GROUP, logStreamName="birds/algo-1")


@pytest.mark.parametrize("token", ["nothing", "f/1", "x/1/1", "f/a/1", "f/1/a"])
def test_tokens_are_ours(account: Account, token: str) -> None:
    write(account, "birds/algo-1", 1)
    with pytest.raises(ClientError, match=r"InvalidParameterException.*nextToken is invalid"):
        page(account, nextToken=token)
    with pytest.raises(ClientError, match="InvalidParameterException"):
        account.logs.describe_log_streams(logGroupName=GROUP, nextToken=token)
