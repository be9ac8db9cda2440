"""The trained model as plain files: SageMaker packs them itself."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from birdsod._files import write_bytes
from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from birdsod.classes import ClassTable
    from birdsod.hyperparameters import Hyperparameters

__all__ = ["leave_checkpoint", "leave_model"]

_STATE = "state.safetensors"
_BEST = "best.safetensors"
_UPDATES = "_birdsod_stopped_after_update"


def leave_model(archive: Path, folder: Path) -> None:
    """Write the files of a model archive into a folder, each of them whole or not at all.

    Parameters
    ----------
    archive : pathlib.Path
        ``model.tar.gz`` of our own making.
    folder : pathlib.Path
        Where they go; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as stream:
        for member in stream:
            content = stream.extractfile(member)
            if content is not None:  # pragma: no branch - our archives hold files only
                write_bytes(folder / member.name, content.read())


def leave_checkpoint(
    checkpoints: Path, archive: Path, params: Hyperparameters, classes: ClassTable, *, best: bool
) -> bool:
    """Write the model archive of a run that was stopped: its last weights, or the best of its epochs so far.

    Parameters
    ----------
    checkpoints : pathlib.Path
        Folder of the checkpoints.
    archive : pathlib.Path
        The file to write.
    params : Hyperparameters
        What the run trains with.
    classes : ClassTable
        What its class ids stand for.
    best : bool
        Whether the best weights are wanted, if there are any yet.

    Returns
    -------
    bool
        Whether there was a checkpoint; without one nothing has been learned, and nothing is written.

    Raises
    ------
    ArtifactError
        If the checkpoint is damaged, or of another network.
    """
    from birdsod.ssd.building import build_network
    from birdsod.ssd.checkpoint import read_checkpoint
    from birdsod.ssd.saving import save_trained

    state = checkpoints / _STATE
    if not state.exists():
        return False
    tensors, facts = read_checkpoint(state)
    kept = checkpoints / _BEST
    weights = read_checkpoint(kept)[0] if best and kept.exists() else _trained(tensors)
    shape = {"num_classes": params.num_classes, "image_shape": params.image_shape}
    network = build_network(params.base_network, pretrained=False, **shape)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        cause = str(error).splitlines()[0]
        raise ArtifactError("the checkpoint is of another network", path=state, cause=cause) from error
    save_trained(archive, network, params, classes, {_UPDATES: str(facts["progress"]["update"])})
    return True


def _trained(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights that a finished run would keep: their running mean, where there is one."""
    prefix = "average." if any(name.startswith("average.") for name in tensors) else "network."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
