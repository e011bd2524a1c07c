"""What runs in the child process of ``edge-convert``.

The parent process imports this file to name the work, so TensorFlow and ONNX are imported in the functions.
"""

from __future__ import annotations

from convert.parity import Parity
from convert.request import BuildRequest, InspectRequest, Progress, VerifyRequest
from convert.result import BuildResult, Fact


def build(request: BuildRequest, progress: Progress) -> BuildResult:
    """See ``convert.build``."""
    from convert.build import build

    return build(request, progress)


def inspect(request: InspectRequest, progress: Progress) -> list[Fact]:
    """See ``convert.inspect``."""
    from convert.inspect import inspect

    progress("read it")
    return inspect(request.path, request.model)


def verify(request: VerifyRequest, progress: Progress) -> Parity:
    """See ``convert.verify``."""
    from convert.verify import verify

    return verify(request, progress)
