"""One picture: a scene, one to three birds of a species, what stands before them, and a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from birdsod.dataset._drawing.anatomy import build, draw_pose
from birdsod.dataset._drawing.clutter import branch, foreground
from birdsod.dataset._drawing.paint import Placement, blend, blurred, paint_bird, window_around
from birdsod.dataset._drawing.scenery import background
from birdsod.dataset._drawing.species import SPECIES

if TYPE_CHECKING:
    import numpy.typing as npt

    from birdsod.dataset._drawing.anatomy import Figure, Kind
    from birdsod.dataset._drawing.paint import Mask, Picture
    from birdsod.dataset._drawing.shapes import Points
    from birdsod.dataset._drawing.species import Species

_KINDS: tuple[Kind, ...] = ("perched", "standing", "foraging", "flying")
_ODDS = (0.42, 0.2, 0.16, 0.22)
_FLOCKS = (0.82, 0.14, 0.04)
_ALONE = (0.45, 0.96)  # of the room that the picture gives
_IN_COMPANY = (0.36, 0.6)
_MOST_HIDDEN = 0.25
_MOST_SHARED = 0.05
_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finished picture: its JPEG bytes, its size, and a silhouette for each bird."""

    jpeg: bytes
    width: int
    height: int
    masks: tuple[npt.NDArray[np.bool_], ...]

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """The extent of each silhouette: x, y, width, height."""
        return [_extent(mask) for mask in self.masks]


@dataclass(frozen=True, slots=True)
class _Sketch:
    figure: Figure
    placement: Placement
    kind: Kind


def draw(seed: int, class_index: int, index: int) -> Drawn:
    """Draw picture ``index`` of a species; the same numbers give the same bytes."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, class_index, index])))
    width, height = _size(rng)
    picture = background(rng, height, width)
    sketches = _sketches(SPECIES[class_index], rng, height, width)
    masks = tuple([_place(picture, sketch, rng) for sketch in sketches])
    return Drawn(_developed(picture, rng), width, height, masks)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    long, short = 500, int(rng.integers(320, 400))
    if rng.random() < 0.2:  # noqa: PLR2004 - some photographs are smaller
        long, short = int(long * 0.8), int(short * 0.8)
    return (long, short) if rng.random() < 0.72 else (short, long)  # noqa: PLR2004 - most lie


def _sketches(species: Species, rng: np.random.Generator, height: int, width: int) -> list[_Sketch]:
    wanted = 1 + int(rng.choice(len(_FLOCKS), p=_FLOCKS))
    taken: npt.NDArray[np.bool_] = np.zeros((height, width), np.bool_)
    found: list[_Sketch] = []
    for _ in range(12):
        sketch = _sketch(species, rng, height, width, reach=_ALONE if wanted == 1 else _IN_COMPANY)
        window = window_around(_solid(sketch), height, width)
        if taken[window.cut].mean() <= _MOST_SHARED:
            taken[window.cut] = True
            found.append(sketch)
        if len(found) == wanted:
            break
    return found


def _sketch(species: Species, rng: np.random.Generator, height: int, width: int, reach: tuple[float, float]) -> _Sketch:
    kind = _KINDS[int(rng.choice(len(_KINDS), p=_ODDS))]
    figure = build(species, draw_pose(kind, rng), rng)
    angle, mirrored = rng.uniform(-0.25, 0.25), bool(rng.random() < 0.5)  # noqa: PLR2004
    cloud = Placement(1.0, angle, mirrored, (0.0, 0.0))(np.concatenate(_outlines(figure)))
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    room = np.array([width, height], np.float64)
    scale = float((room / (high - low)).min()) * rng.uniform(*reach)
    slack = room - (high - low) * scale
    # One bird in ten is cut by the edge of the picture.
    over = 0.12 * (high - low) * scale if rng.random() < 0.1 else np.zeros(2)  # noqa: PLR2004
    corner = rng.uniform(-over, slack + over)
    origin = corner - low * scale
    return _Sketch(figure, Placement(scale, angle, mirrored, (float(origin[0]), float(origin[1]))), kind)


def _outlines(figure: Figure) -> list[Points]:
    return [one for layer in figure.layers if layer.inside is None for one in layer.outlines]


def _solid(sketch: _Sketch) -> list[Points]:
    return [sketch.placement(one) for one in _outlines(sketch.figure)]


def _place(picture: Picture, sketch: _Sketch, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    height, width = picture.shape[:2]
    if sketch.kind == "perched" or (sketch.kind != "flying" and rng.random() < 0.4):  # noqa: PLR2004
        feet = sketch.placement(sketch.figure.feet[None])[0]
        thickness = sketch.placement.scale * rng.uniform(0.06, 0.16)
        branch(picture, rng, feet + np.array([0.0, 0.45 * thickness]), thickness, steep=0.3)
    window, silhouette = paint_bird(picture, sketch.figure.layers, sketch.placement, rng)
    whole: Mask = np.zeros((height, width), np.float32)
    whole[window.cut] = silhouette
    if rng.random() < 0.45:  # noqa: PLR2004 - nearly half stand behind something
        _hide(picture, whole, sketch, rng)
    return whole >= 0.5  # noqa: PLR2004 - a pixel belongs to what covers most of it


def _hide(picture: Picture, whole: Mask, sketch: _Sketch, rng: np.random.Generator) -> None:
    centre = sketch.placement(np.zeros((1, 2)))[0]
    front, cover = foreground(rng, (whole.shape[0], whole.shape[1]), centre, sketch.placement.scale)
    if float((cover * whole).sum()) <= _MOST_HIDDEN * float(whole.sum()):
        blend(picture, front, cover)


def _developed(picture: Picture, rng: np.random.Generator) -> bytes:
    """Return what a camera makes of a scene: exposure, white balance, blur, noise, JPEG."""
    import cv2

    exposed = picture * (rng.uniform(0.78, 1.15) * rng.uniform(0.93, 1.07, 3)).astype(np.float32)
    exposed = blurred(exposed, rng.uniform(0.2, 0.9))
    exposed += rng.standard_normal(exposed.shape[:2], np.float32)[..., None] * np.float32(rng.uniform(1.0, 5.0))
    pixels = np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()


def _extent(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
