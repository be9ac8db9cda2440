"""Asking an endpoint: whatever the image is, however busy the service, and in whose words it fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.config import Config

from birdsod.classes import ClassTable
from birdsod.errors import ImageError, ServingError
from birdsod.estimator.sagemaker import Cloud, Hosting, SageMakerDetector
from birdsod.estimator.sagemaker import invoking as invoking_module
from birdsod.estimator.sagemaker.endpoint import deploy
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.image import encode, read_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.testing import FakeSageMaker

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
ROWS = [[1.0, 0.25, 0.0, 0.0, 0.5, 1.0], [0.0, 0.75, 0.25, 0.5, 0.75, 1.0], [-1.0, 0.9, 0.0, 0.0, 1.0, 1.0]]
Host = "Callable[..., SageMakerDetector]"


@pytest.fixture
def host(fake: FakeSageMaker) -> Iterator[Callable[..., SageMakerDetector]]:
    session = fake.session()
    # Sent once by botocore, so that all patience is birdsod's, and takes no time.
    session._session.set_default_client_config(Config(retries={"total_max_attempts": 1}))
    cloud = Cloud.of(session)
    cloud.s3.put_object(Bucket=fake.bucket, Key="model.tar.gz", Body=b"a model")
    made = []

    def deployed(hosting: Hosting | None = None) -> SageMakerDetector:
        image, uri = built_in_image(fake.region), f"s3://{fake.bucket}/model.tar.gz"
        options: dict[str, Any] = {"artifact_uri": uri, "image": image, "role": fake.role_arn, "classes": CLASSES}
        made.append(deploy(cloud, hosting=hosting, check=False, poll_seconds=0, **options))
        return made[-1]

    yield deployed
    for detector in made:
        detector.close()
    assert fake.alive() == []


def photo(height: int = 30, width: int = 40, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sent(fake: FakeSageMaker) -> list[dict[str, Any]]:
    return [call.request for call in fake.calls if call.operation.startswith("InvokeEndpoint")]


def keys(fake: FakeSageMaker) -> list[str]:
    store: Any = fake.session().client("s3")
    return [row["Key"] for row in store.list_objects_v2(Bucket=fake.bucket).get("Contents", [])]


@pytest.mark.parametrize("hosting", [Hosting(), Hosting(serverless_memory_mb=2048), Hosting(asynchronous=True)])
def test_an_image_is_asked_for_in_any_form_and_any_way(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], tmp_path: Path, hosting: Hosting
) -> None:
    fake.script_predictions(ROWS)
    detector = host(hosting)
    jpeg, png = encode(photo()), encode(photo(), encoding=".png")
    (tmp_path / "bird.jpg").write_bytes(jpeg)
    forms: list[Any] = [tmp_path / "bird.jpg", str(tmp_path / "bird.jpg"), jpeg, png, photo()]
    for found in [detector.predict(form) for form in forms] + detector.predict_batch(iter(forms)):
        assert (found.width, found.height) == (40, 30)
        assert found.names == ["036.Northern_Flicker", "017.Cardinal"]
        assert found.xyxy.tolist() == [[0, 0, 20, 30], [10, 15, 30, 30]]
    kinds = ["image/jpeg", "image/jpeg", "image/jpeg", "image/png", "image/png"]
    assert [request["ContentType"] for request in sent(fake)][:5] == kinds
    assert {request["Accept"] for request in sent(fake)} == {"application/json"}
    # What travels through S3 does not stay there.
    assert keys(fake) == ["model.tar.gz"]


def test_answers_come_in_the_order_of_the_images(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    fake.script_predictions(lambda body: [[0.0, read_size(body).width / 1000, 0.0, 0.0, 1.0, 1.0]])
    widths = [40 + 7 * number % 41 for number in range(24)]
    found = host().predict_batch((photo(20, width) for width in widths), jobs=5)
    assert [round(answer.confidence[0] * 1000) for answer in found] == widths


@pytest.mark.parametrize(
    ("hosting", "most"), [(Hosting(), 5 * 1024 * 1024), (Hosting(serverless_memory_mb=2048), 4 * 1024 * 1024)]
)
def test_what_is_too_large_is_shrunk_and_boxes_stay_where_they_were(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], hosting: Hosting, most: int
) -> None:
    sizes = []

    def weigh(body: bytes) -> list[list[float]]:
        sizes.append(len(body))
        return ROWS

    fake.script_predictions(weigh)
    large = photo(2400, 2600)
    assert len(encode(large)) > most
    found = host(hosting).predict(large)
    assert (found.width, found.height) == (2600, 2400)
    assert found.xyxy[0].tolist() == [0, 0, 1300, 2400]
    assert sizes[0] <= most
    assert sent(fake)[0]["ContentType"] == "image/jpeg"


def test_a_turned_photograph_is_sent_upright(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    from birdsod.image import as_rgb

    seen = []

    def measure(body: bytes) -> list[list[float]]:
        seen.append((tuple(read_size(body)), b"Exif" in body))
        return ROWS

    fake.script_predictions(measure)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    plain = encode(photo(30, 40))
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    assert as_rgb(turned).shape == (40, 30, 3)
    found = host().predict(turned)
    assert (found.width, found.height) == (30, 40)
    assert seen == [((30, 40), False)]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("ModelNotReadyException", 429),
        ("InternalFailure", 500),
        ("ServiceUnavailable", 503),
        ("InternalDependencyException", 530),
        ("ExpiredTokenException", 403),
    ],
)
def test_what_may_pass_is_waited_for(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], code: str, status: int
) -> None:
    detector = host()
    fake.fail("InvokeEndpoint", code, "not now", status=status, times=3)
    assert len(detector.predict(photo())) == 2
    fake.fail("InvokeEndpoint", code, "not now", status=status, times=4)
    with pytest.raises(ServingError, match="not now"):
        detector.predict(photo())
    assert len(sent(fake)) == 8


def test_what_does_not_pass_is_told_at_once(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    detector = host()
    fake.fail("InvokeEndpoint", "AccessDeniedException", "sagemaker:InvokeEndpoint is not allowed", status=403)
    with pytest.raises(ServingError, match="InvokeEndpoint is not allowed") as caught:
        detector.predict(photo())
    assert caught.value.cure
    assert len(sent(fake)) == 1


@pytest.mark.parametrize("hosting", [Hosting(), Hosting(asynchronous=True)])
def test_a_container_that_fails_is_quoted_with_its_log_group(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], hosting: Hosting
) -> None:
    def fail(_body: bytes) -> list[list[float]]:
        raise RuntimeError("CUDA out of memory")

    fake.script_predictions(fail)
    detector = host(hosting)
    with pytest.raises(ServingError, match="failed on this image") as caught:
        detector.predict(photo())
    assert caught.value.cause == "RuntimeError: CUDA out of memory"
    assert f"/aws/sagemaker/Endpoints/{detector.name}" in str(caught.value)
    assert len(sent(fake)) == 1
    assert keys(fake) == ["model.tar.gz"]


def test_a_container_that_is_busy_is_asked_again(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    detector = host()
    left = [{"OriginalStatusCode": 503, "OriginalMessage": "busy"}]

    def fake_busy(parsed: dict[str, Any], http_response: Any, **_: object) -> None:
        if left:
            http_response.status_code = 424
            parsed.update(left.pop(), Error={"Code": "ModelError", "Message": "busy"})

    detector._cloud.runtime.meta.events.register("after-call.sagemaker-runtime.InvokeEndpoint", fake_busy)
    assert len(detector.predict(photo())) == 2
    assert len(sent(fake)) == 2


@pytest.mark.parametrize("answer", [[[0.0, 0.5]], [[7.0, 0.5, 0.0, 0.0, 1.0, 1.0]], [["a", 0.5, 0.0, 0.0, 1.0, 1.0]]])
def test_an_answer_that_is_none_is_told(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], answer: Any
) -> None:
    fake.script_predictions(answer)
    with pytest.raises(ServingError, match="is no prediction"):
        host().predict(photo())


def test_an_image_that_cannot_be_read_is_not_sent(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], tmp_path: Path
) -> None:
    detector = host()
    for bad in (b"", b"no image", tmp_path / "missing.jpg"):
        with pytest.raises(ImageError):
            detector.predict(bad)
    with pytest.raises(ImageError):
        detector.predict_batch([photo(), b"no image", photo()])
    assert len(sent(fake)) <= 2


def test_a_closed_detector_says_so(host: Callable[..., SageMakerDetector]) -> None:
    detector = host()
    detector.close()
    with pytest.raises(ServingError, match="closed"):
        detector.predict(photo())


def test_an_endpoint_that_is_gone_is_named(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    detector = host()
    fake.session().client("sagemaker").delete_endpoint(EndpointName=detector.name)
    with pytest.raises(ServingError, match=f"no endpoint {detector.name} that answers"):
        detector.predict(photo())
    with pytest.raises(ServingError, match="it is Deleted"):
        detector.wait()


def test_an_answer_that_takes_its_time_is_waited_for(
    fake: FakeSageMaker, host: Callable[..., SageMakerDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = host(Hosting(asynchronous=True, async_output_uri=f"s3://{fake.bucket}/answers"))
    store, looks = fake.session().client("s3"), []

    def late(parsed: dict[str, Any], **_: object) -> None:
        # The fake answers at once: hide its answer until it was looked for.
        bucket, key = parsed["OutputLocation"].removeprefix("s3://").split("/", 1)
        body = store.get_object(Bucket=bucket, Key=key)["Body"].read()
        store.delete_object(Bucket=bucket, Key=key)
        looks.append((bucket, key, body))

    def look(**_: object) -> None:
        if len(looks) == 3:
            bucket, key, body = looks[0]
            store.put_object(Bucket=bucket, Key=key, Body=body)
        looks.append(looks[0])

    events = detector._cloud.runtime.meta.events
    events.register("after-call.sagemaker-runtime.InvokeEndpointAsync", late)
    detector._cloud.s3.meta.events.register("before-call.s3.GetObject", look)
    assert len(detector.predict(photo())) == 2
    assert len(looks) > 3
    assert looks[0][1].startswith("answers/")
    assert keys(fake) == ["model.tar.gz"]
    monkeypatch.setattr(invoking_module, "_ASYNC_SECONDS", 0.0)
    with pytest.raises(ServingError, match="not answered within an hour"):
        detector.predict(photo())


def test_a_store_that_refuses_is_a_serving_error(fake: FakeSageMaker, host: Callable[..., SageMakerDetector]) -> None:
    detector = host(Hosting(asynchronous=True, async_output_uri="s3://no-such-bucket-of-birds/answers"))
    with pytest.raises(ServingError, match="NoSuchBucket") as caught:
        detector.predict(photo())
    assert caught.value.cure
    assert json.dumps(sent(fake)) == "[]"


def test_an_answer_is_not_lost_over_what_cannot_be_deleted(host: Callable[..., SageMakerDetector]) -> None:
    detector = host(Hosting(asynchronous=True))

    def deny(parsed: dict[str, Any], http_response: Any, **_: object) -> None:
        http_response.status_code = 403
        parsed["Error"] = {"Code": "AccessDenied", "Message": "not allowed"}

    detector._cloud.s3.meta.events.register("after-call.s3.DeleteObject", deny)
    with pytest.warns(UserWarning, match="it stays in S3: cannot delete"):
        assert len(detector.predict(photo())) == 2
