"""What tests of the cloud share: a fake account, and folders that are nobody's home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from birdsod.dataset import synthetic_birds
from birdsod.estimator import SageMakerEstimator
from birdsod.hyperparameters import Hyperparameters
from birdsod.recordio import pack
from birdsod.testing import FakeSageMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from birdsod.recordio import Packed


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep ledgers, logs and models of tests out of the home of whoever runs them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("BIRDSOD_LEDGER", raising=False)


@pytest.fixture
def fake() -> Iterator[FakeSageMaker]:
    """A fake account."""
    with FakeSageMaker() as made:
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    birds = synthetic_birds(tmp_path_factory.mktemp("made-up") / "birds", seed=1, classes=2, per_class=6)
    train, validation = birds.split()
    return pack({"train": train, "validation": validation}, tmp_path_factory.mktemp("work") / "packed", resize=300)


@pytest.fixture
def make(fake: FakeSageMaker, data: Packed) -> Callable[..., SageMakerEstimator]:
    def estimator(**options: Any) -> SageMakerEstimator:
        network = options.pop("base_network", "resnet-50")
        given = {"base_network": network, "epochs": 3, **options.pop("params", {})}
        params = Hyperparameters.for_data(data, **given)
        settings = {"role": fake.role_arn, "session": fake.session(), "poll_seconds": 0, **options}
        return SageMakerEstimator(params, **settings)

    return estimator
