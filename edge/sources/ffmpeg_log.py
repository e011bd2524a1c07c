"""What FFmpeg says while it reads and decodes: searched for signs of loss, kept in memory, never printed.

FFmpeg conceals what is missing from a picture, and often nothing but a message tells. Messages quote
addresses with their passwords, so none is passed on; ``sign_of`` returns words of our own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

import av
import av.logging

# That a camera has ended its stream is mentioned at no higher level.
av.logging.set_level(av.logging.DEBUG)
# What counts as a repetition is the same message in any thread, so that of another camera would be missing.
av.logging.set_skip_repeated(False)
# PyAV hands messages that nobody listens to, such as those of encoders, to Python's loggers.
_messages = logging.getLogger("libav")
_messages.addHandler(logging.NullHandler())
_messages.propagate = False

Message = tuple[int, str, str]
"""Level, context and text of a message."""

listen = av.logging.Capture
"""A context manager: the list of messages of this thread. Whoever decodes with several threads hears nothing
of what the others say."""


class Sign(NamedTuple):
    """A sign of loss. ``on_the_way``: whether packets of the network are missing, in this picture or the next
    one; otherwise it concerns the picture that is being read or decoded."""

    text: str
    on_the_way: bool = False


_ON_THE_WAY = re.compile(
    r"RTP: missed -?\d+ packets|jitter buffer full|max delay reached|bad cseq"
    r"|Received BYE|Failed reading RTSP"  # what has arrived of the last picture is decoded nevertheless
)
_HARMLESS = re.compile(
    r"method \w+ failed|CSeq \d+ expected"  # answers to what keeps an RTSP session alive
    r"|RTP: dropping old packet"  # it was missed before, or came twice
    r"|mmco: unref short failure"  # a picture is to be forgotten that is not there: lost long ago, if ever
)
IN_CONTAINER = "its container is truncated or damaged"
_CONCEALED = "parts of a picture are missing"
_DAMAGE = (
    (re.compile(r"concealing"), _CONCEALED),
    (
        re.compile(r"ref with POC|[Rr]eference|[Mm]issing|co located"),
        "an earlier picture is missing",
    ),
    (
        re.compile(r"[Pp]acket corrupt|[Cc]ontinuity check|Packet mismatch|partial file"),
        IN_CONTAINER,
    ),
    (re.compile(r"undecodable|truncated|[Ii]nvalid data|overread"), "a picture cannot be decoded"),
)


def sign_of(messages: Sequence[Message]) -> Sign | None:
    """The gravest sign of loss among messages; None when there is none.

    Every error counts, whatever it says: a decoder that goes on after one has guessed.
    """
    found: Sign | None = None
    for level, _, text in messages:
        if _ON_THE_WAY.search(text):
            return Sign("packets were lost on the network", on_the_way=True)
        if _HARMLESS.search(text):
            continue
        words = next((words for pattern, words in _DAMAGE if pattern.search(text)), "")
        if level <= av.logging.ERROR:
            words = words or "the data are damaged"
        elif level > av.logging.WARNING and words != _CONCEALED:
            continue  # talk
        if words:
            found = found or Sign(words)
    return found
