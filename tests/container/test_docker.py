"""What the definition of the image must hold; where there is no docker, this is all that is looked at."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import birdsod

if TYPE_CHECKING:
    from tests.container.conftest import Laid

ROOT = Path(birdsod.__file__).parents[1]
DOCKER = ROOT / "docker"
FILE = DOCKER / "Dockerfile"
PROGRAMS = ("train", "serve")

if not FILE.exists():
    pytest.skip("the definition of the image is not part of an installed package", allow_module_level=True)


def instructions() -> list[tuple[str, str]]:
    """Return each instruction with the rest of its line, continued lines joined."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in found]


def of(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def test_arguments_of_docker_run_are_the_program() -> None:
    # SageMaker runs `docker run IMAGE train` and `docker run IMAGE serve`.
    assert not of("ENTRYPOINT")
    assert not of("CMD")
    (copied,) = (rest for rest in of("COPY") if "/usr/local/bin/" in rest)
    assert copied == "--chmod=0755 docker/train docker/serve /usr/local/bin/"


def test_nothing_is_fetched_from_anywhere_but_a_base_image_and_pip_s_own_index() -> None:
    assert "://" not in FILE.read_text()
    assert of("ARG") == ["BASE=python:3.11-slim", "DEVICE=gpu", 'TORCH_INDEX=""']
    assert {rest.split()[0] for rest in of("FROM")} == {"${BASE}"}
    assert not of("ADD")


def test_every_package_is_pinned() -> None:
    names = [name for name, _ in instructions()]
    assert of("COPY")[0] == "constraints.txt ./"
    assert names.index("COPY") < names.index("RUN")
    installed = [part for rest in of("RUN") for part in re.findall(r"pip install[^&]*", rest)]
    assert len(installed) == 3
    assert all("--constraint constraints.txt" in part for part in installed)


def test_the_build_of_torch_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    (check,) = (rest for rest in of("RUN") if "torch.version.cuda" in rest)
    script = tmp_path / "check.py"
    script.write_text(re.findall(r'-c "(.*?)"', check)[0])
    own, other = ("cpu", "gpu") if torch.version.cuda is None else ("gpu", "cpu")
    for device, answer in ((own, None), (other, f"this is PyTorch for {own}, not {other}: name its TORCH_INDEX")):
        monkeypatch.setattr(sys, "argv", ["-c", device])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script))
        assert ended.value.code == answer


def test_whatever_is_copied_is_there_and_not_ignored() -> None:
    rules = [line for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line[0] != "#"]
    assert rules[0] == "*"
    kept = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    sources = [
        word for rest in of("COPY") if "--from" not in rest for word in rest.split()[:-1] if not word.startswith("--")
    ]
    assert sorted(sources) == sorted(kept)
    assert all((ROOT / source).exists() for source in sources)
    assert not any(fnmatch(source, "data*") for source in kept)


def test_port_and_health_are_those_of_the_programs() -> None:
    assert of("EXPOSE") == ["8080"]
    (check,) = of("HEALTHCHECK")
    assert check.endswith('CMD ["python", "-m", "birdsod.container", "health"]')


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_under_its_name(laid: Laid, program: str) -> None:
    laid.tree.hyperparameters.unlink()
    script = DOCKER / program
    assert os.access(script, os.X_OK)
    # As in the image, where the environment of birdsod comes first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = {"PATH": path, "BIRDSOD_OPT_ML": str(laid.tree.root), "SAGEMAKER_BIND_TO_PORT": "none"}
    done = subprocess.run([script], env={**os.environ, **told}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told_by = {"train": done.stdout, "serve": done.stderr}[program]
    assert {"train": "there are no hyperparameters", "serve": "SAGEMAKER_BIND_TO_PORT is no port"}[program] in told_by


def test_the_definition_is_without_fault() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, FILE], capture_output=True, text=True, check=False)
    assert done.stdout == ""
