"""The end of a lane: cover what hold says, take the last look, hand the image to the store's thread."""

from __future__ import annotations

from edge import blur
from edge.daemon.shared import Shared
from edge.detection.blocks import Blocks
from edge.detection.gate import Plan
from edge.detection.joint import kinds_of
from edge.detection.views import Search
from edge.errors import BlurError, DetectionError
from edge.frames import AnonymizedFrame, RawFrame
from edge.hold import Held
from edge.last_look import Cover, LastLook, Unpassed, take_last_look
from edge.reasons import Reason


class Finisher:
    """Makes images of the frames that leave one camera's hold."""

    def __init__(self, shared: Shared, search: Search, *, live: bool, zones: blur.Zones) -> None:
        self._shared = shared
        self._search = search
        self._blocks = Blocks(search.smallest_face)
        self._live = live
        self._zones = zones
        self._last_image = float("-inf")  # media seconds of its frame
        self._covered_frames = 0
        self._plans: dict[int, Plan] = {}
        self._dropped: Plan | None = None  # what was looked at in frames that were dropped after that
        self._unpassed = Unpassed()

    def planned(self, frame: RawFrame, plan: Plan) -> None:
        """Remember which views of a frame were looked at, until it is finished."""
        self._plans[frame.number] = plan.after(self._dropped)
        self._dropped = None

    def dropped(self, plan: Plan) -> None:
        """A frame that was looked at will not come: the last look owes this to the next that does."""
        self._dropped = plan.after(self._dropped)

    def forget(self) -> None:
        """Forget which views were looked at: the frames that wait are dropped."""
        self._plans.clear()
        self._dropped = None
        self._unpassed.forget()

    def finish(self, due: list[Held]) -> None:
        """Cover and check the frames that are due, and hand them over; what fails is dropped and counted."""
        for held in due:
            plan = self._plans.pop(held.frame.number, None)
            if plan is None:
                self._unpassed.forget()
            else:
                self._unpassed.add(plan)
            if not self._wanted(held):
                continue
            image = self._cover_and_check(held, plan)
            if image is not None:
                self._hand_over(held, image)

    def _wanted(self, held: Held) -> bool:
        """Whether an image of this frame is to be stored; if not, it is dropped and counted."""
        shared, frame = self._shared, held.frame
        if shared.ledgers.is_over(frame):
            shared.drop(frame, Reason.RETRIED)
            return False
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

    def _cover_and_check(self, held: Held, plan: Plan | None) -> LastLook | None:
        """Cover a frame and take the last look where one is due; None, and counted, when that fails."""
        frame = held.frame
        image = self._cover(frame, None if held.whole else held)
        if image is None:
            return None
        if image.whole or not self._last_look_is_due(image):
            return LastLook(image)
        try:
            return self._last_look(held, image, plan)
        # An image without its last look is not stored, whatever the cause.
        except Exception as error:
            text = f"last look: {type(error).__name__}: {error}"
            self._shared.limited.warning(f"camera {frame.camera}", "last look", text)
            self._shared.count_failure(frame, _reason_for(error))
            whole = self._cover(frame, None) if self._shared.covers_failed(frame) else None
            return None if whole is None else LastLook(whole)

    def _cover(self, frame: RawFrame, held: Held | None) -> AnonymizedFrame | None:
        """Cover what is held and the zones, or the whole frame (None); None, and counted, when that fails."""
        shared = self._shared
        try:
            with shared.metrics.timed("blur"):
                if held is None:
                    return blur.cover_whole(frame)
                return self._what_to_cover(held).image()
        # A frame that is not covered is not stored, whatever the cause.
        except Exception as error:
            shared.limited.warning(f"camera {frame.camera}", "blur", f"blur: {type(error).__name__}: {error}")
            shared.drop(frame, Reason.BLUR_ERROR)
            return None

    def _what_to_cover(self, held: Held) -> Cover:
        kinds = kinds_of(self._shared.detector, held.numbers)
        return Cover(held.frame, held.boxes, self._shared.config.blur, self._zones, kinds)

    def _last_look_is_due(self, image: AnonymizedFrame) -> bool:
        """Whether ``privacy.last_look`` asks for the last look at this image; counts it."""
        privacy = self._shared.config.privacy
        self._covered_frames += 1
        if privacy.last_look == "covered":
            # With nothing covered, the detector has just run on the very same pixels.
            return image.covered > 0
        every = {"always": 1, "sampled": privacy.last_look_every_images, "off": 0}[privacy.last_look]
        return every > 0 and (self._covered_frames - 1) % every == 0

    def _last_look(self, held: Held, image: AnonymizedFrame, plan: Plan | None) -> LastLook:
        """Take the last look and count what it changed. Raises what ``take_last_look`` raises.

        It searches what was looked at since it last passed and where something else is covered now; the whole
        image where no plan says what that is.
        """
        shared, frame = self._shared, held.frame
        detector = shared.detector
        cover = self._what_to_cover(held)
        views = None if plan is None else self._unpassed.views(image, detector, self._blocks)
        with shared.metrics.timed("last_look"):
            last = take_last_look(cover, image, detector, self._search, views)
        if last.regrown:
            shared.metrics.regrown(frame.camera)
        else:
            self._unpassed.passed()
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
