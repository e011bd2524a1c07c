"""The images that must be there, one after the other: are they, and what is on them?"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from edge.audit.check_image import CheckedImage, Image, Look, examine
from edge.audit.expected_images import ExpectedImages
from edge.audit.findings import Findings
from edge.audit.log import LogReader
from edge.detection.rescan import FACE_SCORE

Advance = Callable[[int, int], None]
"""Is told how many images are done, and how many there are."""
_WAITING_PER_JOB = 4


class Images:
    """Examines the images that are due. ``good`` is how many are there and as recorded, ``bytes`` their size,
    ``looked_at`` how many of them were searched for faces."""

    def __init__(self, store: int, expected: ExpectedImages, findings: Findings, look: Look | None) -> None:
        self.good = self.bytes = self.looked_at = 0
        self._store = store
        self._ledger = expected
        self._findings = findings
        self._look = look
        self._missing: list[Image] = []

    def examine(self, reader: LogReader, sample: int | None, jobs: int, advance: Advance) -> None:
        """Look at all of them, as the log names them; what is missing is kept for ``settle``."""
        total = len(self._ledger.due)
        self._findings.looked("missing", total)
        chosen = self._choose(sample, reader.head)
        self._tell_unseen(chosen, reader.head)
        done = 0
        with ThreadPoolExecutor(jobs) as pool:
            for image, seen in self._examined(pool, self._due(reader), chosen, jobs):
                if seen.missing:
                    self._missing.append(image)
                else:
                    self._judge(image, seen)
                done += 1
                advance(done, total)

    def settle(self, gone: set[str]) -> None:
        """Judge what was missing; ``gone`` are those that need not be there by records written meanwhile."""
        for image in self._missing:
            if image.path in gone:
                continue
            seen = examine(self._store, image, None)
            if not seen.missing:
                self._judge(image, seen)
            elif image.path in self._ledger.fresh:
                text = "is not there: the process was killed before it was stored, or is storing it now"
                self._findings.note("missing", image.path, text)
            else:
                text = f"is not there, though record {image.number} has it and none says that it was removed"
                self._findings.wrong("missing", image.path, text)
        for path, number in self._ledger.due.items():  # those whose record was not found a second time
            if path not in gone:
                self._findings.wrong(
                    "missing", path, f"its record {number} was removed while it was looked for"
                )

    def _due(self, reader: LogReader) -> Iterator[Image]:
        """The images that are due, each taken off the expected."""
        due = self._ledger.due
        for record in reader.again():
            if record["event"] == "image" and due.get(record["image"]) == record["n"]:
                del due[record["image"]]
                yield Image(record["n"], record["image"], record["sha256"], record["bytes"])

    def _choose(self, sample: int | None, seed: str) -> set[int] | None:
        """Which to look at, as positions among those that can be looked at; None: all of them."""
        if sample is None or self._look is None:
            return None
        count = sum(map(self._look.can, self._ledger.due))
        if sample >= count:
            return None
        return set(random.Random(seed).sample(range(count), sample))

    def _tell_unseen(self, chosen: set[int] | None, seed: str) -> None:
        """Say which images will not be searched for faces, and why."""
        total = len(self._ledger.due)
        if self._look is None:
            self._findings.note("faces", "", "no image is looked at (--sample 0)")
            return
        can = sum(map(self._look.can, self._ledger.due))
        if can < total:
            text = f"{total - can} encrypted images are not looked at: that needs --identity"
            self._findings.note("faces", "", text)
        if chosen is not None:
            text = f"{len(chosen)} of {can} images are looked at, drawn at random with seed {seed}"
            self._findings.note("faces", "", text)

    def _examined(
        self, pool: ThreadPoolExecutor, images: Iterator[Image], chosen: set[int] | None, jobs: int
    ) -> Iterator[tuple[Image, CheckedImage]]:
        """Each image with what came of it, in order; only a few are in memory at once."""
        waiting: deque[tuple[Image, Future[CheckedImage]]] = deque()
        position = 0
        for image in images:
            look = None
            if self._look is not None and self._look.can(image.path):
                look = self._look if chosen is None or position in chosen else None
                position += 1
            waiting.append((image, pool.submit(examine, self._store, image, look)))
            if len(waiting) >= jobs * _WAITING_PER_JOB:
                image, future = waiting.popleft()
                yield image, future.result()
        for image, future in waiting:
            yield image, future.result()

    def _judge(self, image: Image, seen: CheckedImage) -> None:
        findings, path = self._findings, image.path
        findings.looked("altered")
        if seen.altered:
            findings.wrong("altered", path, seen.altered)
            return
        self.good += 1
        self.bytes += image.size
        if seen.score is None and not seen.broken and not seen.unseen:
            return
        findings.looked("decoding")
        if seen.broken:
            findings.wrong("decoding", path, seen.broken)
        elif seen.score is None:
            findings.wrong("faces", path, f"could not be looked at: {seen.unseen}")
        else:
            self._judge_score(path, seen.score)

    def _judge_score(self, path: str, score: float) -> None:
        self._findings.looked("faces")
        self.looked_at += 1
        if score >= FACE_SCORE:
            self._findings.wrong("faces", path, f"a face (score {score:.2f})")
        elif self._look is not None and score >= self._look.detector.score_last_look:
            self._findings.note("faces", path, f"to look at by eye (score {score:.2f})")
