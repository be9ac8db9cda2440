"""What was found in many images, written down: as COCO results, a list or a data set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod import bbox, lstwriter
from birdsod._files import write_pieces
from birdsod.dataset import DetectionDataset
from birdsod.errors import DatasetError
from birdsod.predicted._predicted import CocoFiles, check_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from birdsod.detections import Detections
    from birdsod.lstwriter import ListedImage, Written
    from birdsod.predicted._predicted import Predicted, SeenImage

__all__ = ["as_dataset", "write_coco", "write_lst"]

_CURE = "give folders or paths instead of bytes, arrays or records; birdsod unpack makes files of a record file"


def as_dataset(predicted: Predicted, threshold: float) -> DetectionDataset:
    """Return what was found as a data set."""
    answered = [(image, _open(found.above(threshold))) for image, found in predicted.answered()]
    images = {
        "image_id": [image.image_id for image, _ in answered],
        "path": [_file(image) for image, _ in answered],
        "width": [found.width for _, found in answered],
        "height": [found.height for _, found in answered],
    }
    boxes = np.concatenate([np.empty((0, 4)), *(found.xyxy for _, found in answered)])
    counts = [len(found) for _, found in answered]
    objects = {
        "image_id": np.repeat(np.array(images["image_id"], dtype=np.int64), counts),
        "class_id": np.concatenate([np.empty(0, np.int64), *(found.class_id for _, found in answered)]),
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), boxes.T, strict=True)),
    }
    return DetectionDataset.from_tables(images, objects, root=Path.cwd(), class_table=predicted.classes)


def _open(found: Detections) -> Detections:
    # A detector may answer with a box that is empty; an object is none.
    return found[np.flatnonzero((found.xyxy[:, 2:] > found.xyxy[:, :2]).all(axis=1))]


def write_coco(predicted: Predicted, path: Path) -> CocoFiles:
    """Write the results, and the images and categories beside them."""
    answered = list(predicted.answered())
    check_ids([image for image, _ in answered])
    beside = path.with_suffix(f".images{path.suffix}")
    table = predicted.classes
    categories = [{"id": key, "name": name} for key, name in zip(table.source_ids, table.names, strict=True)]
    parts = {
        "images": (_described(image, found) for image, found in answered),
        "annotations": iter(()),
        "categories": iter(categories),
    }
    write_pieces(beside, _object(parts))
    write_pieces(path, _list(row for image, found in answered for row in found.to_coco(image.image_id)))
    return CocoFiles(path, beside)


def _described(image: SeenImage, found: Detections) -> dict[str, Any]:
    return {"id": image.image_id, "file_name": image.name, "width": found.width, "height": found.height}


def _object(parts: dict[str, Iterator[dict[str, Any]]]) -> Iterator[str]:
    for number, (name, rows) in enumerate(parts.items()):
        yield f"{',' if number else '{'}\n{json.dumps(name)}: "
        yield from _list(rows)
    yield "}\n"


def _list(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a JSON list, a line a row, nowhere held as a whole."""
    begin = "["
    for row in rows:
        yield f"{begin}\n{json.dumps(row, allow_nan=False)}"
        begin = ","
    yield "[]\n" if begin == "[" else "\n]\n"


# In pixels; what is thinner are the last digits of a floating-point number.
_THINNEST = 1e-3


@dataclass(frozen=True, slots=True)
class _Listed:
    """An image as a list tells of it."""

    image_id: int
    name: str
    width: int
    height: int
    class_ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]


class _Labels(list["ListedImage"]):
    """Images that know their sizes."""

    def require_sizes(self) -> None:
        """All were looked at, so they do."""


def write_lst(predicted: Predicted, path: Path, *, threshold: float, root: Path | None) -> Written:
    """Write what was found as a list."""
    answered = list(predicted.answered())
    check_ids([image for image, _ in answered])
    return lstwriter.write(_Labels(_listed(image, found.above(threshold), root) for image, found in answered), path)


def _listed(image: SeenImage, found: Detections, root: Path | None) -> _Listed:
    inside = bbox.clip(found.xyxy, width=found.width, height=found.height).boxes
    real = np.array([_stands(box, found) for box in inside], dtype=bool)
    return _Listed(
        image.image_id, _below(image, root), found.width, found.height, found.class_id[real], found.xyxy[real]
    )


def _stands(box: npt.NDArray[np.float64], found: Detections) -> bool:
    """Tell whether a box has an area, also in the 32-bit numbers of a record."""
    xmin, ymin, xmax, ymax = (box / ([found.width, found.height] * 2)).astype(np.float32)
    return bool((box[2:] - box[:2] > _THINNEST).all() and xmin < xmax and ymin < ymax)


def _below(image: SeenImage, root: Path | None) -> str:
    file = Path(_file(image))
    if root is None:
        return file.as_posix()
    if not file.is_relative_to(root.absolute()):
        raise DatasetError("the image lies outside the root", path=file, value=str(root), cure="name a folder above it")
    return file.relative_to(root.absolute()).as_posix()


def _file(image: SeenImage) -> str:
    if image.path is None:
        raise DatasetError(f"{image.name} has no file of its own, which this needs", cure=_CURE)
    return image.path
