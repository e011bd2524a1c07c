"""Labelled sets of pictures, read into one form.

A set is a folder, and what lies in it says how it is labelled:

* ``jsonl``: ``annotations.jsonl``, one picture a line: ``image``, ``width``, ``height``, ``split`` (train,
  val, test or eval; may be left out) and ``faces`` or ``objects``, each with ``box`` (x, y, width, height in
  pixels), ``label`` (of faces it may be left out) and, where known, ``masked``, ``difficult``, ``invalid``,
  ``ignore``. ``edge-train merge`` writes this form, and a ``merge.json`` beside it.
* ``wider``: ``wider_face_val_bbx_gt.txt`` and ``wider_face_train_bbx_gt.txt`` of WIDER FACE (Yang et al.,
  CVPR 2016), also in ``wider_face_split/``. Its division of the validation pictures is read from
  ``wider_easy_val.mat``, ``wider_medium_val.mat`` and ``wider_hard_val.mat``, beside the text or in
  ``ground_truth/``.
* ``coco``: ``*.json``, also in ``annotations/``, and ``_annotations.coco.json`` in a folder of each split
  (https://cocodataset.org/#format-data).
* ``voc``: ``*.xml``, one a picture, also in ``annotations/``, ``Annotations/`` or a folder of each split
  (PASCAL VOC devkit, section "annotations"); the lists in ``ImageSets/Main`` are read. Coordinates are taken
  as they stand; the devkit counts from 1, today's tools from 0.
* ``yolo``: ``data.yaml`` or ``classes.txt`` with the names of the classes, and a text for each picture (see
  convert/training/datasets/yolo.py).

What a set marks as crowd, difficult or invalid need not be found (``LabelledObject.ignore``).

Pictures have a split where the set says so, or the name of a file or folder does: ``train`` to choose
thresholds on, ``val`` to watch a training with, ``test`` or ``eval`` to report and never to choose.
"""

from __future__ import annotations

from convert.training.datasets.form import (
    LEVELS,
    Box,
    DataSet,
    DatasetError,
    Kind,
    LabelledObject,
    Labels,
    Picture,
    Split,
)
from convert.training.datasets.opening import open_dataset, read_labels

__all__ = [
    "LEVELS",
    "Box",
    "DataSet",
    "DatasetError",
    "Kind",
    "LabelledObject",
    "Labels",
    "Picture",
    "Split",
    "open_dataset",
    "read_labels",
]
