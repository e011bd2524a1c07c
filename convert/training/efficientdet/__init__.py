"""``efficientdet-d0``, ``-d1``, ``-d2`` (Tan, Pang and Le 2020, arXiv:1911.09070).

* Backbone: EfficientNet-B0, B1, B2 (Tan and Le 2019, arXiv:1905.11946) from ``keras.applications``, or
  EfficientNet-Lite0.
* Neck, heads and their sizes: EfficientDet, section 3 and table 1.
* Classes: focal loss (Lin et al. 2017, arXiv:1708.02002); boxes: Huber's, by the coder of Faster R-CNN
  (Ren et al. 2015, arXiv:1506.01497).

D0 has the Object Detection API's parameters to the last one. D1 and D2 are the paper's: the API's are
smaller, because it takes the backbone's maps behind the blocks that end a stage of B0, also where B1 and B2
have more of them.
"""
