"""``centre``: faces as points of a heat map (CenterFace, Xu et al. 2019, arXiv:1911.03599)."""
