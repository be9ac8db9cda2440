"""Pretrained weights: found, checked, refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from birdsod.errors import ArtifactError, MissingDependencyError
from birdsod.ssd import weights
from birdsod.ssd.efficientnet import EfficientNetLite0

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from pathlib import Path


def test_the_published_weights_load_strictly() -> None:
    base = EfficientNetLite0()
    weights.load_efficientnet_lite0(base)
    weights.load_efficientnet_lite0(base, weights.efficientnet_lite0_file())
    assert base.state_dict()["_blocks.15._bn2.running_var"].min() > 0


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"birdsod\[local\]"):
        weights.efficientnet_lite0_file()


def test_a_package_without_its_file_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from importlib.machinery import ModuleSpec as Spec

    empty: ModuleSpec = Spec("package", None, is_package=True)
    empty.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(weights, "find_spec", lambda _: empty)
    with pytest.raises(MissingDependencyError, match="not installed"):
        weights.efficientnet_lite0_file()


def test_another_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    other = tmp_path / "weights.pth"
    other.write_bytes(b"not these")
    with pytest.raises(ArtifactError, match="SHA-256 differs") as caught:
        weights.load_efficientnet_lite0(EfficientNetLite0(), other)
    assert caught.value.path == str(other)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        weights.load_efficientnet_lite0(EfficientNetLite0(), tmp_path / "none.pth")
