"""The command that merges shards."""

from pathlib import Path
from typing import Annotated

import typer

from birdsod.cli._account import Profile, Region, session_of
from birdsod.cli._values import reported, say

__all__ = ["merge"]


@reported
def merge(
    *,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Folder, or s3://bucket/prefix/, of the shards.")],
    out: Annotated[str, typer.Option(help="Where the merged files go: a folder, or s3://bucket/other/.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not compare the hashes of the shards.")] = False,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Merge shards into the one record file a channel that the built-in algorithm wants.

    Nothing is encoded again: the files are those that packing without shards writes. Between s3:// addresses the
    store copies within itself.
    """
    from birdsod.recordio import PackedChannel
    from birdsod.recordio import merge as join

    merged = join(source, out, overwrite=overwrite, verify=not no_verify, session=session_of(region, profile))
    for channel in merged.channels.values():
        place = Path(out) / channel.rec.name if isinstance(channel, PackedChannel) else channel.uri
        say(f"{place}: {channel.records} {'record' if channel.records == 1 else 'records'}")
