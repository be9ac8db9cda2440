"""What tests of the cloud share: a fake account, and folders that are nobody's home."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from birdsod.testing import FakeSageMaker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
