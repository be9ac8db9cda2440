"""What training and hosting cost, as far as it is known, before and while it is paid for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from birdsod.errors import CloudError, PreflightError
from birdsod.estimator.sagemaker.preflight_plan import expected_seconds
from birdsod.estimator.sagemaker.price_table import Price, PriceTable
from birdsod.estimator.sagemaker.regions import image_region

if TYPE_CHECKING:
    from birdsod.estimator.sagemaker.hosting import Hosting
    from birdsod.estimator.sagemaker.requests import TrainingPlan

__all__ = [
    "Estimate",
    "Price",
    "PriceTable",
    "check_cost",
    "estimate_hosting",
    "estimate_training",
    "estimate_tuning",
    "spent",
]

_HOUR = 3600
_NO_PRICE = (
    "give prices=PriceTable.read('prices.csv') with a row for it; Amazon's are at aws.amazon.com/sagemaker/pricing"
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What something will cost, as far as it can be told.

    Parameters
    ----------
    what : str
        What it is about.
    price : Price or None
        What it is reckoned with; None: nobody told.
    expected : float or None
        Dollars, if it takes as long as it should; None where that is not known.
    most : float or None
        Dollars at most, by the limit of time; None where there is no price, or no limit.
    per_hour : float or None
        Dollars an hour while it runs.
    notes : tuple of str
        What is not in the numbers.
    """

    what: str
    price: Price | None
    expected: float | None = None
    most: float | None = None
    per_hour: float | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values that JSON can hold.

        Returns
        -------
        dict
        """
        return {
            "what": self.what,
            "price": None if self.price is None else str(self.price),
            "expected": self.expected,
            "most": self.most,
            "per_hour": self.per_hour,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        if self.price is None:
            return "; ".join([f"{self.what}: no price known", *self.notes])
        parts = [] if self.per_hour is None else [f"{_dollars(self.per_hour)} an hour"]
        parts += [] if self.expected is None else [f"about {_dollars(self.expected)}"]
        parts += [] if self.most is None else [f"at most {_dollars(self.most)}"]
        return "; ".join([f"{self.what}: {', '.join(parts)}", f"reckoned with {self.price}", *self.notes])


def estimate_training(plan: TrainingPlan, prices: PriceTable, *, region: str | None = None) -> Estimate:
    """Return what a training job will cost.

    Parameters
    ----------
    plan : TrainingPlan
        The job.
    prices : PriceTable
        What an hour costs.
    region : str, optional
        Where it is to run; by default where its container lies.

    Returns
    -------
    Estimate
        At most: the limit of time on every machine. Spot training is billed at less, how much less is known only
        afterwards; the numbers are those without it.

    Examples
    --------
    >>> from birdsod.estimator.sagemaker.requests import TrainingPlan
    >>> plan = TrainingPlan(name="j", image="i", role="r", hyperparameters={}, channels=(), output_uri="s3://b/o")
    >>> estimate_training(plan, PriceTable.shipped(), region="eu-west-1").most
    3.288
    """
    region = region or image_region(plan.image) or "an unknown region"
    machines = "" if plan.instances == 1 else f"{plan.instances} x "
    what = f"training on {machines}{plan.instance_type} in {region} for at most {plan.max_seconds / _HOUR:g} hours"
    price = prices.hourly(plan.instance_type, region, "training")
    if price is None:
        return Estimate(what, None, notes=(_NO_PRICE,))
    per_hour = price.usd_per_hour * plan.instances
    seconds = expected_seconds(plan)
    expected = None if seconds is None else min(seconds, plan.max_seconds) / _HOUR * per_hour
    notes = ["storage and traffic not counted"]
    if expected is not None:
        notes.append("what is expected is a rough guide, without the minutes of starting up")
    if plan.spot:
        notes.append("spot training costs less, it is not discounted here")
    return Estimate(what, price, expected, plan.max_seconds / _HOUR * per_hour, per_hour, tuple(notes))


def estimate_tuning(plan: TrainingPlan, prices: PriceTable, *, jobs: int, region: str | None = None) -> Estimate:
    """Return what a tuning job will cost: that of its trials.

    Parameters
    ----------
    plan : TrainingPlan
        One of its trials.
    prices : PriceTable
        What an hour costs.
    jobs : int
        How many trials there are; how many run at a time does not matter.
    region : str, optional
        Where they are to run; by default where the container lies.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> from birdsod.estimator.sagemaker.requests import TrainingPlan
    >>> plan = TrainingPlan(name="j", image="i", role="r", hyperparameters={}, channels=(), output_uri="s3://b/o")
    >>> round(estimate_tuning(plan, PriceTable.shipped(), jobs=8, region="eu-west-1").most, 2)
    26.3
    """
    one = estimate_training(plan, prices, region=region)
    return replace(
        one, what=f"{jobs} trials of {one.what} each", expected=_times(one.expected, jobs), most=_times(one.most, jobs)
    )


def _times(amount: float | None, jobs: int) -> float | None:
    return None if amount is None else amount * jobs


def estimate_hosting(hosting: Hosting, region: str, prices: PriceTable, *, hours: float | None = None) -> Estimate:
    """Return what an endpoint costs while it is there.

    Parameters
    ----------
    hosting : Hosting
        How the model is hosted.
    region : str
        Where.
    prices : PriceTable
        What an hour costs.
    hours : float, optional
        How long it is to stay; without, only the price of an hour is told.

    Returns
    -------
    Estimate
    """
    if hosting.serverless_memory_mb is not None:
        what = f"hosting without servers, {hosting.serverless_memory_mb} MB, in {region}"
        return Estimate(what, None, notes=("paid for by requests and their time, not by the hour",))
    machines = "" if hosting.instances == 1 else f"{hosting.instances} x "
    what = f"hosting on {machines}{hosting.instance_type} in {region}"
    price = prices.hourly(hosting.instance_type, region, "hosting")
    if price is None:
        return Estimate(what, None, notes=(_NO_PRICE,))
    per_hour = price.usd_per_hour * hosting.instances
    total = None if hours is None else per_hour * hours
    notes = ("storage and traffic not counted", "paid for until the endpoint is deleted, asked or not")
    return Estimate(what, price, total, total, per_hour, notes)


def check_cost(estimate: Estimate, max_cost: float | None) -> None:
    """Refuse what may cost more than it should, or whose price nobody told.

    Parameters
    ----------
    estimate : Estimate
        What it will cost.
    max_cost : float or None
        Dollars at most; None: no limit was set.

    Raises
    ------
    PreflightError
        If it may cost more, or it cannot be told.
    """
    if max_cost is None:
        return
    if not (math.isfinite(max_cost) and max_cost > 0):
        raise PreflightError("max_cost is no amount of dollars", value=max_cost, cure="give a number above 0")
    if estimate.price is None:
        message = f"max_cost is {_dollars(max_cost)}, but the price is not known: {estimate.what}"
        raise PreflightError(message, cause="; ".join(estimate.notes), cure="give prices=, or leave max_cost out")
    if estimate.most is None:
        message = f"max_cost is {_dollars(max_cost)}, but nothing limits the time: {estimate.what}"
        raise PreflightError(message, value=estimate.per_hour, cure="give hours, or leave max_cost out")
    if estimate.most > max_cost:
        message = f"this may cost {_dollars(estimate.most)}, max_cost is {_dollars(max_cost)}: {estimate.what}"
        cure = "lower max_hours or instances, or raise max_cost"
        raise PreflightError(message, value=estimate.most, cause=str(estimate.price), cure=cure)


def spent(seconds: float, price: Price | None, *, instances: int = 1) -> float | None:
    """Return what a job or endpoint has cost so far.

    Parameters
    ----------
    seconds : float
        How long each machine has run; of a job that is over, its billable seconds.
    price : Price or None
        What an hour costs.
    instances : int, default 1
        How many machines.

    Returns
    -------
    float or None
        Dollars; None where there is no price.

    Raises
    ------
    CloudError
        If the time is negative.

    Examples
    --------
    >>> round(spent(1800, PriceTable.shipped().hourly("ml.g4dn.xlarge", "eu-west-1", "training")), 3)
    0.411
    """
    if seconds < 0:
        raise CloudError("the time is negative", value=seconds, cause="clocks that differ", cure="set the clock")
    return None if price is None else seconds / _HOUR * price.usd_per_hour * instances


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.3f}"
