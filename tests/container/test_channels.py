"""Channels as SageMaker puts them, and what a user may have put into them instead."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from birdsod.classes import ClassTable
from birdsod.container.channels import Bringer, channel_modes, check_channels
from birdsod.container.classes import read_known
from birdsod.errors import BirdsodError, DatasetError, RecordError, TrainingError
from birdsod.recordio import RecordWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.recordio import Packed
    from tests.container.conftest import Laid


def no_pipe(name: str, _: Path) -> None:
    pytest.fail(f"{name} is no pipe")


@pytest.fixture
def bring(laid: Laid, tmp_path: Path) -> Callable[..., Packed]:
    """Bring the channels of the folder."""

    def call(spool: Callable[[str, Path], None] = no_pipe, num_classes: int = 2) -> Packed:
        work = tmp_path / "work"
        work.mkdir()
        return Bringer(tree=laid.tree, work=work, num_classes=num_classes, spool=spool).bring(channel_modes(laid.tree))

    return call


def test_channels_become_what_was_packed(laid: Laid, bring: Callable[..., Packed]) -> None:
    laid.both()
    brought = bring()
    assert brought.class_table == laid.packed.class_table
    for name, channel in brought.channels.items():
        was = laid.packed.channels[name]
        told = ("records", "objects", "most_objects", "longest_label", "bytes", "sha256", "idx_sha256")
        assert [getattr(channel, each) for each in told] == [getattr(was, each) for each in told]
        with channel.open() as here, was.open() as there:
            assert list(here) == list(there)
    assert brought.image_shape_hint(300) == laid.packed.image_shape_hint(300) is not None


def test_an_index_beside_the_records_is_used(laid: Laid, bring: Callable[..., Packed]) -> None:
    laid.both().channel("train", laid.packed.channels["train"].idx)
    channels = bring().channels
    assert channels["train"].idx == laid.tree.data / "train" / "train.idx"
    assert channels["validation"].idx == laid.tree.root.parent / "work" / "validation.idx"


def test_several_record_files_are_joined_by_name(laid: Laid, bring: Callable[..., Packed]) -> None:
    laid.both()
    folder = laid.tree.data / "train" / "more"
    folder.mkdir()
    shutil.copy(laid.packed.channels["validation"].rec, folder / "z.rec")
    with bring().channels["train"].open() as joined:
        keys = joined.keys.tolist()
    with laid.packed.channels["train"].open() as one, laid.packed.channels["validation"].open() as other:
        # The folder "more" comes before the file "train.rec".
        assert keys == [*other.keys.tolist(), *one.keys.tolist()]


def test_without_names_classes_are_numbered(laid: Laid, bring: Callable[..., Packed]) -> None:
    shutil.rmtree(laid.both().tree.data / "classes")
    brought = bring()
    assert brought.class_table.names == ("0", "1")
    assert brought.image_shape_hint(300) is None


@pytest.mark.parametrize("file", ["classes.json", "images.json"])
def test_names_may_come_from_a_model_or_from_written_images(laid: Laid, file: str) -> None:
    rows = laid.packed.class_table.to_json()
    content = rows if file == "classes.json" else {"classes": rows, "channels": {"train": {}}}
    (laid.channel("classes") / file).write_text(json.dumps(content))
    known = read_known(laid.tree, ClassTable.numbered(2))
    assert (known.table, known.resize) == (laid.packed.class_table, None)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("names.txt", "birds", "does not name classes .got .'names.txt'."),
        ("packed.json", "no JSON", "packed.json is malformed"),
        ("packed.json", "{}", "packed.json is malformed. Likely cause: KeyError: 'classes'"),
        ("packed.json", '{"classes": [], "channels": {"train": []}}', "packed.json is malformed"),
        ("classes.json", '[{"class_id": 1}]', "the class table is malformed"),
    ],
)
def test_names_that_are_none_are_refused(laid: Laid, file: str, content: str, message: str) -> None:
    (laid.channel("classes") / file).write_text(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_known(laid.tree, ClassTable.numbered(2))
    assert str(caught.value.path).startswith(str(laid.tree.data / "classes"))


def test_what_sagemaker_tells_of_channels_counts(laid: Laid) -> None:
    laid.both()
    laid.tell(laid.tree.inputs, {"train": {"TrainingInputMode": "Pipe"}, "validation": {}})
    assert channel_modes(laid.tree) == {"train": "Pipe", "validation": "File"}
    laid.tell(laid.tree.inputs, {"train": "File"})
    with pytest.raises(TrainingError, match="the channel train is not described"):
        channel_modes(laid.tree)


def test_where_nobody_tells_what_lies_there_counts(laid: Laid) -> None:
    laid.channel("validation")
    os.mkfifo(laid.tree.pipe("train"))
    (laid.tree.data / "train-manifest").touch()
    assert channel_modes(laid.tree) == {"train": "Pipe", "validation": "File"}
    shutil.rmtree(laid.tree.data)
    assert channel_modes(laid.tree) == {}


@pytest.mark.parametrize(
    ("names", "validated", "message"),
    [
        (["validation"], True, r"no channel train \(got \['validation'\]\). Cure"),
        ([], True, "no channel train and no channel validation"),
        ([], False, r"no channel train \("),
        (["train", "validation", "test"], True, r"nothing reads this channel \(got 'test'\)"),
    ],
)
def test_channels_that_do_not_fit_are_refused(laid: Laid, names: list[str], validated: bool, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        check_channels(laid.tree, names, validated=validated)


def test_without_validation_none_is_needed(laid: Laid) -> None:
    check_channels(laid.tree, ["train", "classes"], validated=False)


def damage(laid: Laid, at: int, data: bytes) -> None:
    file = laid.tree.data / "train" / "train.rec"
    content = bytearray(file.read_bytes())
    content[at : at + len(data)] = data
    file.write_bytes(content)


def second(laid: Laid) -> int:
    with laid.packed.channels["train"].open() as reader:
        return int(reader.offsets[1])


def unframed(laid: Laid) -> None:
    damage(laid, second(laid), b"oops")


def unlabelled(laid: Laid) -> None:
    damage(laid, second(laid) + 8 + 24, b"\0\0\xc0\xff")


def not_an_image(laid: Laid) -> None:
    with RecordWriter(laid.tree.data / "train" / "train.rec", overwrite=True) as writer:
        writer.write_record(1, [2, 5, 0, 0.1, 0.1, 0.5, 0.5], b"no image")


def emptied(laid: Laid) -> None:
    (laid.tree.data / "train" / "train.rec").write_bytes(b"")


def removed(laid: Laid) -> None:
    (laid.tree.data / "train" / "train.rec").rename(laid.tree.data / "train" / "train.tfrecord")


@pytest.mark.parametrize(
    ("harm", "message", "record"),
    [
        (unframed, "no record begins there", 1),
        (unlabelled, "label", 1),
        (not_an_image, "image", 0),
        (emptied, "the channel train is empty", None),
        (removed, r"the channel train has no record file \(got \['train.tfrecord'\]\)", None),
    ],
)
def test_a_record_that_cannot_be_read_is_named_before_training(
    laid: Laid, bring: Callable[..., Packed], harm: Callable[[Laid], None], message: str, record: int | None
) -> None:
    harm(laid.both())
    with pytest.raises(BirdsodError, match=message) as caught:
        bring()
    assert str(caught.value.path).startswith(str(laid.tree.data / "train"))
    assert caught.value.record == record


def test_a_class_beyond_the_last_is_refused(laid: Laid, bring: Callable[..., Packed]) -> None:
    laid.both()
    with pytest.raises(RecordError, match="not below num_classes, 1"):
        bring(num_classes=1)


def test_a_channel_in_pipe_mode_is_asked_of_its_pipe(laid: Laid, bring: Callable[..., Packed]) -> None:
    laid.both()
    modes: dict[str, Any] = {"train": {"TrainingInputMode": "Pipe"}, "validation": {"TrainingInputMode": "FastFile"}}
    laid.tell(laid.tree.inputs, modes)

    def spool(name: str, target: Path) -> None:
        shutil.copy(laid.packed.channels[name].rec, target)

    brought = bring(spool)
    assert brought.channels["train"].rec.parent == laid.tree.root.parent / "work"
    assert brought.channels["train"].sha256 == laid.packed.channels["train"].sha256
