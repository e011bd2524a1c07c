"""``edge audit``: is the store what its log says, and is a face still to be found on an image?

The log is read once from its beginning (log.py, form.py), which tells what must be there (ledger.py) and what
the box did (figures.py); then it is read again and each image is looked at (files.py, content.py).
"""

from edge.audit.run import AuditResult, Options, audit_store

__all__ = ["AuditResult", "Options", "audit_store"]
