"""One contestant of ``inference.py``: opens a detector in an environment of its own, and tells seconds.

``python _inference_side.py KIND MODEL BATCH THREADS``; KIND is mxnet, torch or onnxruntime. A line in
asks for one answer, or names a file for the rows; a line of JSON out gives seconds by the clock and of the processor.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def in_mxnet(prefix: str, batch: Any, threads: int) -> Callable[[], Any]:  # noqa: ANN401 - MXNet has no types
    import mxnet as mx

    del threads  # told by OMP_NUM_THREADS
    symbol, arguments, statistics = mx.model.load_checkpoint(f"{prefix}/model", 0)
    module = mx.mod.Module(symbol, data_names=("data",), label_names=None)
    module.bind(for_training=False, data_shapes=[("data", batch.shape)])
    module.set_params(arguments, statistics)
    given = mx.io.DataBatch(data=[mx.nd.array(batch)], label=None)

    def answer() -> Any:  # noqa: ANN401 - the same
        module.forward(given, is_train=False)
        return module.get_outputs()[-1].asnumpy()

    return answer


def in_birdsod(runtime: Any, path: str, batch: Any, threads: int) -> Callable[[], Any]:  # noqa: ANN401 - a literal
    from birdsod.ssd import load_model

    model = load_model(path, runtime=runtime, device="cpu", threads=threads)
    return lambda: model.detect(batch)


def main() -> None:
    kind, path, batch, threads = sys.argv[1], sys.argv[2], np.load(sys.argv[3]), int(sys.argv[4])
    answer = in_mxnet(path, batch, threads) if kind == "mxnet" else in_birdsod(kind, path, batch, threads)
    for line in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        rows = answer()
        taken = [time.perf_counter() - clock, time.process_time() - processor]
        if line.strip():
            np.save(line.strip(), rows)
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
