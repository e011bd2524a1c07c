"""Where the ``train`` extra is not installed, as on the oldest Python in CI, nothing here can run."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = (
    [] if all(map(find_spec, ("tensorflow", "matplotlib", "yaml", "pycocotools"))) else ["*.py", "*/*.py"]
)
