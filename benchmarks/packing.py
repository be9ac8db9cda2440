"""Images packed per second, whole process, against im2rec of MXNet 1.9.1, in turn, with the same bytes.

    python benchmarks/packing.py --json packing.json
    python benchmarks/packing.py --images data/CUB_200_2011/images --lst train.lst

im2rec runs in an environment of its own, ``.venv-mxnet`` beside the repository's ``.venv``, which the first run
makes. Both use two workers. ``pack_images_per_second`` is with a shorter edge of 256 pixels, as in the
walkthrough, ``pack_images_per_second_unresized`` without resizing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from _report import parser, report, seconds_in_turn
from sizes import photograph

if TYPE_CHECKING:
    import argparse

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = REPOSITORY / ".venv-mxnet"
REQUIRED = ("mxnet==1.9.1", "numpy==1.23.5", "opencv-python-headless==4.8.1.78")
IMAGES, DISTINCT = 1000, 50
WORKERS = "2"
CASES = {"pack_images_per_second": ["--resize", "256"], "pack_images_per_second_unresized": []}


def im2rec() -> list[str]:
    """The command that runs im2rec, after making its environment where it is missing."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / ".installed"
    if not done.exists():
        print(f"making {ENVIRONMENT} for im2rec", flush=True)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIRED], check=True)
        done.touch()
    (script,) = ENVIRONMENT.glob("lib/python*/site-packages/mxnet/tools/im2rec.py")
    return [str(python), "-W", "ignore", str(script)]


def make_images(folder: Path) -> Path:
    """Photo-like JPEGs of 500 x 375 pixels, and the list of them."""
    images = folder / "images"
    images.mkdir()
    drawn = [photograph(seed) for seed in range(DISTINCT)]
    rows = []
    for number in range(IMAGES):
        (images / f"{number}.jpg").write_bytes(drawn[number % DISTINCT])
        rows.append(f"{number}\t2\t5\t{number % 5}\t0.1000\t0.2000\t0.7000\t0.9000\t{number}.jpg\n")
    lst = folder / "made.lst"
    lst.write_text("".join(rows), encoding="utf-8")
    return lst


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")


def compare(root: Path, lst: Path, folder: Path, options: list[str], rounds: int) -> dict[str, float]:
    """Median seconds of both, after checking that they wrote the same."""
    theirs, ours = folder / "theirs", folder / "ours" / "packed.rec"
    theirs.mkdir()
    ours.parent.mkdir()
    shutil.copy(lst, theirs / "packed.lst")
    reference = [*im2rec(), *options, "--pack-label", "--num-thread", WORKERS, str(theirs / "packed"), str(root)]
    birdsod = [str(Path(sys.executable).with_name("birdsod")), "pack", "--lst", str(lst), "--root", str(root)]
    birdsod += ["--out", str(ours), *options, "--jobs", WORKERS, "--overwrite"]
    taken = seconds_in_turn(rounds, im2rec=lambda: run(reference), birdsod=lambda: run(birdsod))
    for suffix in (".rec", ".idx"):
        if ours.with_suffix(suffix).read_bytes() != (theirs / "packed").with_suffix(suffix).read_bytes():
            sys.exit(f"the {suffix} files differ")
    return taken


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--images", type=Path, help="folder of images to pack in place of made ones; needs --lst")
    made.add_argument("--lst", type=Path, help="their list")
    made.add_argument("--rounds", type=int, default=5, help="how often each runs")
    given = made.parse_args()
    if (given.images is None) != (given.lst is None):
        made.error("--images and --lst go together")
    return given


def main() -> None:
    given = arguments()
    ratios: dict[str, float] = {}
    speeds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lst = given.lst or make_images(Path(folder))
        root = given.images or Path(folder) / "images"
        count = len(lst.read_text(encoding="utf-8").splitlines())
        for name, options in CASES.items():
            case = Path(folder) / name
            case.mkdir()
            taken = compare(root, lst, case, options, given.rounds)
            ratios[name] = taken["im2rec"] / taken["birdsod"]
            speeds[name] = {program: count / seconds for program, seconds in taken.items()}
            print(name, {program: f"{speed:.0f} images/s" for program, speed in speeds[name].items()})
    report(given.json, ratios, images=count, images_per_second=speeds)


if __name__ == "__main__":
    main()
