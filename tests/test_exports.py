"""Everything public has a home, and everything with a home is public."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types

import pytest

import birdsod
import birdsod.testing

PUBLIC_MODULES = [name for name in birdsod.__all__ if name not in birdsod._HOME]


@pytest.mark.parametrize("name", birdsod.__all__)
def test_every_name_can_be_had(name: str) -> None:
    assert getattr(birdsod, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'parrot'"):
        birdsod.parrot  # noqa: B018 - the lookup itself is the test


def test_dir_lists_what_can_be_had() -> None:
    assert set(dir(birdsod)) == {*birdsod.__all__, "__version__"}


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_a_public_module_lists_its_names(name: str) -> None:
    module = importlib.import_module(f"birdsod.{name}")
    assert len(set(module.__all__)) == len(module.__all__) > 0
    for public in module.__all__:
        assert hasattr(module, public)


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_nothing_public_is_missing_from_all(name: str) -> None:
    module = importlib.import_module(f"birdsod.{name}")
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", "").startswith(f"birdsod.{name}")
    }
    assert own <= set(module.__all__)


def lazy_packages() -> list[str]:
    names = [found.name for found in pkgutil.walk_packages(birdsod.__path__, "birdsod.") if found.ispkg]
    return [name for name in names if hasattr(importlib.import_module(name), "_HOME")]


@pytest.mark.parametrize("name", lazy_packages())
def test_what_loads_when_it_is_first_used_is_listed_and_can_be_had(name: str) -> None:
    module = importlib.import_module(name)
    assert dir(module) == sorted(module.__all__)
    assert set(module._HOME) <= set(module.__all__)
    assert all(getattr(module, each) is not None for each in module.__all__)
    with pytest.raises(AttributeError, match="no attribute 'parrot'"):
        module.parrot  # noqa: B018 - the lookup itself is the test


@pytest.mark.parametrize("name", birdsod.testing._HOME)
def test_every_published_strategy_can_be_had(name: str) -> None:
    assert inspect.getdoc(getattr(birdsod.testing, name))
