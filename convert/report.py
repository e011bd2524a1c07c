"""What a build did, for people (Markdown) and programs (JSON)."""

from __future__ import annotations

import json
from typing import Any

from convert.conversion import Conversion
from convert.result import BuildResult, BuiltDetector


def as_json(conversion: Conversion, result: BuildResult) -> str:
    """The report as JSON text."""
    return json.dumps(_content(conversion, result), indent=2) + "\n"


def _content(conversion: Conversion, result: BuildResult) -> dict[str, Any]:
    source, model, plan = conversion.source, conversion.model, conversion.plan
    return {
        "source": {
            "name": source.name,
            "sha256": source.sha256,
            "tensorflow": model.tensorflow,
            "input": str(model.input),
            "outputs": [str(tensor) for tensor in model.outputs],
        },
        "family": plan.family,
        "reasons": list(plan.reasons),
        "labels": list(plan.labels),
        "options": conversion.options.record(),
        "nodes_exported": result.exported_nodes,
        "seconds": result.seconds,
        "detectors": [_detector(built) for built in result.detectors],
    }


def _detector(built: BuiltDetector) -> dict[str, Any]:
    return {
        "file": built.path.name,
        "target": built.target,
        "precision": built.precision,
        "sha256": built.sha256,
        "nodes": sum(built.operators.values()),
        "operators": dict(sorted(built.operators.items(), key=lambda item: -item[1])),
        "passes": [vars(step) for step in built.steps],
        "notes": list(built.notes),
        "parity": built.parity.details(),
    }


def as_markdown(conversion: Conversion, result: BuildResult) -> str:
    """The report as Markdown text."""
    content = _content(conversion, result)
    source = content["source"]
    lines = [
        f"# Conversion of {source['name']}",
        "",
        f"The SavedModel has sha256 `{source['sha256']}`, was saved with TensorFlow {source['tensorflow']}, "
        f"and takes the input `{source['input']}`.",
        f"Its family is **{content['family']}**; these classes are faces: {', '.join(content['labels'])}.",
        "",
        *(f"- {reason}" for reason in content["reasons"]),
        "",
        "| stage | seconds |",
        "|---|---|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in content["seconds"].items()),
    ]
    for detector in content["detectors"]:
        lines += ["", f"## {detector['file']}", "", f"sha256 `{detector['sha256']}`", ""]
        lines += ["| pass | nodes before | nodes after | changed | seconds |", "|---|---|---|---|---|"]
        lines += [
            f"| {step['name']} | {step['before']} | {step['after']} | "
            f"{'yes' if step['modified'] else 'no'} | {step['seconds']:.3f} |"
            for step in detector["passes"]
        ]
        lines += ["", *(f"- {note}" for note in detector["notes"]), ""]
        lines += _parity_lines(detector["parity"])
    return "\n".join(lines) + "\n"


def _parity_lines(parity: dict[str, Any]) -> list[str]:
    canvas, path = parity["same_canvas"], parity["whole_path"]
    lines = [
        f"Parity with TensorFlow on {parity['pictures']} pictures, for boxes with score "
        f"{parity['min_score']} or more. *Same canvas*: TensorFlow's network gets the canvas that the box "
        "paints. *Whole path*: TensorFlow gets the picture and does its own resizing and suppression.",
        "",
        "| | same canvas | limit | whole path | limit |",
        "|---|---|---|---|---|",
        f"| boxes | {canvas['boxes']} | | {path['boxes']} | |",
        f"| recall at IoU {canvas['iou_limit']} | {canvas['recall']:.4f} | {canvas['recall_limit']} | "
        f"{path['recall']:.4f} | {path['recall_limit']} |",
        f"| lowest IoU | {canvas['lowest_iou']:.4f} | | {path['lowest_iou']:.4f} | |",
        f"| largest score difference | {canvas['largest_score_difference']:.6f} | "
        f"{canvas['score_difference_limit']} | "
        f"{path['largest_score_difference']:.6f} | {path['score_difference_limit']} |",
        "",
        "The boxes that differ most:",
        "",
        "| | picture | TensorFlow's box | score | IoU | score difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, comparison in (("same canvas", canvas), ("whole path", path)):
        for match in comparison["worst"][:5]:
            box = " ".join(f"{side:.1f}" for side in match["box"])
            picture = match["picture"].replace("|", "/")
            lines.append(
                f"| {name} | {picture} | {box} | {match['score']:.3f} | {match['iou']:.4f} | "
                f"{match['score_difference']:.6f} |"
            )
    return lines
