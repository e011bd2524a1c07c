"""An EfficientDet with random weights: ``python -m benchmarks reference-models D0 --out FOLDER``.

Speed does not depend on what a network has learnt, so it is a TensorFlow baseline on a machine that has no
trained model. The SavedModel has the signature, and nearly operator for operator the graph, of those that
``exporter_main_v2.py`` of the TensorFlow Object Detection API writes. Its boxes mean nothing. The network and
what an export puts around it are those of ``convert.training.efficientdet``.
"""
