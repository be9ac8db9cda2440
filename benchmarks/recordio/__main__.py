"""Record files beside MXNet 1.9.1 and beside the machine: one run, one table.

    python benchmarks/recordio --json recordio.json
    python benchmarks/recordio --only packing --root data/CUB_200_2011/images --lst train.lst
    python benchmarks/recordio --quick

MXNet is found where ``BIRDSOD_MXNET`` says (a Python), else in ``.venv-mxnet``; without it birdsod is measured alone.
Both read and write the same files and values in turn, each in a process of its own, and the best of several rounds
counts. What takes much disk is left out, with a word, where there is little. Packing is told three ways: whole
processes beside im2rec, whose files must be the same byte for byte; within a process beside the ceiling, which is
OpenCV decoding, resizing and encoding from memory on as many threads; and untouched files beside copying them.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _report import parser, write
from recordio._growth import growth
from recordio._records import reading, scanning, writing
from recordio._sides import mxnet_python, sides
from recordio.packing import IMAGES, LEAST, packing

if TYPE_CHECKING:
    import argparse

    from recordio._sides import Row

PARTS = ("reading", "writing", "scanning", "packing", "growth")
QUICK = 0.002
ROUNDED = 100


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--only", choices=PARTS, action="append", help="measure this part; may be given again")
    made.add_argument("--rounds", type=int, default=5, help="how often each runs; the best counts")
    made.add_argument("--quick", action="store_true", help="tiny files, once: shows that all of it works")
    made.add_argument("--images", type=int, default=IMAGES, help="how many made images are packed")
    made.add_argument("--root", type=Path, help="folder of images to pack in place of made ones; needs --lst")
    made.add_argument("--lst", type=Path, help="their list")
    made.add_argument("--folder", type=Path, help="where to make files, on the disk to measure")
    given = made.parse_args()
    if (given.root is None) != (given.lst is None):
        made.error("--root and --lst go together")
    if given.images < 1:
        made.error("--images is a number from 1")
    return given


def measured(given: argparse.Namespace, folder: Path) -> tuple[list[Row], list[dict[str, float]]]:
    rounds, share = (1, QUICK) if given.quick else (given.rounds, 1.0)
    parts = given.only or PARTS
    mxnet = mxnet_python()
    rows: list[Row] = []
    sizes: list[dict[str, float]] = []
    with sides(mxnet) as contestants:
        for name, part in (("reading", reading), ("writing", writing), ("scanning", scanning)):
            if name in parts:
                rows += part(folder, contestants, rounds, share)
    if "packing" in parts:
        own = (given.root, given.lst) if given.root else None
        rows += packing(folder, mxnet, rounds, max(LEAST, int(given.images * share)), own)
    if "growth" in parts:
        grown, sizes = growth(folder, share)
        rows += grown
    return rows, sizes


def show(rows: list[Row]) -> None:
    width = max(len(row.what) for row in rows)
    print(f"{'':{width}}  {'birdsod':>11}  {'beside':>11}  {'':9}  times")
    for row in rows:
        other, ratio = ("", "") if row.other is None else (_short(row.other), f"{row.ratio:.2f}")
        print(f"{row.what:{width}}  {_short(row.birdsod):>11}  {other:>11}  {row.unit:9}  {ratio:>5}  {row.beside}")


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= ROUNDED else f"{number:.3g}"


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        rows, sizes = measured(given, Path(folder))
    show(rows)
    ratios = {f"{row.what} / {row.beside}, {row.unit}": row.ratio for row in rows if row.ratio is not None}
    write(given.json, ratios, rows=[asdict(row) for row in rows], growth=sizes)


if __name__ == "__main__":
    main()
