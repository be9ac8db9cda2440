"""MXNet 1.9.1 as a process that answers: ``.venv-mxnet/bin/python oracle.py``.

Both ways a message is the length of a JSON text (8 bytes, big-endian), the text, then the bytes whose lengths its
``blobs`` list gives. Standard output carries nothing else; whatever MXNet and im2rec print goes elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

warnings.simplefilter("ignore")

import cv2  # noqa: E402 - after the warnings of a package that no longer changes are silenced
import mxnet as mx  # noqa: E402 - the same
import numpy as np  # noqa: E402 - the same

LENGTH = struct.Struct(">Q")
IM2REC = Path(mx.__file__).parent / "tools" / "im2rec.py"
CODE = compile(IM2REC.read_text(encoding="utf-8"), str(IM2REC), "exec")

Told = dict[str, Any]
Blobs = list[bytes]
Answer = tuple[Told, Blobs]


def versions(_told: Told, _blobs: Blobs) -> Answer:
    return {"mxnet": mx.__version__, "numpy": np.__version__, "opencv": cv2.__version__}, []


def write(told: Told, blobs: Blobs) -> Answer:
    """Write payloads one after the other, with an index if keys are given."""
    if "keys" not in told:
        plain = mx.recordio.MXRecordIO(told["rec"], "w")
        with contextlib.closing(plain):
            for payload in blobs:
                plain.write(payload)
        return {}, []
    indexed = mx.recordio.MXIndexedRecordIO(told["idx"], told["rec"], "w", key_type=key_type(told))
    with contextlib.closing(indexed):
        for key, payload in zip(told["keys"], blobs, strict=True):
            indexed.write_idx(key, payload)
    return {}, []


def read(told: Told, _blobs: Blobs) -> Answer:
    """Read payloads one after the other, or those of some keys by the index."""
    if "idx" in told:
        indexed = mx.recordio.MXIndexedRecordIO(told["idx"], told["rec"], "r", key_type=key_type(told))
        with contextlib.closing(indexed):
            keys = list(indexed.keys)
            return {"keys": keys}, [indexed.read_idx(key) for key in told.get("keys", keys)]
    payloads: Blobs = []
    plain = mx.recordio.MXRecordIO(told["rec"], "r")
    with contextlib.closing(plain):
        try:
            payloads.extend(iter(plain.read, None))
        except mx.MXNetError as error:
            return {"refused": str(error)}, payloads
    return {}, payloads


def key_type(told: Told) -> type:
    return str if told.get("key_type") == "str" else int


def pack(told: Told, blobs: Blobs) -> Answer:
    """Pack images: each header is label, id, id2."""
    made = [
        mx.recordio.pack(mx.recordio.IRHeader(0, label_of(label), first, second), image)
        for (label, first, second), image in zip(told["headers"], blobs, strict=True)
    ]
    return {}, made


def label_of(told: Any) -> Any:
    """Numbers come as the hexadecimal digits of their float32 bytes: JSON has no NaN, and doubles would round."""
    numbers = np.frombuffer(bytes.fromhex(told["float32"]), "<f4")
    return numbers if told["array"] else float(numbers[0])


def unpack(_told: Told, blobs: Blobs) -> Answer:
    headers, images = [], []
    for payload in blobs:
        header, image = mx.recordio.unpack(payload)
        label = np.asarray(header.label, "<f4")
        told = {"float32": label.tobytes().hex(), "array": label.ndim > 0}
        headers.append([int(header.flag), told, int(header.id), int(header.id2)])
        images.append(image)
    return {"headers": headers}, images


def im2rec(told: Told, _blobs: Blobs) -> Answer:
    """Run all of im2rec as a program, but in this process: a process of its own would import MXNet again."""
    printed = io.StringIO()
    space: dict[str, Any] = {"__name__": "__main__", "__file__": str(IM2REC)}
    before = sys.argv, sys.path[:]
    sys.argv = ["im2rec.py", *told["arguments"]]
    crashed = None
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            exec(CODE, space)  # noqa: S102 - im2rec has no function that is its whole program
    except (Exception, SystemExit) as error:  # noqa: BLE001 - however it ends, the other side judges
        crashed = f"{type(error).__name__}: {error}"
    finally:
        sys.argv, sys.path[:] = before
        if "record" in space:
            space["record"].close()
    return {"crashed": crashed, "printed": printed.getvalue()}, []


def iterate(told: Told, _blobs: Blobs) -> Answer:
    """Read a record file by ImageDetRecordIter: labels, then pixels, each batch by itself; a batch is of one."""
    shape = tuple(told["shape"])
    records = mx.io.ImageDetRecordIter(path_imgrec=told["rec"], data_shape=shape, batch_size=1, **told["options"])
    blobs = []
    for batch in records:
        blobs.append(batch.label[0].asnumpy()[0].astype("<f4").tobytes())
        blobs.append(batch.data[0].asnumpy()[0].astype("<f4").tobytes())
    return {}, blobs


def passes(told: Told, _blobs: Blobs) -> Answer:
    """Read a record file again and again: the pixels of each pass, with what fills up its last batch."""
    shape, size = tuple(told["shape"]), told["batch_size"]
    records = mx.io.ImageDetRecordIter(path_imgrec=told["rec"], data_shape=shape, batch_size=size)
    blobs = []
    for _ in range(told["passes"]):
        blobs.append(b"".join(batch.data[0].asnumpy().astype("<f4").tobytes() for batch in records))
        records.reset()
    return {}, blobs


def detect(told: Told, blobs: Blobs) -> Answer:
    """Open a saved detector as a container does, answer a batch, and save it again under another name."""
    symbol, arguments, statistics = mx.model.load_checkpoint(told["prefix"], 0)
    batch = np.frombuffer(blobs[0], "<f4").reshape(told["shape"])
    labelled = "label" in symbol.list_arguments()
    labels = [("label", (batch.shape[0], 2, 6))] if labelled else None
    module = mx.mod.Module(symbol, data_names=("data",), label_names=("label",) if labelled else None)
    module.bind(for_training=False, data_shapes=[("data", batch.shape)], label_shapes=labels)
    module.set_params(arguments, statistics, allow_missing=False, allow_extra=False)
    # A row of -1 is no object: what is answered must not depend on what is looked for.
    none = [mx.nd.full(shape, -1) for _, shape in labels] if labels else None
    module.forward(mx.io.DataBatch(data=[mx.nd.array(batch)], label=none), is_train=False)
    rows = module.get_outputs()[-1].asnumpy()
    module.save_checkpoint(told["again"], 0)
    return {"shape": rows.shape, "outputs": symbol.list_outputs()}, [rows.astype("<f4").tobytes()]


def optimize(told: Told, blobs: Blobs) -> Answer:
    """Update one parameter step by step, each with its gradient and its learning rate."""
    weight, *gradients = (mx.nd.array(np.frombuffer(blob, "<f4")) for blob in blobs)
    optimizer = mx.optimizer.create(told["name"], param_idx2name={0: told["parameter"]}, **told["options"])
    if told["lr_mult"] is not None:
        optimizer.set_lr_mult({told["parameter"]: told["lr_mult"]})
    state, weights = optimizer.create_state(0, weight), []
    for rate, gradient in zip(told["rates"], gradients, strict=True):
        optimizer.set_learning_rate(rate)
        optimizer.update(0, weight, gradient, state)
        weights.append(weight.asnumpy().astype("<f4").tobytes())
    return {}, weights


def train(told: Told, blobs: Blobs) -> Answer:
    """Make steps from a saved detector; save the gradients of the first, and what came of all of them."""
    symbol, arguments, statistics = mx.model.load_checkpoint(told["prefix"], 0)
    images, labels = (
        np.frombuffer(blob, "<f4").reshape(shape) for blob, shape in zip(blobs, told["shapes"], strict=True)
    )
    module = mx.mod.Module(symbol, label_names=("label",), fixed_param_names=told["fixed"])
    module.bind([("data", images.shape)], [("label", labels.shape)], for_training=True)
    module.set_params(arguments, statistics, allow_missing=False, allow_extra=False)
    module.init_optimizer(optimizer="sgd", optimizer_params=told["options"])
    batch = mx.io.DataBatch(data=[mx.nd.array(images)], label=[mx.nd.array(labels)])
    for step in range(told["steps"]):
        module.forward_backward(batch)
        if not step:
            found = module._exec_group.execs[0].grad_dict
            wanted = {name: each.copy() for name, each in found.items() if each is not None and name in arguments}
            mx.nd.save(told["gradients"], wanted)
        module.update()
        # Moving statistics change in the backward pass, and MXNet does not wait for them when it saves.
        mx.nd.waitall()
    module.save_checkpoint(told["again"], 0)
    return {}, []


COMMANDS: dict[str, Callable[[Told, Blobs], Answer]] = {
    command.__name__: command
    for command in (versions, write, read, pack, unpack, im2rec, iterate, passes, detect, optimize, train)
}


def answer(told: Told, blobs: Blobs) -> Answer:
    try:
        return COMMANDS[told["command"]](told, blobs)
    except Exception as error:  # noqa: BLE001 - what MXNet refuses is an answer, too
        return {"error": f"{type(error).__name__}: {error}"}, []


def receive(stream: BinaryIO) -> Answer | None:
    size = stream.read(LENGTH.size)
    if len(size) < LENGTH.size:
        return None
    told = json.loads(stream.read(*LENGTH.unpack(size)))
    return told, [stream.read(length) for length in told["blobs"]]


def send(stream: BinaryIO, told: Told, blobs: Blobs) -> None:
    text = json.dumps(told | {"blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(b"".join([LENGTH.pack(len(text)), text, *blobs]))
    stream.flush()


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    # MXNet prints from C++, and im2rec's processes from Python.
    os.dup2(2, 1)
    while (question := receive(sys.stdin.buffer)) is not None:
        send(answers, *answer(*question))


if __name__ == "__main__":
    main()
