"""The rooms import upwards only, and heavy packages load when first used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import birdsod

PACKAGE = Path(birdsod.__file__).parent
MANUAL = PACKAGE.parent / "docs" / "house.md"

# A room may import the rooms before it.
ROOMS = (
    "errors",
    "classes",
    "_lazy",
    "_files",
    "_progress",
    "_ordered",
    "bbox",
    "image",
    "dataset",
    "lstwriter",
    "recordio",
    "detections",
    "predicted",
    "metrics",
    "hyperparameters",
    "training_log",
    "mxnet",
    "ssd",
    "serving",
    "estimator",
    "container",
    "evaluation",
    "viz",
    "demo",
    "cli",
)
# Private modules beside the room that they are a part of.
ANNEXES = {
    "_arguments": "errors",
    "_detection_arrays": "detections",
    "_hyperparameter_rules": "hyperparameters",
    "_log_lines": "training_log",
}
HEAVY = ("torch", "pandas", "matplotlib", "cv2", "PIL", "boto3", "typer", "tqdm")


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported_rooms(source: str) -> set[str]:
    """Rooms that a module imports when it runs; what stands under TYPE_CHECKING only never runs."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "birdsod":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("birdsod."):
            found.add(room_of(str(node.module)))
        elif isinstance(node, ast.Import):
            found |= {room_of(alias.name) for alias in node.names if alias.name.startswith("birdsod.")}
    return found - {""}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in {"__init__", "__main__", "testing"}:
            found.append((room, path))
    return found


def test_every_module_stands_in_a_room() -> None:
    assert {ANNEXES.get(room, room) for room, _ in modules()} <= set(ROOMS)


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda value: str(value).removeprefix(str(PACKAGE)))
def test_arrows_run_up(room: str, path: Path) -> None:
    above = set(ROOMS[: ROOMS.index(ANNEXES.get(room, room)) + 1])
    imported = {ANNEXES.get(name, name) for name in imported_rooms(path.read_text(encoding="utf-8"))}
    assert imported <= above | {"__version__"}


def test_the_manual_shows_the_same_rooms_in_the_same_order() -> None:
    table = [line.split("|")[1] for line in MANUAL.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    shown = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    assert [name for name in shown if name != "testing"] == list(ROOMS)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_birdsod_loads_nothing_heavy() -> None:
    assert not loaded_by("import birdsod") & {*HEAVY, "numpy"}


@pytest.mark.parametrize("module", [room for room in ROOMS if room not in {"demo", "cli"}])
def test_importing_a_room_loads_nothing_heavy(module: str) -> None:
    assert not loaded_by(f"import birdsod.{module}") & set(HEAVY)


def test_the_command_line_starts_without_torch() -> None:
    assert not loaded_by("import birdsod.cli") & {"torch", "pandas", "matplotlib", "cv2"}
