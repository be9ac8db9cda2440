"""Graphs are MXNet's own, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from birdsod.errors import InputError
from birdsod.mxnet import Graph, GraphOptions, Node, read_symbol, ssd_graph, symbol_text, write_symbol
from birdsod.mxnet._expressions import graph_of, operator, variable

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"
# What MXNet 1.9.1's own example saved, for training and for hosting, at 300 and 512 pixels.
LINES = [line.split() for line in (GOLDEN / "symbols.sha256").read_text(encoding="ascii").splitlines()]
HASHES = {name: digest for digest, name in LINES}
BASES = {"resnet50": "resnet-50", "vgg16_reduced": "vgg-16"}


@pytest.mark.parametrize("name", HASHES)
def test_a_graph_has_the_bytes_that_mxnet_saves(name: str) -> None:
    kind, _, rest = name.partition("_")
    base, _, size = rest.rpartition("_")
    graph = ssd_graph(
        BASES[base],  # type: ignore[arg-type]  # one of the two
        num_classes=20,
        image_shape=int(size),
        training=kind == "train",
        options=GraphOptions(three_digits=True),
    )
    assert hashlib.sha256(symbol_text(graph).encode()).hexdigest() == HASHES[name]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*-symbol.json")), ids=lambda path: path.stem)
def test_what_is_read_is_written_with_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_symbol(tmp_path / "again.json", read_symbol(path))
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_the_built_in_algorithm_has_anchors_of_six_digits() -> None:
    first = ssd_graph("resnet-50", num_classes=3, image_shape=512).of_kind("_contrib_MultiBoxPrior")[0]
    assert first.numbers("sizes", ()) == (0.1, 0.141421)
    same = read_symbol(GOLDEN / "model_algo_1-symbol.json").of_kind("_contrib_MultiBoxPrior")
    made = ssd_graph("resnet-50", num_classes=3, image_shape=512).of_kind("_contrib_MultiBoxPrior")
    assert [node.attributes for node in made] == [node.attributes for node in same]


def test_options_reach_the_graph() -> None:
    options = GraphOptions(nms_threshold=0.6, nms_topk=100, overlap=0.4)
    graph = ssd_graph("vgg-16", num_classes=3, image_shape=300, options=options)
    (detection,) = graph.of_kind("_contrib_MultiBoxDetection")
    assert (detection.number("nms_threshold", 0), detection.integer("nms_topk", 0)) == (0.6, 100)
    assert graph.of_kind("_contrib_MultiBoxTarget")[0].number("overlap_threshold", 0) == 0.4


def test_another_base_network_is_refused() -> None:
    with pytest.raises(InputError, match="no base network of the built-in algorithm"):
        ssd_graph("resnet-18", num_classes=3, image_shape=300)  # type: ignore[arg-type]  # what is tested


def test_nodes_stand_once_after_their_inputs() -> None:
    data = variable("data")
    both = operator("split", "s", data)
    graph = graph_of([operator("add", "a", both[1], both[0]), both[1]])
    assert [node.name for node in graph.nodes] == ["data", "s", "a"]
    assert graph.nodes[2].inputs == ((1, 1), (1, 0))
    assert graph.heads == ((2, 0), (1, 1))


def test_a_graph_of_an_older_version_keeps_it() -> None:
    graph = Graph((Node("null", "data", {}),), ((0, 0),), version=10300)
    assert read_symbol(symbol_text(graph).encode()) == graph
