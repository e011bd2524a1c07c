"""``edge audit``: does the store match its log, and is a face still to be found on any image?

The log is first read from its beginning (check_log.py, record_fields.py) to find out which images must be
there (expected_images.py) and what the box did (figures.py). It is then read again, and each image is checked
(check_images.py, check_image.py, files.py). run.py puts these steps in order; report.py and page.py present
the result.
"""

from edge.audit.run import AuditResult, Options, audit_store

__all__ = ["AuditResult", "Options", "audit_store"]
