"""How the pixels of a batch are given: as bytes or floating point, channels first or last, shifted and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from birdsod.errors import HyperparameterError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["BatchForm"]

_DTYPES = ("float32", "uint8")
_LAYOUTS = ("NCHW", "NHWC")
_CHANNELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchForm:
    """How the pixels of a batch are given.

    Parameters
    ----------
    dtype : {"float32", "uint8"}, default "float32"
        ``"uint8"`` is a quarter as large, and leaves the arithmetic to the accelerator.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels first, as PyTorch and MXNet take them, or last.
    mean : tuple of three float, default (0, 0, 0)
        Taken off red, green and blue, of 0 to 255.
    std : tuple of three float, default (1, 1, 1)
        What the difference is divided by.

    Raises
    ------
    HyperparameterError
        If a value is unknown or out of range, or bytes shall be shifted or scaled.

    Examples
    --------
    >>> BatchForm(mean=(123.68, 116.78, 103.94)).shape(32, 300)
    (32, 3, 300, 300)
    """

    dtype: Literal["float32", "uint8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name, known in (("dtype", _DTYPES), ("layout", _LAYOUTS)):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise HyperparameterError(f"unknown {name}", value=value, cure=f"choose one of {', '.join(known)}")
        for name in ("mean", "std"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != (_CHANNELS,) or not np.isfinite(values).all():
                cure = "give one finite number for each of red, green and blue"
                raise HyperparameterError(f"{name} must be three numbers", value=getattr(self, name), cure=cure)
        if not all(scale > 0 for scale in self.std):
            raise HyperparameterError("std must be above 0", value=self.std, cure="leave it out, or give (1, 1, 1)")
        if self.dtype == "uint8" and self.changes:
            cure = 'take dtype="float32", or shift and scale later'
            raise HyperparameterError("bytes are neither shifted nor scaled", value=(self.mean, self.std), cure=cure)

    @property
    def changes(self) -> bool:
        """Whether numbers are shifted or scaled."""
        return any(self.mean) or any(scale != 1 for scale in self.std)

    def shape(self, batch_size: int, size: int) -> tuple[int, int, int, int]:
        """Return the shape of a batch.

        Parameters
        ----------
        batch_size : int
            Images.
        size : int
            Their side.

        Returns
        -------
        tuple of four int
        """
        if self.layout == "NCHW":
            return batch_size, _CHANNELS, size, size
        return batch_size, size, size, _CHANNELS

    def write(self, pixels: npt.NDArray[np.uint8], slot: npt.NDArray[Any]) -> None:
        """Put the pixels of one image where they belong in a batch.

        Parameters
        ----------
        pixels : ndarray of uint8
            RGB, ``(size, size, 3)``.
        slot : ndarray
            Takes them, in this form.
        """
        if self.layout == "NHWC":
            self._convert(pixels, np.array(self.mean, dtype=np.float32), slot)
        else:
            for plane, mean, part in zip(_planes(pixels), np.array(self.mean, dtype=np.float32), slot, strict=True):
                self._convert(plane, mean, part)
        if any(scale != 1 for scale in self.std):
            each = (_CHANNELS, 1, 1) if self.layout == "NCHW" else (_CHANNELS,)
            slot *= (1 / np.array(self.std)).astype(np.float32).reshape(each)

    def _convert(self, pixels: npt.NDArray[np.uint8], mean: npt.NDArray[np.float32], slot: npt.NDArray[Any]) -> None:
        if self.changes:
            np.subtract(pixels, mean, out=slot)
        else:
            slot[:] = pixels


def _planes(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """Return the channels apart: to gather every third byte while converting takes three times as long."""
    import cv2

    # Into memory of our own: what OpenCV makes itself costs several times as much.
    planes = [np.empty(pixels.shape[:2], dtype=np.uint8) for _ in range(_CHANNELS)]
    cv2.split(pixels, planes)
    return planes
