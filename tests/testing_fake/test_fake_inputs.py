"""Images with annotations, and augmented manifests, as the fake's algorithm reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.testing_fake.conftest import Account

LABEL: dict[str, Any] = {
    "image_size": [{"width": 50, "height": 40, "depth": 3}],
    "annotations": [{"class_id": 1, "left": 3, "top": 4, "width": 6, "height": 5}],
}


def with_box(**parts: Any) -> dict[str, Any]:
    return {**LABEL, "annotations": [{**LABEL["annotations"][0], **parts}]}


WRONG: list[tuple[Any, str]] = [
    ([], "no object|no JSON object"),
    ({**LABEL, "image_size": []}, "image_size and annotations are required"),
    ({**LABEL, "annotations": []}, "an image has no object"),
    ({**LABEL, "image_size": [{"width": 50, "height": 40, "depth": 1}]}, "depth is not 3"),
    (with_box(left="3"), "needs class_id, left, top, width, height"),
    (with_box(class_id=2), "class_id 2 is not below num_classes 2"),
    (with_box(width=0), "empty or leaves its image"),
    (with_box(top=36), "empty or leaves its image"),
]


def four_channels(account: Account, note: Any = None, mode: str = "File") -> list[dict[str, Any]]:
    """Put an image with its annotation into each of two pairs of channels."""
    made = []
    for name in ("train", "validation"):
        account.put(f"images/{name}/1.jpg", b"pixels")
        told = {"file": "1.jpg", **LABEL} if note is None else note
        account.put(f"images/{name}_annotation/1.json", told if isinstance(told, bytes) else json.dumps(told).encode())
        made += [
            account.channel(each, f"s3://{account.fake.bucket}/images/{each}/") for each in (name, f"{name}_annotation")
        ]
    return [{**channel, "ContentType": "image/jpeg", "InputMode": mode} for channel in made]


def manifests(account: Account, row: Any = None, **changes: Any) -> list[dict[str, Any]]:
    """Put an augmented manifest of one image for each of two channels."""
    image = account.put("images/1.jpg", b"pixels")
    line = {"source-ref": image, "birds": LABEL} if row is None else row
    uri = account.put("birds.manifest", line if isinstance(line, bytes) else json.dumps(line).encode())
    made = [account.channel(name, uri) for name in ("train", "validation")]
    for channel in made:
        channel["DataSource"]["S3DataSource"] |= {
            "S3DataType": "AugmentedManifestFile",
            "AttributeNames": changes.get("names", ["source-ref", "birds"]),
        }
        channel["InputMode"] = changes.get("mode", "Pipe")
        channel["RecordWrapperType"] = changes.get("wrapper", "RecordIO")
    return made


def reason(account: Account, channels: list[dict[str, Any]]) -> str:
    last = account.train(InputDataConfig=channels)
    return str(last.get("FailureReason", last["TrainingJobStatus"]))


def test_images_with_annotations_are_read(account: Account) -> None:
    assert reason(account, four_channels(account)) == "Completed"


def test_an_augmented_manifest_is_read(account: Account) -> None:
    assert reason(account, manifests(account)) == "Completed"


@pytest.mark.parametrize(("label", "told"), WRONG)
def test_labels_that_cannot_be_read_fail_the_job(account: Account, label: Any, told: str) -> None:
    note = {"file": "1.jpg", **label} if isinstance(label, dict) else label
    first = reason(account, four_channels(account, note))
    assert first.startswith("ClientError: Unable to parse the annotation images/train_annotation/1.json")
    row = {"source-ref": f"s3://{account.fake.bucket}/images/1.jpg", "birds": label}
    channels = manifests(account, row)
    second = str(account.train("birds-2", InputDataConfig=channels)["FailureReason"])
    assert second.startswith("ClientError: Unable to parse record 1 of the channel train")
    for text in (first, second):
        assert any(part in text for part in told.split("|"))


def test_images_and_annotations_must_match(account: Account) -> None:
    assert "file '2.jpg' is not the image" in reason(account, four_channels(account, {"file": "2.jpg", **LABEL}))
    account.put("images/train/2.jpg", b"pixels")
    told = str(account.train("birds-2", InputDataConfig=four_channels(account))["FailureReason"])
    assert "images and annotations of the channel train do not match: /2" in told


def test_an_annotation_that_is_no_json_fails_the_job(account: Account) -> None:
    assert "no JSON object" in reason(account, four_channels(account, b"{"))


def test_images_need_file_mode_and_annotations(account: Account) -> None:
    assert "needs File mode" in reason(account, four_channels(account, mode="Pipe"))
    alone = [each for each in four_channels(account) if not each["ChannelName"].endswith("_annotation")]
    told = str(account.train("birds-2", InputDataConfig=alone)["FailureReason"])
    assert "'train_annotation' is a required property" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mode": "File"}, "needs Pipe mode and RecordIO"),
        ({"wrapper": "None"}, "needs Pipe mode and RecordIO"),
        ({"names": ["birds", "source-ref"]}, "are not the image's and the label's"),
        ({"names": ["source-ref"]}, "are not the image's and the label's"),
        ({"names": ["source-ref", "other"]}, "no object with source-ref and other"),
        ({"row": b"{"}, "no object with source-ref and birds"),
        ({"row": {"source-ref": "s3://none/1.jpg", "birds": LABEL}}, "No S3 objects found"),
    ],
)
def test_manifests_that_cannot_be_read_fail_the_job(account: Account, changes: dict[str, Any], told: str) -> None:
    assert told in reason(account, manifests(account, **changes))
