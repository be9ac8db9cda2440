"""Folders laid out as SageMaker lays them out, and the programs run on them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from birdsod import Hyperparameters, pack
from birdsod.container import Tree
from birdsod.dataset import synthetic_birds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from birdsod.recordio import Packed

# Nothing that is left to the recipe: two runs on busy machines are the same to the last bit.
QUICK = {"base_network": "efficientnet-lite0", "use_pretrained_model": "0", "mini_batch_size": "4", "updates": "3"}


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A few made-up birds of two classes."""
    folder = tmp_path_factory.mktemp("birds")
    train, validation = synthetic_birds(folder / "birds", 3, classes=2, per_class=6).split()
    return pack({"train": train, "validation": validation}, folder / "packed", resize=64)


class Laid:
    """A folder as SageMaker lays it out before it starts a container."""

    def __init__(self, root: Path, packed: Packed) -> None:
        self.tree = Tree(root)
        self.packed = packed
        self.tree.hyperparameters.parent.mkdir(parents=True)
        self.tree.data.mkdir()
        required = Hyperparameters.for_data(packed, mini_batch_size=4).to_request()
        self.values = {name: required[name] for name in ("num_classes", "num_training_samples")} | QUICK
        self.set()

    def set(self, **values: str) -> None:
        """Write the hyperparameters with some values changed."""
        self.values |= values
        self.tree.hyperparameters.write_text(json.dumps(self.values))

    def tell(self, path: Path, content: Any) -> None:
        """Write one of the files that tell of machines and channels."""
        path.write_text(json.dumps(content))

    def channel(self, name: str, *files: Path) -> Path:
        """Copy files into the folder of a channel."""
        folder = self.tree.data / name
        folder.mkdir(exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        return folder

    def both(self) -> Laid:
        """Lay out the channels that every training needs, and their classes."""
        for name in ("train", "validation"):
            self.channel(name, self.packed.channels[name].rec)
        self.channel("classes", self.packed.directory / "packed.json")
        return self

    def start(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """Start a program in a process of its own."""
        return subprocess.Popen(
            [*before, sys.executable, "-m", "birdsod.container", *arguments],
            env={**os.environ, "BIRDSOD_OPT_ML": str(self.tree.root), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, before: Sequence[str] = ()) -> tuple[int, str, str]:
        """Run a program to its end; return its exit code and what it said."""
        process = self.start(*arguments, before=before)
        said, complained = process.communicate()
        return process.returncode, said, complained


@pytest.fixture
def laid(tmp_path: Path, packed: Packed) -> Laid:
    """A folder with hyperparameters, and no channel yet."""
    return Laid(tmp_path / "ml", packed)


@pytest.fixture(autouse=True)
def _no_other_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIRDSOD_OPT_ML", raising=False)
