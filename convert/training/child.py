"""What runs in the child process of ``edge-train``.

The parent process imports this file to name the work, so TensorFlow is imported in the functions.
"""

from __future__ import annotations

from convert.training.requests import (
    EvaluateRequest,
    EvaluateResult,
    ExportRequest,
    ExportResult,
    FitRequest,
    FitResult,
    Progress,
)


def fit(request: FitRequest, progress: Progress) -> FitResult:
    """See ``convert.training.fit``."""
    from convert.training.fit import fit

    return fit(request, progress)


def evaluate(request: EvaluateRequest, progress: Progress) -> EvaluateResult:
    """See ``convert.training.evaluate``."""
    from convert.training.evaluate import evaluate

    return evaluate(request, progress)


def export(request: ExportRequest, progress: Progress) -> ExportResult:
    """See ``convert.training.export``."""
    from convert.training.export import export

    return export(request, progress)
