"""Every request finds its service here, and every service's answer its form."""

from __future__ import annotations

import json
import re
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from birdsod.testing._fake_sagemaker import hosting, logs, quotas, tags, training, transform, tuning
from birdsod.testing._fake_sagemaker.errors import ServiceError
from birdsod.testing._fake_sagemaker.loopback import Answer
from birdsod.testing._fake_sagemaker.moto_operations import operation_of, refusal_of
from birdsod.testing._fake_sagemaker.runtime import invoke, invoke_async
from birdsod.testing._fake_sagemaker.shapes import check_request, service_model
from birdsod.testing._fake_sagemaker.world import OWN_AGENT, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from birdsod.testing._fake_sagemaker.loopback import Request
    from birdsod.testing._fake_sagemaker.moto_services import MotoServices
    from birdsod.testing._fake_sagemaker.world import Json, Region, World

    Operation = Callable[[Region, Json], Json]

__all__ = ["OPERATIONS", "Front"]

_SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_SERVICES: Mapping[str, tuple[str, Mapping[str, Operation]]] = {
    "logs": ("logs", logs.OPERATIONS),
    "sagemaker": (
        "sagemaker",
        {
            **training.OPERATIONS,
            **tuning.OPERATIONS,
            **hosting.OPERATIONS,
            **transform.OPERATIONS,
            **tags.OPERATIONS,
        },
    ),
    "servicequotas": ("service-quotas", quotas.OPERATIONS),
}
_WAITING = {**training.WAITING, **tuning.WAITING, **transform.WAITING}
_INVOCATIONS = {"invocations": ("InvokeEndpoint", invoke), "async-invocations": ("InvokeEndpointAsync", invoke_async)}
_INVOCATION = re.compile(r"/endpoints/(?P<name>[^/]+)/(?P<kind>[a-z-]+)")


OPERATIONS: Mapping[str, tuple[str, ...]] = {
    **{model: tuple(operations) for model, operations in _SERVICES.values()},
    "sagemaker-runtime": tuple(name for name, _ in _INVOCATIONS.values()),
}
"""What is served, by the service's name in botocore."""


class Front:
    """Takes a request and returns its answer.

    Parameters
    ----------
    world : World
        What exists.
    moto : MotoServices
        What answers for S3, IAM and STS.
    """

    def __init__(self, world: World, moto: MotoServices) -> None:
        self._world = world
        self._moto = moto

    def __call__(self, request: Request) -> Answer:
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        service = scope["service"] if scope else ""
        if scope is None or service not in _SERVICES:
            return self._passed_on(service, request)
        region = self._world.region(scope["region"])
        try:
            if service == "sagemaker" and "X-Amz-Target" not in request.headers:
                return self._invoked(region, request)
            return self._operated(region, service, request)
        except ServiceError as error:
            return _refusal(error)

    def _operated(self, region: Region, service: str, request: Request) -> Answer:
        name = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        try:
            asked = json.loads(request.body or b"{}")
        except ValueError as error:
            raise ServiceError("SerializationException", str(error)) from None
        model, operations = _SERVICES[service]
        self._note(name, asked)
        if name not in operations:
            raise ServiceError("UnknownOperationException", f"the fake does not know the operation {name}")
        check_request(model, name, asked)
        if name in _WAITING:
            _WAITING[name](region, asked)
        with self._world.lock:
            answer = operations[name](region, asked)
        # JSON has no word for a time, and answers hold nothing else that it has none for.
        body = json.dumps(answer, default=datetime.timestamp).encode()
        return Answer(HTTPStatus.OK, (("Content-Type", "application/x-amz-json-1.1"),), body)

    def _invoked(self, region: Region, request: Request) -> Answer:
        found = _INVOCATION.fullmatch(urlsplit(request.target).path)
        if found is None or found["kind"] not in _INVOCATIONS:
            raise ServiceError("UnknownOperationException", f"the fake does not know the path {request.target}")
        name, operation = _INVOCATIONS[found["kind"]]
        asked = _from_headers(name, request, unquote(found["name"]))
        self._note(name, asked)
        check_request("sagemaker-runtime", name, {**asked, "Body": b""})
        done = operation(region, asked)
        return Answer(done.status, done.headers, done.body)

    def _passed_on(self, service: str, request: Request) -> Answer:
        # What the fake itself asks of S3 and IAM is no part of anyone's plan.
        if OWN_AGENT not in request.headers.get("User-Agent", ""):
            try:
                self._refuse_as_planned(operation_of(service, request))
            except ServiceError as error:
                return refusal_of(service, error)
        return self._moto.answer(request)

    def _note(self, operation: str, asked: Json) -> None:
        with self._world.lock:
            self._world.calls.append(Call(operation, asked))
        self._refuse_as_planned(operation)

    def _refuse_as_planned(self, operation: str) -> None:
        with self._world.lock:
            planned = next((plan for plan in self._world.scripts.planned if plan.operation == operation), None)
            if planned is None:
                return
            if planned.after > 0:
                planned.after -= 1
                return
            planned.times -= 1
            if planned.times <= 0:
                self._world.scripts.planned.remove(planned)
        raise ServiceError(planned.code, planned.message, status=planned.status)


def _from_headers(operation: str, request: Request, endpoint: str) -> Json:
    shape = service_model("sagemaker-runtime").operation_model(operation).input_shape
    members = getattr(shape, "members", {})
    asked: Json = {"EndpointName": endpoint, "Body": request.body}
    for name, member in members.items():
        if member.serialization.get("location") == "header":
            value = request.headers.get(member.serialization["name"])
            if value is not None:
                asked[name] = int(value) if member.type_name == "integer" else value
    return asked


def _refusal(error: ServiceError) -> Answer:
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.fields}
    headers = (("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", error.code))
    return Answer(error.status, headers, json.dumps(body).encode())
