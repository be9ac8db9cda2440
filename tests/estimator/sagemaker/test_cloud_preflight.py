"""Every planted fault of a training job is found before anything is created, and a clean one has none."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from birdsod import ClassTable, Hyperparameters
from birdsod._hyperparameter_rules import RULES
from birdsod.estimator.sagemaker.findings import FINDING_KINDS, errors_of
from birdsod.estimator.sagemaker.inputs import PackedInputs, UploadedInputs
from birdsod.estimator.sagemaker.preflight import preflight
from birdsod.estimator.sagemaker.preflight_parameters import _safe_batch, read_parameters
from birdsod.estimator.sagemaker.preflight_plan import expected_seconds
from birdsod.estimator.sagemaker.regions import built_in_image
from birdsod.estimator.sagemaker.requests import RECORDIO, SEED_MODEL, ChannelPlan, TrainingPlan
from birdsod.recordio import Packed, PackedChannel, PackOptions, RecordWriter
from birdsod.recordio._manifest import manifest_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.estimator.sagemaker.findings import Finding

TABLE = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))
OWN_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1"
FINE = [2, 5, 0, 0.1, 0.2, 0.5, 0.6]
OTHER = [2, 5, 1, 0.1, 0.2, 0.5, 0.6]
EMPTY = [2, 5]


def picture(side: int = 320, kind: str = ".jpg") -> bytes:
    pixels = np.full((side, side + 8, 3), 90, dtype=np.uint8)
    return bytes(cv2.imencode(kind, pixels)[1])


PICTURE = picture()
Labels = list[Any]


@dataclass
class Case:
    """A job that would run, and what a test changes about it."""

    folder: Path
    plan: TrainingPlan
    train: Labels = field(default_factory=lambda: [FINE, OTHER] * 20)
    validation: Labels = field(default_factory=lambda: [FINE, OTHER] * 2)
    image: bytes = PICTURE
    resize: int | None = 320
    after: Callable[[Packed], object] = lambda _: None
    params: Hyperparameters | None = None

    def set(self, **values: Any) -> None:
        self.plan = replace(self.plan, **values)

    def send(self, **values: Any) -> None:
        sent = {**self.plan.hyperparameters, **{name: str(value) for name, value in values.items()}}
        self.set(hyperparameters={name: value for name, value in sent.items() if value != "None"})

    def channel(self, name: str, **values: Any) -> None:
        self.set(channels=tuple(replace(each, **values) if each.name == name else each for each in self.plan.channels))

    def add(self, *channels: ChannelPlan) -> None:
        self.set(channels=(*self.plan.channels, *channels))

    def drop(self, name: str) -> None:
        self.set(channels=tuple(each for each in self.plan.channels if each.name != name))

    def packed(self) -> Packed:
        channels = {
            name: written(self.folder, name, labels, self.image, self.resize)
            for name, labels in (("train", self.train), ("validation", self.validation))
        }
        made = Packed(self.folder, channels, TABLE)
        (self.folder / "packed.json").write_text(manifest_text(channels, TABLE))
        self.after(made)
        return made

    def findings(self) -> tuple[Finding, ...]:
        return preflight(self.plan, self.packed(), self.params)


def written(folder: Path, name: str, labels: Labels, image: bytes, resize: int | None) -> PackedChannel:
    rec, idx = folder / f"{name}.rec", folder / f"{name}.idx"
    with RecordWriter(rec, overwrite=True) as writer:
        for key, label in enumerate(labels, 1):
            writer.write_record(key, label, image)
    objects = [0 if np.ndim(label) == 0 else (len(label) - 2) // 5 for label in labels]
    return PackedChannel(
        name=name,
        lst=folder / f"{name}.lst",
        rec=rec,
        idx=idx,
        listed=len(labels),
        records=len(labels),
        objects=sum(objects),
        most_objects=max(objects, default=0),
        longest_label=max((np.size(label) for label in labels), default=0),
        bytes=rec.stat().st_size,
        sha256=hashlib.sha256(rec.read_bytes()).hexdigest(),
        idx_sha256=hashlib.sha256(idx.read_bytes()).hexdigest(),
        lst_sha256="",
        options=PackOptions(resize=resize, pass_through=resize is None),
    )


def records(name: str) -> ChannelPlan:
    return ChannelPlan(name=name, uri=f"s3://birds/data/{name}/", content_type=RECORDIO)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    params = Hyperparameters(num_classes=2, num_training_samples=40, base_network="resnet-50", mini_batch_size=16)
    plan = TrainingPlan(
        name="birdsod-20261122-120000-abcd",
        image=built_in_image("us-east-1"),
        role="arn:aws:iam::123456789012:role/birds",
        hyperparameters=params.to_request(),
        channels=(records("train"), records("validation")),
        output_uri="s3://birds/jobs/",
        tags={"team": "birds"},
    )
    return Case(tmp_path, plan, params=None)


def images(case: Case, *, annotations: tuple[str, ...] = ("train", "validation"), kind: str = "image/jpeg") -> None:
    case.channel("train", content_type="image/jpeg")
    case.channel("validation", content_type="image/jpeg")
    case.add(
        *(
            ChannelPlan(name=f"{n}_annotation", uri=f"s3://birds/{n}_annotation/", content_type=kind)
            for n in annotations
        )
    )


def manifest(case: Case, **values: Any) -> None:
    fine: dict[str, Any] = {
        "kind": "AugmentedManifestFile",
        "input_mode": "Pipe",
        "record_wrapper": "RecordIO",
        "attribute_names": ("source-ref", "birds"),
    }
    for name in ("train", "validation"):
        case.channel(name, **{**fine, **values})


def seed(case: Case, **values: Any) -> None:
    fine: dict[str, Any] = {"name": "model", "uri": "s3://birds/old/model.tar.gz", "content_type": SEED_MODEL}
    case.add(ChannelPlan(**{**fine, **values}))


def with_orientation(png: bytes) -> bytes:
    """A PNG with an EXIF part that says: turned by a quarter."""
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    import zlib

    part = len(exif).to_bytes(4, "big") + b"eXIf" + exif + zlib.crc32(b"eXIf" + exif).to_bytes(4, "big")
    return png[:33] + part + png[33:]


def spoil(packed: Packed) -> None:
    rec = packed.channels["train"].rec
    content = bytearray(rec.read_bytes())
    content[-40] ^= 0xFF
    rec.write_bytes(content)


def cut(packed: Packed) -> None:
    rec = packed.channels["train"].rec
    rec.write_bytes(rec.read_bytes()[:-100])


def many(labels: int) -> list[float]:
    return [2, 5, *([0, 0.1, 0.2, 0.5, 0.6] * labels)]


def grown(packed: Packed) -> None:
    """The channel claims more bytes than any disk of the machine has; the file itself stays small."""
    train = packed.channels["train"]
    packed.channels["train"] = replace(train, bytes=80_000_000_000)  # type: ignore[index]  # a dict here


def both(*plants: Callable[[Case], object]) -> Callable[[Case], None]:
    def plant(case: Case) -> None:
        for each in plants:
            each(case)

    return plant


FAULTS: dict[str, tuple[str, str, Callable[[Case], object]]] = {
    # name: kind, severity, what plants it
    "underscore in the job's name": ("bad-request", "error", lambda c: c.set(name="birds_1")),
    "job's name too long": ("bad-request", "error", lambda c: c.set(name="b" * 64)),
    "malformed role": ("bad-request", "error", lambda c: c.set(role="arn:aws:iam::12:user/me-and-more")),
    "hyperparameter too long": ("bad-request", "error", lambda c: c.send(freeze_layer_pattern="a" * 2501)),
    "more than 50 tags": ("bad-request", "error", lambda c: c.set(tags={f"k{n}": "v" for n in range(51)})),
    "tag with a forbidden sign": ("bad-request", "error", lambda c: c.set(tags={"a|b": "v"})),
    "tag of Amazon's own": ("reserved-tag", "error", lambda c: c.set(tags={"aws:birds": "v"})),
    "unknown instance type": ("bad-request", "error", lambda c: c.set(instance_type="ml.g4dn.huge")),
    "output that is no address": ("bad-request", "error", lambda c: c.set(output_uri="birds/jobs")),
    "no machine": ("bad-request", "error", lambda c: c.set(instances=0)),
    "longer than 28 days": ("bad-request", "error", lambda c: c.set(max_seconds=29 * 86400)),
    "required hyperparameter missing": ("bad-hyperparameter", "error", lambda c: c.send(num_classes=None)),
    "unknown hyperparameter": ("bad-hyperparameter", "error", lambda c: c.send(learning_speed=1)),
    "hyperparameter out of range": ("bad-hyperparameter", "error", lambda c: c.send(learning_rate=2)),
    "unknown base network": ("bad-hyperparameter", "error", lambda c: c.send(base_network="vgg-19")),
    "base network of the local engine": ("base-network", "error", lambda c: c.send(base_network="efficientnet-lite0")),
    "pretraining left to a default": ("default-not-sent", "error", lambda c: c.send(use_pretrained_model=None)),
    "no pretraining, few images": ("untrained-network", "warning", lambda c: c.send(use_pretrained_model=0)),
    "label_width below the longest": (
        "label-width",
        "error",
        both(lambda c: c.train.append(many(80)), lambda c: c.send(num_training_samples=41)),
    ),
    "label_width below that of validation": ("label-width", "error", lambda c: c.validation.append(many(70))),
    "more objects than are detected": (
        "many-objects",
        "warning",
        both(lambda c: c.validation.append(many(401)), lambda c: c.send(label_width=3000)),
    ),
    "other number of classes": ("class-count", "error", lambda c: c.send(num_classes=3)),
    "other number of images": ("sample-count", "error", lambda c: c.send(num_training_samples=44)),
    "batch above the images": (
        "batch-above-samples",
        "error",
        lambda c: c.send(mini_batch_size=41, base_network="vgg-16"),
    ),
    "batch below the GPUs": (
        "batch-below-gpus",
        "error",
        both(lambda c: c.set(instance_type="ml.g4dn.12xlarge"), lambda c: c.send(mini_batch_size=3)),
    ),
    "batch too large for the GPU": ("batch-memory", "error", lambda c: c.send(mini_batch_size=33)),
    "batch far too large at 512": (
        "batch-memory",
        "error",
        both(lambda c: c.send(mini_batch_size=26, image_shape=512), lambda c: setattr(c, "resize", 512)),
    ),
    "batch perhaps too large at 512": (
        "batch-memory",
        "warning",
        both(lambda c: c.send(mini_batch_size=17, image_shape=512), lambda c: setattr(c, "resize", 512)),
    ),
    "schedule past the end": ("schedule", "warning", lambda c: c.send(lr_scheduler_step="10,30")),
    "early stopping past the end": ("schedule", "warning", lambda c: c.send(early_stopping=True, epochs=10)),
    "all layers frozen": ("all-layers-frozen", "error", lambda c: c.send(freeze_layer_pattern=".*")),
    "epochs beyond the limit": ("epochs-above-limit", "warning", lambda c: c.send(epochs=50_000)),
    "other value than given": (
        "request-differs",
        "error",
        lambda c: setattr(c, "params", Hyperparameters(num_classes=2, num_training_samples=40, epochs=5)),
    ),
    "no validation": ("missing-channel", "error", lambda c: c.drop("validation")),
    "no training": ("missing-channel", "error", lambda c: c.drop("train")),
    "channel twice": ("repeated-channel", "error", lambda c: c.add(records("train"))),
    "channel of one's own": ("unknown-channel", "error", lambda c: c.add(records("classes"))),
    "content type left out": ("content-type", "error", lambda c: c.channel("train", content_type=None)),
    "records wrapped again": ("record-wrapper", "error", lambda c: c.channel("train", record_wrapper="RecordIO")),
    "images in Pipe mode": (
        "input-mode",
        "error",
        both(images, lambda c: c.channel("train", input_mode="Pipe")),
    ),
    "images without annotations": ("missing-channel", "error", lambda c: images(c, annotations=("train",))),
    "annotations of another type": ("content-type", "error", lambda c: images(c, kind="application/json")),
    "manifest in File mode": ("input-mode", "error", lambda c: manifest(c, input_mode="File")),
    "manifest without records": ("record-wrapper", "error", lambda c: manifest(c, record_wrapper="None")),
    "manifest of another type": ("content-type", "error", lambda c: manifest(c, content_type="image/jpeg")),
    "attributes in the wrong order": (
        "manifest-attributes",
        "error",
        lambda c: manifest(c, attribute_names=("birds", "source-ref")),
    ),
    "label not named": ("manifest-attributes", "error", lambda c: manifest(c, attribute_names=("source-ref",))),
    "frames of a video": ("video-manifest", "error", lambda c: manifest(c, attribute_names=("frame-ref", "birds"))),
    "seed that is no archive": ("seed-archive", "error", lambda c: seed(c, uri="s3://birds/old/model.params")),
    "seed of another type": ("content-type", "error", lambda c: seed(c, content_type=RECORDIO)),
    "seed in Pipe mode": ("input-mode", "error", lambda c: seed(c, input_mode="Pipe")),
    "image without objects": ("image-without-objects", "error", lambda c: c.validation.append(EMPTY)),
    "class never trained": ("absent-class", "error", lambda c: setattr(c, "train", [FINE] * 40)),
    "class never measured": ("absent-class", "warning", lambda c: setattr(c, "validation", [FINE])),
    "class beyond the table": ("bad-class-id", "error", lambda c: c.validation.append([2, 5, 2, 0.1, 0.2, 0.5, 0.6])),
    "negative class": ("bad-class-id", "error", lambda c: c.validation.append([2, 5, -1, 0.1, 0.2, 0.5, 0.6])),
    "box in percent": ("box-outside", "error", lambda c: c.validation.append([2, 5, 0, 10, 20, 50, 60])),
    "box in pixels": ("box-outside", "error", lambda c: c.validation.append([2, 5, 0, 10, 20, 300, 280])),
    "inverted box": ("bad-box", "error", lambda c: c.validation.append([2, 5, 0, 0.5, 0.2, 0.1, 0.6])),
    "label of one number": ("bad-label", "error", lambda c: c.validation.append(3.0)),
    "labels of one number only": ("bad-label", "error", lambda c: setattr(c, "validation", [3.0, 4.0])),
    "columns shifted": ("bad-label", "error", lambda c: c.validation.append([2, 5, 0, 0.1, 0.2, 0.5])),
    "no image in a channel": ("empty-channel", "error", lambda c: setattr(c, "validation", [])),
    "file changed after packing": ("changed-after-packing", "error", lambda c: setattr(c, "after", spoil)),
    "file cut short": ("damaged-records", "error", lambda c: setattr(c, "after", cut)),
    "file gone": (
        "damaged-records",
        "error",
        lambda c: setattr(c, "after", lambda packed: packed.channels["train"].rec.unlink()),
    ),
    "index of another file": (
        "stale-index",
        "warning",
        lambda c: setattr(c, "after", lambda packed: packed.channels["train"].idx.write_text("1\t0\n")),
    ),
    "packed at 256 for 300": ("small-images", "warning", lambda c: setattr(c, "resize", 256)),
    "images of 256 as they were, for 300": (
        "small-images",
        "warning",
        both(lambda c: setattr(c, "resize", None), lambda c: setattr(c, "image", picture(256))),
    ),
    "image the algorithm cannot decode": (
        "image-format",
        "error",
        both(
            lambda c: setattr(c, "resize", None), lambda c: setattr(c, "image", b"GIF89a\x40\x01\x40\x01" + bytes(200))
        ),
    ),
    "no image in a record": (
        "image-format",
        "error",
        both(lambda c: setattr(c, "resize", None), lambda c: setattr(c, "image", b"not an image")),
    ),
    "PNG that is turned": (
        "image-orientation",
        "error",
        both(
            lambda c: setattr(c, "resize", None), lambda c: setattr(c, "image", with_orientation(picture(kind=".png")))
        ),
    ),
    "machine without GPU": ("cpu-instance", "error", lambda c: c.set(instance_type="ml.c5.2xlarge")),
    "Trainium": ("cpu-instance", "error", lambda c: c.set(instance_type="ml.trn1.2xlarge")),
    "retired P3": ("retired-instance", "error", lambda c: c.set(instance_type="ml.p3.2xlarge")),
    "retired P2": ("retired-instance", "error", lambda c: c.set(instance_type="ml.p2.xlarge")),
    "newer GPU": ("untested-instance", "warning", lambda c: c.set(instance_type="ml.g6.xlarge")),
    "several machines, no kv_store": ("kv-store", "error", lambda c: c.set(instances=2)),
    "kv_store, one machine": ("kv-store", "warning", lambda c: c.send(kv_store="dist_sync")),
    "disk too small": ("small-volume", "error", lambda c: setattr(c, "after", grown)),
    "spot without a limit": ("spot-wait", "error", lambda c: c.set(spot=True, checkpoint_uri="s3://birds/c/")),
    "spot with too short a limit": (
        "spot-wait",
        "error",
        lambda c: c.set(spot=True, max_wait_seconds=3600, checkpoint_uri="s3://birds/c/"),
    ),
    "spot without checkpoints": ("spot-checkpoints", "warning", lambda c: c.set(spot=True, max_wait_seconds=20_000)),
    "waiting without spot": ("wait-without-spot", "warning", lambda c: c.set(max_wait_seconds=20_000)),
}


# A file that was cut is not the packed one either, and its index leads beyond its end; one number names no class.
CONSEQUENCES = {
    "file cut short": {"changed-after-packing", "stale-index"},
    "labels of one number only": {"absent-class"},
}


def test_a_clean_plan_has_no_finding(case: Case) -> None:
    assert case.findings() == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(case: Case, fault: str) -> None:
    kind, severity, plant = FAULTS[fault]
    plant(case)
    findings = case.findings()
    found = [finding for finding in findings if finding.kind == kind]
    assert found
    assert {finding.severity for finding in found} == {severity}
    assert all(finding.cure for finding in found)
    assert {finding.kind for finding in findings} == {kind} | CONSEQUENCES.get(fault, set())


def test_faults_are_many_and_their_kinds_are_told() -> None:
    kinds = {kind for kind, _, _ in FAULTS.values()}
    assert len(FAULTS) >= 25
    assert kinds <= set(FINDING_KINDS)


def test_percent_and_pixels_are_told_apart(case: Case) -> None:
    case.validation.append([2, 5, 0, 10, 20, 50, 60])
    assert [finding.cause for finding in case.findings()] == ["percent, not ratio"]
    case.validation[-1] = [2, 5, 0, 10, 20, 300, 280]
    assert [finding.cause for finding in case.findings()] == ["pixels, not ratios"]


def test_a_fault_in_many_records_is_told_once_with_its_number(case: Case) -> None:
    case.train = [EMPTY] * 3 + case.train[3:]
    found = case.findings()
    assert [finding.kind for finding in found] == ["image-without-objects"]
    assert "record 0, 3 times" in found[0].message


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_images_pass(case: Case, mode: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (330, 320)).save(stream, "JPEG")
    case.resize, case.image = None, stream.getvalue()
    assert case.findings() == ()


def test_a_container_of_ones_own_takes_what_the_built_in_one_does_not(case: Case) -> None:
    case.set(image=OWN_IMAGE, instance_type="ml.m5.large")
    case.send(base_network="efficientnet-lite0", use_pretrained_model=None)
    case.add(records("classes"))
    case.validation.append(EMPTY)
    assert case.findings() == ()


def test_images_and_manifests_that_are_right_have_no_finding(case: Case) -> None:
    plan = case.plan
    images(case)
    assert preflight(case.plan) == ()
    case.plan = plan
    manifest(case)
    assert preflight(case.plan) == ()
    seed(case)
    assert preflight(case.plan) == ()


def test_packed_data_are_found_within_inputs(case: Case) -> None:
    case.send(num_classes=3)
    assert [finding.kind for finding in preflight(case.plan, PackedInputs(case.packed()))] == ["class-count"]


def test_the_classes_of_inputs_elsewhere_count(case: Case) -> None:
    inputs = UploadedInputs(case.plan.channels, TABLE)
    assert preflight(case.plan, inputs) == ()
    case.send(num_classes=3)
    assert [finding.kind for finding in preflight(case.plan, inputs)] == ["class-count"]
    assert preflight(case.plan, object()) == ()


def test_all_faults_come_at_once(case: Case) -> None:
    case.set(name="birds_1", instance_type="ml.m5.large", tags={"aws:x": "1"})
    case.drop("validation")
    case.send(num_classes=7)
    kinds = [finding.kind for finding in errors_of(case.findings())]
    assert kinds == ["bad-request", "cpu-instance", "missing-channel", "class-count", "reserved-tag"]


def test_a_disk_of_ones_own_counts_where_the_machine_has_none(case: Case) -> None:
    case.set(instance_type="ml.m5.large", image=OWN_IMAGE, volume_gb=100)
    case.after = grown
    found = [finding for finding in case.findings() if finding.kind == "small-volume"]
    assert [finding.cure for finding in found] == ["give volume_gb=161"]
    case.set(volume_gb=161)
    assert "small-volume" not in {finding.kind for finding in case.findings()}


def test_data_that_are_streamed_need_no_disk(case: Case) -> None:
    case.after = grown
    case.channel("train", input_mode="Pipe")
    assert "small-volume" not in {finding.kind for finding in case.findings()}


def test_what_cannot_be_read_is_told_once(case: Case) -> None:
    case.send(epochs="many", num_training_samples="all", mini_batch_size="x", image_shape="wide", base_network="none")
    assert {finding.kind for finding in case.findings()} == {"bad-hyperparameter"}
    assert expected_seconds(case.plan) is None
    assert expected_seconds(replace(case.plan, instances=0)) is None


def test_time_is_reckoned_by_images_machines_and_area(case: Case) -> None:
    case.send(epochs=23, num_training_samples=5000)
    assert expected_seconds(case.plan) == 1000
    case.set(instances=2)
    assert expected_seconds(case.plan) == 500
    case.send(image_shape=600)
    assert expected_seconds(case.plan) == 2000
    case.set(instance_type="ml.g4dn.12xlarge")
    assert expected_seconds(case.plan) == 500


def test_the_number_of_detections_kept_may_be_sent() -> None:
    assert read_parameters({"nms_topk": "1000"})["nms_topk"] == 1000
    assert read_parameters({"nms_topk": "x"})["nms_topk"] == 400


def test_findings_are_plain_values(case: Case) -> None:
    case.validation.append([2, 5, 0, 10, 20, 50, 60])
    case.set(name="birds_1")
    json.dumps([finding.to_dict() for finding in case.findings()])


def test_an_index_that_is_not_there_is_nothing_to_a_job(case: Case) -> None:
    case.after = lambda packed: packed.channels["train"].idx.unlink()
    assert case.findings() == ()


def test_what_the_algorithm_adds_by_itself_may_be_sent(case: Case) -> None:
    case.send(nms_topk=400, _kvstore="device")
    assert case.findings() == ()


def test_batches_that_are_known_to_fit_pass_and_none_larger_at_a_larger_side(case: Case) -> None:
    case.resize = 900
    for network, side, batch in (("resnet-50", 300, 32), ("resnet-50", 512, 16), ("vgg-16", 300, 40)):
        case.send(base_network=network, image_shape=side, mini_batch_size=batch)
        assert case.findings() == ()
    for points in ((300, 32), (512, 16)), ((300, 64),):
        limits = [_safe_batch(points, side) for side in range(300, 900)]
        assert limits == sorted(limits, reverse=True)


def test_more_memory_and_more_gpus_take_larger_batches(case: Case) -> None:
    case.send(mini_batch_size=40)
    assert [finding.kind for finding in case.findings()] == ["batch-memory"]
    case.set(instance_type="ml.g5.xlarge")
    assert case.findings() == ()
    case.set(instance_type="ml.g4dn.12xlarge")
    assert case.findings() == ()


def test_shards_are_not_taken_for_one_file_a_channel(case: Case) -> None:
    @dataclass
    class Shards:
        channels: dict[str, object]
        class_table: ClassTable

    assert preflight(case.plan, Shards({"train": object()}, TABLE)) == ()


ODD = ("s3://birds/x.tar.gz", "s3://", "s3://birds", "1e999", "-1", "0", "[", "(a+)+", "9" * 400, "9" * 5000, "\u00b2")
texts = st.text(max_size=20) | st.sampled_from(ODD)
channel_plans = st.builds(
    ChannelPlan,
    name=st.sampled_from(["train", "validation", "train_annotation", "model", ""]) | texts,
    uri=texts,
    content_type=st.none() | st.sampled_from([RECORDIO, SEED_MODEL, "image/jpeg"]) | texts,
    input_mode=st.sampled_from(["File", "Pipe"]),
    kind=st.sampled_from(["S3Prefix", "ManifestFile", "AugmentedManifestFile"]),
    attribute_names=st.lists(texts, max_size=3).map(tuple),
    record_wrapper=st.sampled_from(["None", "RecordIO"]),
)
plans = st.builds(
    TrainingPlan,
    name=texts,
    image=texts | st.just(built_in_image("us-east-1")),
    role=texts,
    hyperparameters=st.dictionaries(
        st.sampled_from([*RULES, "nms_topk", "_x"]) | texts, texts | st.integers().map(str)
    ),
    channels=st.lists(channel_plans, max_size=4).map(tuple),
    output_uri=texts,
    instance_type=texts | st.sampled_from(["ml.g4dn.xlarge", "ml..", "ml.g.x", "ml.p3.2xlarge", "a.b.c"]),
    instances=st.integers(-1, 10**6),
    volume_gb=st.integers(-1, 10**6),
    max_seconds=st.integers(-1, 10**9),
    max_wait_seconds=st.none() | st.integers(-1, 10**9),
    spot=st.booleans(),
    checkpoint_uri=st.none() | texts,
    tags=st.dictionaries(texts, texts, max_size=3),
)


@given(plans)
def test_whatever_is_planned_is_answered_with_findings(plan: TrainingPlan) -> None:
    found = preflight(plan, UploadedInputs(plan.channels, TABLE))
    assert {finding.kind for finding in found} <= set(FINDING_KINDS)
    assert all(finding.cure for finding in found)
    assert found == preflight(plan, UploadedInputs(plan.channels, TABLE))
    json.dumps([finding.to_dict() for finding in found])


@pytest.mark.parametrize("name", ["epochs", "num_training_samples", "image_shape", "mini_batch_size", "label_width"])
def test_numbers_beyond_all_measure_are_told(case: Case, name: str) -> None:
    case.send(**{name: "9" * 400})
    assert {finding.kind for finding in case.findings()} == {"bad-hyperparameter"}
