"""The status of the appliance over HTTP: JSON, Prometheus metrics and a page.

No pixels leave this way, except anonymized ones from the store, and only if ``status.preview`` is set.
"""
