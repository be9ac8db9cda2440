"""The folder that a machine of the service shares with a container, prepared as the service prepares it."""

from __future__ import annotations

import json
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from birdsod.errors import TrainingError
from birdsod.recordio._framing import framed
from birdsod.testing._fake_sagemaker import s3

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from birdsod.container import Tree
    from birdsod.testing._fake_sagemaker.world import Json, Region

__all__ = ["lay_out", "pipe_channels", "stream_of"]


def lay_out(region: Region, request: Json, tree: Tree, host: str, hosts: Sequence[str]) -> None:
    """Write hyperparameters, machines, channels and checkpoints of a job.

    Parameters
    ----------
    region : Region
        Where the objects lie.
    request : dict
        What the job was created with.
    tree : Tree
        Where the files go.
    host : str
        Name of this machine.
    hosts : sequence of str
        Names of all.

    Raises
    ------
    TrainingError
        If the service could not bring the data.
    """
    for folder in (tree.hyperparameters.parent, tree.data, tree.model, tree.checkpoints, tree.failure.parent):
        folder.mkdir(parents=True)
    _tell(tree.hyperparameters, request.get("HyperParameters", {}))
    machines = {"current_host": host, "hosts": list(hosts), "network_interface_name": "lo"}
    _tell(tree.resources, machines)
    channels = _channels(request)
    _tell(tree.inputs, {name: _described(channel) for name, channel in channels.items()})
    for name, channel in channels.items():
        found = _keys(region, channel)
        if channel["InputMode"] == "Pipe":
            os.mkfifo(tree.pipe(name))
        else:
            _bring(region, channel, found, tree)
    _bring_checkpoints(region, request, tree)


def pipe_channels(request: Json) -> dict[str, Json]:
    """Return the channels of a job that come through pipes, by name.

    Parameters
    ----------
    request : dict
        What the job was created with.

    Returns
    -------
    dict
    """
    return {name: channel for name, channel in _channels(request).items() if channel["InputMode"] == "Pipe"}


def stream_of(region: Region, channel: Json) -> Iterator[bytes]:
    """Yield what comes through the pipe of a channel, once.

    Parameters
    ----------
    region : Region
        Where the objects lie.
    channel : dict
        Of a request.

    Yields
    ------
    bytes
        Objects as they are or each in a record; of an augmented manifest, each attribute in a record.
    """
    source = channel["DataSource"]["S3DataSource"]
    if source["S3DataType"] == "AugmentedManifestFile":
        for line in s3.get(region, source["S3Uri"]).splitlines():
            row = json.loads(line)
            for name in source["AttributeNames"]:
                yield framed(_attribute(region, name, row[name]))
        return
    bucket, _ = s3.split(source["S3Uri"])
    for key in _keys(region, channel):
        data = s3.get(region, f"s3://{bucket}/{key}")
        yield framed(data) if channel.get("RecordWrapperType") == "RecordIO" else data


def _attribute(region: Region, name: str, value: object) -> bytes:
    return s3.get(region, str(value)) if name.endswith("-ref") else json.dumps(value).encode()


def _channels(request: Json) -> dict[str, Json]:
    mode = request["AlgorithmSpecification"].get("TrainingInputMode", "File")
    return {row["ChannelName"]: {"InputMode": mode, **row} for row in request.get("InputDataConfig", [])}


def _described(channel: Json) -> Json:
    source = channel["DataSource"].get("S3DataSource", {})
    told = {
        "ContentType": channel.get("ContentType"),
        "TrainingInputMode": channel["InputMode"],
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return {name: value for name, value in told.items() if value is not None}


def _keys(region: Region, channel: Json) -> list[str]:
    """Return the keys of a channel, of which there must be some."""
    source = channel["DataSource"].get("S3DataSource", {})
    kind, uri = source.get("S3DataType"), source.get("S3Uri", "")
    if kind == "ManifestFile" or (kind == "AugmentedManifestFile" and channel["InputMode"] != "Pipe"):
        cure = "use S3Prefix, or an augmented manifest in Pipe mode"
        raise TrainingError("the fake does not bring such data", value=kind, cure=cure)
    found = s3.keys(region, uri)
    if not found:
        message = f'Data download failed:No S3 objects found under S3 URL "{uri}" given in input data source'
        raise TrainingError(message, value=channel["ChannelName"])
    return found


def _bring(region: Region, channel: Json, keys: Sequence[str], tree: Tree) -> None:
    bucket, prefix = s3.split(channel["DataSource"]["S3DataSource"]["S3Uri"])
    # What follows the last slash of the prefix is a part of the names.
    home = prefix.rpartition("/")[0]
    for key in keys:
        file = tree.data / channel["ChannelName"] / PurePosixPath(key).relative_to(home)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(s3.get(region, f"s3://{bucket}/{key}"))


def _bring_checkpoints(region: Region, request: Json, tree: Tree) -> None:
    uri = request.get("CheckpointConfig", {}).get("S3Uri")
    if uri is None:
        return
    bucket, prefix = s3.split(uri)
    for key in s3.keys(region, f"{uri.rstrip('/')}/"):
        file = tree.checkpoints / PurePosixPath(key).relative_to(prefix)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(s3.get(region, f"s3://{bucket}/{key}"))


def _tell(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
