"""What a batch transform job does: one answer for each image, where the images lie in S3."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

from birdsod.testing._fake_sagemaker import s3
from birdsod.testing._fake_sagemaker.predictions import scripted
from birdsod.testing._fake_sagemaker.runs import ALIVE, Progress

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.hosted_model import HostedModel
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["TransformRun"]

_LOGS = "/aws/sagemaker/TransformJobs"
_MEGABYTE = 1024 * 1024


class TransformRun:
    """Goes through its states, one a look; the answers are there when it is over.

    Parameters
    ----------
    region : Region
        Where it runs.
    request : dict
        What the job was created with.
    model : HostedModel
        What answers.
    """

    def __init__(self, region: Region, request: Json, model: HostedModel) -> None:
        script = region.world.scripts.transform
        self._region = region
        self._request = request
        self._model = model
        self._failure = script.failure
        self._left = list(script.states)
        self._worked = False
        self._guard = threading.Lock()
        self._failed = 0
        self.progress = Progress("InProgress", [])
        self.progress.become("InProgress", region.world.now())

    def wait(self) -> None:
        """Do the work before the last state; called without the lock that all operations share."""
        with self._guard:
            if len(self._left) == 1 and self._left[0] == "Completed" and not self._worked and self._failure is None:
                self._worked = True
                self._work()

    def step(self) -> None:
        """Go on to the next state."""
        if self.progress.status not in ALIVE or not self._left:
            return
        state = self._left.pop(0)
        if state == "Completed" and (self._failed or self._failure is not None):
            state = "Failed"
            default = "AlgorithmError: See job logs for more information"
            self.progress.reason = self._failure or default
        self.progress.become(state, self._region.world.now())
        if self.progress.status not in ALIVE:
            self._model.close()

    def stop(self) -> None:
        """Stop at the next look."""
        self._left = ["Stopped"]
        self.progress.become("Stopping", self._region.world.now())

    def close(self) -> None:
        """End what runs."""
        self._model.close()

    def _work(self) -> None:
        source = self._request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        bucket, prefix = s3.split(source)
        for key in s3.keys(self._region, source):
            self._one(f"s3://{bucket}/{key}", key[prefix.rfind("/") + 1 :])

    def _one(self, uri: str, name: str) -> None:
        body = s3.get(self._region, uri)
        kind = self._request["TransformInput"].get("ContentType", "")
        most = self._request.get("MaxPayloadInMB", 6) * _MEGABYTE
        if len(body) > most:
            self._complain(uri, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{len(body)} bytes, the limit is {most}")
            return
        answered = self._model.ask(body, kind) or scripted(self._region, body, kind)
        if answered.status != HTTPStatus.OK:
            self._complain(uri, answered.status, answered.body.decode("utf-8", "replace"))
            return
        s3.put(self._region, s3.join(self._request["TransformOutput"]["S3OutputPath"], f"{name}.out"), answered.body)

    def _complain(self, uri: str, status: int, message: str) -> None:
        self._failed += 1
        place = uri.removeprefix("s3://")
        lines = [f"{place}: ClientError: {status}", f"{place}: Message: {json.dumps(message)}"]
        self._region.logs.write(_LOGS, f"{self._request['TransformJobName']}/algo-1/data-log", lines)
