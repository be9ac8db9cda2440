from __future__ import annotations

import inspect
from dataclasses import asdict, fields
from typing import Any

import pytest

from birdsod import Hyperparameters, LocalOptions
from birdsod.errors import HyperparameterError
from birdsod.ssd.network import FROZEN_BY_DEFAULT
from birdsod.ssd.options import _VALID
from birdsod.ssd.recipe import Recipe, resolve
from birdsod.ssd.recipes import RECIPES


def make(options: LocalOptions | None = None, **given: Any) -> Recipe:
    values = {"num_classes": 5, "num_training_samples": 150, "base_network": "efficientnet-lite0", **given}
    return resolve(Hyperparameters(**values), options or LocalOptions())


def test_the_recipe_of_the_base_network() -> None:
    recipe = make(epochs=24)
    assert {name: getattr(recipe, name) for name in RECIPES["efficientnet-lite0"]} == RECIPES["efficientnet-lite0"]
    assert (recipe.epoch_size, recipe.updates, recipe.epochs) == (9, 216, 24)
    assert recipe.sources["learning_rate"] == "recipe of efficientnet-lite0"


def test_the_recipe_freezes_what_the_network_says() -> None:
    assert RECIPES["efficientnet-lite0"]["freeze"] == FROZEN_BY_DEFAULT


@pytest.mark.parametrize(
    ("name", "hyperparameter", "given", "option"),
    [
        ("optimizer", "optimizer", "rmsprop", "adam"),
        ("learning_rate", "learning_rate", 0.01, 0.02),
        ("weight_decay", "weight_decay", 0.01, 0.02),
        ("batch_size", "mini_batch_size", 8, 4),
        ("freeze", "freeze_layer_pattern", "base", "necks"),
    ],
)
def test_option_before_hyperparameter_before_recipe(name: str, hyperparameter: str, given: Any, option: Any) -> None:
    recipe = make(**{hyperparameter: given})
    assert (getattr(recipe, name), recipe.sources[name]) == (given, f"hyperparameter {hyperparameter}")
    options = LocalOptions.from_json({name: option})
    recipe = make(options, **{hyperparameter: given})
    assert (getattr(recipe, name), recipe.sources[name]) == (option, "local option")


def test_schedule_option_before_steps_before_recipe() -> None:
    assert make().schedule == "cosine"
    stepped = make(lr_scheduler_step="3")
    assert (stepped.schedule, stepped.sources["schedule"]) == ("steps", "hyperparameter lr_scheduler_step")
    assert make(LocalOptions(schedule="cosine"), lr_scheduler_step="3").schedule == "cosine"


def test_a_default_is_not_a_choice() -> None:
    assert make(learning_rate=0.001).learning_rate == 0.001
    assert make().learning_rate == 2e-3


def test_the_rate_of_a_recipe_belongs_to_its_optimizer() -> None:
    recipe = make(optimizer="sgd")
    assert (recipe.learning_rate, recipe.weight_decay, recipe.warmup) == (0.001, 0.0005, 0)
    assert recipe.sources["learning_rate"] == "default of the algorithm"
    assert recipe.base_rate_factor == 0.3


def test_another_base_network_has_the_algorithms_defaults() -> None:
    recipe = make(base_network="resnet-50")
    expected = ("sgd", 0.001, 1.0, 0.0005, "constant", 0, 32, "", 0.0, 0.0)
    assert tuple(getattr(recipe, name) for name in RECIPES["efficientnet-lite0"]) == expected
    assert recipe.updates == 30 * (150 // 32)


def test_updates_decide_about_epochs() -> None:
    recipe = make(LocalOptions(updates=20), epochs=24)
    assert (recipe.updates, recipe.epochs) == (20, 3)
    assert recipe.sources["updates"] == "local option"


def test_small_sets_have_small_batches_unless_one_was_asked_for() -> None:
    assert make(num_training_samples=5, mini_batch_size=5).batch_size == 5
    values = {"num_classes": 5, "num_training_samples": 5, "base_network": "efficientnet-lite0"}
    params = Hyperparameters.from_request(
        {name: str(v) for name, v in values.items()} | {"mini_batch_size": "5"}, given=()
    )
    assert resolve(params, LocalOptions()).batch_size == 5
    with pytest.raises(HyperparameterError, match="number of training samples, 5"):
        resolve(params, LocalOptions(batch_size=6))


def test_statements_say_value_and_source() -> None:
    assert "learning_rate = 0.002 (recipe of efficientnet-lite0)" in make().statements()
    assert "updates = 270 (30 epochs of 9 updates)" in make().statements()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "lion"),
        ("optimizer", None),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("base_rate_factor", -0.1),
        ("weight_decay", 1.0),
        ("schedule", "linear"),
        ("warmup", -1),
        ("batch_size", 0),
        ("updates", 1.5),
        ("freeze", "("),
        ("freeze", 3),
        ("average", 1.0),
        ("gradient_clip", -1),
        ("mirror", 1),
        ("crop", 1.1),
        ("zoom_out", True),
        ("largest_field", 0.5),
        ("colour", 2),
        ("keep", "worst"),
        ("validate_every", True),
        ("checkpoint_every", 0),
        ("seed", -1),
        ("device", ""),
        ("threads", 0),
        ("loader_threads", 0),
        ("loader_processes", -1),
    ],
)
def test_options_out_of_range(name: str, value: Any) -> None:
    if value is None:
        assert getattr(LocalOptions.from_json({name: value}), name) is None
        return
    with pytest.raises(HyperparameterError, match=name) as caught:
        LocalOptions.from_json({name: value})
    assert caught.value.cure


def test_unknown_option() -> None:
    with pytest.raises(HyperparameterError, match="learning_rate"):
        LocalOptions.from_json({"learnig_rate": 0.1})
    with pytest.raises(
        HyperparameterError, match=r"unknown local option \(got 'foo'\)\. Cure: choose from optimizer, "
    ):
        LocalOptions(foo=1)  # type: ignore[call-arg] # what a type checker refuses


def test_options_and_back() -> None:
    options = LocalOptions(optimizer="adamw", learning_rate=0.01, freeze="", seed=3)
    assert list(inspect.signature(LocalOptions).parameters) == [field.name for field in fields(LocalOptions)]
    assert LocalOptions.from_json(asdict(options)) == options
    assert set(_VALID) == {field.name for field in fields(LocalOptions)}
