"""The only room with a door to the disk: nothing else opens a file for writing or encodes an image.

Pictures get in as ``AnonymizedFrame`` and in no other form.
"""
