"""Measurements: each module is a command, ``python -m benchmarks.NAME``, and writes JSON when asked."""
