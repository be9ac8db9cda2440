"""What is paid: by prices that have a source and a date, or it is said that nobody knows."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import CloudError, InputError, PreflightError
from birdsod.estimator.sagemaker.hosting import Hosting
from birdsod.estimator.sagemaker.prices import (
    Estimate,
    Price,
    PriceTable,
    check_cost,
    estimate_hosting,
    estimate_training,
    estimate_tuning,
    spent,
)
from birdsod.estimator.sagemaker.quotas import quota_name
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.estimator.sagemaker.requests import TrainingPlan
from birdsod.estimator.sagemaker.validation import allowed_values

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "instance_type,region,use,usd_per_hour,source,as_of"
ROW = "ml.g4dn.xlarge,us-east-1,training,0.5,https://example.org,2026-09-28"


def table(tmp_path: Path, *rows: str, head: str = HEAD) -> PriceTable:
    path = tmp_path / "prices.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return PriceTable.read(path)


def plan(**changes: Any) -> TrainingPlan:
    given: dict[str, Any] = {
        "name": "j",
        "image": built_in_image("us-east-1"),
        "role": "r",
        "hyperparameters": {"num_classes": "2", "num_training_samples": "4140", "epochs": "100"},
        "channels": (),
        "output_uri": "s3://b/o",
        **changes,
    }
    return TrainingPlan(**given)


def test_every_shipped_price_has_a_source_and_a_date() -> None:
    rows = PriceTable.shipped().rows
    assert len(rows) >= 10
    assert all(row.source.startswith("https://") for row in rows)
    assert all(dt.date(2018, 1, 1) < row.as_of < dt.date(2027, 1, 1) for row in rows)
    assert all(0.01 < row.usd_per_hour < 200 for row in rows)
    assert len({(row.instance_type, row.region, row.use) for row in rows}) == len(rows)
    known = allowed_values("CreateTrainingJob", "ResourceConfig", "InstanceType")
    assert {row.instance_type for row in rows} <= set(known)


def test_an_unknown_price_is_none_not_zero() -> None:
    assert PriceTable.shipped().hourly("ml.g4dn.xlarge", "moon-1", "training") is None
    assert spent(3600, None) is None


def test_of_two_prices_the_later_counts(tmp_path: Path) -> None:
    prices = table(tmp_path, ROW, ROW.replace("0.5", "0.6").replace("2026", "2027"), ROW.replace("0.5", "0.7"))
    price = prices.hourly("ml.g4dn.xlarge", "us-east-1", "training")
    assert price is not None
    assert price.usd_per_hour == 0.6
    assert str(price) == (
        "$0.6 an hour for ml.g4dn.xlarge for training in us-east-1 (https://example.org, as of 2027-09-28)"
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace("0.5", "cheap"), "no number above 0"),
        (ROW.replace("0.5", "0"), "no number above 0"),
        (ROW.replace("0.5", "nan"), "no number above 0"),
        (ROW.replace("training", "renting"), "the use is unknown"),
        (ROW.replace("2026-09-28", "yesterday"), "as_of is no date"),
        (ROW.replace("https://example.org", " "), "the cell source is empty"),
        ("ml.g4dn.xlarge,us-east-1", "the cell use is empty"),
    ],
)
def test_a_row_at_fault_is_told_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        table(tmp_path, ROW, row)
    assert caught.value.line == 3
    assert caught.value.cure


def test_a_missing_column_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a column is missing") as caught:
        table(tmp_path, head="instance_type,region")
    assert (caught.value.line, caught.value.value) == (1, "use")
    (tmp_path / "prices.csv").write_text("")
    with pytest.raises(InputError, match="a column is missing"):
        PriceTable.read(tmp_path / "prices.csv")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        PriceTable.read(tmp_path / "none.csv")
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        PriceTable.read(tmp_path / "odd.csv")


def test_training_is_estimated_by_epochs_and_limited_by_time(tmp_path: Path) -> None:
    told = estimate_training(plan(), table(tmp_path, ROW))
    assert told.per_hour == 0.5
    assert told.expected == 0.5  # 414,000 images at 115 a second are an hour
    assert told.most == 2.0
    assert str(told).startswith("training on ml.g4dn.xlarge in us-east-1 for at most 4 hours: $0.500 an hour, about ")
    json.dumps(told.to_dict())


def test_every_machine_is_paid_for(tmp_path: Path) -> None:
    told = estimate_training(plan(instances=2, spot=True), table(tmp_path, ROW))
    assert (told.per_hour, told.expected, told.most) == (1.0, 0.5, 4.0)
    assert "2 x ml.g4dn.xlarge" in told.what
    assert "not discounted" in str(told)


def test_a_job_that_would_take_too_long_costs_its_limit(tmp_path: Path) -> None:
    told = estimate_training(plan(max_seconds=1800), table(tmp_path, ROW))
    assert (told.expected, told.most) == (0.25, 0.25)
    unknown = estimate_training(plan(hyperparameters={}), table(tmp_path, ROW))
    assert (unknown.expected, unknown.most) == (None, 2.0)


def test_a_job_without_a_price_says_so(tmp_path: Path) -> None:
    told = estimate_training(plan(), table(tmp_path, ROW), region="eu-west-1")
    assert told.price is None
    assert "no price known" in str(told)
    assert told.to_dict()["price"] is None
    nowhere = estimate_training(plan(image="birds:1"), table(tmp_path, ROW))
    assert "an unknown region" in nowhere.what


def test_hosting_is_estimated_by_the_hour(tmp_path: Path) -> None:
    prices = table(tmp_path, "ml.m5.large,us-east-1,hosting,2,https://example.org,2026-09-28")
    told = estimate_hosting(Hosting(instances=3), "us-east-1", prices, hours=2)
    assert (told.per_hour, told.expected, told.most) == (6.0, 12.0, 12.0)
    assert str(told).startswith("hosting on 3 x ml.m5.large in us-east-1: $6.00 an hour, about $12.00, at most $12.00")
    assert estimate_hosting(Hosting(), "us-east-1", prices).most is None
    assert estimate_hosting(Hosting(), "eu-west-1", prices).price is None
    assert "not by the hour" in str(estimate_hosting(Hosting(serverless_memory_mb=1024), "us-east-1", prices))


def test_what_may_cost_too_much_is_refused(tmp_path: Path) -> None:
    prices = table(tmp_path, ROW)
    told = estimate_training(plan(), prices)
    check_cost(told, None)
    check_cost(told, 2.0)
    with pytest.raises(PreflightError, match=r"may cost \$2\.00, max_cost is \$1\.00"):
        check_cost(told, 1.0)


def test_max_cost_refuses_what_it_cannot_know(tmp_path: Path) -> None:
    prices = table(tmp_path, ROW)
    with pytest.raises(PreflightError, match="the price is not known") as caught:
        check_cost(estimate_training(plan(), prices, region="eu-west-1"), 100.0)
    assert "prices=" in str(caught.value.cure)
    check_cost(estimate_training(plan(), prices, region="eu-west-1"), None)
    endless = Estimate("hosting", prices.rows[0], per_hour=1.0)
    with pytest.raises(PreflightError, match="nothing limits the time"):
        check_cost(endless, 100.0)


@pytest.mark.parametrize("amount", [0, -1, float("nan"), float("inf")])
def test_max_cost_is_an_amount(amount: float) -> None:
    with pytest.raises(PreflightError, match="no amount of dollars"):
        check_cost(Estimate("it", None), amount)


PRICE = Price("ml.g4dn.xlarge", "us-east-1", "training", 0.5, "https://example.org", dt.date(2026, 9, 28))


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.integers(1, 50))
def test_what_is_spent_grows_with_time_and_machines(first: float, second: float, instances: int) -> None:
    less, more = (spent(seconds, PRICE, instances=instances) for seconds in sorted((first, second)))
    assert less is not None
    assert more is not None
    assert 0 <= less <= more
    assert spent(3600, PRICE, instances=instances) == pytest.approx(0.5 * instances)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(CloudError, match="the time is negative"):
        spent(-1, PRICE)


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("training", "ml.g4dn.xlarge for training job usage"),
        ("tuning", "ml.g4dn.xlarge for training job usage"),
        ("spot training", "ml.g4dn.xlarge for spot training job usage"),
        ("endpoint", "ml.g4dn.xlarge for endpoint usage"),
        ("transform", "ml.g4dn.xlarge for transform job usage"),
    ],
)
def test_quotas_have_the_names_of_the_service(use: Any, name: str) -> None:
    assert quota_name("ml.g4dn.xlarge", use) == name


def test_tuning_costs_all_its_trials(tmp_path: Path) -> None:
    one = estimate_training(plan(), table(tmp_path, ROW))
    all_of_them = estimate_tuning(plan(), table(tmp_path, ROW), jobs=8)
    assert (one.expected, one.most) == (0.5, 2.0)
    assert (all_of_them.expected, all_of_them.most, all_of_them.per_hour) == (4.0, 16.0, 0.5)
    assert all_of_them.what.startswith("8 trials of training on ")
    assert estimate_tuning(plan(), table(tmp_path, ROW), jobs=8, region="eu-west-1").most is None
