"""The command line that both of the benchmark's own load generators have."""

from __future__ import annotations

import argparse

from benchmarks.models import MODELS

__all__ = ["load_parser"]


def load_parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser: where the server listens, which model is asked, by how many clients, and how long."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    return parser
