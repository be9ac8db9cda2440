"""Which library computes a detector's answers."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from birdsod.errors import InputError, MissingDependencyError
from birdsod.ssd.onnx.runtime import is_installed

__all__ = ["Runtime", "chosen_runtime", "torch_device"]

Runtime = Literal["auto", "onnxruntime", "torch"]

_RUNTIMES = ("auto", "onnxruntime", "torch")
_ON_CPU = ("auto", "cpu")
# What there is where a driver of a GPU runs: on Linux, and in Windows' own Linux.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def chosen_runtime(runtime: Runtime, device: str) -> Literal["onnxruntime", "torch"]:
    """Return the library that computes: ONNX Runtime on a CPU where it is installed, else PyTorch.

    Parameters
    ----------
    runtime : {"auto", "onnxruntime", "torch"}
        What was asked for.
    device : str
        ``"auto"``, ``"cpu"``, or a name that torch knows.

    Raises
    ------
    InputError
        If there is no such runtime, or ONNX Runtime is asked for another device than the CPU.
    MissingDependencyError
        If neither is installed.
    """
    if runtime not in _RUNTIMES:
        raise InputError(f"runtime is none of {', '.join(_RUNTIMES)}", value=runtime)
    if runtime == "onnxruntime":
        if device not in _ON_CPU:
            cure = "use device='cpu', or runtime='torch'"
            raise InputError("ONNX Runtime computes on the CPU alone here", value=device, cure=cure)
        return runtime
    if runtime == "torch":
        return runtime
    if is_installed() and (device == "cpu" or (device == "auto" and not _has_gpu())):
        return "onnxruntime"
    if find_spec("torch") is None:
        message = "neither ONNX Runtime nor torch is installed"
        raise MissingDependencyError(message, cure="pip install 'birdsod[serve]', or 'birdsod[local]' to train too")
    return "torch"


def torch_device(device: str) -> str:
    """Return the device of torch that a name stands for.

    Raises
    ------
    MissingDependencyError
        If torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch is not installed", cure="pip install 'birdsod[local]'") from error
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _has_gpu() -> bool:
    """Tell whether torch would find a GPU; torch, slow to load, is asked only where there may be one."""
    if not _may_have_gpu() or find_spec("torch") is None:
        return False
    return torch_device("auto") == "cuda"


def _may_have_gpu() -> bool:
    if "torch" in sys.modules:
        return True
    return any(Path(name).exists() for name in _DRIVERS) or shutil.which("nvidia-smi") is not None
