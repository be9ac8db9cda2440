"""The built-in algorithm's own networks learn here as they learn in MXNet."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from birdsod import Hyperparameters, LocalOptions
from birdsod.errors import ArtifactError, HyperparameterError
from birdsod.mxnet import Graph, Node, read_params, read_symbol, ssd_graph
from birdsod.mxnet._shapes import parameter_shapes
from birdsod.ssd.building import build_network
from birdsod.ssd.graph_operators import training_batch_norm
from birdsod.ssd.initial import initial_tensors
from birdsod.ssd.optimizers import make_optimizer, set_rate
from birdsod.ssd.recipe import resolve
from birdsod.ssd.targets import batch_targets
from birdsod.ssd.twin import TwinNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"
GRAPH = read_symbol(GOLDEN / "model_algo_1-symbol.json")
FORWARD = np.load(GOLDEN / "train_forward_io.npz")
META = json.loads((GOLDEN / "train_meta.json").read_text())
IMAGES, LABELS = torch.from_numpy(FORWARD["data"]), torch.from_numpy(FORWARD["label"])
PARAMS = Hyperparameters(
    num_classes=3, num_training_samples=160, base_network="resnet-50", learning_rate=META["lr"], weight_decay=META["wd"]
)
DETECTION_LAYERS = "_pred_conv_"


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """One thread: with more, a busy machine makes networks wait for each other at every layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny() -> TwinNetwork:
    """The narrow ResNet that MXNet trained, with the parameters that it began with."""
    network = TwinNetwork(GRAPH, image_shape=128)
    arrays = read_params(GOLDEN / "model_algo_1-0000.params")
    network.load_state_dict({name.partition(":")[2]: torch.tensor(array) for name, array in arrays.items()})
    return network


def golden(number: int) -> dict[str, npt.NDArray[np.float32]]:
    return dict(np.load(GOLDEN / f"train_step{number}.npz"))


def distance(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Return how far two arrays are from each other, as a share of their length."""
    return float(np.linalg.norm(found - expected) / max(float(np.linalg.norm(expected)), 1e-9))


def gradients(network: TwinNetwork, images: torch.Tensor = IMAGES) -> dict[str, npt.NDArray[np.float32]]:
    network.train().zero_grad()
    torch.autograd.backward(network.objective(network(images), LABELS).loss)
    return {name: copied(each.grad) for name, each in network.named_parameters()}


def copied(tensor: torch.Tensor | None) -> npt.NDArray[np.float32]:
    assert tensor is not None
    return tensor.numpy().copy()


def test_numbers_without_learning_are_mxnets(tiny: TwinNetwork) -> None:
    logits, offsets = tiny.eval()(IMAGES)
    np.testing.assert_allclose(
        logits.detach().numpy().transpose(0, 2, 1), FORWARD["multibox_cls_pred_output"], atol=1e-4
    )
    np.testing.assert_allclose(offsets.detach().numpy(), FORWARD["multibox_loc_pred_output"], atol=1e-4)
    np.testing.assert_array_equal(tiny.anchors.numpy(), FORWARD["multibox_anchors_output"][0])
    probabilities, _ = tiny.answer(IMAGES)
    np.testing.assert_allclose(probabilities.detach().numpy(), FORWARD["cls_prob_output"], atol=1e-5)
    assert tiny.num_classes == 3


def test_targets_are_mxnets(tiny: TwinNetwork) -> None:
    logits, offsets = tiny.eval()(IMAGES)
    targets = batch_targets(tiny.anchors, LABELS, logits)
    np.testing.assert_array_equal(targets.cls_target.numpy(), FORWARD["cls_label_output"])
    missed = (targets.loc_mask * (offsets - targets.loc_target)).abs().detach()
    losses = torch.where(missed < 1, missed.square() / 2, missed - 0.5)
    np.testing.assert_allclose(losses.numpy(), FORWARD["loc_loss_output"], atol=1e-4)


def test_losses_of_three_steps_are_those_that_mxnet_tells(tiny: TwinNetwork) -> None:
    found = list(steps(tiny, 3))
    assert [each["CrossEntropy"] for each in found] == pytest.approx(
        [each["CrossEntropy"] for each in META["history"]], rel=1e-3
    )
    assert [each["SmoothL1"] for each in found] == pytest.approx(
        [each["SmoothL1"] for each in META["history"]], rel=1e-3
    )


def steps(network: TwinNetwork, count: int) -> Iterator[dict[str, float]]:
    """Make updates as a run makes them."""
    network.freeze("")
    optimizer = make_optimizer(network.train(), resolve(PARAMS, LocalOptions()), PARAMS)
    for _ in range(count):
        optimizer.zero_grad()
        objective = network.objective(network(IMAGES), LABELS)
        torch.autograd.backward(objective.loss)
        set_rate(optimizer, META["lr"])
        optimizer.step()
        anchors, cross_entropy, smooth_l1 = objective.figures.tolist()
        yield {"CrossEntropy": cross_entropy, "SmoothL1": smooth_l1 / anchors}


def test_gradients_are_mxnets_as_far_as_rounding_lets_them(tiny: TwinNetwork) -> None:
    """Rectifiers on maps of a few cells let rounding grow: with smooth ones a live test compares sharply."""
    expected = golden(1)
    found = gradients(tiny)
    apart = {name: distance(each, expected[f"grad/{name}"]) for name, each in found.items()}
    assert max(apart.values()) < 0.15
    assert np.median(list(apart.values())) < 0.03
    assert max(each for name, each in apart.items() if DETECTION_LAYERS in name) < 2e-3
    noise = 1 + 1e-5 * torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(0))
    disturbed = gradients(tiny, IMAGES * noise)
    shaken = {name: distance(disturbed[name], each) for name, each in found.items()}
    assert np.median(list(shaken.values())) > np.median(list(apart.values())) / 2


def test_mxnets_gradients_make_mxnets_parameters(tiny: TwinNetwork) -> None:
    """What is learned from a gradient, and how weights are pulled, is the same to the last digits."""
    optimizer = make_optimizer(tiny, resolve(PARAMS, LocalOptions()), PARAMS)
    expected = golden(1)
    with torch.no_grad():
        tiny.get_parameter("bn_data_gamma").fill_(1)  # as the forward pass of training does where it is fixed
    for name, parameter in tiny.named_parameters():
        parameter.grad = torch.tensor(expected[f"grad/{name}"])
    set_rate(optimizer, META["lr"])
    optimizer.step()
    for name, parameter in tiny.named_parameters():
        wanted = expected[f"arg/{name}"]
        np.testing.assert_allclose(parameter.detach().numpy(), wanted, rtol=3e-7, atol=1e-9, err_msg=name)


# After three steps rounding has grown: the same steps with numbers of twice the length end as far away.
@pytest.mark.parametrize(("count", "limit"), [(1, 0.01), (3, 0.3)])
def test_parameters_after_steps_are_mxnets(tiny: TwinNetwork, count: int, limit: float) -> None:
    before = {name: array.copy() for name, array in tiny.arrays().items()}
    assert len(list(steps(tiny, count))) == count
    after, expected = tiny.arrays(), {name.replace("/", ":"): array for name, array in golden(count).items()}
    assert after.keys() == {name for name in expected if name.startswith(("arg:", "aux:"))}
    learned = np.concatenate([(after[name] - array).ravel() for name, array in before.items() if "arg:" in name])
    wanted = np.concatenate([(expected[name] - array).ravel() for name, array in before.items() if "arg:" in name])
    assert distance(learned, wanted) < limit
    for name in (each for each in after if each.startswith("aux:")):
        assert distance(after[name], expected[name]) < limit / 10, name


def test_a_fixed_gamma_is_set_to_one_and_pulled_like_mxnets(tiny: TwinNetwork) -> None:
    for number, _ in enumerate(steps(tiny, 3), start=1):
        if number in {1, 3}:
            np.testing.assert_array_equal(tiny.arrays()["arg:bn_data_gamma"], golden(number)["arg/bn_data_gamma"])


def test_moving_statistics_follow_by_mxnets_share() -> None:
    data = torch.randn(2, 3, 2, 2)
    node = Node("BatchNorm", "norm", {"momentum": "0.75", "fix_gamma": "False", "eps": "0.001"})
    mean, variance = torch.full((3,), 4.0), torch.full((3,), 8.0)
    gamma, beta = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 2.0])
    made = training_batch_norm(node, [data, gamma, beta, mean, variance])
    spread, centre = torch.var_mean(data, (0, 2, 3), correction=0)
    torch.testing.assert_close(mean, 3 + centre / 4)
    torch.testing.assert_close(variance, 6 + spread / 4)
    shape = (1, 3, 1, 1)
    expected = (data - centre.reshape(shape)) / (spread.reshape(shape) + 0.001).sqrt()
    torch.testing.assert_close(made, expected * gamma.reshape(shape) + beta.reshape(shape))
    assert gamma.tolist() == [1, 2, 3]


def test_statistics_follow_in_training_alone_even_where_layers_are_frozen(tiny: TwinNetwork) -> None:
    tiny.freeze("bn0|conv0")
    before = tiny.get_buffer("bn0_moving_mean").clone()
    tiny.eval()(IMAGES)
    torch.testing.assert_close(tiny.get_buffer("bn0_moving_mean"), before, rtol=0, atol=0)
    tiny.train()(IMAGES)
    assert not torch.equal(tiny.get_buffer("bn0_moving_mean"), before)


def test_a_graph_may_use_its_statistics_in_training_too() -> None:
    nodes = tuple(
        replace(node, attributes={**node.attributes, "use_global_stats": "True"}) if node.op == "BatchNorm" else node
        for node in GRAPH.nodes
    )
    network = TwinNetwork(replace(GRAPH, nodes=nodes), image_shape=128)
    network.train()(IMAGES)
    assert network.get_buffer("bn0_moving_mean").eq(0).all()


@pytest.mark.parametrize(
    ("base_network", "image_shape", "anchors"),
    [("resnet-50", 300, 2268), ("resnet-50", 340, 2952), ("vgg-16", 300, 8732), ("vgg-16", 340, 11064)],
)
def test_both_networks_are_built_at_any_edge(base_network: Any, image_shape: int, anchors: int) -> None:
    network = build_network(base_network, num_classes=4, image_shape=image_shape, pretrained=False)
    graph = ssd_graph(base_network, num_classes=4, image_shape=image_shape)
    assert isinstance(network, TwinNetwork)
    assert (network.num_classes, network.image_shape, len(network.anchors)) == (4, image_shape, anchors)
    assert {name: array.shape for name, array in network.arrays().items()} == parameter_shapes(graph)


def test_what_is_frozen_is_computed_apart_and_makes_no_difference() -> None:
    network = build_network("vgg-16", num_classes=2, image_shape=300, pretrained=False)
    images = torch.rand(1, 3, 300, 300) * 255
    logits, offsets = network(images)
    assert network.forward_frozen(images)[0] is images
    frozen = network.freeze("conv1_|conv2_|conv4_3")
    assert len(frozen) == 10
    (features,) = network.forward_frozen(images)
    assert features.shape == (1, 128, 75, 75)
    again = network.forward_from((features,))
    torch.testing.assert_close(again[0], logits)
    torch.testing.assert_close(again[1], offsets)
    network.freeze("conv[1-4]_")
    taken = network.forward_frozen(images)
    assert [tuple(each.shape) for each in taken] == [(1, 512, 38, 38), (1, 512, 19, 19)]
    torch.testing.assert_close(network.forward_from(taken)[0], logits)


def test_layers_are_frozen_by_mxnets_names_and_thawed_again(tiny: TwinNetwork) -> None:
    frozen = tiny.freeze("conv0|bn0_|stage1_")
    assert frozen[0] == "conv0_weight"
    assert "bn0_gamma" in frozen
    assert all(name.startswith(("conv0", "bn0", "stage1")) for name in frozen)
    named = dict(tiny.named_parameters())
    assert not any(named[name].requires_grad for name in frozen)
    base, new = tiny.base_parameters(), tiny.new_parameters()
    assert len(base) + len(new) + len(frozen) == len(named)
    assert {name for name, each in named.items() if any(each is one for one in new)} == {
        name for name in named if name.startswith("multi_feat_") or "_pred_conv_" in name
    }
    assert tiny.freeze("") == ()
    assert all(each.requires_grad for each in tiny.parameters())


def test_everything_frozen_leaves_two_maps() -> None:
    network = build_network("vgg-16", num_classes=2, image_shape=300, pretrained=False)
    network.freeze(".")
    images = torch.rand(1, 3, 300, 300)
    scores, offsets = network.forward_frozen(images)
    torch.testing.assert_close(network.forward_from((scores, offsets))[1], offsets)


def test_a_pattern_that_is_none_is_refused(tiny: TwinNetwork) -> None:
    with pytest.raises(HyperparameterError, match="no regular expression"):
        tiny.freeze("(")


def test_the_mean_is_subtracted_where_there_is_one(tiny: TwinNetwork) -> None:
    expected = tiny.eval()(IMAGES)[1]
    tiny.input_mean = (123.0, 117.0, 104.0)
    raw = IMAGES + torch.tensor(tiny.input_mean).reshape(1, 3, 1, 1)
    torch.testing.assert_close(tiny(raw)[1], expected, rtol=1e-4, atol=1e-3)


def test_factors_of_updates_are_mxnets(tiny: TwinNetwork) -> None:
    factors = tiny.update_factors()
    for name, parameter in tiny.named_parameters():
        assert factors[parameter] == (META["lr_mult"].get(name, 1.0), META["wd_mult"].get(name, 1.0)), name
    vgg = build_network("vgg-16", num_classes=2, image_shape=300, pretrained=False)
    assert vgg.update_factors()[vgg.get_parameter("relu4_3_scale")] == (1.0, 0.1)


def test_parameters_begin_as_mxnets_trainer_begins() -> None:
    tensors = initial_tensors(ssd_graph("vgg-16", num_classes=2, image_shape=300))
    weight = tensors["arg:conv1_2_weight"]
    bound = (3 / (64 * 9)) ** 0.5
    assert bound * 0.99 < float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)
    assert tensors["arg:relu4_3_scale"].eq(20).all()
    assert tensors["arg:conv1_1_bias"].eq(0).all()
    resnet = initial_tensors(ssd_graph("resnet-50", num_classes=2, image_shape=300))
    assert resnet["arg:bn0_gamma"].eq(1).all()
    assert resnet["aux:bn0_moving_mean"].eq(0).all()


def test_chance_is_torchs_own() -> None:
    first, second, third = (
        (torch.manual_seed(seed), initial_tensors(GRAPH))[1]["arg:conv0_weight"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def graph_with(name: str, **attributes: str) -> Graph:
    nodes = tuple(replace(each, attributes=attributes) if each.name == name else each for each in GRAPH.nodes)
    return replace(GRAPH, nodes=nodes)


@pytest.mark.parametrize("told", ['["normal", {}]', "Xavier", "[]", '["constant", {"value": "x"}]'])
def test_another_way_to_begin_is_refused_by_name(told: str) -> None:
    with pytest.raises(ArtifactError, match="arg:bn0_gamma begins in a way") as caught:
        initial_tensors(graph_with("bn0_gamma", __init__=told))
    assert caught.value.value == told


def test_a_parameter_of_unknown_kind_is_refused_by_name() -> None:
    nodes = tuple(replace(each, name="bn0_thing") if each.name == "bn0_gamma" else each for each in GRAPH.nodes)
    with pytest.raises(ArtifactError, match="what arg:bn0_thing begins with"):
        initial_tensors(replace(GRAPH, nodes=nodes))


def test_a_graph_of_deployment_cannot_be_trained() -> None:
    graph = ssd_graph("resnet-50", num_classes=2, image_shape=300, training=False)
    with pytest.raises(ArtifactError, match="not one of a detector's training"):
        TwinNetwork(graph, image_shape=300)


def test_a_graph_without_images_is_refused() -> None:
    nodes = tuple(replace(each, name="pictures") if each.name == "data" else each for each in GRAPH.nodes)
    with pytest.raises(ArtifactError, match="no input named data"):
        TwinNetwork(replace(GRAPH, nodes=nodes), image_shape=128)


@pytest.mark.parametrize("base_network", ["resnet-50", "vgg-16"])
def test_without_weights_to_start_from_the_cure_is_told(base_network: Any) -> None:
    with pytest.raises(HyperparameterError, match=r"no ImageNet weights.*use_pretrained_model=0"):
        build_network(base_network, num_classes=2, image_shape=300)
