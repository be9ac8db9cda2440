"""The wheel holds what it must and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_it_holds_every_module_and_nothing_but_the_package(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "birdsod").rglob("*") if path.is_file()}
    assert held == {name for name in written if "__pycache__" not in name}
    assert "birdsod/py.typed" in held


def test_it_carries_its_licence_and_its_extras(wheel: zipfile.ZipFile) -> None:
    names = [name.partition(".dist-info/")[2] for name in wheel.namelist()]
    assert {"licenses/LICENSE", "licenses/NOTICE"} <= set(names)
    metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    for extra in ("local", "serve", "notebook", "testing", "all"):
        assert f"Provides-Extra: {extra}" in metadata
    assert "Requires-Python: >=3.11.4" in metadata
