"""What a build did, for people (Markdown) and programs (JSON)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import onnx

if TYPE_CHECKING:
    from convert.build import Built, _Job


def as_json(job: _Job, exported: onnx.ModelProto, made: list[Built]) -> str:
    """The report as JSON text."""
    return json.dumps(_content(job, exported, made), indent=2) + "\n"


def _content(job: _Job, exported: onnx.ModelProto, made: list[Built]) -> dict[str, Any]:
    plan = job.plan
    return {
        "source": {
            "name": job.source.name,
            "sha256": job.source.sha256,
            "tensorflow": job.model.tensorflow,
            "input": str(job.model.input),
            "outputs": [str(tensor) for tensor in job.model.outputs],
        },
        "family": plan.family,
        "reasons": list(plan.reasons),
        "labels": list(plan.labels),
        "options": job.options.record(),
        "nodes_exported": len(exported.graph.node),
        "seconds": job.stages.seconds,
        "detectors": [
            {
                "file": built.path.name,
                "target": built.target,
                "precision": job.wanted.precision,
                "sha256": built.sha256,
                "nodes": sum(built.nodes.values()),
                "operators": dict(sorted(built.nodes.items(), key=lambda item: -item[1])),
                "passes": [vars(step) for step in built.steps],
                "notes": list(built.notes),
                "parity": built.parity.details(),
            }
            for built in made
        ],
    }


def as_markdown(job: _Job, exported: onnx.ModelProto, made: list[Built]) -> str:
    """The report as Markdown text."""
    content = _content(job, exported, made)
    source = content["source"]
    lines = [
        f"# Conversion of {source['name']}",
        "",
        f"SavedModel sha256 `{source['sha256']}`, saved with TensorFlow {source['tensorflow']}, input "
        f"`{source['input']}`.",
        f"Family **{content['family']}**; faces are: {', '.join(content['labels'])}.",
        "",
        *(f"- {reason}" for reason in content["reasons"]),
        "",
        "| stage | seconds |",
        "|---|---|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in content["seconds"].items()),
    ]
    for detector in content["detectors"]:
        lines += ["", f"## {detector['file']}", "", f"sha256 `{detector['sha256']}`", ""]
        lines += ["| pass | nodes before | after | changed | seconds |", "|---|---|---|---|---|"]
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
        f"Parity with TensorFlow on {parity['pictures']} pictures, boxes from score "
        f"{parity['min_score']}. Same canvas: "
        "TensorFlow's network on the bytes that the box paints. Whole path: TensorFlow from the picture on.",
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
