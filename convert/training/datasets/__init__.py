"""Labelled sets of pictures, read into one form.

A set is a folder, and what lies in it says how it is labelled:

* ``jsonl``: ``annotations.jsonl``, one picture a line: ``image``, ``width``, ``height``, ``split`` (``train``
  or ``eval``; may be left out) and ``faces``, each with ``box`` (x, y, width, height in pixels) and, where
  known, ``masked``, ``difficult``, ``invalid``.
* ``wider``: ``wider_face_val_bbx_gt.txt`` and ``wider_face_train_bbx_gt.txt`` of WIDER FACE (Yang et al.,
  CVPR 2016), also in ``wider_face_split/``. Its division of the validation pictures is read from
  ``wider_easy_val.mat``, ``wider_medium_val.mat`` and ``wider_hard_val.mat``, beside the text or in
  ``ground_truth/``.
* ``coco``: ``*.json``, also in ``annotations/`` (https://cocodataset.org/#format-data).
* ``voc``: ``*.xml``, one a picture, also in ``annotations/`` or ``Annotations/`` (PASCAL VOC devkit, section
  "annotations"). Coordinates are taken as they stand; the devkit counts from 1, today's tools from 0.

What a set marks as crowd, difficult or invalid need not be found (``LabelledObject.ignore``).

Pictures have a split where the set says so, or the name of a COCO or WIDER file does: ``train`` to choose
thresholds on, ``eval`` (names with ``val``, ``eval`` or ``test``) to report and never to choose.
"""

from __future__ import annotations

from convert.training.datasets.form import (
    LEVELS,
    Box,
    DataSet,
    DatasetError,
    Kind,
    LabelledObject,
    Picture,
    Split,
)
from convert.training.datasets.opening import open_dataset

__all__ = [
    "LEVELS",
    "Box",
    "DataSet",
    "DatasetError",
    "Kind",
    "LabelledObject",
    "Picture",
    "Split",
    "open_dataset",
]
