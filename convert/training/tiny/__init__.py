"""``tiny``: a network of 75,000 parameters (YuNet, Wu, Peng and Yu 2023, doi:10.1007/s11633-023-1423-y)."""
