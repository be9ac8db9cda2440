from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod import training_log as log
from birdsod.training_log import Event, Kind

numbers = st.floats() | st.integers(0, 100).map(float)
hosts = st.from_regex(r"algo-[1-9]\d?", fullmatch=True)
counts = st.integers(0, 10**6)


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def only(line: str) -> Event:
    (event,) = log.parse([line])
    return event


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("train:progress", log.progress_line(12.5)),
        ("train:smooth_l1", log.quality_line(3, 9, "smooth_l1", 0.5)),
        ("train:cross_entropy", log.quality_line(3, 9, "cross_entropy", 0.5)),
        ("train:throughput", log.throughput_line(115.2)),
        ("validation:mAP", log.map_line(3, 0.25)),
    ],
)
def test_sagemaker_finds_each_line_by_its_own_definition_and_by_no_other(name: str, line: str) -> None:
    found = [key for key, pattern in log.METRIC_DEFINITIONS.items() if re.search(pattern, log.stamped(line))]
    assert found == [name]


def test_sagemaker_reads_a_bare_number_from_the_map_line() -> None:
    found = re.search(log.METRIC_DEFINITIONS["validation:mAP"], log.map_line(0, 0.0123))
    assert found
    assert found[1] == "0.0123"


@given(epoch=counts, batch=counts, value=numbers, host=hosts, name=st.sampled_from(["cross_entropy", "smooth_l1"]))
def test_a_loss_line_and_back(epoch: int, batch: int, value: float, host: str, name: str) -> None:
    event = only(log.stamped(log.quality_line(epoch, batch, name, value, host=host)))
    assert (event.kind, event.epoch, event.batch, event.host) == (f"train:{name}", epoch, batch, host)
    assert same(event.value, value)


@given(epoch=counts, value=numbers, host=hosts)
def test_a_map_line_and_back(epoch: int, value: float, host: str) -> None:
    event = only(log.map_line(epoch, value, host=host))
    assert (event.kind, event.epoch, event.batch, event.host) == (Kind.MAP, epoch, None, host)
    assert same(event.value, value)


@given(value=numbers, host=hosts)
def test_throughput_progress_and_best_lines_and_back(value: float, host: str) -> None:
    lines = [log.throughput_line(value, host=host), log.progress_line(value, host=host), log.best_line(value)]
    found = log.parse(lines)
    assert [event.kind for event in found] == [Kind.THROUGHPUT, Kind.PROGRESS, Kind.BEST]
    assert [event.line for event in found] == [1, 2, 3]
    assert all(same(event.value, value) for event in found)


@given(st.text())
def test_any_text_is_passed_over_or_read(text: str) -> None:
    assert all(isinstance(event, Event) for event in log.parse([text]))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("#quality_metric: host=algo-1, epoch=0, batch=9 train cross_entropy <loss>=0.81", 0.81),
        ("#quality_metric: host=algo-1, epoch=0, batch=9 train cross_entropy <loss>=(8.1e-05)", 8.1e-05),
        ("#quality_metric: host=algo-2, epoch=0, batch=9 train smooth_l1 <loss>=(nan)", math.nan),
        ("#quality_metric: host=algo-2, epoch=0, batch=9 train smooth_l1 <loss>=-inf", -math.inf),
        ("#quality_metric: host=algo-1, epoch=0, validation mAP <score>=0.5", 0.5),
        ("#quality_metric: host=algo-1, epoch=0, validation mAP <score>=(.5)", 0.5),
        ("#throughput_metric: host=algo-1, train throughput=(115.) records/second", 115.0),
        ("[08/27/2018 06:07:55 INFO 14002] #progress_metric: host=algo-1, completed 3 % of epochs", 3.0),
        ("Updating the best model with validation-mAP=1.6e-05", 1.6e-05),
    ],
)
def test_other_spellings(line: str, value: float) -> None:
    assert same(only(line).value, value)


@pytest.mark.parametrize(
    "line",
    [
        "Reading default/provided configuration ...",
        "#quality_metric: host=algo-1, epoch=0, validation mAP <score>=(abc)",
        "#quality_metric: host=algo-1, epoch=x, validation mAP <score>=(0.5)",
        '#metrics {"Metrics": {"epochs": {"count": 1}}}',
        "Test data is not provided.",
    ],
)
def test_lines_that_tell_nothing(line: str) -> None:
    assert log.parse([line]) == []


def test_an_error_is_kept_with_its_text() -> None:
    event = only(log.stamped(log.error_line("the loss\nis not finite"), level="ERROR"))
    assert (event.kind, event.text) == (Kind.ERROR, "Customer Error: the loss is not finite")
    assert math.isnan(event.value)


def test_one_row_an_epoch() -> None:
    lines = [
        log.throughput_line(1.0),  # before any epoch: nobody's
        log.quality_line(0, 5, "cross_entropy", 2.0),
        log.quality_line(0, 9, "cross_entropy", 1.0),
        log.quality_line(0, 9, "smooth_l1", 0.5),
        log.best_line(0.25),
        log.map_line(0, 0.25),
        log.throughput_line(10.0),
        log.quality_line(1, 9, "cross_entropy", 0.75),
        log.throughput_line(20.0),
    ]
    frame = log.to_frame(lines)
    assert list(frame.columns) == ["epoch", "cross_entropy", "smooth_l1", "map", "throughput"]
    assert frame["epoch"].tolist() == [0, 1]
    assert frame.iloc[0].tolist() == [0, 1.0, 0.5, 0.25, 10.0]
    assert frame["cross_entropy"].tolist() == [1.0, 0.75]
    assert frame["throughput"].tolist() == [10.0, 20.0]
    assert frame["map"].isna().tolist() == [False, True]


def test_hosts_are_averaged() -> None:
    lines = [log.quality_line(0, 9, "smooth_l1", value, host=f"algo-{value:.0f}") for value in (1.0, 2.0)]
    lines += [log.throughput_line(8.0, host="algo-1")]
    assert log.to_frame(lines)["smooth_l1"].tolist() == [1.5]
    assert log.to_frame(lines)["throughput"].tolist() == [8.0]


def test_an_empty_log_is_an_empty_frame() -> None:
    frame = log.to_frame([])
    assert len(frame) == 0
    assert frame["epoch"].dtype == "int64"
    assert frame["map"].dtype == "float64"


def test_the_stamp_is_the_containers() -> None:
    when = datetime(2018, 8, 27, 6, 7, 55, tzinfo=UTC)
    assert log.stamped("x", when=when, level="ERROR", thread=3) == "[08/27/2018 06:07:55 ERROR 3] x"
    assert re.match(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d INFO 0\] x", log.stamped("x"))


def test_the_other_lines() -> None:
    assert log.checkpoint_line("c") == 'Saved checkpoint to "c"'
    assert log.batches_line(0, 0, 0, 0.0).endswith("0.0 samples/sec, epoch time so far:  0:00:00")
