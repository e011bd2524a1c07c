"""``edge-train merge``: labelled sets become one, with one label."""
