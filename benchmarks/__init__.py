"""Measurements, each a command: ``python -m benchmarks NAME``. Results lie in benchmarks/results."""
