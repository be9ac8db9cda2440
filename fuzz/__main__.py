"""Fuzz the readers, guided by coverage: ``python fuzz --seconds 60`` or ``python fuzz --target record``.

Each target runs in a process of its own. A finding ends the run with the input that caused it, kept under ``--out``.
Needs atheris (``pip install --group fuzz``), which has wheels for Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["birdsod"]):
    from targets import TARGETS

_SECONDS_AN_INPUT = 10
_MEGABYTES = 1024
_LONGEST = 4096


def main() -> int:
    """Run one target here, or each in a process of its own."""
    options = _options()
    if options.target:
        return _run(options)
    shares = max(1, options.seconds // len(TARGETS))
    for name in TARGETS:
        print(f"{name}: {shares} s", flush=True)
        again = [sys.executable, __file__, "--target", name, "--seconds", str(shares), "--out", str(options.out)]
        code = subprocess.run(again, check=False).returncode
        if code:
            print(f"{name}: a finding, see {options.out}", flush=True)
            return code
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--target", choices=[*TARGETS], help="only this one, here")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together, or for the one")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="where findings and interesting inputs go")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> int:
    target = TARGETS[options.target]
    corpus = options.out / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    target.prepare()
    seeds = target.seeds()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = options.out / f"{options.target}.words"
    words.write_text('"\\x0a\\x23\\xd7\\xce"\n"\\x09"\n"\\x0a"\n', encoding="ascii")
    limits = [
        f"-max_total_time={options.seconds}",
        f"-timeout={_SECONDS_AN_INPUT}",
        f"-rss_limit_mb={_MEGABYTES}",
        f"-max_len={max(_LONGEST, *map(len, seeds))}",
        f"-artifact_prefix={options.out / options.target}-",
        f"-dict={words}",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], target.hold)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
