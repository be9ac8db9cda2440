"""Text becomes what it stands for, or is refused by name."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.container.settings import read_settings
from birdsod.errors import HyperparameterError
from birdsod.estimator.sagemaker.local_options import option_names, sent_options
from birdsod.ssd.options import LocalOptions

REQUIRED = {"num_classes": "2", "num_training_samples": "64"}
SHARES = st.floats(0, 1, allow_nan=False)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "optimizer": st.sampled_from(["adamw", "sgd"]),
        "learning_rate": st.floats(1e-9, 1),
        "weight_decay": st.floats(0, 0.9),
        "schedule": st.sampled_from(["cosine", "steps", "constant"]),
        "warmup": st.integers(0, 99),
        "updates": st.integers(1, 9999),
        "freeze": st.sampled_from(["", "base", r"base\.[0-7]"]),
        "mirror": st.booleans(),
        "crop": SHARES,
        "keep": st.sampled_from(["last", "best"]),
        "seed": st.integers(0, 2**40),
        "device": st.just("cpu"),
        "threads": st.integers(1, 64),
    },
)


@given(OPTIONS)
def test_options_survive_being_sent_as_text(options: dict[str, object]) -> None:
    wanted = LocalOptions.from_json(options)
    params, read = read_settings(REQUIRED | sent_options(wanted))
    assert asdict(read) == asdict(wanted)
    assert params.given == set(REQUIRED)


def test_every_option_has_one_name_of_its_own() -> None:
    names = option_names()
    assert sorted(names.values()) == sorted(asdict(LocalOptions()))
    assert {name for name, option in names.items() if name != option} == {
        "local_learning_rate",
        "local_optimizer",
        "local_weight_decay",
    }


def test_what_the_algorithm_knows_stays_the_algorithm_s() -> None:
    params, options = read_settings(REQUIRED | {"learning_rate": "0.5", "local_learning_rate": "0.25"})
    assert (params.learning_rate, options.learning_rate) == (0.5, 0.25)
    assert params.given == {*REQUIRED, "learning_rate"}


def test_what_was_set_is_known_where_the_job_tells() -> None:
    params, _ = read_settings(REQUIRED | {"epochs": "9", "learning_rate": "0.5", "_birdsod_given": "epochs"})
    assert params.given == {"epochs"}


def test_what_others_add_is_passed_over() -> None:
    added = {"_tuning_objective_metric": "validation:mAP", "sagemaker_job_name": '"birds"', "nms_topk": "400"}
    assert read_settings(REQUIRED | added) == read_settings(REQUIRED)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"updats": "3"}, r"unknown hyperparameter \(got 'updats'\). Cure: choose from updates"),
        ({"xyz": "3"}, "choose from num_classes, num_training_samples, .*loader_threads"),
        ({"updates": "many"}, "the hyperparameter updates is malformed .*updates takes a number"),
        ({"updates": "2.5"}, "the hyperparameter updates is malformed"),
        ({"mirror": "perhaps"}, "mirror takes true or false"),
        ({"updates": "0"}, "the local option updates is out of range"),
        ({"local_optimizer": "best"}, "the local option optimizer is out of range"),
        ({"epochs": "0"}, "epochs is out of range"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(HyperparameterError, match=message):
        read_settings(REQUIRED | values)
