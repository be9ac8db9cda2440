"""Names that the service takes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.estimator.sagemaker.names import JOB_NAME_LIMIT, TUNING_NAME_LIMIT, is_name, unique_name

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@given(st.text(max_size=100), st.sampled_from([TUNING_NAME_LIMIT, JOB_NAME_LIMIT]))
def test_every_prefix_gives_a_name_of_the_service(prefix: str, limit: int) -> None:
    name = unique_name(prefix, limit=limit, now=NOON)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
    assert len(name) <= limit
    assert is_name(name, limit=limit)


def test_a_job_is_named_after_its_second_in_utc() -> None:
    eastern = NOON.astimezone(timezone(timedelta(hours=9)))
    assert re.fullmatch(r"birdsod-20261122-120000-[a-z0-9]{4}", unique_name("birdsod", now=eastern))


def test_names_of_one_second_differ() -> None:
    assert len({unique_name("birdsod", now=NOON) for _ in range(50)}) > 40


def test_the_present_moment_is_the_default() -> None:
    assert unique_name("a")[2:6] == f"{datetime.now(UTC):%Y}"


@pytest.mark.parametrize("text", ["", "-a", "a-", "a_b", "a" * 64, "a b", "ä"])
def test_what_is_no_name(text: str) -> None:
    assert not is_name(text)
