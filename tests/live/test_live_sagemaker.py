"""The whole cloud path in a real account.

Cost: one ml.g4dn.xlarge for about ten minutes and one ml.m5.large for about ten, together well under one US dollar in
November 2026; refused above two.

Off unless ``BIRDSOD_LIVE`` is set. ``BIRDSOD_LIVE_ROLE`` names the role that jobs run as, ``BIRDSOD_LIVE_PRICES`` a
price table for the region; account and region are those of the environment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import birdsod as bd
from birdsod.estimator.sagemaker import Cloud, Ledger, PriceTable
from birdsod.estimator.sagemaker.cleanup import cleanup

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif("BIRDSOD_LIVE" not in os.environ, reason="BIRDSOD_LIVE is not set: it costs money"),
]


def test_a_job_is_trained_hosted_asked_and_nothing_is_left(tmp_path: Path) -> None:
    birds = bd.synthetic_birds(tmp_path / "birds", seed=0, classes=2, per_class=32)
    train, validation = birds.split()
    data = bd.pack({"train": train, "validation": validation}, tmp_path / "packed", resize=300)
    params = bd.Hyperparameters.for_data(data, base_network="resnet-50", epochs=1, mini_batch_size=8)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    estimator = bd.SageMakerEstimator(
        params,
        role=os.environ.get("BIRDSOD_LIVE_ROLE"),
        ledger=ledger,
        prices=PriceTable.read(os.environ["BIRDSOD_LIVE_PRICES"]),
        max_cost=2.0,
        max_hours=0.5,
    )
    try:
        job = estimator.fit(data)
        assert job.status == "Completed"
        assert len(job.metrics()) == 1
        with job.deploy(hours=0.5, max_cost=1.0) as detector:
            assert detector.predict(validation[0].path).classes == birds.class_table
    finally:
        report = cleanup(Cloud.of(None), ledger=ledger)
    assert not report.failed
    assert ledger.open_resources() == ()
