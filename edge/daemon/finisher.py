"""The end of a lane: cover what hold says, take the last look, hand the image to the store's thread."""

from __future__ import annotations

import logging

from edge import blur
from edge.daemon.shared import Shared
from edge.detection.joint import kinds_of
from edge.errors import BlurError, DetectionError
from edge.frames import AnonymizedFrame, RawFrame
from edge.hold import Held
from edge.last_look import LastLook, take_last_look
from edge.reasons import Reason

log = logging.getLogger(__name__)


class Finisher:
    """Makes images of the frames that leave one camera's hold.

    ``newest_without_tiles`` is the number of the newest frame on which the detector ran without the tiles of
    the configuration, -1 at first; the lane sets it.
    """

    def __init__(self, shared: Shared, *, live: bool, zones: blur.Zones) -> None:
        self.newest_without_tiles = -1
        self._shared = shared
        self._live = live
        self._zones = zones
        self._last_image = float("-inf")  # media seconds of its frame
        self._covered_frames = 0

    def finish(self, due: list[Held]) -> None:
        """Cover and check the frames that are due, and hand them over; what fails is dropped and counted."""
        for held in due:
            if not self._wanted(held):
                continue
            image = self._cover_and_check(held)
            if image is not None:
                self._hand_over(held, image)

    def _wanted(self, held: Held) -> bool:
        """Whether an image of this frame is to be stored; if not, it is dropped and counted."""
        shared, frame = self._shared, held.frame
        if self._live and not held.has_lookahead:
            shared.drop(frame, Reason.NO_LOOKAHEAD)
            return False
        interval = shared.config.store.interval_seconds * shared.load.level.interval_factor
        if 0 <= frame.media_seconds - self._last_image < interval:
            if not held.whole:
                shared.metrics.checked(frame.camera)
            shared.drop(frame, Reason.NOT_DUE)
            return False
        return True

    def _cover_and_check(self, held: Held) -> LastLook | None:
        """Cover a frame and take the last look where one is due; None, and counted, when that fails."""
        frame = held.frame
        image = self._cover(frame, None if held.whole else held)
        if image is None:
            return None
        if image.whole or not self._last_look_is_due(image):
            return LastLook(image)
        try:
            return self._last_look(held, image)
        # An image without its last look is not stored, whatever the cause.
        except Exception as error:
            log.warning("camera %s: last look: %s: %s", frame.camera, type(error).__name__, error)
            self._shared.count_failure(frame, _reason_for(error))
            whole = self._cover(frame, None) if self._shared.config.privacy.on_failure == "cover" else None
            return None if whole is None else LastLook(whole)

    def _cover(self, frame: RawFrame, held: Held | None) -> AnonymizedFrame | None:
        """Cover what is held and the zones, or the whole frame (None); None, and counted, when that fails."""
        shared = self._shared
        try:
            with shared.metrics.timed("blur"):
                if held is None:
                    return blur.cover_whole(frame)
                kinds = kinds_of(shared.detector, held.numbers)
                return blur.anonymize(frame, held.boxes, shared.config.blur, self._zones, kinds=kinds)
        # A frame that is not covered is not stored, whatever the cause.
        except Exception as error:
            log.warning("camera %s: blur: %s: %s", frame.camera, type(error).__name__, error)
            shared.drop(frame, Reason.BLUR_ERROR)
            return None

    def _last_look_is_due(self, image: AnonymizedFrame) -> bool:
        """Whether ``privacy.last_look`` asks for the last look at this image; counts it."""
        privacy = self._shared.config.privacy
        self._covered_frames += 1
        if privacy.last_look == "covered":
            # With nothing covered, the detector has just run on the very same pixels; with its tiles, too?
            return image.covered > 0 or image.number <= self.newest_without_tiles
        every = {"always": 1, "sampled": privacy.last_look_every_images, "off": 0}[privacy.last_look]
        return every > 0 and (self._covered_frames - 1) % every == 0

    def _last_look(self, held: Held, image: AnonymizedFrame) -> LastLook:
        """Take the last look and count what it changed. Raises what ``take_last_look`` raises."""
        shared, frame = self._shared, held.frame
        detector, kinds = shared.detector, kinds_of(shared.detector, held.numbers)
        with shared.metrics.timed("last_look"):
            last = take_last_look(frame, image, held.boxes, detector, shared.config.blur, self._zones, kinds)
        if last.regrown:
            shared.metrics.regrown(frame.camera)
        if last.escalated:
            shared.metrics.escalated(frame.camera)
            shared.metrics.covered_whole(frame.camera, Reason.ESCALATED)
        return last

    def _hand_over(self, held: Held, last: LastLook) -> None:
        """Hand an image to the store's thread; waits while its queue is full."""
        image = last.frame
        self._last_image = held.frame.media_seconds
        if not image.whole:
            self._shared.metrics.checked(image.camera)
        # A held box outside the frame makes no region, and a frame that is covered whole has none.
        added = min(len(held.held), image.regions)
        self._shared.writer.put(image, added, regrown=last.regrown, escalated=last.escalated)


def _reason_for(error: Exception) -> Reason:
    """The reason under which a frame is counted whose last look failed with this error."""
    if isinstance(error, DetectionError):
        return error.reason
    return Reason.BLUR_ERROR if isinstance(error, BlurError) else Reason.DETECTOR_ERROR
