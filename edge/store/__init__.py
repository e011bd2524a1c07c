"""The only package that opens files for writing or encodes images.

It accepts pictures as ``AnonymizedFrame`` and in no other form.

* images.py stores images; encode.py, encryption.py and video.py make the bytes, durable.py writes them.
* retention.py removes images by age, by quota and when the disk is full; usage.py measures the store.
* log_format.py describes the audit log, audit_log.py writes it, recovery.py reads its end after a crash.
* trusted_clock.py decides what the clock may be used for, clock_evidence.py asks who vouches for it,
  recorded_times.py knows how old images are, names.py names them, trim.py removes old log files.
* read_back.py reads stored images. text.py writes texts.
"""
