"""Shards into the one record file a channel that training wants."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, overload

from birdsod.errors import RecordError
from birdsod.recordio._merge_folder import merge_folder
from birdsod.recordio._sharded import Sharded

if TYPE_CHECKING:
    import boto3

    from birdsod.recordio._packed import Packed
    from birdsod.recordio._stored import Stored

__all__ = ["merge"]

_STORE = "s3://"


@overload
def merge(
    source: Sharded | Path, directory: str | os.PathLike[str], *, overwrite: bool = False, verify: bool = True
) -> Packed: ...
@overload
def merge(
    source: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    verify: bool = True,
    session: boto3.Session | None = None,
) -> Packed | Stored: ...
def merge(
    source: Sharded | str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    verify: bool = True,
    session: boto3.Session | None = None,
) -> Packed | Stored:
    """Merge the shards of each channel into one record file, without looking into the records.

    Writes the files that packing without shards writes, byte for byte: ``<channel>.lst``, ``.rec`` and ``.idx``, and
    the ``packed.json`` that vouches for them. They appear together when all is merged; an error or Ctrl-C leaves
    what was there before. The shards stay.

    Between addresses such as ``s3://bucket/prefix/`` the store copies within itself: only shards below 5 MiB, and
    what is hashed, come here. Parts that were sent are taken back on an error or Ctrl-C. ``packed.json`` comes last;
    with ``overwrite`` the one that is there goes before the first file is replaced.

    Parameters
    ----------
    source : Sharded or path-like
        What packing with shards returned, or the folder or address of ``shards.json`` or of all parts of an array.
    directory : path-like
        The folder, made if it is not there, or an address if ``source`` is one. It may be that of the shards.
    overwrite : bool, default False
        Whether files of a previous time may be replaced. Those that the previous ``packed.json`` names and that
        are not merged again disappear with it.
    verify : bool, default True
        Compare the SHA-256 of every shard. Between addresses this reads each record file once; without it
        ``packed.json`` vouches for a merged record file by the hashes of its shards.
    session : boto3.Session, optional
        Whose credentials and region are used for addresses; by default boto3's own. Needs the extra ``cloud``.

    Returns
    -------
    Packed, or Stored between addresses

    Raises
    ------
    RecordError
        If a part is missing, there twice or of another run, a file is missing or not what was packed, or one exists
        already or cannot be written.
    DatasetError
        If all images of a channel were refused.
    CloudError
        If the store refuses.
    MissingDependencyError
        If boto3 is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from birdsod import pack
    >>> from birdsod.dataset import synthetic_birds
    >>> from birdsod.recordio import Packed
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     birds = synthetic_birds(Path(folder) / "birds", seed=3, classes=1, per_class=4)
    ...     shards = pack({"train": birds}, Path(folder) / "shards", shards=3)
    ...     merged = merge(shards, Path(folder) / "whole")
    ...     merged == Packed.open(Path(folder) / "whole", verify=True), merged.channels["train"].records
    (True, 4)
    """
    far = [isinstance(place, str) and place.startswith(_STORE) for place in (source, directory)]
    if all(far):
        from birdsod.recordio._merge_store import merge_store

        return merge_store(str(source), str(directory), overwrite=overwrite, verify=verify, session=session)
    if any(far):
        cure = "merge here and copy the files, or copy the shards and merge there"
        raise RecordError("shards are merged within folders or within the store", value=str(directory), cure=cure)
    sharded = source if isinstance(source, Sharded) else Sharded.open(_folder(source))
    folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow links and rename the files
    return merge_folder(sharded, folder, overwrite=overwrite, verify=verify)


def _folder(source: str | os.PathLike[str]) -> Path:
    """Return the folder of a manifest, or the one that is named."""
    path = Path(source)
    return path.parent if path.name.startswith("shards") and path.suffix == ".json" and path.is_file() else path
