"""Coverage-guided fuzzing of what reads bytes from the network, by atheris: `fuzz.py --seconds=600 [TARGET...]`.

Each target is a module beside this one, whose `check` takes any bytes, and raises where something is wrong. The corpus of a target,
the folder of its name, is where atheris begins; the suite goes through it without atheris. What is new is kept outside of the
repository, in `--found`; an input that a target does not stand is left there as `crash-…`, and belongs into the corpus together
with what mends it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
CORPUS = FOLDER / "corpus"
LONGEST = 4096
PATIENCE_SECONDS = 10


def targets() -> list[str]:
    """Name all targets: those that have a corpus."""
    return sorted(folder.name for folder in CORPUS.iterdir())


def fuzz(target: str, flags: list[str]) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["charonia_transport_lean"]):
        check = import_module(target).check
    atheris.Setup([sys.argv[0], *flags], check)
    atheris.Fuzz()


def main() -> None:
    """Fuzz the targets one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=targets(), help="all, if none is named")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (600)")
    parser.add_argument("--found", type=Path, default=Path(".fuzz"), help="where what is found is kept (.fuzz)")
    parser.add_argument("--here", action="store_true", help="fuzz the one target in this process")
    options = parser.parse_args()
    for target in options.targets:
        kept = options.found / target
        kept.mkdir(parents=True, exist_ok=True)
        if options.here:
            limits = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST}", f"-timeout={PATIENCE_SECONDS}"]
            limits.append(f"-artifact_prefix={kept}/")
            fuzz(target, [*limits, str(kept), str(CORPUS / target)])
        words = [f"--seconds={options.seconds}", f"--found={options.found}", "--here", target]
        subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
