from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from birdsod import errors
from birdsod.errors import BirdsodError, BoxError, InputError


def test_a_bare_message_stands_alone() -> None:
    assert str(BirdsodError("nothing to pack")) == "nothing to pack"


def test_an_error_tells_place_value_cause_and_cure() -> None:
    error = BoxError(
        "xmax is above 1", path=Path("a.lst"), line=3, record=2, value=54.1, cause="percent", cure="divide by 100"
    )
    assert str(error) == (
        "a.lst, line 3, record 2: xmax is above 1 (got 54.1). Likely cause: percent. Cure: divide by 100."
    )
    assert error.place == "a.lst, line 3, record 2"


def test_a_cause_that_is_another_error_ends_in_one_full_stop() -> None:
    inner = BirdsodError("no port", cure="choose another port")
    assert str(BirdsodError("it does not start", cause=str(inner))) == (
        "it does not start. Likely cause: no port. Cure: choose another port."
    )


def test_a_value_of_zero_is_told() -> None:
    assert str(BirdsodError("too small", value=0)) == "too small (got 0)"


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_survives_the_way_home_from_a_worker(name: str) -> None:
    kind = getattr(errors, name)
    error = kind("broken", path="x.jpg", record=7, value=[1.0], cure="mend it")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, as multiprocessing sends them
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.record == 7


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_a_birdsod_error(name: str) -> None:
    assert issubclass(getattr(errors, name), BirdsodError)


def test_what_was_given_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(errors.MissingDependencyError, ImportError)
