"""Where Amazon keeps the container of its built-in object detection, region by region."""

from __future__ import annotations

import math
import re

from birdsod.errors import CloudError

__all__ = ["ALGORITHM", "REGIONS", "built_in_image", "image_region", "is_built_in", "nearest_regions"]

ALGORITHM = "object-detection"

# Account that keeps the image, and about where the region lies (latitude, longitude).
# The accounts are those that the SageMaker SDK 2.257 and 3.27 list; no further region gets the algorithm.
_ACCOUNTS: dict[str, tuple[str, int, int]] = {
    "af-south-1": ("455444449433", -34, 18),
    "ap-east-1": ("286214385809", 22, 114),
    "ap-northeast-1": ("501404015308", 36, 140),
    "ap-northeast-2": ("306986355934", 37, 127),
    "ap-northeast-3": ("867004704886", 35, 135),
    "ap-south-1": ("991648021394", 19, 73),
    "ap-south-2": ("628508329040", 17, 78),
    "ap-southeast-1": ("475088953585", 1, 104),
    "ap-southeast-2": ("544295431143", -34, 151),
    "ap-southeast-3": ("951798379941", -6, 107),
    "ap-southeast-4": ("106583098589", -38, 145),
    "ca-central-1": ("469771592824", 45, -74),
    "ca-west-1": ("190319476487", 51, -114),
    "cn-north-1": ("390948362332", 40, 116),
    "cn-northwest-1": ("387376663083", 38, 105),
    "eu-central-1": ("813361260812", 50, 9),
    "eu-central-2": ("680994064768", 47, 8),
    "eu-north-1": ("669576153137", 59, 18),
    "eu-south-1": ("257386234256", 45, 9),
    "eu-south-2": ("104374241257", 42, -1),
    "eu-west-1": ("685385470294", 53, -6),
    "eu-west-2": ("644912444149", 52, 0),
    "eu-west-3": ("749696950732", 49, 2),
    "il-central-1": ("898809789911", 32, 35),
    "me-central-1": ("272398656194", 25, 55),
    "me-south-1": ("249704162688", 26, 51),
    "sa-east-1": ("855470959533", -24, -47),
    "us-east-1": ("811284229777", 39, -77),
    "us-east-2": ("825641698319", 40, -83),
    "us-gov-east-1": ("237065988967", 40, -83),
    "us-gov-west-1": ("226302683700", 46, -120),
    "us-iso-east-1": ("490574956308", 39, -77),
    "us-isob-east-1": ("765400339828", 40, -83),
    "us-isof-east-1": ("108575199400", 39, -77),
    "us-isof-south-1": ("124985052026", 32, -97),
    "us-west-1": ("632365934929", 37, -122),
    "us-west-2": ("433757028032", 46, -120),
}
# Regions that have SageMaker but not this algorithm.
_WITHOUT = {
    "ap-east-2": (25, 121),
    "ap-southeast-5": (3, 102),
    "ap-southeast-6": (-37, 175),
    "ap-southeast-7": (14, 101),
    "mx-central-1": (21, -101),
}
# First parts of region names, the longer before those that they begin with.
_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "us-isof-": "csp.hci.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-iso-": "c2s.ic.gov",
    "us-gov-": "amazonaws.com",
    "": "amazonaws.com",
}
_IMAGE = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.([a-z0-9.]+)/([^:@]+)(?:[:@].+)?")

REGIONS: tuple[str, ...] = tuple(_ACCOUNTS)
"""The regions whose registry has the built-in algorithm."""


def built_in_image(region: str) -> str:
    """Return the address of the built-in algorithm's container.

    Parameters
    ----------
    region : str
        Name of a region.

    Returns
    -------
    str

    Raises
    ------
    CloudError
        If the region does not have the algorithm; the error names the nearest that have it.

    Source
    ------
    The registry table of the SageMaker Python SDK (``image_uri_config/object-detection.json``).

    Examples
    --------
    >>> built_in_image("eu-west-1")
    '685385470294.dkr.ecr.eu-west-1.amazonaws.com/object-detection:1'
    """
    if region not in _ACCOUNTS:
        raise CloudError(
            "the region does not have the built-in object detection algorithm",
            value=region,
            cause="newer regions never got it, or the name is mistyped",
            cure=f"use {', '.join(nearest_regions(region))}, or image= a container of your own",
        )
    return f"{_ACCOUNTS[region][0]}.dkr.ecr.{region}.{_SUFFIXES[_family(region)]}/{ALGORITHM}:1"


def is_built_in(image: str) -> bool:
    """Tell whether an image is the built-in algorithm, whatever its tag.

    Parameters
    ----------
    image : str
        Address of a container.

    Examples
    --------
    >>> is_built_in("685385470294.dkr.ecr.eu-west-1.amazonaws.com/object-detection:latest")
    True
    >>> is_built_in("123456789012.dkr.ecr.eu-west-1.amazonaws.com/birds:1")
    False
    """
    found = _IMAGE.fullmatch(image)
    if found is None or found[4] != ALGORITHM:
        return False
    owners = {account for account, _, _ in _ACCOUNTS.values()}
    # Amazon's account in a region without the algorithm is Amazon's image all the same: one that is not there.
    return found[1] in owners


def image_region(image: str) -> str | None:
    """Return the region of a registry address; None for an address of another kind.

    Parameters
    ----------
    image : str
        Address of a container.

    Examples
    --------
    >>> image_region("685385470294.dkr.ecr.eu-west-1.amazonaws.com/object-detection:1")
    'eu-west-1'
    """
    found = _IMAGE.fullmatch(image)
    return None if found is None else found[2]


def nearest_regions(region: str, *, most: int = 3) -> tuple[str, ...]:
    """Return regions that have the algorithm, nearest first, within the same part of Amazon's cloud.

    Parameters
    ----------
    region : str
        Name of a region; an unknown one is nearest to those whose names are most like its own.
    most : int, default 3
        How many.

    Examples
    --------
    >>> nearest_regions("ap-southeast-5")
    ('ap-southeast-1', 'ap-southeast-3', 'ap-east-1')
    """
    near = [each for each in REGIONS if _family(each) == _family(region) and each != region]
    place = _WITHOUT.get(region) or (_ACCOUNTS[region][1:] if region in _ACCOUNTS else None)
    if place is None:
        return tuple(sorted(near, key=lambda each: (-_shared(each, region), each))[:most])
    return tuple(sorted(near, key=lambda each: _apart(place, _ACCOUNTS[each][1:]))[:most])


def _family(region: str) -> str:
    return next(start for start in _SUFFIXES if region.startswith(start))


def _shared(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _apart(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the angle between two places on the globe."""
    (lat, lon), (north, east) = (map(math.radians, place) for place in (one, other))
    cosine = math.sin(lat) * math.sin(north) + math.cos(lat) * math.cos(north) * math.cos(lon - east)
    return math.acos(max(-1.0, min(1.0, cosine)))
