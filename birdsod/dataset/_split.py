"""Random splits, class by class, that are the same on every machine."""

from __future__ import annotations

import hashlib
import operator
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from birdsod.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

_OWN = "give a fraction, as in split(0.8, seed=0), to split at random"


def check_own(codes: npt.NDArray[np.int8]) -> None:
    """Say what is wrong with the data set's own split, if anything."""
    if not len(codes):
        raise DatasetError("there is nothing to split", cause="no image is left", cure="select other classes")
    unmarked = int((codes == 0).sum())
    if unmarked:
        message = f"{unmarked} of {len(codes)} images are marked neither train nor validation"
        raise DatasetError(message, cause="the set has no split of its own", cure=_OWN)
    for code, name in ((1, "train"), (2, "validation")):
        if not (codes == code).any():
            raise DatasetError(f"no image is marked {name}", cause="this is one side of a split already", cure=_OWN)


def draw(
    groups: npt.NDArray[np.int64],
    image_rows: npt.NDArray[np.int64],
    class_ids: npt.NDArray[np.int64],
    *,
    fraction: float,
    seed: int,
) -> npt.NDArray[np.bool_]:
    """Return which images to train on.

    Groups, not images, are drawn. Their order is that of a hash of seed and group, which is the same on every
    machine and in every version of any library, and does not depend on the order of rows.
    """
    if not 0 < fraction < 1:
        raise DatasetError("the fraction must lie between 0 and 1", value=fraction, cure="use 0.8 for four in five")
    classes = _classes_of(groups, image_rows, class_ids)
    order = sorted(classes, key=lambda group: (_rank(group, operator.index(seed)), group))
    trained = _share_out(order, classes, fraction)
    _mend(order, classes, trained)
    if len(trained) == len(classes) or not trained:
        raise DatasetError(
            f"{len(groups)} images cannot be split", cause="no class has two images that may part", cure="add images"
        )
    return np.isin(groups, np.array(sorted(trained), dtype=np.int64))


def _rank(group: int, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()


def _classes_of(
    groups: npt.NDArray[np.int64], image_rows: npt.NDArray[np.int64], class_ids: npt.NDArray[np.int64]
) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {group: set() for group in groups.tolist()}
    for group, class_id in zip(groups[image_rows].tolist(), class_ids.tolist(), strict=True):
        found[group].add(class_id)
    return {group: frozenset(classes) for group, classes in found.items()}


def _share_out(order: list[int], classes: dict[int, frozenset[int]], fraction: float) -> set[int]:
    """Draw the fraction of each class, by the rarest class of each group."""
    counts = Counter(class_id for held in classes.values() for class_id in held)
    strata: dict[int, list[int]] = defaultdict(list)
    for group in order:
        # -1: images without any object are a class of their own
        strata[min(classes[group], key=lambda held: (counts[held], held), default=-1)].append(group)
    trained: set[int] = set()
    for members in strata.values():
        share = int(fraction * len(members) + 0.5)
        trained.update(members[: max(1, min(share, len(members) - 1))])
    return trained


def _mend(order: list[int], classes: dict[int, frozenset[int]], trained: set[int]) -> None:
    """Move a group over for each class that one side lacks, as long as no other class is lost by it."""
    holders: dict[int, list[int]] = defaultdict(list)
    for group in order:
        for class_id in classes[group]:
            holders[class_id].append(group)
    rarest_first = sorted(holders, key=lambda held: (len(holders[held]), held))
    one_sided = [held for held in rarest_first if _is_one_sided(holders[held], trained)]
    # A move may make way for another, so begin again after each; every move leaves fewer classes on one side.
    while one_sided:
        movable = (
            group
            for held in one_sided
            for group in holders[held]
            if not any(_is_last(group, holders[other], trained) for other in classes[group])
        )
        chosen = next(movable, None)
        if chosen is None:
            return
        trained.symmetric_difference_update({chosen})
        one_sided = [held for held in one_sided if _is_one_sided(holders[held], trained)]


def _is_one_sided(members: list[int], trained: set[int]) -> bool:
    return len(members) > 1 and len({group in trained for group in members}) == 1


def _is_last(group: int, members: list[int], trained: set[int]) -> bool:
    """Whether a class leaves a side with this group, though it has others; a class of one group is moved freely."""
    return len(members) > 1 and sum((member in trained) == (group in trained) for member in members) == 1
