"""An EfficientDet with random weights: ``python -m benchmarks reference-models D0 --out FOLDER``.

Speed does not depend on what a network has learnt, so it is a TensorFlow baseline on a machine that has no
trained model. The SavedModel has the signature, and nearly operator for operator the graph, of those that
``exporter_main_v2.py`` of the TensorFlow Object Detection API writes. Its boxes mean nothing.

* Backbone: EfficientNet-B0, B1, B2 (Tan and Le 2019, arXiv:1905.11946) from ``keras.applications``.
* Neck, heads and their sizes: EfficientDet (Tan, Pang and Le 2020, arXiv:1911.09070, section 3 and table 1).
* Prior of the scores: focal loss (Lin et al. 2017, arXiv:1708.02002, section 4.1).

D0 has the API's parameters to the last one. D1 and D2 are the paper's: the API's are smaller, because it
takes the backbone's maps behind the blocks that end a stage of B0, also where B1 and B2 have more of them.
"""
