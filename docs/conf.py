"""How the manual is built."""

from __future__ import annotations

import sys
from pathlib import Path

import birdsod

sys.path.insert(0, str(Path(__file__).parent))

project = "birdsod"
author = "the birdsod authors"
project_copyright = "2026, the birdsod authors"
release = version = birdsod.__version__

extensions = [
    "myst_parser",
    "record_dump",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["site"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autosummary_generate = False
napoleon_google_docstring = False
napoleon_preprocess_types = False

# Words in the shape of an array, such as (height, width, 3), are not references, but napoleon takes them for some.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = "birdsod"
