"""Sizes of images from their headers against the usual loop that decodes every image for its shape, in turn.

    python benchmarks/sizes.py --json sizes.json
    python benchmarks/sizes.py --images data/CUB_200_2011/images

``sizes_over_decoding`` compares what a data set does (tables, threads, checks) with the loop over OpenCV's
``imread``; ``read_size_over_imread`` compares the bare calls on one thread.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from _report import parser, report, seconds_in_turn

from birdsod import ClassTable, DetectionDataset
from birdsod.image import encode, read_size

MADE = 2000
DISTINCT = 20
WIDTH, HEIGHT = 500, 375
SUFFIXES = {".jpg", ".jpeg", ".png"}


def photograph(seed: int) -> bytes:
    """A JPEG about as large as a photograph of its size: smooth forms under fine texture."""
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(
        rng.integers(0, 256, (9, 12, 3)).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    texture = cv2.GaussianBlur(rng.normal(0, 40, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 1.2)
    return encode(np.clip(smooth + texture, 0, 255).astype(np.uint8), quality=95)


def make_photographs(folder: Path) -> list[Path]:
    for number in range(DISTINCT):
        (folder / f"{number:04}.jpg").write_bytes(photograph(number))
    for number in range(DISTINCT, MADE):
        shutil.copyfile(folder / f"{number % DISTINCT:04}.jpg", folder / f"{number:04}.jpg")
    return sorted(folder.iterdir())


def by_decoding(files: list[Path]) -> list[tuple[int, int]]:
    sizes = []
    for file in files:
        height, width = cv2.imread(str(file)).shape[:2]  # type: ignore[union-attr] # every file is an image here
        sizes.append((width, height))
    return sizes


def tables(files: list[Path]) -> DetectionDataset:
    """A data set of these files that does not know their sizes yet."""
    root = files[0].parent.parent
    names = [file.relative_to(root).as_posix() for file in files]
    images = {"image_id": np.arange(len(files)), "path": names}
    objects = {name: np.zeros(0) for name in ("image_id", "class_id", "xmin", "ymin", "xmax", "ymax")}
    return DetectionDataset.from_tables(images, objects, root=root, class_table=ClassTable((1,), ("bird",)))


def measure(files: list[Path], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    if [tuple(size) for size in tables(files).sizes.tolist()] != by_decoding(files):
        raise SystemExit("the sizes differ from those of the decoded images")
    # A data set keeps the sizes that it has read, so each round takes a fresh one.
    fresh = [tables(files) for _ in range(rounds + 1)]
    taken = seconds_in_turn(
        rounds,
        decoding=lambda: by_decoding(files),
        dataset=lambda: fresh.pop().sizes,
        read_size=lambda: [read_size(file) for file in files],
    )
    ratios = {
        "sizes_over_decoding": taken["decoding"] / taken["dataset"],
        "read_size_over_imread": taken["decoding"] / taken["read_size"],
    }
    return ratios, {name: len(files) / seconds for name, seconds in taken.items()}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--images", type=Path, metavar="DIR", help="measure these images, not made-up ones")
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.images is None:
            files = make_photographs(Path(folder))
        else:
            files = sorted(file for file in given.images.rglob("*") if file.suffix.lower() in SUFFIXES)
        ratios, speeds = measure(files, given.rounds)
    print(
        f"{len(files)} images; images per second: " + ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items())
    )
    report(given.json, ratios, images_per_second=speeds, images=len(files))


if __name__ == "__main__":
    main()
