"""How much longer ``import birdsod`` takes than ``import numpy``, each in a fresh process, in turn.

python benchmarks/imports.py --json imports.json
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from _report import arguments, report

ROUNDS = 15


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    given = arguments(__doc__)
    rounds = [(seconds("import numpy"), seconds("import numpy, birdsod")) for _ in range(ROUNDS + 1)][1:]
    numpy, both = (statistics.median(column) for column in zip(*rounds, strict=True))
    above = (both - numpy) * 1000
    print(f"import numpy: {numpy * 1000:.0f} ms; import birdsod on top: {above:+.1f} ms")
    report(given.json, {"import_birdsod_over_numpy": both / numpy}, milliseconds={"birdsod_above_numpy": above})


if __name__ == "__main__":
    main()
