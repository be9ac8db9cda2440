"""Public names that load their module when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def load(package: str, homes: Mapping[str, str], name: str) -> object:
    """Return a public name of a package; what a package's ``__getattr__`` calls.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of str to str
        Name to the module of the package that holds it; the empty text: the name is a module itself.
    name : str
        What is looked for.

    Raises
    ------
    AttributeError
        If the package has no such name.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    home = homes[name]
    found: object = getattr(import_module(f"{package}.{home}"), name) if home else import_module(f"{package}.{name}")
    # The next look-up finds it without coming here.
    setattr(sys.modules[package], name, found)
    return found
