"""``edge audit``: is the store what its log says, and is a face still to be found on an image?

The log is read once from its beginning (log.py, record_fields.py), which tells which images must be there
(expected_images.py) and what the box did (figures.py). Then it is read again, and each image is checked
(check_images.py, check_image.py, files.py).
"""

from edge.audit.run import AuditResult, Options, audit_store

__all__ = ["AuditResult", "Options", "audit_store"]
