"""Labelled pictures to a SavedModel: the program ``edge-train``."""
