"""A bird as layers of outlines: one species in one pose, a body length long, facing right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from birdsod.dataset._drawing.layers import Layer
from birdsod.dataset._drawing.plumage import breast_marks, face_marks, mantle_marks, wing_marks
from birdsod.dataset._drawing.shapes import ellipse, hull, points, smooth, stroke, turned

if TYPE_CHECKING:
    from birdsod.dataset._drawing.layers import Frame
    from birdsod.dataset._drawing.shapes import Points
    from birdsod.dataset._drawing.species import Species

Kind = Literal["perched", "standing", "foraging", "flying"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How a bird holds itself; angles in radians, positive lifts the front."""

    kind: Kind
    pitch: float
    head: float
    tail: float
    looks_back: bool = False
    stroke: float = 0.6


@dataclass(frozen=True, slots=True)
class Figure:
    """The layers from the farthest to the nearest, and where the feet stand."""

    layers: tuple[Layer, ...]
    feet: Points


def draw_pose(kind: Kind, rng: np.random.Generator) -> Pose:
    """Return a pose of a kind, different each time."""
    pitch, head, tail = {
        "perched": ((0.35, 0.95), (-0.2, 0.25), (-0.25, 0.15)),
        "standing": ((0.0, 0.3), (-0.2, 0.3), (-0.1, 0.4)),
        "foraging": ((-0.55, -0.15), (-1.0, -0.4), (-0.3, 0.3)),
        "flying": ((-0.1, 0.4), (-0.15, 0.2), (-0.2, 0.15)),
    }[kind]
    return Pose(
        kind=kind,
        pitch=rng.uniform(*pitch),
        head=rng.uniform(*head),
        tail=rng.uniform(*tail),
        looks_back=kind != "flying" and bool(rng.random() < 0.12),  # noqa: PLR2004 - one in eight
        stroke=rng.uniform(-0.7, 1.0),
    )


def build(species: Species, pose: Pose, rng: np.random.Generator) -> Figure:
    """Return the layers of a bird."""
    flying = pose.kind == "flying"
    legs, feet = _legs(species, pose)
    far = (_spread_wing(species, pose, far=True),) if flying else legs
    near = (
        (_spread_wing(species, pose, far=False), *wing_marks(species, _wing_frame(species, pose), spread=True))
        if flying
        else _folded_wing(species, pose)
    )
    layers = (*_tail(species, pose), *far, *_torso(species, pose, rng), *near, *_head(species, pose))
    return Figure(tuple(layers), feet)


def _body(outline: Points, pose: Pose) -> Points:
    return turned(outline, pose.pitch)


def _legs(species: Species, pose: Pose) -> tuple[tuple[Layer, ...], Points]:
    hips = _body(points((-0.16, 0.24 * species.plump), (0.0, 0.26 * species.plump)), pose)
    length = species.leg_length * (0.55 if pose.kind == "perched" else 1.0) + 0.12
    ground = float(hips[:, 1].max()) + length
    feet = np.stack([hips[:, 0] + 0.06, np.full(2, ground)], axis=1)
    outlines: list[Points] = []
    for hip, foot in zip(hips, feet, strict=True):
        knee = (hip + foot) / 2.0 + np.array([-0.05, 0.0])
        outlines += [stroke(np.stack([hip, knee, foot]), 0.07, 0.035), _toes(foot)]
    return (Layer("legs", tuple(outlines), species.legs),), feet.mean(axis=0)


def _toes(foot: Points) -> Points:
    return points((-0.07, 0.02), (0.0, -0.012), (0.11, 0.02), (0.02, 0.024)) + foot


def _tail(species: Species, pose: Pose) -> tuple[Layer, ...]:
    fan = 1.9 if pose.kind == "flying" else 1.0
    length, width = species.tail_length, species.tail_width * fan
    ends = {
        "round": ((-length, -0.8 * width), (-1.08 * length, 0.0), (-length, 0.8 * width)),
        "square": ((-length, -width), (-length, width)),
        "forked": ((-length, -1.1 * width), (-0.72 * length, 0.0), (-length, 1.1 * width)),
        "pointed": ((-0.75 * length, -0.7 * width), (-1.1 * length, 0.0), (-0.75 * length, 0.7 * width)),
    }[species.tail_end]
    root = points((-0.42, 0.0))

    def placed(outline: Points) -> Points:
        return _body(turned(outline, -pose.tail) + root, pose)

    feather = placed(points((0.12, -0.08), *ends, (0.12, 0.08)))
    layers = [Layer("tail", (feather,), species.tail, rim=0.35)]
    if species.tail_band:
        band = placed(
            points((-0.72 * length, -1.3 * width), (-0.88 * length, -1.3 * width),
                   (-0.88 * length, 1.3 * width), (-0.72 * length, 1.3 * width))
        )  # fmt: skip
        layers.append(Layer("tail band", (band,), species.trim, inside="tail"))
    return tuple(layers)


def _head_place(species: Species, pose: Pose) -> Points:
    reach = 0.46 + species.neck * 0.75
    lift = {"perched": 0.2, "standing": 0.28, "foraging": 0.06, "flying": 0.06}[pose.kind] + species.neck * 0.5
    front = _body(points((reach, -0.02)), pose)[0]
    return np.asarray(front + np.array([0.02, -lift]), dtype=np.float64)


def _torso(species: Species, pose: Pose, rng: np.random.Generator) -> tuple[Layer, ...]:
    p = species.plump
    trunk = smooth(
        points((-0.56, -0.02), (-0.32, -0.19 * p), (0.02, -0.28 * p), (0.32, -0.25 * p), (0.46, -0.1 * p),
               (0.47, 0.1 * p), (0.3, 0.28 * p), (0.0, 0.34 * p), (-0.32, 0.2 * p), (-0.56, 0.05))
    )  # fmt: skip
    radius = 0.19 * species.head_size
    shoulders = _body(points((0.1, -0.24 * p), (0.42, 0.12 * p), (0.2, 0.1)), pose)
    neck = hull(np.concatenate([ellipse(_head_place(species, pose), (0.9 * radius, 0.9 * radius)), shoulders]))
    under = smooth(
        points((0.95, 0.0), (0.8, 0.8), (-0.1, 0.7), (-0.6, 0.2), (-0.42, 0.07), (-0.1, 0.1 * p), (0.25, 0.02))
    )
    return (
        Layer("torso", (_body(trunk, pose), neck), species.back),
        *mantle_marks(species, pose.pitch),
        Layer("belly", (_body(under, pose),), species.belly, inside="torso", soft=0.035),
        *breast_marks(species, pose.pitch, rng),
    )


def _folded_wing(species: Species, pose: Pose) -> tuple[Layer, ...]:
    p = species.plump
    frame = points((0.3, -0.12 * p), (0.05, -0.24 * p), (-0.4, -0.14 * p), (-0.78, 0.02), (-0.45, 0.07),
                   (-0.1, 0.17 * p), (0.22, 0.12 * p))  # fmt: skip
    wing = _body(smooth(frame), pose)
    lines = tuple(
        _body(
            stroke(points((0.12 - 0.05 * k, -0.06 + 0.06 * k), (-0.62 - 0.0 * k, -0.02 + 0.02 * k)), 0.014, 0.006), pose
        )
        for k in range(4)
    )
    return (
        Layer("wing", (wing,), species.wing, rim=0.45, shadow=0.3),
        Layer("wing feathers", lines, "black", inside="wing", opacity=0.3),
        *wing_marks(species, lambda outline: _body(outline, pose), spread=False),
    )


def _wing_frame(species: Species, pose: Pose, *, far: bool = False) -> Frame:
    # A wing is drawn along its own length, from the shoulder at 0 to the tip at 1.
    angle = 1.9 + 0.35 * pose.stroke if pose.stroke > 0.0 else -1.5 + 0.4 * pose.stroke
    if far:
        angle += -0.55 if pose.stroke > 0.0 else 0.45
    span = species.wing_span * (0.85 if far else 1.0)
    shoulder = points((0.16, -0.1))

    def placed(outline: Points) -> Points:
        stretched = outline * np.array([span, -1.0 if pose.stroke > 0.0 else 1.0])
        return _body(turned(stretched, angle) + shoulder, pose)

    return placed


def _spread_wing(species: Species, pose: Pose, *, far: bool) -> Layer:
    tips = [(1.0 - 0.17 * k, 0.06 + 0.1 * k) for k in range(5)]
    notches = [(x - 0.11, y + 0.0) for x, y in tips]
    trailing = [corner for pair in zip(tips, notches, strict=True) for corner in pair]
    edge = points((-0.02, -0.16), (0.3, -0.2), (0.55, -0.18), (0.85, -0.06), *trailing, (0.1, 0.42), (-0.05, 0.3))
    name = "far wing" if far else "wing"
    outline = _wing_frame(species, pose, far=far)(edge)
    return Layer(name, (outline,), species.wing, rim=0.4, shadow=0.0 if far else 0.25, shade=0.8 if far else 1.0)


def _head(species: Species, pose: Pose) -> tuple[Layer, ...]:
    centre = _head_place(species, pose)
    radius = 0.19 * species.head_size
    side = -1.0 if pose.looks_back else 1.0

    def placed(outline: Points) -> Points:
        level = turned(outline * radius, pose.head + 0.25 * pose.pitch)
        sided: Points = level * np.array([side, 1.0]) + centre
        return sided

    skull = placed(smooth(points((1.0, 0.1), (0.75, -0.65), (0.0, -0.98), (-0.85, -0.6), (-1.05, 0.2), (-0.5, 0.95),
                                 (0.35, 0.85))))  # fmt: skip
    layers = [Layer("head", (skull,), species.head, soft=0.02)]
    if species.crest:
        tuft = points((0.5, -0.75), (-0.5, -0.95 - species.crest), (-1.2, -1.0 - 1.5 * species.crest), (-0.95, -0.3))
        layers.insert(0, Layer("crest", (placed(tuft),), species.head))
    return (*layers, *face_marks(species, placed), *_beak(species, placed), *_eye(species, placed))


def _beak(species: Species, placed: Frame) -> tuple[Layer, ...]:
    length, depth = species.beak_length * 5.2, species.beak_depth * 2.4
    droop = species.beak_curve * depth * 1.1 + 0.08 + species.beak_curve * length * 0.15
    tip = (0.85 + length, droop)
    upper = points((0.78, -depth), (0.85 + 0.55 * length, -0.55 * depth + 0.2 * droop), tip,
                   (0.85 + 0.4 * length, 0.18 * depth + 0.35 * droop), (0.8, 0.2 * depth))  # fmt: skip
    lower = points((0.8, 0.15 * depth), (0.85 + 0.4 * length, 0.15 * depth + 0.35 * droop),
                   (0.85 + 0.85 * length, 0.8 * droop + 0.1 * depth), (0.75, depth))  # fmt: skip
    return (
        Layer("beak", (placed(upper),), species.beak, rim=0.4),
        Layer("lower beak", (placed(lower),), species.beak, shade=0.75),
    )


def _eye(species: Species, placed: Frame) -> tuple[Layer, ...]:
    ring = "white" if species.face == "mask" or species.head in {"black", "brown"} else "grey"
    return (
        Layer("eye ring", (placed(ellipse((0.42, -0.2), (0.24, 0.24))),), ring, opacity=0.8),
        Layer("eye", (placed(ellipse((0.42, -0.2), (0.18, 0.18))),), "black"),
        Layer("glint", (placed(ellipse((0.48, -0.27), (0.06, 0.06))),), "white"),
    )
