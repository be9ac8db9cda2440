"""Each operator of MXNet's as ONNX computes what it computes in torch; what is not known is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper

from birdsod.errors import ArtifactError
from birdsod.mxnet import Graph, Node, SparseArray, read_params, read_symbol
from birdsod.ssd.graph_detector import GraphDetector
from birdsod.ssd.graph_network import GraphNetwork
from birdsod.ssd.graph_operators import compute
from birdsod.ssd.onnx.folding import folded
from birdsod.ssd.onnx.from_mxnet import graph_from_mxnet
from birdsod.ssd.onnx.operators import translate
from birdsod.ssd.onnx.writer import GraphWriter

if TYPE_CHECKING:
    import numpy.typing as npt

    Float32Array = npt.NDArray[np.float32]

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"
SYMBOL, PARAMS = GOLDEN / "deploy_tiny-symbol.json", GOLDEN / "model_algo_1-0000.params"
EDGE = 9


def drawn(*shape: int) -> Float32Array:
    return np.random.default_rng(7).uniform(0.1, 2, shape).astype(np.float32)


def in_onnx(node: Node, *parameters: Float32Array, copies: int = 1) -> Float32Array:
    """Run one node on images less one, so that there are negative numbers too."""
    writer = GraphWriter(EDGE)
    data = writer.node("Sub", [writer.images, writer.constant(np.float32(1), "one")], writer.images.shape)
    given = [data] * copies + [writer.constant(each, "parameter") for each in parameters]
    made = translate(writer, node, given)
    model = helper.make_model(writer.graph({"out": made}), opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    found: Float32Array = session.run(None, {"images": drawn(1, 3, EDGE, EDGE)})[0]
    assert found.shape == made.shape
    return found


CASES: list[tuple[str, dict[str, str], list[Float32Array]]] = [
    ("Convolution", {"kernel": "(3, 3)", "no_bias": "True"}, [drawn(4, 3, 3, 3)]),
    ("Convolution", {"kernel": "(3, 3)", "pad": "(2, 1)", "stride": "(2, 3)"}, [drawn(4, 3, 3, 3), drawn(4)]),
    ("Convolution", {"kernel": "(3, 3)", "dilate": "(2, 2)", "num_group": "3"}, [drawn(6, 1, 3, 3), drawn(6)]),
    ("BatchNorm", {"fix_gamma": "False", "eps": "0.01"}, [drawn(3), drawn(3), drawn(3), drawn(3)]),
    ("BatchNorm", {}, [drawn(3), drawn(3), drawn(3), drawn(3)]),
    ("Activation", {"act_type": "relu"}, []),
    ("Activation", {"act_type": "sigmoid"}, []),
    ("Activation", {"act_type": "softrelu"}, []),
    ("Activation", {"act_type": "tanh"}, []),
    ("relu", {}, []),
    ("Pooling", {"kernel": "(2, 2)", "stride": "(2, 2)"}, []),
    ("Pooling", {"kernel": "(2, 2)", "stride": "(2, 2)", "pooling_convention": "full"}, []),
    ("Pooling", {"kernel": "(3, 3)", "stride": "(2, 2)", "pad": "(1, 1)", "pooling_convention": "full"}, []),
    ("Pooling", {"kernel": "(2, 2)", "stride": "(5, 5)", "pooling_convention": "full"}, []),
    ("Pooling", {"kernel": "(3, 3)", "stride": "(2, 2)", "pad": "(1, 1)", "pool_type": "avg"}, []),
    ("Pooling", {"global_pool": "True"}, []),
    ("Pooling", {"global_pool": "True", "pool_type": "avg"}, []),
    ("broadcast_mul", {}, [drawn(1, 3, 1, 1)]),
    ("add_n", {}, [drawn(1, 3, EDGE, EDGE), drawn(1, 3, EDGE, EDGE)]),
    ("transpose", {"axes": "(0, 2, 3, 1)"}, []),
    ("transpose", {}, []),
    ("Flatten", {}, []),
    ("Reshape", {"shape": "(0, -1, 9)"}, []),
    ("Reshape", {"shape": "(0, 27, 9)"}, []),
    ("softmax", {"axis": "1"}, []),
    ("softmax", {}, []),
    ("SoftmaxActivation", {"mode": "channel"}, []),
    ("SoftmaxActivation", {}, []),
    ("SoftmaxOutput", {"multi_output": "True"}, []),
    ("L2Normalization", {"mode": "channel"}, []),
    ("L2Normalization", {"mode": "spatial"}, []),
    ("L2Normalization", {}, []),
    ("Dropout", {"p": "0.5"}, []),
    ("MultiBoxPrior", {"sizes": "(0.2, 0.3)", "ratios": "(1, 2)", "steps": "(0.1, 0.1)", "clip": "True"}, []),
]


@pytest.mark.parametrize(("op", "attributes", "parameters"), CASES)
def test_an_operator_computes_what_it_computes_in_torch(
    op: str, attributes: dict[str, str], parameters: list[Float32Array]
) -> None:
    node = Node(op, "n", attributes)
    inputs = [torch.from_numpy(each) for each in (drawn(1, 3, EDGE, EDGE) - 1, *parameters)]
    # Windows of nothing but padding hold MXNet's smallest number, where torch has an infinite one.
    expected = np.maximum(compute(node, inputs).numpy(), np.finfo(np.float32).min)
    np.testing.assert_allclose(in_onnx(node, *parameters), expected, rtol=1e-4, atol=1e-5)


def test_maps_are_put_beside_each_other() -> None:
    found = in_onnx(Node("Concat", "n", {"dim": "2"}), copies=2)
    images = drawn(1, 3, EDGE, EDGE) - 1
    np.testing.assert_allclose(found, np.concatenate([images, images], 2))


def test_what_does_not_depend_on_the_images_is_computed_at_once() -> None:
    writer = GraphWriter(EDGE)
    table = writer.constant(drawn(1, 4, 6), "t")
    for op, attributes, expected in (
        ("transpose", {"axes": "(0, 2, 1)"}, drawn(1, 4, 6).transpose(0, 2, 1)),
        ("Flatten", {}, drawn(1, 4, 6).reshape(1, -1)),
        ("Reshape", {"shape": "(0, -1, 3)"}, drawn(1, 4, 6).reshape(1, 8, 3)),
    ):
        made = translate(writer, Node(op, "n", attributes), [table])
        np.testing.assert_array_equal(made.constant, expected)


REFUSED = [
    ("Custom", {}, [], "an operator that no detector uses"),
    ("BatchNorm", {"axis": "3"}, [drawn(3)] * 4, "axis"),
    ("BatchNorm", {}, [drawn(4)] * 4, "cannot be computed"),
    ("Convolution", {"kernel": "(3,)"}, [drawn(4, 3, 3, 3), drawn(4)], "kernel"),
    ("Convolution", {"kernel": "(3, 3)"}, [drawn(4, 3, 3, 3)], "cannot be computed"),
    ("Convolution", {"kernel": "(3, 3)", "no_bias": "True"}, [drawn(4, 2, 3, 3)], "another number of channels"),
    ("Convolution", {"kernel": "(3, 3)"}, [drawn(4, 3, 3, 3), drawn(5)], "another number of filters"),
    (
        "Convolution",
        {"kernel": "(3, 3)", "dilate": "(9, 9)", "no_bias": "1"},
        [drawn(4, 3, 3, 3)],
        "a map of the shape",
    ),
    (
        "Convolution",
        {"kernel": "(3, 3)", "pad": "(9999999, 9)", "no_bias": "1"},
        [drawn(4, 3, 3, 3)],
        "a map of the sha",
    ),
    ("Convolution", {"kernel": "(3, 3)", "stride": "(0, 1)", "no_bias": "1"}, [drawn(4, 3, 3, 3)], "of nothing"),
    ("Activation", {"act_type": "new"}, [], "act_type"),
    ("Pooling", {"pooling_convention": "same"}, [], "pooling_convention"),
    ("Pooling", {"pool_type": "lp"}, [], "pool_type"),
    ("Pooling", {"kernel": "(2, 2)", "stride": "(0, 0)", "pooling_convention": "full"}, [], "cannot be computed"),
    ("broadcast_mul", {}, [drawn(1, 4, 1, 1)], "cannot be computed"),
    ("transpose", {"axes": "(0, 1)"}, [], "axes that the map has not"),
    ("Reshape", {"shape": "(0, -3)"}, [], "shape"),
    ("Reshape", {"shape": "(0, -1, 100)"}, [], "another number of values"),
    ("Concat", {"dim": "0"}, [], "do not fit beside"),
    ("Concat", {"dim": "1"}, [drawn(1, 3, 2, 2)], "do not fit beside"),
    ("softmax", {"temperature": "2"}, [], "temperature"),
    ("L2Normalization", {"mode": "other"}, [], "mode"),
    ("MultiBoxPrior", {"sizes": "(-1,)"}, [], "size|cannot be computed"),
]


@pytest.mark.parametrize(("op", "attributes", "parameters", "message"), REFUSED)
def test_what_is_not_known_is_refused_by_the_nodes_name(
    op: str, attributes: dict[str, str], parameters: list[Float32Array], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        in_onnx(Node(op, "the_node", attributes), *parameters)
    assert "the_node" in str(caught.value)


def changed(**replaced: Any) -> GraphDetector:
    return GraphDetector.of(read_symbol(SYMBOL), {**read_params(PARAMS), **replaced})


def test_folding_leaves_out_what_computes_nothing_new_and_changes_no_answer() -> None:
    graph, arrays = read_symbol(SYMBOL), read_params(PARAMS)
    lean = folded(GraphDetector.of(graph, arrays))
    kinds = [lean.graph.nodes[number].op for number in lean.program.order]
    before = [graph.nodes[number].op for number in GraphDetector.of(graph, arrays).program.order]
    assert 0 < kinds.count("BatchNorm") < before.count("BatchNorm")
    images = torch.from_numpy(np.load(GOLDEN / "deploy_io.npz")["data"])
    expected = GraphNetwork(graph, arrays, image_shape=128).answer(images)
    made = {f"arg:{name}": array for name, array in lean.arrays.items()}
    # The folded graph again in torch: its detection is the original's.
    whole = Graph(lean.graph.nodes, graph.heads)
    found = GraphNetwork(whole, {**arrays, **made}, image_shape=128).answer(images)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-4)


def test_weights_of_another_shape_are_not_folded_but_told() -> None:
    detector = changed(**{"arg:conv0_weight": np.ones((8, 3, 7), np.float32)})
    with pytest.raises(ArtifactError, match="conv0"):
        graph_from_mxnet(detector, 128)
    detector = changed(**{"aux:bn0_moving_var": np.ones(5, np.float32)})
    with pytest.raises(ArtifactError, match="bn0"):
        graph_from_mxnet(detector, 128)


def test_a_sparse_parameter_is_made_whole() -> None:
    whole = read_params(PARAMS)["arg:conv0_weight"]
    assert isinstance(whole, np.ndarray)
    sparse = SparseArray("row_sparse", whole.shape, whole, np.arange(len(whole)))
    np.testing.assert_array_equal(changed(**{"arg:conv0_weight": sparse}).arrays["conv0_weight"], whole)


def test_anchors_must_not_depend_on_the_images() -> None:
    nodes = (
        Node("null", "data", {}),
        Node("Reshape", "p", {"shape": "(0, 2, 96)"}, ((0, 0),)),
        Node("Reshape", "o", {"shape": "(0, -1)"}, ((1, 0),)),
        Node("Concat", "l", {"dim": "1"}, ((2, 0), (2, 0))),
        Node("Reshape", "a", {"shape": "(0, 96, 4)"}, ((3, 0),)),
        Node("MultiBoxDetection", "d", {}, ((1, 0), (3, 0), (4, 0))),
    )
    detector = GraphDetector.of(Graph(nodes, ((5, 0),)), {})
    with pytest.raises(ArtifactError, match=r"depend on the images|do not fit together"):
        graph_from_mxnet(detector, 8)
