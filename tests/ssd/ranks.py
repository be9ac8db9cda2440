"""A process of several that train together: what each does in ``test_distributed``, and what one does alone.

Numbers are of double precision: what differs between one process and several is then rounding and nothing else. In
single precision, rounding decides on which side of a kink a number lies, and its gradient is there or not.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from birdsod import Hyperparameters, LocalOptions
from birdsod.errors import ImageError, TrainingError
from birdsod.mxnet import ssd_graph
from birdsod.ssd.building import build_network, share_batch
from birdsod.ssd.checkpoint import write_checkpoint
from birdsod.ssd.feeding import Fed
from birdsod.ssd.learning import Learning
from birdsod.ssd.meeting import joined
from birdsod.ssd.place import Place
from birdsod.ssd.recipe import resolve
from birdsod.ssd.run import Run
from birdsod.ssd.team import ALONE, Team
from birdsod.ssd.twin import TwinNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 5  # which two processes cannot share evenly
UPDATES = 2
LITE0 = {"base_network": "efficientnet-lite0", "use_pretrained_model": "0"}
LABELS = torch.tensor([[[1, 0.1, 0.1, 0.8, 0.9]], [[0, 0.3, 0.2, 0.9, 0.7]], [[-1.0] * 5]] * 2)[:BATCH]


def lite0() -> Any:
    network = build_network("efficientnet-lite0", num_classes=2, image_shape=64, pretrained=False)
    network.freeze(resolve(params(), LocalOptions()).freeze)
    return network


def resnet() -> Any:
    return TwinNetwork(ssd_graph("resnet-50", num_classes=2, image_shape=128), image_shape=128)


NETWORKS: dict[str, Callable[[], Any]] = {"lite0": lite0, "resnet": resnet}


def params() -> Hyperparameters:
    required = {"num_classes": "2", "num_training_samples": "16", "mini_batch_size": str(BATCH), "momentum": "0.9"}
    return Hyperparameters.from_request({**required, **LITE0})


def doubled(network: Any) -> Any:
    """Return a network that computes in double precision."""
    return network.double()


def learned(make: Callable[[], Any], team: Team = ALONE, updates: int = UPDATES, **how: Any) -> dict[str, torch.Tensor]:
    """Train a network for a few updates, and return all that came out of it."""
    torch.manual_seed(0)
    network = doubled(make())
    share_batch(network, team)
    options = LocalOptions(optimizer="sgd", learning_rate=1e-3, updates=UPDATES, average=0.5)
    run = Run(network, resolve(params(), options), params(), Learning(team=team, **how))
    edge = network.image_shape
    for update in range(updates):
        random = np.random.default_rng(update)
        images = torch.from_numpy(random.integers(0, 256, (BATCH, edge, edge, 3), dtype=np.uint8)).permute(0, 3, 1, 2)
        own = team.share(BATCH)
        run.step(Fed(images[own], LABELS[own].double()))
    figures = torch.tensor([run.progress.anchors, run.progress.cross_entropy, run.progress.smooth_l1])
    return {**run.network.state_dict(), "figures": figures, **kept(run)}


def kept(run: Run) -> dict[str, torch.Tensor]:
    return {f"mean.{name}": value for name, value in run.trained.state_dict().items()}


def talked(team: Team, folder: Path) -> dict[str, torch.Tensor]:
    """Say and hear all that a team can, and return what came of it."""
    own = np.full((team.rank, 3), float(team.rank))
    secret = folder / "secret"
    if team.leads:
        secret.write_bytes(b"of the first")
    with team.file(secret) as found, team.file(folder / "nowhere") as nothing:
        heard = found.read_bytes() if found else b""
    weight = torch.nn.Parameter(torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last))
    weight.grad = torch.full_like(weight, team.rank + 1.0)
    team.add_gradients([weight, torch.nn.Parameter(torch.zeros(1))])
    return {
        "rows": torch.from_numpy(team.rows(own)),
        "empty": torch.tensor(len(team.said(b"")) + int(nothing is not None)),
        "heard": torch.tensor(list(heard + team.said(bytes([team.rank]), 1))),
        "gradient": weight.grad,
        "any": torch.tensor([team.any(team.rank == 1), team.any(False)]),
        "failures": torch.tensor(list("; ".join(failures(team)).encode())),
    }


def failures(team: Team) -> list[str]:
    """Return what a process is told when one fails, and when none does."""
    said = []
    for error in (ImageError("the image is broken", path="a.rec", record=7), None):
        try:
            with team.one_fate():
                if error is not None and team.rank == 1:
                    raise error
        except (ImageError, TrainingError) as told:
            said.append(f"{type(told).__name__} {told}")
    return said


def in_double_precision() -> None:
    """Have what single precision would be asked for computed in double."""
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign] # in this process alone


def main(folder: Path) -> None:
    in_double_precision()
    torch.use_deterministic_algorithms(mode=True)
    place = Place.told()
    assert place is not None
    with joined(place, torch.device("cpu"), still=lambda: None) as team:
        made = {"talked": talked(team, folder)}
        made |= {name: learned(make, team) for name, make in NETWORKS.items()}
        made["parts"] = learned(lite0, team, parts=2)
    for name, tensors in made.items():
        write_checkpoint(folder / f"{name}-{place.rank}", tensors, {})


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
