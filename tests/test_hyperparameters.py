from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod import Hyperparameters
from birdsod._hyperparameter_rules import RULES
from birdsod.classes import ClassTable
from birdsod.errors import HyperparameterError

NEEDED: dict[str, Any] = {"num_classes": 5, "num_training_samples": 150}

DEFAULTS = {
    "base_network": "vgg-16",
    "use_pretrained_model": 1,
    "epochs": 30,
    "learning_rate": 0.001,
    "lr_scheduler_factor": 0.1,
    "lr_scheduler_step": "",
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "mini_batch_size": 32,
    "image_shape": 300,
    "label_width": 350,
    "nms_threshold": 0.45,
    "overlap_threshold": 0.5,
    "freeze_layer_pattern": None,
    "kv_store": None,
    "early_stopping": False,
    "early_stopping_min_epochs": 10,
    "early_stopping_patience": 5,
    "early_stopping_tolerance": 0.0,
}


@dataclass
class Channel:
    records: int = 150


@dataclass
class Data:
    """What for_data reads of a Packed."""

    channels: dict[str, Channel] = field(default_factory=lambda: {"train": Channel(), "validation": Channel()})
    class_table: ClassTable = field(default_factory=lambda: ClassTable((17, 36), ("a", "b")))
    longest_label: int = 12
    directory: Path = Path("birds")


def for_data(data: Data, **given: Any) -> Hyperparameters:
    return Hyperparameters.for_data(cast("Any", data), **given)


def make(**given: Any) -> Hyperparameters:
    return Hyperparameters(**{**NEEDED, **given})


def test_the_22_and_their_defaults() -> None:
    params = make()
    assert len(RULES) == 22
    assert {name: getattr(params, name) for name in DEFAULTS} == DEFAULTS
    assert set(RULES) == set(DEFAULTS) | set(NEEDED)


def test_nothing_can_be_changed_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        make().epochs = 3  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            (name, bad)
            for name in ("num_classes", "epochs", "mini_batch_size")
            for bad in (0, -1, 1.5, True, "x", None)
        ],
        *[("learning_rate", bad) for bad in (0, -0.1, 1.0001, float("nan"), float("inf"), True, "fast", [1])],
        *[("lr_scheduler_factor", bad) for bad in (0, 1, 2)],
        *[("lr_scheduler_step", bad) for bad in ("5,3", "5,5", "0,3", "-1", "5,,6", "a", 5)],
        *[("weight_decay", bad) for bad in (0, 1)],
        *[("momentum", bad) for bad in (0, 1.1)],
        ("base_network", "resnet-101"),
        ("optimizer", "adamw"),
        ("use_pretrained_model", 2),
        ("image_shape", 299),
        ("label_width", 6),
        *[(name, bad) for name in ("nms_threshold", "overlap_threshold") for bad in (0, 1.5)],
        ("freeze_layer_pattern", "("),
        ("freeze_layer_pattern", 3),
        ("kv_store", "local"),
        ("early_stopping", "perhaps"),
        ("early_stopping_min_epochs", 0),
        ("early_stopping_patience", 0),
        *[("early_stopping_tolerance", bad) for bad in (-0.1, 1.1)],
    ],
)
def test_out_of_range(name: str, value: object) -> None:
    with pytest.raises(HyperparameterError, match=name) as caught:
        make(**{name: value})
    assert caught.value.cure


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 1),
        ("momentum", 1.0),
        ("nms_threshold", 1.0),
        ("early_stopping_tolerance", 0),
        ("early_stopping_tolerance", 1),
        ("epochs", 7.0),
        ("use_pretrained_model", False),
        ("lr_scheduler_step", "10, 20"),
        ("kv_store", "dist_sync"),
        ("freeze_layer_pattern", "^blocks_0"),
    ],
)
def test_at_the_edge_of_the_range(name: str, value: object) -> None:
    assert name in make(**{name: value}).given


def test_unknown_name_with_close_matches() -> None:
    with pytest.raises(HyperparameterError, match="mini_batch_size") as caught:
        make(batch_size=3)
    assert caught.value.value == "batch_size"


def test_unknown_name_like_nothing_lists_all() -> None:
    with pytest.raises(HyperparameterError, match=r"num_classes.*early_stopping_tolerance"):
        make(zzz=3)


def test_missing() -> None:
    with pytest.raises(HyperparameterError, match="num_classes and num_training_samples"):
        Hyperparameters()


def test_step_after_the_last_epoch() -> None:
    with pytest.raises(HyperparameterError, match="never comes"):
        make(lr_scheduler_step="10,30")


def test_batch_above_samples() -> None:
    with pytest.raises(HyperparameterError, match="number of training samples, 20"):
        make(num_training_samples=20)


def test_given_is_what_was_said() -> None:
    assert make().given == set(NEEDED)
    assert make(epochs=30).given == {*NEEDED, "epochs"}
    assert make().evolve(optimizer="adam").given == {*NEEDED, "optimizer"}


def test_evolve_checks_and_leaves_the_first_alone() -> None:
    first = make()
    assert first.evolve(epochs=4).epochs == 4
    assert first.epochs == 30
    with pytest.raises(HyperparameterError):
        first.evolve(epochs=0)


def test_steps_as_numbers() -> None:
    assert make(lr_scheduler_step=" 10 ,20").scheduler_epochs == (10, 20)
    assert make().scheduler_epochs == ()


def test_for_data_derives() -> None:
    params = for_data(Data(), epochs=24)
    assert (params.num_classes, params.num_training_samples, params.label_width) == (2, 150, 350)
    assert params.given == {"epochs"}
    assert for_data(Data(longest_label=402)).label_width == 402


def test_for_data_lowers_only_the_default_batch() -> None:
    small = Data(channels={"train": Channel(10)})
    assert for_data(small).mini_batch_size == 10
    assert for_data(Data()).mini_batch_size == 32
    with pytest.raises(HyperparameterError, match="mini_batch_size"):
        for_data(small, mini_batch_size=16)


@pytest.mark.parametrize(
    "given_value", [{"num_classes": 3}, {"num_training_samples": 149}, {"label_width": 11}, {"label_width": "wide"}]
)
def test_for_data_contradicted(given_value: dict[str, Any]) -> None:
    with pytest.raises(HyperparameterError, match=next(iter(given_value))):
        for_data(Data(), **given_value)


def test_for_data_of_what_is_no_packed_data() -> None:
    with pytest.raises(HyperparameterError, match=r"no packed data \(got 'folder'\)\. Cure: give Packed\.open"):
        for_data(cast("Any", "folder"))


def test_for_data_without_training_images() -> None:
    with pytest.raises(HyperparameterError, match="no train channel"):
        for_data(Data(channels={"validation": Channel()}))
    with pytest.raises(HyperparameterError, match="num_training_samples"):
        for_data(Data(channels={"train": Channel(0)}))


def test_the_container_own_configuration_is_read() -> None:
    params = Hyperparameters.from_request(
        {
            **{name: str(value) for name, value in NEEDED.items()},
            "freeze_layer_pattern": "false",
            "kv_store": "device",
            "_kvstore": "device",
            "_tuning_objective_metric": "",
            "nms_topk": "400",
            "lr_scheduler_step": "",
            "early_stopping": "False",
            "use_pretrained_model": "0",
        }
    )
    assert (params.freeze_layer_pattern, params.kv_store, params.use_pretrained_model) == (None, None, 0)
    assert params.given == {*NEEDED, "early_stopping", "use_pretrained_model"}


def test_what_was_given_can_travel_beside_a_request() -> None:
    params = make(epochs=24)
    assert Hyperparameters.from_request(params.to_request(), given=params.given).given == params.given


def test_an_unknown_name_in_a_request() -> None:
    with pytest.raises(HyperparameterError, match="unknown"):
        Hyperparameters.from_request({"colour": "red"})


shares = st.floats(min_value=1e-6, max_value=0.999)
sets = st.fixed_dictionaries(
    {"num_classes": st.integers(1, 1000), "num_training_samples": st.integers(64, 10**6)},
    optional={
        "base_network": st.sampled_from(["vgg-16", "resnet-50", "efficientnet-lite0"]),
        "use_pretrained_model": st.sampled_from([0, 1]),
        "epochs": st.integers(30, 300),
        "learning_rate": shares,
        "lr_scheduler_factor": shares,
        "lr_scheduler_step": st.lists(st.integers(1, 29), unique=True).map(
            lambda epochs: ",".join(str(epoch) for epoch in sorted(epochs))
        ),
        "optimizer": st.sampled_from(["sgd", "adam", "rmsprop", "adadelta"]),
        "momentum": shares,
        "weight_decay": shares,
        "mini_batch_size": st.integers(1, 64),
        "image_shape": st.integers(300, 1024),
        "freeze_layer_pattern": st.sampled_from(["", "^conv1_", "blocks_[0-7]"]),
        "kv_store": st.sampled_from(["dist_sync", "dist_async", None]),
        "early_stopping": st.booleans(),
        "early_stopping_tolerance": shares,
    },
)


@given(values=sets)
def test_a_request_and_back(values: dict[str, Any]) -> None:
    params = Hyperparameters(**values)
    request = params.to_request()
    assert {type(text) for text in request.values()} == {str}
    assert all(request.values())
    assert Hyperparameters.from_request(request) == params
    assert hash(Hyperparameters.from_request(request)) == hash(params)


def test_a_job_may_say_which_values_were_given() -> None:
    made = Hyperparameters(num_classes=5, num_training_samples=150, epochs=3)
    sent = {**made.to_request(), "_birdsod_given": "epochs,num_classes,nonsense"}
    assert Hyperparameters.from_request(sent).given == {"epochs", "num_classes"}
    assert Hyperparameters.from_request({**sent, "_birdsod_given": ""}).given == frozenset()
    assert Hyperparameters.from_request(sent, given=("momentum",)).given == {"momentum"}
