"""Channels brought from the fake's S3 to a folder that the local engine trains on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from birdsod.errors import TrainingError
from birdsod.testing._fake_sagemaker import s3

if TYPE_CHECKING:
    from pathlib import Path

    from birdsod.recordio import Packed
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["packed_from"]

_MANIFEST = "packed.json"
_RECORDS = ("train", "validation")


def packed_from(region: Region, request: Json, folder: Path) -> Packed:
    """Download the channels of a job.

    Parameters
    ----------
    region : Region
        Where they lie.
    request : dict
        What the job was created with.
    folder : pathlib.Path
        Where they go.

    Returns
    -------
    Packed

    Raises
    ------
    TrainingError
        If they are not what the local engine trains on.
    """
    from birdsod.recordio import Packed

    channels = {channel["ChannelName"]: channel for channel in request.get("InputDataConfig", [])}
    if "model" in channels:
        cure = "leave the channel model out"
        raise TrainingError("the local engine cannot begin with the weights of another model", cure=cure)
    manifest = json.loads(_object(region, channels, "classes", _MANIFEST))
    rows = {name: row for name, row in manifest["channels"].items() if name in _RECORDS}
    for name in rows:
        _bring_records(region, channels, name, folder)
    (folder / _MANIFEST).write_text(json.dumps({**manifest, "channels": rows}), encoding="utf-8")
    return Packed.open(folder)


def _bring_records(region: Region, channels: Json, name: str, folder: Path) -> None:
    from birdsod.recordio import reindex

    file = folder / f"{name}.rec"
    file.write_bytes(_object(region, channels, name, ".rec"))
    reindex(file)
    # Lists stay at home; training does not read them, but packed data name one.
    file.with_suffix(".lst").touch()


def _object(region: Region, channels: Json, name: str, ending: str) -> bytes:
    """Return the one object of a channel whose key ends so."""
    if name not in channels:
        cure = f"give a channel {name}"
        raise TrainingError(f"the job has no channel {name}", cure=cure)
    source = channels[name]["DataSource"].get("S3DataSource", {})
    if source.get("S3DataType") != "S3Prefix":
        raise TrainingError("the local engine reads record files", value=source.get("S3DataType"), cure="use S3Prefix")
    bucket, _ = s3.split(source["S3Uri"])
    found = [key for key in s3.keys(region, source["S3Uri"]) if key.endswith(ending)]
    if len(found) != 1:
        message = f"the channel {name} must hold one file that ends in {ending}, it holds {len(found)}"
        raise TrainingError(message, value=source["S3Uri"])
    return s3.get(region, f"s3://{bucket}/{found[0]}")
