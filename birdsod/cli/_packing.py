"""What the command ``pack`` does once it knows what is wanted; it loads without the parser of the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdsod.cli._values import complain, say

if TYPE_CHECKING:
    from birdsod.recordio import PackedChannel, ShardedChannel

__all__ = ["ON_ERROR", "pack_one_list", "tell", "tell_of"]

# The command names what is not packed itself.
ON_ERROR = {"raise": "raise", "skip": "collect"}


def pack_one_list(lst: Path, how: dict[str, Any]) -> None:
    """Pack one list and tell what became of it."""
    from birdsod.recordio import pack_list

    tell(pack_list(lst, **how))


def tell(channel: "PackedChannel") -> None:
    """Tell what is in a record file and what is not."""
    tell_of(str(channel.rec), channel)


def tell_of(what: str, channel: "PackedChannel | ShardedChannel") -> None:
    """Tell of a channel under a name."""
    for refused in channel.refused:
        complain(f"not packed: {refused.name}: {refused.reason}")
    lost = f", {len(channel.refused)} refused" if channel.refused else ""
    cut = f", {_boxes(len(channel.clipped))} cut at the edge" if channel.clipped else ""
    gone = f", {_boxes(len(channel.dropped))} dropped with what was cropped away" if channel.dropped else ""
    say(f"{what}: {channel.records} {'record' if channel.records == 1 else 'records'}{lost}{cut}{gone}")


def _boxes(number: int) -> str:
    return "1 box" if number == 1 else f"{number} boxes"
