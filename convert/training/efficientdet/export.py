"""A trained network as training platforms hand one out: a SavedModel, its label map, and the zip of both."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.training.efficientdet.network import Variant, core, make_network
from convert.training.efficientdet.recipe import SCALE
from convert.training.efficientdet.signature import refuse_existing, save, signed


def export_saved_model(
    model: Any, variant: Variant, folder: Path, labels: Sequence[str], size: int | None = None
) -> Path:
    """Write ``saved_model/``, ``label_map.pbtxt`` and ``saved_model.zip`` of both into ``folder``; return it.

    ``model`` is what ``make_trainable`` gave, with the weights to be exported, ``variant`` its own;
    ``labels`` are the names of its classes, from id 1 on; ``size`` is the side of the canvas, a multiple of
    128 pixels (None: the variant's). The signature is the Object Detection API's (``signature.signed``).
    Raises FileExistsError for a folder that exists, ConvertError for another number of labels than classes.
    """
    classes = model.output["classes"].shape[-1]
    if len(labels) != classes:
        raise ConvertError(f"{len(labels)} labels ({', '.join(labels)}) for {classes} classes")
    refuse_existing(folder)
    side = variant.size if size is None else size
    network = make_network(variant, side, classes)
    network.set_weights(core(model).get_weights())
    save(signed(network, variant, side, SCALE), folder / "saved_model")
    # json.dumps escapes as a text of this form does
    items = (f"item {{\n  id: {n}\n  name: {json.dumps(label)}\n}}\n" for n, label in enumerate(labels, 1))
    (folder / "label_map.pbtxt").write_text("".join(items), encoding="utf-8")
    _zip(folder)
    return folder


def _zip(folder: Path) -> None:
    """The same files always give the same bytes: entries have no time."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(folder / "saved_model.zip", "x", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
