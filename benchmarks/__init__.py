"""Charonia beside the reference server and beside a bare HTTP handler, measured in one run: `python -m benchmarks`."""
