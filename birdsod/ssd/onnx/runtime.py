"""A detector run by ONNX Runtime."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from birdsod._ordered import cores
from birdsod.errors import ArtifactError, InputError, MissingDependencyError
from birdsod.ssd.onnx.model_file import anchors_of
from birdsod.ssd.onnx.outputs import IMAGES, OFFSETS, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from onnx import ModelProto

    Float32Array = npt.NDArray[np.float32]

__all__ = ["OnnxNetwork", "is_installed"]

_ONLY_FATAL = 4
_THREADS = "OMP_NUM_THREADS"


class OnnxNetwork:
    """A detector run by ONNX Runtime on the CPU. It may be used from several threads at once.

    Parameters
    ----------
    model : onnx.ModelProto
        With the outputs ``probabilities``, ``offsets`` and ``anchors``.
    threads : int, optional
        How many threads compute; by default as many as ``OMP_NUM_THREADS`` says, else as many as there are cores.

    Raises
    ------
    ArtifactError
        If the model cannot be run.
    MissingDependencyError
        If ``onnxruntime`` is not installed.
    """

    def __init__(self, model: ModelProto, *, threads: int | None = None) -> None:
        self._session = _session(model.SerializeToString(), _count(threads))
        self._anchors = anchors_of(model)
        self._image_shape: int = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value

    @property
    def image_shape(self) -> int:
        """Edge in pixels of the square images."""
        return self._image_shape

    @property
    def anchors(self) -> Float32Array:
        """Relative corners, ``(N, 4)``."""
        return self._anchors

    def answer(self, images: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return class probabilities ``(B, classes + 1, N)`` and offsets ``(B, 4 * N)``.

        Parameters
        ----------
        images : ndarray of float32
            The network's own input, ``(B, 3, image_shape, image_shape)``.

        Raises
        ------
        ArtifactError
            If the model cannot be run after all.
        """
        if not len(images):
            # Some kernels divide by the number of images.
            one, two = self.answer(np.zeros((1, *images.shape[1:]), np.float32))
            return one[:0], two[:0]
        with _told_as_ours():
            probabilities, offsets = self._session.run([PROBABILITIES, OFFSETS], {IMAGES: images})
        return probabilities, offsets


def is_installed() -> bool:
    """Tell whether ONNX Runtime, and ``onnx``, which writes what it runs, are installed; neither is loaded."""
    return all(find_spec(name) for name in ("onnx", "onnxruntime"))


def _count(threads: int | None) -> int:
    if threads is None:
        told = os.environ.get(_THREADS, "").partition(",")[0]
        return int(told) if told.isdecimal() and int(told) else cores()
    if threads < 1:
        raise InputError("at least one thread computes", value=threads)
    return threads


def _session(model: bytes, threads: int) -> Any:  # noqa: ANN401 - ONNX Runtime ships no types
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime is not installed", cure="pip install 'birdsod[serve]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait for work sleep: spinning, they would take the cores from whoever shares them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ONLY_FATAL
    with _told_as_ours():
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@contextmanager
def _told_as_ours() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # it has many errors of its own, without a common root
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        cure = "write the model anew, or install a newer onnxruntime"
        raise ArtifactError("ONNX Runtime cannot run the model", cause=cause, cure=cure) from error
