"""All ways in which the algorithm reads data: records, images with annotations, augmented manifests."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.dataset import DetectionDataset, ImageChannels, synthetic_birds, write_images
from birdsod.errors import CloudError, DatasetError, PreflightError, TrainingError
from birdsod.estimator import LocalEstimator, SageMakerEstimator
from birdsod.estimator.sagemaker import ImageInputs, Inputs, ManifestInputs, UploadedInputs, fetch_manifest
from birdsod.estimator.sagemaker.session import Cloud
from birdsod.estimator.sagemaker.uploads import HASH, FileUpload, upload_files
from birdsod.hyperparameters import Hyperparameters
from birdsod.recordio import pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.testing import FakeSageMaker

OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1"
KINDS = pytest.mark.parametrize("kind", [ImageInputs, ManifestInputs])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DetectionDataset]:
    whole = synthetic_birds(tmp_path_factory.mktemp("made-up") / "birds", seed=1, classes=2, per_class=6)
    train, validation = whole.split()
    return {"train": train, "validation": validation}


@pytest.fixture(scope="module")
def images(parts: dict[str, DetectionDataset], tmp_path_factory: pytest.TempPathFactory) -> ImageChannels:
    return write_images(parts, tmp_path_factory.mktemp("work") / "images")


@pytest.fixture
def make(fake: FakeSageMaker, images: ImageChannels) -> Callable[..., SageMakerEstimator]:
    def estimator(data: Any = None, **options: Any) -> SageMakerEstimator:
        params = Hyperparameters.for_data(data or images, base_network="resnet-50", epochs=3, image_shape=300)
        settings = {"role": fake.role_arn, "session": fake.session(), "poll_seconds": 0, **options}
        return SageMakerEstimator(params, **settings)

    return estimator


def created(fake: FakeSageMaker) -> dict[str, dict[str, Any]]:
    """The channels of the last job, by name."""
    request: Any = next(call for call in reversed(fake.calls) if call.operation == "CreateTrainingJob").request
    return {channel["ChannelName"]: channel for channel in request["InputDataConfig"]}


def source(channel: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = channel["DataSource"]["S3DataSource"]
    return found


def kinds(estimator: SageMakerEstimator, data: Any) -> list[str]:
    return [finding.kind for finding in estimator.check(data)]


def test_records_can_be_piped(
    make: Callable[..., SageMakerEstimator],
    fake: FakeSageMaker,
    parts: dict[str, DetectionDataset],
    tmp_path: Path,
) -> None:
    packed = pack(parts, tmp_path / "packed", resize=300)
    estimator = make(packed, input_mode="Pipe")
    assert estimator.check(packed) == ()
    assert estimator.fit(packed, logs=False).status == "Completed"
    assert {channel["InputMode"] for channel in created(fake).values()} == {"Pipe"}
    assert {channel["ContentType"] for channel in created(fake).values()} == {"application/x-recordio"}


def test_images_are_read_over_four_channels(
    make: Callable[..., SageMakerEstimator],
    fake: FakeSageMaker,
    images: ImageChannels,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, estimator = ImageInputs(images), make()
    assert isinstance(data, Inputs)
    assert estimator.check(data) == ()
    job = estimator.fit(data, logs=False)
    assert job.status == "Completed"
    assert job.classes == images.class_table
    sent = created(fake)
    assert list(sent) == ["train", "validation", "train_annotation", "validation_annotation"]
    home = f"s3://{fake.bucket}/birdsod/data/{data.fingerprint}"
    for name, channel in sent.items():
        assert source(channel)["S3Uri"] == f"{home}/{name}/"
        assert (channel["InputMode"], channel["ContentType"]) == ("File", "image/jpeg")
    store = fake.session().client("s3")
    for file in data.files(fake.bucket, "birdsod"):
        key = file.uri.removeprefix(f"s3://{fake.bucket}/")
        stored = store.get_object(Bucket=fake.bucket, Key=key)
        assert stored["Body"].read() == file.path.read_bytes()
        assert stored["Metadata"][HASH] == file.sha256
    capsys.readouterr()
    estimator.fit(data, logs=False)
    assert capsys.readouterr().out == "24 of 24 files are uploaded already\n"


def test_a_manifest_is_piped_image_by_image(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, images: ImageChannels
) -> None:
    data, estimator = ManifestInputs(images, label="birds"), make()
    assert isinstance(data, Inputs)
    assert estimator.check(data) == ()
    assert estimator.fit(data, logs=False).status == "Completed"
    sent = created(fake)
    assert list(sent) == ["train", "validation"]
    for name, channel in sent.items():
        assert source(channel)["S3DataType"] == "AugmentedManifestFile"
        assert source(channel)["AttributeNames"] == ["source-ref", "birds"]
        assert source(channel)["S3Uri"].endswith(f"/data/{data.fingerprint}/{name}.birds.manifest")
        told = (channel["InputMode"], channel["RecordWrapperType"], channel["ContentType"])
        assert told == ("Pipe", "RecordIO", "application/x-recordio")
    # Twice the same manifest, byte for byte; another folder, another manifest.
    first, again = data.files(fake.bucket, "birdsod"), data.files(fake.bucket, "birdsod")
    assert first == again
    assert data.files(fake.bucket, "other")[-1].sha256 != first[-1].sha256


@KINDS
def test_tuning_estimates_and_dry_runs_take_them(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, images: ImageChannels, kind: Any
) -> None:
    data, estimator = kind(images), make()
    assert estimator.estimate(data).notes
    told = estimator.requests(data)
    uploads: Any = told["uploads"]
    assert len(uploads) == (24 if kind is ImageInputs else 14)
    assert json.loads(json.dumps(told)) == told
    tuning = estimator.tune(data, {"learning_rate": (1e-4, 1e-2)}, jobs=2, parallel=1)
    assert tuning.best.classes == images.class_table
    assert estimator.upload(data).sent == ()
    assert fake.alive() == []


def test_data_have_their_address_by_their_content(
    images: ImageChannels, parts: dict[str, DetectionDataset], tmp_path: Path
) -> None:
    again = write_images(parts, tmp_path / "again")
    assert ImageInputs(again).fingerprint == ImageInputs(images).fingerprint == ManifestInputs(images).fingerprint
    fewer = write_images({**parts, "train": parts["train"][1:]}, tmp_path / "fewer")
    assert ImageInputs(fewer).fingerprint != ImageInputs(images).fingerprint
    assert ImageInputs(images).channel_plans("birds", "")[0].uri.startswith("s3://birds/data/")


@KINDS
def test_faults_are_found_before_anything_is_uploaded(
    make: Callable[..., SageMakerEstimator],
    fake: FakeSageMaker,
    parts: dict[str, DetectionDataset],
    images: ImageChannels,
    tmp_path: Path,
    kind: Any,
) -> None:
    data = kind(images)
    params = make().params
    assert kinds(make(), data) == []
    for changed, found in (
        (params.evolve(num_training_samples=7), {"sample-count"}),
        (params.evolve(num_classes=3), {"class-count"}),
        (params.evolve(image_shape=512), {"small-images"}),
    ):
        estimator = make()
        estimator.params = changed
        assert found <= set(kinds(estimator, data)), changed
    one_class = write_images({**parts, "train": _of_class(parts["train"], 0)}, tmp_path / "one")
    assert "absent-class" in kinds(make(one_class), kind(one_class))
    lacking = write_images({**parts, "validation": _of_class(parts["validation"], 0)}, tmp_path / "lacking")
    (doubt,) = make(lacking).check(kind(lacking))
    assert (doubt.kind, doubt.severity) == ("absent-class", "warning")
    none = write_images({**parts, "validation": parts["validation"][:0]}, tmp_path / "none")
    with pytest.raises(PreflightError, match="the channel validation has no image"):
        make(none).fit(kind(none))
    assert fake.session().client("s3").list_objects_v2(Bucket=fake.bucket).get("Contents", []) == []


def _of_class(data: DetectionDataset, class_id: int) -> DetectionDataset:
    return data[[position for position, image in enumerate(data) if set(image.class_ids.tolist()) == {class_id}]]


def test_images_without_objects_stop_the_built_in_algorithm_only(
    make: Callable[..., SageMakerEstimator], parts: dict[str, DetectionDataset], fake: FakeSageMaker, tmp_path: Path
) -> None:
    train = parts["train"]
    frame = train.objects
    bare = DetectionDataset.from_tables(
        train.images, frame[frame["image_id"] != train.image_ids[0]], root=train.root, class_table=train.class_table
    )
    kept = write_images({**parts, "train": bare}, tmp_path / "kept", without_objects="keep")
    (finding,) = make(kept).check(ImageInputs(kept))
    assert (finding.kind, finding.severity) == ("image-without-objects", "error")
    assert make(kept, image=OWN).check(ImageInputs(kept)) == ()
    # The fake's algorithm does not care for the check, and fails as the real one.
    for data, message in ((ImageInputs(kept), "Unable to parse the annotation"), (ManifestInputs(kept), "record 1 of")):
        with pytest.raises(TrainingError, match=message):
            make(kept).fit(data, check=False, logs=False)
    assert fake.alive() == []


def test_a_disk_too_small_is_told_for_what_is_copied(
    make: Callable[..., SageMakerEstimator], images: ImageChannels
) -> None:
    train = images.channels["train"]
    vast = replace(train, files=(replace(train.files[0], bytes=400 * 10**9), *train.files[1:]))
    huge = ImageChannels(images.directory, {**images.channels, "train": vast}, images.class_table)
    assert kinds(make(instance_type="ml.p3.2xlarge", volume_gb=50), ImageInputs(huge)).count("small-volume") == 1
    assert "small-volume" not in kinds(make(instance_type="ml.p3.2xlarge", volume_gb=50), ManifestInputs(huge))


@KINDS
def test_what_is_no_such_data_is_refused(
    make: Callable[..., SageMakerEstimator], images: ImageChannels, kind: Any
) -> None:
    with pytest.raises(TrainingError, match="no images beside annotations"):
        kind(images.directory)
    half = ImageChannels(images.directory, {"train": images.channels["train"]}, images.class_table)
    with pytest.raises(TrainingError, match="no channel validation"):
        kind(half)
    with pytest.raises(TrainingError, match="two ways"):
        make().fit(images)  # type: ignore[arg-type]  # what is refused


def test_a_manifest_that_cannot_be_written_is_told(images: ImageChannels, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = ImageChannels(tmp_path / "file", images.channels, images.class_table)
    with pytest.raises(TrainingError, match="manifest cannot be written"):
        ManifestInputs(broken).files("birds", "")


def test_a_file_changed_after_it_was_written_is_not_uploaded(
    make: Callable[..., SageMakerEstimator], parts: dict[str, DetectionDataset], tmp_path: Path
) -> None:
    images = write_images(parts, tmp_path / "images")
    file = images.channels["train"].files[0]
    path = images.channels["train"].annotations / file.annotation
    path.write_bytes(path.read_bytes().replace(b"left", b"LEFT"))
    with pytest.raises(CloudError, match="not what was packed"):
        make().upload(ImageInputs(images))
    path.unlink()
    with pytest.raises(CloudError, match="cannot be read"):
        make().upload(ImageInputs(images))


def test_large_files_are_checked_before_any_is_sent(fake: FakeSageMaker, tmp_path: Path) -> None:
    cloud, path = Cloud.of(fake.session()), tmp_path / "train.rec"
    path.write_bytes(bytes(9 * 2**20))
    files = [FileUpload.of(path, f"s3://{fake.bucket}/large/{number}") for number in range(2)]
    path.write_bytes(b"x" * 9 * 2**20)
    with pytest.raises(CloudError, match="not what was packed"):
        upload_files(cloud, files)
    path.unlink()
    with pytest.raises(CloudError, match="cannot be read"):
        upload_files(cloud, files)
    assert cloud.s3.list_objects_v2(Bucket=fake.bucket, Prefix="large/")["KeyCount"] == 0


def test_an_upload_of_many_goes_on_where_it_broke_off(fake: FakeSageMaker, tmp_path: Path) -> None:
    cloud = Cloud.of(fake.session())
    files = []
    for number in range(120):
        path = tmp_path / f"{number}.json"
        path.write_text(f"annotation {number}")
        files.append(FileUpload.of(path, f"s3://{fake.bucket}/many/{path.name}"))
    fake.fail("PutObject", "AccessDenied", "not now", status=403, times=1, after=60)
    with pytest.raises(CloudError, match="not now"):
        upload_files(cloud, files)
    left = cloud.s3.list_objects_v2(Bucket=fake.bucket, Prefix="many/")["KeyCount"]
    assert 60 <= left < 120
    report = upload_files(cloud, files)
    assert len(report.skipped) == left
    assert len(report.sent) == 120 - left
    assert {*report.skipped, *report.sent} == {file.uri for file in files}
    assert upload_files(cloud, files).skipped == tuple(file.uri for file in files)


def test_a_labelling_job_is_fetched_with_its_images(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, images: ImageChannels, tmp_path: Path
) -> None:
    data = ManifestInputs(images)
    make().upload(data)
    train, validation = (plan.uri for plan in data.channel_plans(fake.bucket, "birdsod"))
    found = fetch_manifest(train, tmp_path / "labelled", session=fake.session())
    found.require_images()
    assert len(found) == images.channels["train"].records
    assert found.root == tmp_path / "labelled/images"
    before = {path: path.stat().st_mtime_ns for path in found.root.rglob("*.jpg")}
    other = fetch_manifest(validation, tmp_path / "labelled", session=fake.session(), class_table=found.class_table)
    fetch_manifest(train, tmp_path / "labelled", session=fake.session())
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    # What was labelled can be packed, or written anew, and trained on.
    again = write_images({"train": found, "validation": other}, tmp_path / "again")
    assert make(again).fit(ImageInputs(again), logs=False).status == "Completed"
    alone = fetch_manifest(train, tmp_path / "alone", session=fake.session(), images=False)
    assert alone.num_objects == found.num_objects
    assert not (tmp_path / "alone/images").exists()


def test_what_cannot_be_fetched_is_told(fake: FakeSageMaker, tmp_path: Path) -> None:
    session = fake.session()
    row = {
        "source-ref": f"s3://{fake.bucket}/none.jpg",
        "birds": {
            "image_size": [{"width": 9, "height": 9, "depth": 3}],
            "annotations": [{"class_id": 0, "left": 1, "top": 1, "width": 2, "height": 2}],
        },
        "birds-metadata": {"class-map": {"0": "Cardinal"}, "type": "groundtruth/object-detection"},
    }
    for name, source_ref in (("missing", row["source-ref"]), ("local", "a.jpg")):
        body = json.dumps({**row, "source-ref": source_ref}).encode()
        session.client("s3").put_object(Bucket=fake.bucket, Key=f"{name}.manifest", Body=body)
    with pytest.raises(CloudError, match="an image of the manifest is not there"):
        fetch_manifest(f"s3://{fake.bucket}/missing.manifest", tmp_path, session=session)
    with pytest.raises(DatasetError, match="does not lie below"):
        fetch_manifest(f"s3://{fake.bucket}/local.manifest", tmp_path, session=session)
    with pytest.raises(CloudError, match="no such object"):
        fetch_manifest(f"s3://{fake.bucket}/other.manifest", tmp_path, session=session)


def test_what_lies_there_already_is_checked_where_it_lies(
    make: Callable[..., SageMakerEstimator], fake: FakeSageMaker, images: ImageChannels
) -> None:
    for kind in (ImageInputs, ManifestInputs):
        data = kind(images)
        make().upload(data)
        there = UploadedInputs(data.channel_plans(fake.bucket, "birdsod"), images.class_table)
        assert make().check(there) == ()
        assert make().fit(there, logs=False).status == "Completed"


def test_the_engine_here_takes_packed_data_only(images: ImageChannels, tmp_path: Path) -> None:
    params = Hyperparameters.for_data(images, base_network="resnet-50")
    with pytest.raises(TrainingError, match="no packed data"):
        LocalEstimator(params, tmp_path).fit(images)  # type: ignore[arg-type]  # what is refused
