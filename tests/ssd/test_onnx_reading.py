"""ONNX files that are damaged, changed or somebody else's are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from birdsod.errors import ArtifactError
from birdsod.ssd import convert, load_model
from birdsod.ssd.onnx import reading
from birdsod.ssd.onnx.reading import artifact_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "m-symbol.json").write_bytes((GOLDEN / "deploy_tiny-symbol.json").read_bytes())
    (folder / "m-0000.params").write_bytes((GOLDEN / "model_algo_1-0000.params").read_bytes())
    (folder / "hyperparams.json").write_text(json.dumps({"image_shape": "128"}), encoding="utf-8")
    return convert(folder, folder / "model.onnx").read_bytes()


def told(model: Any, **changes: str | None) -> None:
    values = {each.key: each.value for each in model.metadata_props} | changes
    del model.metadata_props[:]
    helper.set_model_props(model, {name: value for name, value in values.items() if value is not None})


def setting(model: Any, name: str, value: object) -> None:
    values = json.loads(next(each.value for each in model.metadata_props if each.key == "settings"))
    told(model, settings=json.dumps({**values, name: value}))


def outside(model: Any) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def foreign_operator(model: Any) -> None:
    model.graph.node.append(helper.make_node("Loop", [], ["x"], name="x"))


def foreign_domain(model: Any) -> None:
    model.graph.node[0].domain = "com.example"


def inner_graph(model: Any) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("inner", onnx.GraphProto(name="inner")))


def function(model: Any) -> None:
    model.functions.append(onnx.FunctionProto(name="f", domain="x"))


def loose_end(model: Any) -> None:
    model.graph.node[0].input[0] = "nowhere"


def other_input(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64


def no_anchors(model: Any) -> None:
    node = next(each for each in model.graph.node if each.output[0] == "anchors")
    node.op_type = "Relu"


def no_numbers(model: Any) -> None:
    node = next(each for each in model.graph.node if each.output[0] == "anchors")
    table = next(each for each in model.graph.initializer if each.name == node.input[0])
    table.raw_data = np.full(4 * (len(table.raw_data) // 16), np.nan, np.float32).tobytes()


CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "another program's": (lambda model: told(model, birdsod_format=None), "not of birdsod's making"),
    "a newer format": (lambda model: told(model, birdsod_format="9"), "does not know"),
    "no classes": (lambda model: told(model, classes=None), "metadata of the file is malformed"),
    "classes that are no JSON": (lambda model: told(model, classes="{"), "metadata of the file is malformed"),
    "classes that are no list": (lambda model: told(model, classes="{}"), "metadata of the file is malformed"),
    "classes of no form": (lambda model: told(model, classes="[1]"), "metadata of the file is malformed"),
    "a class too few": (
        lambda model: told(model, classes='[{"class_id": 0, "source_id": 0, "name": "a"}]'),
        "inputs and outputs of the model are not those",
    ),
    "an edge beyond memory": (lambda model: told(model, image_shape="99999"), "metadata of the file is malformed"),
    "an edge that is no number": (lambda model: told(model, image_shape="wide"), "metadata of the file is malformed"),
    "another edge": (lambda model: told(model, image_shape="64"), "inputs and outputs of the model are not those"),
    "a mean of two": (lambda model: told(model, input_mean="[1, 2]"), "metadata of the file is malformed"),
    "an infinite mean": (lambda model: told(model, input_mean="[1, 2, Infinity]"), "metadata of the file is malformed"),
    "hyperparameters that are no texts": (lambda model: told(model, hyperparams='{"a": 1}'), "metadata of the file"),
    "hyperparameters that are a list": (lambda model: told(model, hyperparams="[]"), "metadata of the file"),
    "settings that are a list": (lambda model: told(model, settings="[]"), "metadata of the file is malformed"),
    "a setting too many": (lambda model: setting(model, "more", 1), "metadata of the file is malformed"),
    "a threshold that is text": (lambda model: setting(model, "threshold", "low"), "metadata of the file is malformed"),
    "an infinite threshold": (lambda model: setting(model, "threshold", float("inf")), "metadata of the file"),
    "a limit that is true": (lambda model: setting(model, "nms_topk", True), "metadata of the file is malformed"),
    "three variances": (lambda model: setting(model, "variances", [1, 1, 1]), "metadata of the file is malformed"),
    "variances of text": (lambda model: setting(model, "variances", ["a"] * 4), "metadata of the file is malformed"),
    "an operator of its own": (foreign_operator, r"an operator that birdsod does not write \(got 'Loop'"),
    "another domain": (foreign_domain, "an operator that birdsod does not write"),
    "a function": (function, r"an operator that birdsod does not write \(got 'a function'"),
    "a graph within": (inner_graph, "an attribute that birdsod does not write"),
    "numbers in another file": (outside, "keeps its numbers in another file"),
    "a loose end": (loose_end, "no valid ONNX model"),
    "another input": (other_input, "inputs and outputs of the model are not those"),
    "no anchors": (no_anchors, "the model has no anchors"),
    "anchors of another size": (no_numbers, "no valid ONNX model|has no anchors|are not those"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_is_not_as_it_was_written_is_refused(good: bytes, tmp_path: Path, change: str) -> None:
    model = onnx.load_model_from_string(good)
    apply, message = CHANGES[change]
    apply(model)
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=message) as caught:
        load_model(file)
    assert caught.value.path == str(file)


def test_whole_numbers_are_numbers(good: bytes) -> None:
    model = onnx.load_model_from_string(good)
    setting(model, "threshold", 1)
    assert artifact_of_bytes(model.SerializeToString()).facts.settings.threshold == 1.0


def test_what_is_no_onnx_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.onnx"
    with pytest.raises(ArtifactError, match="no such model"):
        load_model(file)
    file.write_bytes(b"\x1f\x8b no protocol buffer")
    with pytest.raises(ArtifactError, match="the file is no ONNX model"):
        load_model(file)
    file.write_bytes(b"")
    with pytest.raises(ArtifactError, match="not of birdsod's making"):
        load_model(file)
    monkeypatch.setattr(reading, "MOST_BYTES", 3)
    file.write_bytes(b"four")
    with pytest.raises(ArtifactError, match="more than 3 bytes"):
        load_model(file)


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1), place=st.floats(0, 0.999), value=st.integers(0, 255), keep=st.booleans())
def test_damage_is_refused_or_does_no_harm(good: bytes, cut: float, place: float, value: int, keep: bool) -> None:
    data = bytearray(good if keep else good[: int(cut * len(good))])
    if data:
        data[int(place * len(data))] = value
    try:
        artifact = artifact_of_bytes(bytes(data))
    except ArtifactError:
        return
    assert artifact.facts.image_shape == 128


def altered(good: bytes, op: str, name: str, value: int) -> bytes:
    model = onnx.load_model_from_string(good)
    node = next(each for each in model.graph.node if each.op_type == op)
    next(each for each in node.attribute if each.name == name).i = value
    return bytes(model.SerializeToString())


def test_a_model_that_the_runtime_refuses_is_told(good: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(altered(good, "Concat", "axis", 9))
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot run the model") as caught:
        load_model(file)
    assert caught.value.path == str(file)
    file.write_bytes(altered(good, "Conv", "group", 7))
    model = load_model(file)
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot run the model"):
        model.detect(np.zeros((1, 3, 128, 128), np.float32))
