"""Checkpoints: all that a run needs to go on to the same end, in one file that appears whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from birdsod._files import write_bytes
from birdsod.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["pack_optimizer", "read_checkpoint", "unpack_optimizer", "write_checkpoint"]

_FORMAT = "birdsod checkpoint 1"


def write_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and plain values to a file that appears whole.

    Parameters
    ----------
    path : pathlib.Path
        The file; its folder is made.
    tensors : mapping of str to torch.Tensor
        Name to tensor.
    facts : mapping
        Whatever JSON can say.
    """
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={"format": _FORMAT, "facts": json.dumps(facts)}))


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`write_checkpoint` wrote.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    tuple of dict and dict
        Tensors, and plain values.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged or something else.
    """
    from safetensors import SafetensorError, safe_open

    cure = "train from the start, in another folder"
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise ArtifactError("the checkpoint cannot be read", path=path, cause=str(error), cure=cure) from error
    if metadata.get("format") != _FORMAT:
        raise ArtifactError("not a checkpoint of this version", path=path, value=metadata.get("format"), cure=cure)
    return tensors, json.loads(metadata["facts"])


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return what an optimizer remembers, by flat names.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer.

    Returns
    -------
    dict of str to torch.Tensor
    """
    memory = optimizer.state_dict()["state"]
    return {
        f"{place}.{name}": value
        for place, values in memory.items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Make an optimizer remember what :func:`pack_optimizer` returned.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        A fresh one of the same kind over the same weights.
    tensors : mapping of str to torch.Tensor
        Name to tensor.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    memory: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        place, _, name = key.partition(".")
        memory.setdefault(int(place), {})[name] = _laid_out(value, weights[int(place)])
    optimizer.load_state_dict({"state": memory, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Give a tensor the memory layout of its weight: fused optimizers go through both as they lie."""
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
