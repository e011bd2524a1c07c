"""Compare a detector that exists already with the SavedModel that it was built from."""

from __future__ import annotations

import contextlib
import json

from convert import inspect
from convert.comparison import answers_of, compare
from convert.conversion import prepare
from convert.errors import ConvertError
from convert.options import from_record
from convert.parity import Parity
from convert.request import Progress, VerifyRequest, no_progress
from convert.source import open_source
from convert.stages import Stages
from edge import contract
from edge.detection.session import read_detector


def verify(request: VerifyRequest, progress: Progress = no_progress) -> Parity:
    """Compare detector and SavedModel, with the options of the build, on other pictures.

    Raises ConvertError, also when the detector was built from another SavedModel.
    """
    stages = Stages(progress)
    built = contract.from_metadata(inspect.metadata_of(read_detector(request.detector).data))
    options = from_record(json.loads(built.tools).get("options", {}), request.anchors)
    with contextlib.ExitStack() as opened:
        with stages("read the SavedModel"):
            source = opened.enter_context(open_source(request.saved_model))
        if source.sha256 != built.source_sha256:
            raise ConvertError(
                f"{request.detector} was made from a SavedModel of sha256 {built.source_sha256}, but "
                f"{request.saved_model} has {source.sha256}"
            )
        conversion = prepare(source, options, stages)
        with stages("compare"):
            return compare(request.detector, answers_of(conversion), request.images, built.precision)
