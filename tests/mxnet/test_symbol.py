from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.errors import ArtifactError
from birdsod.mxnet import Graph, Node, read_symbol

if TYPE_CHECKING:
    from pathlib import Path


def graph_json(**changes: Any) -> bytes:
    nodes = [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "null", "name": "w", "attrs": {"lr_mult": "2"}, "inputs": []},
        {"op": "Convolution", "name": "c", "attrs": {"kernel": "(3, 3)"}, "inputs": [[0, 0, 0], [1, 0, 0]]},
    ]
    content = {"nodes": nodes, "heads": [[2, 0, 0]], "attrs": {"mxnet_version": ["int", 10901]}, **changes}
    return json.dumps(content).encode()


def test_a_graph_is_its_nodes_and_its_outputs(tmp_path: Path) -> None:
    path = tmp_path / "a-symbol.json"
    path.write_bytes(graph_json())
    graph = read_symbol(path)
    assert graph.variables == ("data", "w")
    assert graph.heads == ((2, 0),)
    assert graph.version == 10901
    (convolution,) = graph.of_kind("Convolution")
    assert convolution.integers("kernel", ()) == (3, 3)
    assert convolution.inputs == ((0, 0), (1, 0))


@pytest.mark.parametrize("key", ["attr", "param", "attrs"])
def test_attributes_had_other_names_before(key: str) -> None:
    nodes = [{"op": "null", "name": "data", "inputs": [], key: {"lr_mult": "2"}, "backward_source_id": -1}]
    graph = read_symbol(graph_json(nodes=nodes, heads=[[0, 0]], attrs={}))
    assert graph.nodes[0].number("lr_mult", 1.0) == 2.0
    assert graph.version is None


def test_only_what_an_output_needs_is_computed() -> None:
    given = [Node("null", name, {}) for name in "abc"]
    graph = Graph((*given, Node("x", "x", {}, ((0, 0),)), Node("y", "y", {}, ((3, 0), (2, 0), (0, 0)))), ((4, 0),))
    assert graph.needed_for(4) == (0, 2, 3, 4)
    assert graph.needed_for(3, 1) == (0, 1, 3)


BROKEN = {
    "no JSON": b"\x00",
    "no object": b"[]",
    "no nodes": b"{}",
    "a node without a name": graph_json(nodes=[{"op": "null", "inputs": []}], heads=[[0, 0]]),
    "an input after its node": graph_json(nodes=[{"op": "x", "name": "x", "inputs": [[0, 0, 0]]}], heads=[[0, 0]]),
    "a negative input": graph_json(heads=[[-1, 0, 0]]),
    "a head that is not there": graph_json(heads=[[3, 0, 0]]),
    "a link of one number": graph_json(heads=[[1]]),
    "a link of something else": graph_json(heads=[["1", 0]]),
    "attributes that are none": graph_json(nodes=[{"op": "x", "name": "x", "inputs": [], "attrs": 3}], heads=[[0, 0]]),
    "a version that is none": graph_json(attrs={"mxnet_version": "new"}),
    "a version without end": b'{"nodes": [], "heads": [], "attrs": {"mxnet_version": ["int", 1e999]}}',
    "endless nesting": b"[" * 100_000,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_graph_is_refused(fault: str) -> None:
    with pytest.raises(ArtifactError, match="no graph of MXNet"):
        read_symbol(BROKEN[fault])


def test_a_graph_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("birdsod.mxnet._symbol._MOST_BYTES", 10)
    path = tmp_path / "a-symbol.json"
    path.write_bytes(graph_json())
    with pytest.raises(ArtifactError, match="no graph"):
        read_symbol(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_symbol(tmp_path / "none-symbol.json")


NODE = Node(
    "x", "n", {"i": "3", "f": "-1.5", "t": "(1, 2)", "l": "[1,0.5]", "b": "True", "o": "0", "w": "valid", "bad": "f(1)"}
)


def test_attributes_are_typed() -> None:
    assert NODE.integer("i") == 3
    assert NODE.integer("none", 7) == 7
    assert NODE.number("f", 0.0) == -1.5
    assert NODE.number("none", 0.25) == 0.25
    assert NODE.numbers("l", ()) == (1.0, 0.5)
    assert NODE.numbers("f", ()) == (-1.5,)
    assert NODE.integers("t", ()) == (1, 2)
    assert NODE.integers("none", (1, 1)) == (1, 1)
    assert (NODE.flag("b", default=False), NODE.flag("o", default=True), NODE.flag("none", default=True)) == (
        True,
        False,
        True,
    )
    assert (NODE.text("w", ""), NODE.text("none", "full")) == ("valid", "full")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("integer", "b"), ("integer", "f"), ("integer", "none"), ("integer", "bad"), ("numbers", "b"), ("integers", "f")],
)
def test_an_attribute_of_another_type_is_named(kind: str, name: str) -> None:
    arguments = (name, ()) if kind.endswith("s") else (name,)
    with pytest.raises(ArtifactError, match=f"node 'n' .x.: the attribute '{name}'"):
        getattr(NODE, kind)(*arguments)


def test_a_number_or_flag_of_another_type_is_named() -> None:
    with pytest.raises(ArtifactError, match="'b'"):
        NODE.number("b", 0.0)
    with pytest.raises(ArtifactError, match="'w'"):
        NODE.flag("w", default=True)


def test_a_row_for_a_number_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"node 'n' .x.: the attribute 't'"):
        NODE.number("t", 0.0)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["nodes", "heads", "attrs", "op", "name", "inputs"]), inner)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_give_a_graph_or_an_error_of_ours(data: bytes) -> None:
    with contextlib.suppress(ArtifactError):
        read_symbol(data)


@pytest.mark.parametrize("text", ["1" + "0" * 400, "1e999", "-1e999", "(1e999,)"])
def test_a_number_without_end_is_named(text: str) -> None:
    node = Node("x", "x", {"a": text})
    for read in (lambda: node.number("a", 1.0), lambda: node.numbers("a", ()), lambda: node.integers("a", ())):
        with pytest.raises(ArtifactError, match="'a' cannot be read"):
            read()
