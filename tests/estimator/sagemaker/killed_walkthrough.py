"""Trains, hosts and transforms in children that are killed: ``killed_walkthrough.py PACKED ROLE``.

Each line of standard input is a number; the child that it starts is killed by SIGKILL at so many moments just before
or just after a request to SageMaker. Answered is how it ended, and the names of the moments that it has lived through.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings

import boto3
import numpy as np

from birdsod.estimator import SageMakerEstimator
from birdsod.hyperparameters import Hyperparameters
from birdsod.recordio import Packed


def walk(packed: str, role: str, fatal: int) -> list[str]:
    session = boto3.Session()
    seen: list[str] = []

    def live_on(event_name: str, **_: object) -> None:
        seen.append(event_name)
        if len(seen) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    session.events.register("before-send.sagemaker", live_on)
    session.events.register("after-call.sagemaker", live_on)
    data = Packed.open(packed)
    params = Hyperparameters.for_data(data, base_network="resnet-50", epochs=3)
    estimator = SageMakerEstimator(params, role=role, session=session, poll_seconds=0)
    job = estimator.fit(data, logs=False)
    with job.deploy() as detector:
        detector.predict(np.zeros((30, 40, 3), np.uint8))
    job.transform([np.zeros((30, 40, 3), np.uint8)])
    return seen


def main() -> None:
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            # What the engine says is not the answer.
            os.dup2(2, 1)
            os.write(writer, json.dumps(walk(sys.argv[1], sys.argv[2], int(line))).encode())
            os._exit(0)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as told:
            seen = told.read()
        print(json.dumps([os.waitstatus_to_exitcode(status), json.loads(seen or "null")]), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
