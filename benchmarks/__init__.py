"""Benchmarks: vxtool beside its peers on the same captures, in one run. `python -m benchmarks --help`."""
