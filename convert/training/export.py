"""``edge-train export``: a run to a SavedModel, as a folder and as the zip that platforms hand out."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.graphs import Array
from convert.training.recipes import RECIPES
from convert.training.requests import ExportRequest, ExportResult, Progress
from convert.training.run_folder import RunFolder, write_text
from convert.training.zipped import write_zip


def export(request: ExportRequest, progress: Progress) -> ExportResult:
    """See ``ExportRequest``. Raises ConvertError."""
    if request.out.exists() and any(request.out.iterdir()):
        raise ConvertError(f"--out {request.out} is not empty; name a new folder")
    folder = RunFolder(request.run)
    asked = folder.read_asked()
    weights = _blended(folder, request.blend)
    recipe = RECIPES[asked.model]
    network = recipe.make_network()
    network.set_weights(weights)
    progress("write the SavedModel")
    request.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=request.out.parent, prefix=f".{request.out.name}-") as name:
        draft = Path(name) / "export"
        saved_model = draft / "saved_model"
        recipe.export(network, saved_model, asked.label, _stated(request.stated))
        write_zip(saved_model, draft / "saved_model.zip")
        record = {**asked.model_dump(), "blend": request.blend, **folder.read_result()}
        write_text(draft / "training.json", json.dumps(record, indent=1) + "\n")
        if request.out.exists():
            request.out.rmdir()
        shutil.move(draft, request.out)
    return ExportResult(request.out / "saved_model", request.out / "saved_model.zip")


def _blended(folder: RunFolder, share: float) -> list[Array]:
    """The weights of a run, with this share of those that it began with."""
    if not 0 <= share < 1:
        raise ConvertError(f"--blend {share:g}: a share of the weights at the beginning, 0 to below 1")
    pairs = zip(folder.read_weights(), folder.read_start(), strict=True)
    return [(1 - share) * new + share * old for new, old in pairs]


def _stated(file: Path | None) -> dict[str, Any]:
    """What was measured of the network, for the detector's metadata."""
    if file is None:
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConvertError(f"--stated {file}: {error}; name a JSON file, see docs/train.md") from error
    if not isinstance(values, dict):
        raise ConvertError(f"--stated {file}: not a JSON object; see docs/train.md")
    return values
