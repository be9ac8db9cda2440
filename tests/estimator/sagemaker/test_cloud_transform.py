"""Batch transform: every image answered or told why not, in order, and nothing left running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset, synthetic_birds
from birdsod.errors import CloudError, DatasetError, PreflightError, ServingError
from birdsod.estimator.sagemaker import Cloud, Hosting, Ledger, Transformed
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.estimator.sagemaker.transform import transform, transform_request
from birdsod.estimator.sagemaker.transform_files import Sent, content_type
from birdsod.estimator.sagemaker.validation import request_findings
from birdsod.image import encode, read_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from birdsod.testing import FakeSageMaker

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))


@pytest.fixture
def run(fake: FakeSageMaker) -> Callable[..., Transformed]:
    fake.session().client("s3").put_object(Bucket=fake.bucket, Key="jobs/1/output/model.tar.gz", Body=b"a model")

    def made(images: Any, **options: Any) -> Transformed:
        settings = {"image": built_in_image(fake.region), "role": fake.role_arn, "classes": CLASSES, "poll_seconds": 0}
        uri = f"s3://{fake.bucket}/jobs/1/output/model.tar.gz"
        cloud = options.pop("cloud", None) or Cloud.of(fake.session())
        return transform(cloud, images=images, **{"artifact_uri": uri, **settings, **options})

    return made


def photo(height: int = 30, width: int = 40) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_width(body: bytes) -> list[list[float]]:
    """A class and a score that tell the image."""
    width = read_size(body).width
    return [[0.0, width / 100, 0.0, 0.0, 0.5, 1.0], [1.0, 0.25, 0.5, 0.5, 0.5, 0.5]] if width % 2 == 0 else []


def created(fake: FakeSageMaker) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in reversed(fake.calls) if c.operation == "CreateTransformJob").request
    return found


def keys(fake: FakeSageMaker) -> list[str]:
    store: Any = fake.session().client("s3")
    return sorted(row["Key"] for row in store.list_objects_v2(Bucket=fake.bucket)["Contents"])


def clean(fake: FakeSageMaker) -> bool:
    return fake.alive() == [] and Ledger().open_resources() == () and not any("/images/" in key for key in keys(fake))


def test_each_image_is_answered_in_its_order(
    fake: FakeSageMaker, run: Callable[..., Transformed], tmp_path: Path
) -> None:
    fake.script_predictions(by_width)
    (tmp_path / "one").mkdir()
    paths = [tmp_path / "one" / "bird.jpg", tmp_path / "bird.jpg"]
    for path, width in zip(paths, (44, 42), strict=True):
        path.write_bytes(encode(photo(30, width)))
    images = [*paths, photo(30, 41), encode(photo(30, 46))]
    found = run(iter(images))
    assert [len(answer) for answer in found.detections if answer is not None] == [2, 2, 0, 2]
    assert [round(float(answer.confidence[0]), 2) for answer in found.detections if answer] == [0.44, 0.42, 0.46]
    assert found.names == (str(paths[0]), str(paths[1]), "image 2", "image 3")
    assert found.failures == ()
    assert (len(found), repr(found)) == (4, "Transformed(4 images, 6 detections, 0 failures)")
    assert list(found.to_frame().columns)[1:] == [
        *("image", "class_id", "source_id", "name", "confidence"),
        *("xmin", "ymin", "xmax", "ymax"),
        *("xmin_relative", "ymin_relative", "xmax_relative", "ymax_relative"),
    ]
    assert found.to_frame()["image"].tolist() == [str(paths[0])] * 2 + [str(paths[1])] * 2 + ["image 3"] * 2
    assert found.to_frame()[["source_id", "xmax", "ymax"]].to_numpy()[0].tolist() == [17, 22.0, 30.0]
    assert clean(fake)
    assert len([key for key in keys(fake) if key.endswith(".out")]) == 4
    assert created(fake)["TransformInput"]["ContentType"] == "application/x-image"
    tags = {tag["Key"] for tag in created(fake)["Tags"]}
    assert tags == {"birdsod:ledger", "birdsod:caller", "birdsod:created"}


def test_a_data_set_gives_a_data_set(fake: FakeSageMaker, run: Callable[..., Transformed], tmp_path: Path) -> None:
    fake.script_predictions(
        [[0.0, 0.75, 0.25, 0.25, 0.5, 0.75], [1.0, 0.5, 0.5, 0.5, 0.5, 0.9], [1.0, 0.25, 0, 0, 1, 1]]
    )
    birds = synthetic_birds(tmp_path / "birds", seed=1, classes=2, per_class=3)[1:5]
    found = run(birds)
    assert found.names == tuple(birds.names)
    seen = found.dataset()
    assert isinstance(seen, DetectionDataset)
    assert seen.image_ids.tolist() == birds.image_ids.tolist()
    assert [record.path for record in seen] == [record.path for record in birds]
    assert seen.class_table == CLASSES
    # The second box has no width, the third is not confident.
    assert [record.class_ids.tolist() for record in seen] == [[0]] * 4
    first = birds[0]
    quarter = [first.width / 4, first.height / 4, first.width / 2, first.height * 3 / 4]
    np.testing.assert_allclose(seen[0].boxes, [quarter])
    assert found.dataset(threshold=0.2).num_objects == 8
    assert found.dataset(threshold=0.9).num_objects == 0
    assert len(found.dataset(threshold=0.9)) == 4


def test_a_folder_is_taken_with_its_subfolders_in_order(
    fake: FakeSageMaker, run: Callable[..., Transformed], tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "c.jpg").mkdir()
    for name in ("b.jpg", "a/z.JPG", "a/a.png", "notes.txt"):
        (tmp_path / name).write_bytes(encode(photo(), encoding=".png" if name.endswith("png") else ".jpg"))
    found = run(tmp_path)
    assert found.names == tuple(str(tmp_path / name) for name in ("a/a.png", "a/z.JPG", "b.jpg"))
    assert len(run(tmp_path / "b.jpg")) == 1
    assert created(fake)["TransformInput"]["ContentType"] == "image/jpeg"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no images"):
        run(tmp_path / "empty")
    with pytest.raises(DatasetError, match="no images"):
        run([])


def test_an_image_that_cannot_be_read_is_told_and_the_others_go_on(
    fake: FakeSageMaker, run: Callable[..., Transformed], tmp_path: Path
) -> None:
    fake.script_predictions(by_width)
    with pytest.warns(UserWarning, match="2 of 4 images have no answer, the first is image 1: "):
        found = run([photo(), b"no image", tmp_path / "missing.jpg", photo(30, 42)])
    assert [answer is None for answer in found.detections] == [False, True, True, False]
    assert [(failure.name, failure.position) for failure in found.failures] == [
        ("image 1", 1),
        (str(tmp_path / "missing.jpg"), 2),
    ]
    assert "known kind" in found.failures[0].reason
    assert found.to_frame()["image"].unique().tolist() == ["image 0", "image 3"]
    with pytest.raises(DatasetError, match="image 0 has no file"):
        found.dataset()
    with pytest.raises(DatasetError, match="none of the 2 images can be read"):
        run([b"", b"no image"])
    assert clean(fake)


def test_an_answer_that_was_not_written_is_told(fake: FakeSageMaker, run: Callable[..., Transformed]) -> None:
    fake.script_predictions(by_width)
    session = fake.session()

    def spoil(**_: object) -> None:
        store = fake.session().client("s3")
        out = [key for key in keys(fake) if key.endswith(".out")]
        if out:
            store.delete_object(Bucket=fake.bucket, Key=out[1])
            store.put_object(Bucket=fake.bucket, Key=out[2], Body=b"<html>")

    session.events.register("before-send.sagemaker.DeleteModel", spoil)
    with pytest.warns(UserWarning, match="2 of 3 images"):
        found = run([photo(), photo(30, 42), photo(30, 44)], cloud=Cloud.of(session))
    assert [failure.position for failure in found.failures] == [1, 2]
    assert "there is no answer; the job is Completed" in found.failures[0].reason
    assert "is no prediction" in found.failures[1].reason


def test_a_job_that_fails_tells_its_reason_and_leaves_nothing(
    fake: FakeSageMaker, run: Callable[..., Transformed]
) -> None:
    def fail(_body: bytes) -> list[list[float]]:
        raise RuntimeError("CUDA out of memory")

    fake.script_predictions(fail)
    with pytest.raises(ServingError, match="gave no answer: it is Failed") as caught:
        run([photo(), photo(30, 42)])
    assert caught.value.cause
    assert clean(fake)


def test_a_refusal_leaves_nothing(fake: FakeSageMaker, run: Callable[..., Transformed]) -> None:
    for operation in ("CreateModel", "CreateTransformJob"):
        fake.fail(operation, "ResourceLimitExceeded", "The account-level service limit is 0")
        with pytest.raises(CloudError, match="limit is 0"):
            run([photo()])
        assert clean(fake)


def test_an_interrupt_stops_the_job(fake: FakeSageMaker, run: Callable[..., Transformed]) -> None:
    for operation in ("CreateModel", "CreateTransformJob", "DescribeTransformJob"):
        for event in ("before-send.sagemaker", "after-call.sagemaker"):
            session = fake.session()
            moments: list[type[BaseException]] = [KeyboardInterrupt]

            def strike(left: list[type[BaseException]] = moments, **_: object) -> None:
                if left:
                    raise left.pop()

            session.events.register(f"{event}.{operation}", strike)
            with pytest.raises(KeyboardInterrupt):
                run([photo()], cloud=Cloud.of(session))
            assert clean(fake)
    assert "StopTransformJob" in {call.operation for call in fake.calls}


def test_what_is_still_there_is_told_and_the_answers_are_kept(
    fake: FakeSageMaker, run: Callable[..., Transformed]
) -> None:
    fake.fail("DeleteModel", "AccessDeniedException", "not allowed")
    with pytest.warns(UserWarning, match="still there: .*not allowed"):
        assert len(run([photo()]).detections) == 1
    assert [entry.resource.kind for entry in Ledger().open_resources()] == ["model"]


def test_images_that_may_not_be_deleted_are_told(fake: FakeSageMaker, run: Callable[..., Transformed]) -> None:
    session = fake.session()

    def deny(parsed: dict[str, Any], **_: object) -> None:
        parsed["Errors"] = [{"Key": "images/0.png", "Message": "not allowed"}]

    session.events.register("after-call.s3.DeleteObjects", deny)
    with pytest.warns(UserWarning, match="images/0.png: not allowed"):
        run([photo()], cloud=Cloud.of(session))
    session = fake.session()

    def refuse(parsed: dict[str, Any], http_response: Any, **_: object) -> None:
        http_response.status_code = 403
        parsed["Error"] = {"Code": "AccessDenied", "Message": "not allowed"}

    session.events.register("after-call.s3.ListObjectsV2", refuse)
    with pytest.warns(UserWarning, match="cannot delete the images"):
        run([photo()], cloud=Cloud.of(session))


def test_a_job_that_someone_takes_away_is_over(fake: FakeSageMaker, run: Callable[..., Transformed]) -> None:
    fake.fail("DescribeTransformJob", "ValidationException", "Could not find requested job with name: x", times=2)
    with pytest.raises(ServingError, match="it is Deleted"):
        run([photo()])


def test_it_runs_on_instances_only(fake: FakeSageMaker, run: Callable[..., Transformed]) -> None:
    for hosting in (Hosting(serverless_memory_mb=2048), Hosting(asynchronous=True)):
        with pytest.raises(PreflightError, match="runs on instances"):
            run([photo()], hosting=hosting)
    with pytest.raises(PreflightError, match="no such model archive"):
        run([photo()], artifact_uri=f"s3://{fake.bucket}/nowhere/model.tar.gz")
    assert fake.calls == []


def test_where_and_on_what_it_runs_can_be_chosen(fake: FakeSageMaker, run: Callable[..., Transformed]) -> None:
    hosting = Hosting("ml.m5.xlarge", 2, tags={"team": "birds"})
    found = run([photo()], hosting=hosting, work_uri=f"s3://{fake.bucket}/work/")
    request = created(fake)
    assert request["TransformResources"] == {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}
    assert found.output_uri == f"s3://{fake.bucket}/work/transform/{found.job}/answers"
    assert {"Key": "team", "Value": "birds"} in request["Tags"]


@pytest.mark.parametrize("hosting", [Hosting(), Hosting("ml.m5.xlarge", 2, kms_key="alias/birds")])
def test_the_request_is_what_the_service_model_takes(hosting: Hosting) -> None:
    request = transform_request(
        "birds-1", place="s3://birds/transform/1", content_type="image/png", hosting=hosting, tags={"team": "birds"}
    )
    assert request_findings("CreateTransformJob", request) == ()
    assert request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://birds/transform/1/images/"
    assert ("KmsKeyId" in request["TransformOutput"]) == (hosting.kms_key is not None)


def test_the_content_type_is_that_of_all_images_or_the_general_one() -> None:
    jpeg, png, bad = Sent("0.jpg", "image/jpeg"), Sent("1.png", "image/png"), Sent(reason="broken")
    assert content_type([jpeg, bad, jpeg]) == "image/jpeg"
    assert content_type([png]) == "image/png"
    assert content_type([jpeg, png]) == "application/x-image"


def test_nothing_found_is_an_empty_table_and_data_set(
    fake: FakeSageMaker, run: Callable[..., Transformed], tmp_path: Path
) -> None:
    fake.script_predictions([])
    (tmp_path / "bird.jpg").write_bytes(encode(photo()))
    found = run([tmp_path / "bird.jpg"])
    assert list(found.to_frame().columns)[:3] == ["image_id", "image", "class_id"]
    assert len(found.to_frame()) == 0
    assert (len(found.dataset()), found.dataset().num_objects) == (1, 0)
