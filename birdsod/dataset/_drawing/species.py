"""What tells the made-up species apart: build, beak, tail, colours and marks.

Colours come from one small palette and each serves several species, so that no colour alone names a bird.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Breast = Literal["plain", "patch", "spots", "streaks", "band"]
Head = Literal["plain", "cap", "mask", "brow", "throat"]
Wing = Literal["plain", "bars", "patch", "tips", "spots"]
Back = Literal["plain", "barred", "streaked"]
TailEnd = Literal["round", "square", "forked", "pointed"]

PALETTE: Final = {
    "black": (36, 33, 36),
    "brown": (112, 78, 50),
    "buff": (206, 174, 126),
    "cream": (234, 222, 192),
    "crimson": (182, 38, 42),
    "gold": (234, 184, 44),
    "grey": (146, 148, 148),
    "olive": (122, 124, 60),
    "orange": (226, 122, 38),
    "pink": (214, 132, 142),
    "rust": (174, 84, 42),
    "sky": (74, 132, 190),
    "slate": (82, 96, 112),
    "teal": (42, 122, 116),
    "violet": (112, 78, 142),
    "white": (242, 240, 234),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """One made-up kind of bird. Lengths are in body lengths or relative to an average bird's."""

    name: str
    back: str
    belly: str
    head: str
    wing: str
    tail: str
    accent: str
    trim: str
    beak: str = "black"
    legs: str = "brown"
    breast: Breast = "plain"
    face: Head = "plain"
    wing_mark: Wing = "plain"
    back_mark: Back = "plain"
    tail_end: TailEnd = "round"
    tail_band: bool = False
    crest: float = 0.0
    plump: float = 1.0
    head_size: float = 1.0
    neck: float = 0.0
    beak_length: float = 0.2
    beak_depth: float = 0.13
    beak_curve: float = 0.0
    tail_length: float = 0.5
    tail_width: float = 0.16
    leg_length: float = 0.3
    wing_span: float = 1.1


SPECIES: Final = (
    Species(
        name="Lantern_Tipplefinch", back="slate", belly="gold", head="black", wing="slate", tail="black",
        accent="orange", trim="white", beak="orange", face="throat", wing_mark="bars", tail_end="forked",
        plump=1.12, head_size=1.1, beak_length=0.2, beak_depth=0.22, tail_length=0.42,
    ),
    Species(
        name="Velvet_Moorwhistler", back="black", belly="rust", head="black", wing="black", tail="black",
        accent="crimson", trim="gold", beak="gold", breast="band", wing_mark="patch", tail_end="pointed",
        plump=0.82, head_size=0.88, neck=0.08, beak_length=0.42, beak_depth=0.08, beak_curve=0.4, tail_length=0.95,
        tail_width=0.13, leg_length=0.4, wing_span=1.25,
    ),
    Species(
        name="Speckled_Dingleback", back="brown", belly="cream", head="brown", wing="brown", tail="brown",
        accent="black", trim="cream", beak="slate", breast="spots", face="brow", wing_mark="spots",
        back_mark="barred", tail_band=True, tail_end="square", plump=1.0, head_size=0.95, beak_length=0.26,
        beak_depth=0.1, tail_length=0.55, leg_length=0.38,
    ),
    Species(
        name="Crested_Marmaladier", back="sky", belly="white", head="sky", wing="slate", tail="sky",
        accent="slate", trim="black", face="mask", breast="band", crest=0.55, wing_mark="bars", tail_band=True,
        tail_end="round", tail_length=0.8, tail_width=0.2, head_size=1.02, beak_length=0.2, beak_depth=0.12,
    ),
    Species(
        name="Harlequin_Snorrel", back="olive", belly="gold", head="crimson", wing="olive", tail="slate",
        accent="black", trim="white", beak="cream", breast="streaks", face="cap", wing_mark="tips",
        back_mark="streaked", plump=1.3, head_size=1.25, beak_length=0.17, beak_depth=0.24, beak_curve=0.5,
        tail_length=0.24, tail_width=0.2, leg_length=0.2,
    ),
    Species(
        name="Saltmarsh_Quibbler", back="grey", belly="white", head="white", wing="grey", tail="white",
        accent="black", trim="black", beak="crimson", legs="crimson", face="cap", wing_mark="tips", plump=0.86,
        head_size=0.9, beak_length=0.36, beak_depth=0.1, tail_end="forked", tail_length=0.7, wing_span=1.4,
    ),
    Species(
        name="Inkcap_Wobbleduck", back="teal", belly="buff", head="teal", wing="brown", tail="black",
        accent="rust", trim="white", beak="gold", legs="orange", breast="patch", wing_mark="patch", plump=1.25,
        neck=0.14, head_size=0.85, beak_length=0.28, beak_depth=0.15, tail_length=0.24, leg_length=0.22,
    ),
    Species(
        name="Thimble_Hoverlet", back="teal", belly="grey", head="teal", wing="slate", tail="violet",
        accent="pink", trim="violet", face="throat", breast="patch", plump=0.85, head_size=1.05, beak_length=0.55,
        beak_depth=0.06, beak_curve=0.12, tail_length=0.45, tail_end="forked", leg_length=0.14, wing_span=1.0,
    ),
    Species(
        name="Candlewick_Trundler", back="rust", belly="buff", head="grey", wing="rust", tail="brown",
        accent="black", trim="cream", breast="streaks", face="brow", back_mark="streaked", plump=1.2,
        head_size=0.9, beak_length=0.2, beak_depth=0.16, tail_length=0.3, tail_end="pointed", leg_length=0.42,
    ),
    Species(
        name="Bramble_Blushtail", back="brown", belly="grey", head="olive", wing="brown", tail="crimson",
        accent="white", trim="crimson", face="mask", wing_mark="patch", plump=1.02, head_size=1.08,
        beak_length=0.16, beak_depth=0.17, tail_length=0.6, tail_width=0.22, tail_end="round",
    ),
    Species(
        name="Parlour_Pinkerwing", back="grey", belly="pink", head="pink", wing="grey", tail="grey",
        accent="white", trim="pink", beak="cream", crest=0.7, wing_mark="tips", plump=1.1, head_size=1.15,
        beak_length=0.17, beak_depth=0.2, beak_curve=0.8, tail_length=0.4, tail_end="square", wing_span=1.25,
    ),
    Species(
        name="Midnight_Fiddlecrow", back="violet", belly="black", head="black", wing="violet", tail="violet",
        accent="white", trim="white", breast="patch", plump=1.05, head_size=1.1, beak_length=0.34, beak_depth=0.17,
        beak_curve=0.2, tail_length=0.6, tail_width=0.2, leg_length=0.36, wing_span=1.3,
    ),
    Species(
        name="Buttermilk_Reedlet", back="buff", belly="cream", head="buff", wing="rust", tail="buff",
        accent="black", trim="black", beak="orange", face="mask", wing_mark="bars", plump=0.98, head_size=1.12,
        beak_length=0.14, beak_depth=0.1, tail_length=1.0, tail_width=0.12, tail_end="pointed",
    ),
    Species(
        name="Cobblestone_Sniper", back="brown", belly="white", head="brown", wing="olive", tail="rust",
        accent="brown", trim="buff", legs="olive", breast="streaks", face="brow", back_mark="streaked",
        plump=1.1, head_size=0.92, beak_length=0.75, beak_depth=0.07, tail_length=0.25, leg_length=0.45,
    ),
    Species(
        name="Peppermint_Vireel", back="teal", belly="white", head="grey", wing="teal", tail="teal",
        accent="gold", trim="white", face="brow", wing_mark="bars", breast="patch", plump=0.95, head_size=1.05,
        beak_length=0.18, beak_depth=0.1, tail_length=0.42, tail_end="square",
    ),
    Species(
        name="Tangerine_Oddiole", back="black", belly="orange", head="orange", wing="black", tail="orange",
        accent="black", trim="white", beak="slate", legs="slate", face="throat", wing_mark="bars", plump=0.92,
        head_size=0.95, beak_length=0.27, beak_depth=0.1, tail_length=0.6, tail_end="round",
    ),
    Species(
        name="Chequered_Bogpecker", back="black", belly="buff", head="white", wing="black", tail="black",
        accent="crimson", trim="white", face="cap", wing_mark="spots", back_mark="barred", plump=0.84,
        head_size=1.05, beak_length=0.36, beak_depth=0.12, tail_length=0.4, tail_end="pointed", leg_length=0.18,
    ),
    Species(
        name="Heather_Plumkin", back="violet", belly="pink", head="slate", wing="brown", tail="violet",
        accent="cream", trim="buff", beak="gold", breast="spots", face="brow", plump=1.28, head_size=0.8,
        beak_length=0.13, beak_depth=0.12, tail_length=0.32, tail_width=0.18, tail_band=True,
    ),
    Species(
        name="Copperplate_Skimble", back="rust", belly="sky", head="rust", wing="sky", tail="slate",
        accent="white", trim="black", beak="crimson", legs="crimson", face="throat", wing_mark="tips", plump=0.9,
        head_size=1.3, beak_length=0.55, beak_depth=0.15, tail_length=0.22, leg_length=0.12, wing_span=1.05,
    ),
    Species(
        name="Winterbourne_Nodder", back="white", belly="white", head="white", wing="cream", tail="cream",
        accent="grey", trim="grey", beak="gold", wing_mark="spots", back_mark="barred", plump=1.15,
        head_size=1.35, beak_length=0.12, beak_depth=0.13, beak_curve=0.9, tail_length=0.35, leg_length=0.2,
        wing_span=1.35,
    ),
    Species(
        name="Gingham_Teasel", back="olive", belly="cream", head="olive", wing="black", tail="black",
        accent="gold", trim="gold", face="cap", wing_mark="bars", breast="streaks", plump=0.98, head_size=1.0,
        beak_length=0.2, beak_depth=0.13, tail_length=0.4, tail_end="forked",
    ),
    Species(
        name="Stovepipe_Heronette", back="slate", belly="grey", head="white", wing="sky", tail="slate",
        accent="black", trim="slate", beak="gold", legs="olive", crest=0.5, face="brow", plump=0.7, neck=0.42,
        head_size=0.72, beak_length=0.5, beak_depth=0.1, tail_length=0.26, leg_length=0.75, wing_span=1.4,
    ),
    Species(
        name="Rhubarb_Grosnib", back="crimson", belly="pink", head="crimson", wing="black", tail="black",
        accent="white", trim="white", beak="cream", wing_mark="bars", plump=1.15, head_size=1.18,
        beak_length=0.22, beak_depth=0.26, beak_curve=0.3, tail_length=0.5, tail_end="forked",
    ),
    Species(
        name="Puddle_Wagsy", back="grey", belly="gold", head="grey", wing="black", tail="white",
        accent="black", trim="white", face="throat", breast="band", plump=0.8, head_size=0.92, beak_length=0.2,
        beak_depth=0.07, tail_length=1.05, tail_width=0.1, tail_end="square", leg_length=0.42,
    ),
)  # fmt: skip
