"""Made-up birds in the layout of Caltech-UCSD Birds 200-2011: nothing to download, nobody's photographs."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdsod._files import flush_folder, write_text
from birdsod._progress import bar
from birdsod.dataset._cub import load_cub
from birdsod.dataset._drawing.picture import draw
from birdsod.dataset._drawing.species import SPECIES
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from birdsod.dataset._dataset import DetectionDataset
    from birdsod.dataset._drawing.picture import Drawn

__all__ = ["synthetic_birds"]

_MARKER = "synthetic.json"
_VERSION = 1  # of the drawing: a set drawn by another version is not taken for this one's
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be drawn; iterating gives the species and the number of each picture."""

    seed: int
    classes: int
    per_class: int
    version: int = _VERSION

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((species, index) for species in range(self.classes) for index in range(self.per_class))


def synthetic_birds(
    directory: str | os.PathLike[str], seed: int, classes: int = 5, per_class: int = 60
) -> DetectionDataset:
    """Draw made-up birds as a data set in full CUB layout, half of each species for training.

    Species differ by build, pattern, colours and bearing, share their colours with one another and with
    what lies around them, and perch, stand, forage and fly in cluttered scenery, some half hidden, some in
    company. A box is the extent of the whole bird inside the picture, hidden parts included. The same
    numbers give the same bytes on the same version of OpenCV.

    Parameters
    ----------
    directory : path-like
        The folder to draw into. It appears whole or not at all. A folder that already holds this very set is
        used as it is; any other folder that is not empty is refused.
    seed : int
        Zero or more; another seed draws other pictures of the same species.
    classes : int, default 5
        Number of species, at most 24.
    per_class : int, default 60
        Number of pictures of each species, at least 2.

    Returns
    -------
    DetectionDataset
        What ``load_cub(directory)`` returns.

    Raises
    ------
    DatasetError
        If a number is out of range, or the folder holds something else or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     birds = synthetic_birds(f"{folder}/birds", seed=0, classes=2, per_class=2)
    >>> len(birds), birds.class_table.names
    (4, ('001.Lantern_Tipplefinch', '002.Velvet_Moorwhistler'))
    """
    order = _checked(seed, classes, per_class)
    target = Path(directory)
    try:
        if not _holds(target, order):
            _draw_into(target, order)
    except OSError as error:
        raise DatasetError(
            "the pictures cannot be written here", path=target, cause=error.strerror, cure="name another folder"
        ) from error
    return load_cub(target)


def _checked(seed: int, classes: int, per_class: int) -> _Order:
    if seed < 0:
        raise DatasetError("the seed is negative", value=seed, cure="use 0 or a positive whole number")
    if not 1 <= classes <= len(SPECIES):
        raise DatasetError(f"the number of species is not between 1 and {len(SPECIES)}", value=classes)
    if per_class < _FEWEST:
        raise DatasetError(
            "too few pictures of each species", value=per_class, cure="ask for at least 2: one to train, one to test"
        )
    return _Order(int(seed), int(classes), int(per_class))


def _holds(target: Path, order: _Order) -> bool:
    """Tell whether the folder holds this very set; refuse it when it holds anything else."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    cure = "name another folder, or delete this one"
    try:
        marker = json.loads((target / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DatasetError("the folder holds something other than made-up birds", path=target, cure=cure) from None
    if not isinstance(marker, dict) or marker.get("order") != asdict(order):
        raise DatasetError("the folder holds another set of made-up birds", path=target, cure=cure)
    if marker.get("files") != _listing(target):
        raise DatasetError(
            "the made-up birds in this folder were changed after they were drawn", path=target, cure=cure
        )
    return True


def _listing(folder: Path) -> str:
    """Return a hash over the names and sizes of all files that were drawn."""
    names = sorted(path.relative_to(folder).as_posix() for path in (folder / "images").rglob("*.jpg"))
    names += sorted(path.name for path in folder.glob("*.txt"))
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {(folder / name).stat().st_size}\n".encode())
    return digest.hexdigest()


def _draw_into(target: Path, order: _Order) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        temporary.chmod(0o755)
        _write(temporary, order)
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    flush_folder(target.parent)


def _write(folder: Path, order: _Order) -> None:
    names = [f"{species + 1:03d}.{SPECIES[species].name}" for species in range(order.classes)]
    for name in names:
        (folder / "images" / name).mkdir(parents=True)
    tables: dict[str, list[str]] = {
        "images": [], "image_class_labels": [], "bounding_boxes": [], "train_test_split": [], "sizes": [],
        "classes": [f"{number} {name}" for number, name in enumerate(names, start=1)],
    }  # fmt: skip
    # One core: threads wait for one another at so many small strokes, and processes would import a caller's script.
    wanted = bar(order, total=order.classes * order.per_class, description="drawing birds")
    for image_id, (species, index) in enumerate(wanted, start=1):
        picture = draw(order.seed, species, index)
        name = f"{names[species]}/{SPECIES[species].name}_{index + 1:04d}_{image_id}.jpg"
        (folder / "images" / name).write_bytes(picture.jpeg)
        _note(tables, image_id, name, species, picture)
    tables["train_test_split"] = [f"{number} {side}" for number, side in enumerate(_sides(order), start=1)]
    for table, rows in tables.items():
        write_text(folder / f"{table}.txt", "".join(f"{row}\n" for row in rows))
    write_text(folder / _MARKER, json.dumps({"order": asdict(order), "files": _listing(folder)}, indent=2) + "\n")


def _note(tables: dict[str, list[str]], image_id: int, name: str, species: int, picture: Drawn) -> None:
    tables["images"].append(f"{image_id} {name}")
    tables["image_class_labels"].append(f"{image_id} {species + 1}")
    tables["sizes"].append(f"{image_id} {picture.width} {picture.height}")
    for box in picture.boxes:
        tables["bounding_boxes"].append(f"{image_id} " + " ".join(f"{value:.1f}" for value in box))


def _sides(order: _Order) -> list[int]:
    """Return 1 for an image to train with, else 0: half of each species, the odd one to train with."""
    sides: list[int] = []
    for species in range(order.classes):
        # The third number keeps this stream apart from those of the pictures.
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([order.seed, species, 1 << 32])))
        half = np.arange(order.per_class) < (order.per_class + 1) // 2
        sides += [int(side) for side in rng.permutation(half)]
    return sides
