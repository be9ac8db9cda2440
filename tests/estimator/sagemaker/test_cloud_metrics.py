"""What logs tell: epochs once, restarts, skipped images, reasons of failures, and the bar that moves by them."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.std import tqdm

from birdsod import training_log as log
from birdsod.estimator.sagemaker.failures import failure_lines
from birdsod.estimator.sagemaker.metrics import Gauge, incidents, to_frame, to_long

if TYPE_CHECKING:
    from collections.abc import Iterable


def epoch(number: int, loss: float, *, host: str = "algo-1", batch: int = 9) -> list[str]:
    return [
        log.quality_line(number, batch, "cross_entropy", loss, host=host),
        log.quality_line(number, batch, "smooth_l1", loss / 2, host=host),
        log.map_line(number, 1 - loss, host=host),
        log.throughput_line(100 * loss, host=host),
        log.progress_line(10.0 * (number + 1), host=host),
    ]


def joined(parts: Iterable[list[str]]) -> list[str]:
    return [line for part in parts for line in part]


def as_rows(lines: list[str]) -> list[tuple[float, ...]]:
    return [tuple(row) for row in to_frame(lines).itertuples(index=False)]


def test_an_empty_log_has_the_same_columns() -> None:
    assert list(to_frame([])) == list(log.to_frame([])) == ["epoch", "cross_entropy", "smooth_l1", "map", "throughput"]
    assert list(to_long([])) == ["epoch", "metric", "host", "value"]
    assert incidents([]) == []


@given(st.lists(st.floats(0.001, 1), max_size=6), st.integers(1, 3))
def test_an_undisturbed_job_reads_as_on_the_local_engine(losses: list[float], hosts: int) -> None:
    lines = joined(
        epoch(number, loss, host=f"algo-{host + 1}") for number, loss in enumerate(losses) for host in range(hosts)
    )
    assert to_frame(lines).equals(log.to_frame(lines))
    assert incidents(lines) == []


def test_gaps_stay_gaps() -> None:
    lines = [log.map_line(0, 0.1), log.quality_line(2, 9, "smooth_l1", 0.5), log.map_line(4, 0.3)]
    frame = to_frame(lines)
    assert frame["epoch"].tolist() == [0, 2, 4]
    assert frame["map"].isna().tolist() == [False, True, False]


def test_epochs_done_again_appear_once_and_the_last_wins() -> None:
    lines = joined([epoch(0, 0.9), epoch(1, 0.8), epoch(2, 0.7), epoch(1, 0.5), epoch(2, 0.4), epoch(3, 0.3)])
    assert [(row[0], row[1]) for row in as_rows(lines)] == [(0, 0.9), (1, 0.5), (2, 0.4), (3, 0.3)]
    (told,) = incidents(lines)
    assert (told.kind, told.line, told.host) == ("restart", 16, "algo-1")
    assert "went on from epoch 1 again" in told.message


def test_what_the_lost_run_told_does_not_linger() -> None:
    lines = [*joined([epoch(0, 0.9), epoch(1, 0.8), epoch(2, 0.7)]), log.quality_line(1, 3, "smooth_l1", 0.2)]
    rows = as_rows(lines)
    assert [row[0] for row in rows] == [0, 1]
    assert math.isnan(rows[1][3])


def test_an_epoch_that_was_interrupted_in_its_midst() -> None:
    again = joined([epoch(0, 0.9), epoch(1, 0.8, batch=5), epoch(1, 0.6, batch=5)])
    assert [incident.line for incident in incidents(again)] == [11]
    on = [log.quality_line(0, batch, "smooth_l1", 0.5) for batch in (3, 6, 9)]
    assert incidents(on) == []


def test_each_host_restarts_for_itself() -> None:
    lines = joined(
        [
            epoch(0, 0.8, host="algo-1"),
            epoch(0, 0.4, host="algo-2"),
            epoch(1, 0.6, host="algo-1"),
            epoch(0, 0.2, host="algo-2"),
        ]
    )
    assert [round(row[1], 6) for row in as_rows(lines)] == [0.5, 0.6]
    assert [incident.host for incident in incidents(lines)] == ["algo-2"]


def test_the_long_form_keeps_hosts_and_progress() -> None:
    frame = to_long([*epoch(0, 0.5), log.map_line(0, 0.7, host="algo-2"), log.progress_line(1.0, host="algo-3")])
    rows = [tuple(row) for row in frame.itertuples(index=False)]
    assert rows == [
        (0, "train:cross_entropy", "algo-1", 0.5),
        (0, "train:progress", "algo-1", 10.0),
        (0, "train:smooth_l1", "algo-1", 0.25),
        (0, "train:throughput", "algo-1", 50.0),
        (0, "validation:mAP", "algo-1", 0.5),
        (0, "validation:mAP", "algo-2", 0.7),
    ]


def test_skipped_images_are_told() -> None:
    line = log.stamped("Expected number of batches: 1932, did not match the number of batches processed: 616")
    (told,) = incidents(["first", line])
    assert (told.kind, told.line) == ("images skipped", 2)
    assert told.message.startswith("1316 of 1932 batches were missing")


# log -> (reason, lines that are given)
FAILURES: dict[str, tuple[list[str], str, int]] = {
    "the algorithm's own": (
        ["reading", "", "[08/27/2018 06:07:55 ERROR 14] Customer Error: label_width is too small", "bye"],
        "Customer Error: label_width is too small",
        2,
    ),
    "a traceback": (
        [
            "a",
            "Traceback (most recent call last):",
            '  File "train.py", line 3',
            "    go()",
            "mxnet.base.MXNetError: no",
        ],
        "mxnet.base.MXNetError: no",
        4,
    ),
    "a traceback, chained": (
        [
            "Traceback (most recent call last):",
            "  x",
            "KeyError: 1",
            "Traceback (most recent call last):",
            "  y",
            "ValueError",
        ],
        "ValueError",
        3,
    ),
    "a traceback that breaks off": (["Traceback (most recent call last):", "  in main", " "], "in main", 3),
    "a traceback that ends otherwise": (["Traceback (most recent call last):", "  x", "killed", "b"], "killed", 3),
    "a line marked as an error": (
        ["a", "[08/27/2018 06:07:55 ERROR 14] out of disk", "[08/27/2018 06:07:56 INFO 14] ERROR handling done"],
        "out of disk",
        2,
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_has_the_algorithms_reason(case: str) -> None:
    lines, reason, given_lines = FAILURES[case]
    told = failure_lines(lines)
    assert told is not None
    assert told.reason == reason
    assert len(told.lines) == given_lines


def test_lines_before_the_reason_are_bounded() -> None:
    lines = [*(f"line {number}" for number in range(100)), log.error_line("no images")]
    told = failure_lines(lines)
    assert told is not None
    assert told.lines == (*(f"line {number}" for number in range(90, 100)), "Customer Error: no images")
    assert failure_lines(lines, before=0).lines == ("Customer Error: no images",)  # type: ignore[union-attr] # it is told


def test_a_long_traceback_is_shortened_in_its_midst() -> None:
    told = failure_lines(["Traceback (most recent call last):", *(["  deeper"] * 500), "RecursionError: too deep"])
    assert told is not None
    assert told.reason == "RecursionError: too deep"
    assert len(told.lines) == 41
    assert told.lines[20] == "..."


def test_a_log_without_a_reason() -> None:
    assert failure_lines([]) is None
    assert failure_lines(["all is well", log.map_line(0, 0.5)]) is None


def gauge() -> tuple[Gauge, Any]:
    progress: Any = tqdm(total=100, file=io.StringIO(), mininterval=0)
    return Gauge(progress), progress


def test_the_bar_shows_losses_and_quality() -> None:
    take, progress = gauge()
    for line in epoch(4, 0.25):
        take(line)
    assert progress.n == 50
    assert "cross_entropy=0.250, epoch=4, smooth_l1=0.125, mAP=0.750" in progress.postfix


def test_the_bar_moves_by_epochs_where_no_progress_is_told() -> None:
    take, progress = gauge()
    take(log.map_line(0, 0.5))
    assert progress.n == 0
    take("[INFO] Final configuration: {u'base_network': u'resnet-50', u'epochs': u'4'}")
    take(log.map_line(1, 0.5))
    assert progress.n == 50
    take(log.progress_line(60.0))
    take(log.map_line(3, 0.5))
    assert progress.n == 60


def test_the_bar_shows_the_slowest_machine_and_goes_back_with_it() -> None:
    take, progress = gauge()
    for value, host in (
        (40.0, "algo-1"),
        (30.0, "algo-2"),
        (float("nan"), "algo-1"),
        (10.0, "algo-2"),
        (400.0, "algo-1"),
    ):
        take(log.progress_line(value, host=host))
    assert progress.n == 10


def test_the_configuration_is_read_as_it_is_written() -> None:
    take, progress = gauge()
    take(log.stamped(log.configuration_line({"epochs": "8", "early_stopping_min_epochs": "10"})))
    take(log.map_line(3, 0.5))
    assert progress.n == 50
