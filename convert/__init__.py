"""Workstation side: models become detectors that follow ``edge/contract.py``."""
