"""Check every expected image: is it there and unchanged, and is a face to be found on it?"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from edge.audit.check_image import CheckedImage, RecordedImage, Rescan, check_image
from edge.audit.check_log import LogReader
from edge.audit.expected_images import ExpectedImages
from edge.audit.findings import Findings
from edge.detection.rescan import FACE_SCORE
from edge.detection.views import Search

Advance = Callable[[int, int], None]
"""Called with the number of images that are done and the number of all images."""
_WAITING_PER_JOB = 4


class ImageChecks:
    """Checks the expected images and reports to ``findings``.

    ``good`` counts the images that are present and unchanged, ``bytes`` is their total size. ``searched``
    counts those that were searched for faces, by what was looked for, and ``with_faces`` has the paths of
    those on which one was found.
    """

    def __init__(
        self, store: int, expected: ExpectedImages, findings: Findings, rescan: Rescan | None
    ) -> None:
        self.good = self.bytes = 0
        self.searched: Counter[Search] = Counter()
        self.with_faces: list[str] = []
        self._store = store
        self._expected = expected
        self._findings = findings
        self._rescan = rescan
        self._missing: list[RecordedImage] = []

    def check_all(self, reader: LogReader, sample: int | None, jobs: int, advance: Advance) -> None:
        """Check all images in the order of the log; ``judge_missing`` then decides about the missing ones."""
        total = len(self._expected.due)
        self._findings.checked("missing", total)
        chosen = self._choose(sample, reader.head)
        self._note_skipped(chosen, reader.head)
        done = 0
        with ThreadPoolExecutor(jobs) as pool:
            for image, checked in self._in_order(pool, self._due(reader), chosen, jobs):
                if checked.missing:
                    self._missing.append(image)
                else:
                    self._judge(image, checked)
                done += 1
                advance(done, total)

    def judge_missing(self, gone: set[str]) -> None:
        """Decide about the missing images. Records written since the audit began excuse those in ``gone``."""
        for image in self._missing:
            if image.path in gone:
                continue
            checked = check_image(self._store, image, None)
            if not checked.missing:
                self._judge(image, checked)
            elif image.path in self._expected.fresh:
                text = "is missing: the process was killed before it was stored, or is storing it now"
                self._findings.note("missing", image.path, text)
            else:
                text = f"is missing; record {image.number} says it was stored, and none says it was removed"
                self._findings.wrong("missing", image.path, text)
        for path, number in self._expected.due.items():  # record not found when the log was read again
            if path not in gone:
                text = f"its record {number} was removed from the log during the audit"
                self._findings.wrong("missing", path, text)

    def _due(self, reader: LogReader) -> Iterator[RecordedImage]:
        """The images that must be there; each is taken out of ``expected.due``."""
        due = self._expected.due
        for record in reader.again():
            if record["event"] == "image" and due.get(record["image"]) == record["n"]:
                del due[record["image"]]
                names = ("n", "image", "sha256", "bytes", "camera", "config")
                yield RecordedImage(*(record[name] for name in names))

    def _choose(self, sample: int | None, seed: str) -> set[int] | None:
        """The images to search for faces, as positions among those that can be opened; None: all of them."""
        if sample is None or self._rescan is None:
            return None
        count = sum(map(self._rescan.can_open, self._expected.due))
        if sample >= count:
            return None
        return set(random.Random(seed).sample(range(count), sample))

    def _note_skipped(self, chosen: set[int] | None, seed: str) -> None:
        """Say which images will not be searched for faces, and why."""
        total = len(self._expected.due)
        if self._rescan is None:
            self._findings.note("faces", "", "no image is searched for faces (--sample 0)")
            return
        readable = sum(map(self._rescan.can_open, self._expected.due))
        if readable < total:
            text = f"{total - readable} encrypted images are not searched; give their key with --identity"
            self._findings.note("faces", "", text)
        if chosen is not None:
            text = f"{len(chosen)} of {readable} images are searched, drawn at random with seed {seed}"
            self._findings.note("faces", "", text)

    def _in_order(
        self, pool: ThreadPoolExecutor, images: Iterator[RecordedImage], chosen: set[int] | None, jobs: int
    ) -> Iterator[tuple[RecordedImage, CheckedImage]]:
        """Each image with its result, in order; only a few images are in memory at once."""
        waiting: deque[tuple[RecordedImage, Future[CheckedImage]]] = deque()
        position = 0
        for image in images:
            rescan = None
            if self._rescan is not None and self._rescan.can_open(image.path):
                rescan = self._rescan if chosen is None or position in chosen else None
                position += 1
            waiting.append((image, pool.submit(check_image, self._store, image, rescan)))
            if len(waiting) >= jobs * _WAITING_PER_JOB:
                image, future = waiting.popleft()
                yield image, future.result()
        for image, future in waiting:
            yield image, future.result()

    def _judge(self, image: RecordedImage, checked: CheckedImage) -> None:
        findings, path = self._findings, image.path
        findings.checked("altered")
        if checked.altered:
            findings.wrong("altered", path, checked.altered)
            return
        self.good += 1
        self.bytes += image.size
        if checked.score is None and not checked.undecodable and not checked.rescan_error:
            return
        findings.checked("decoding")
        if checked.undecodable:
            findings.wrong("decoding", path, checked.undecodable)
        elif checked.score is None or checked.search is None:
            findings.wrong("faces", path, f"could not be searched: {checked.rescan_error}")
        else:
            self.searched[checked.search] += 1
            self._judge_score(path, checked.score)

    def _judge_score(self, path: str, score: float) -> None:
        self._findings.checked("faces")
        weakest = FACE_SCORE if self._rescan is None else self._rescan.detector.score_last_look
        if score >= max(FACE_SCORE, weakest):
            self.with_faces.append(path)
            self._findings.wrong("faces", path, f"a face (score {score:.2f})")
        elif score >= weakest:
            self._findings.note("faces", path, f"perhaps a face; check by eye (score {score:.2f})")
