"""The lane of one camera: the way of its frames from the capture thread to the store's thread.

The methods stand in the order in which a frame passes through them: it is taken from the slot, admitted to
detection or dropped, detected on, and held until later frames cannot add anything to cover. What follows
(cover, last look, hand over) is in edge/daemon/finisher.py. Whatever goes wrong with a frame on its way, that
frame is dropped, or covered whole where the configuration says so, and counted.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import numpy as np

from edge.daemon.finisher import Finisher
from edge.daemon.load import LoadLevel
from edge.daemon.reading import Reading
from edge.daemon.shared import Shared
from edge.detection import visibility
from edge.detection.detector import Detections
from edge.detection.gate import Gate, Plan
from edge.detection.motion import Motion
from edge.detection.views import Search
from edge.errors import DetectionError
from edge.frames import RawFrame
from edge.hold import make_hold
from edge.reasons import Reason
from edge.sources import Source
from edge.sources.capture import Capture, age_seconds


class Run(NamedTuple):
    """What was found in the views that a plan looks at, None if that failed, and how many seconds it took."""

    found: list[Detections] | None
    seconds: float


class CameraLane:
    """One camera with its capture thread, hold and motion.

    Everything but ``detect`` runs in the thread that ticks. ``last_detection`` is the monotonic time at which
    the last frame was detected on and sent on, ``seconds_per_frame`` how long that took.
    """

    def __init__(self, source: Source, shared: Shared, stop: threading.Event, ready: threading.Event) -> None:
        """``stop`` ends the capture thread; ``ready`` is set whenever a frame has arrived."""
        self.capture = Capture(source, stop, ready, shared.metrics.dropped)
        self.reading = Reading(self.capture, source.ledger, shared)
        self.last_detection = float("-inf")
        self.seconds_per_frame = 0.0
        self._shared = shared
        self._hold = make_hold(shared.detector, shared.config.blur, continuous=source.continuous)
        self._motion = Motion()
        privacy, camera = shared.config.privacy, source.config
        self.search = Search.of(privacy, camera, continuous=source.continuous)
        self.gate = Gate(shared.detector, self.search, privacy.sweep_seconds if self.search.in_parts else 0)
        self._finisher = Finisher(shared, self.search, live=source.live, zones=source.config.privacy_zones)
        self._captured_counted = 0
        self._size: tuple[int, int] | None = None

    @property
    def live(self) -> bool:
        """Whether the frames come from the world, which does not wait, and not from files."""
        return self.capture.source.live

    def take(self) -> RawFrame | None:
        """Take the newest frame out of the slot, if there is one, and count what was captured since."""
        self._shared.limited.report()
        frame = self.capture.slot.take()
        captured = self.capture.captured
        self._shared.metrics.captured(self.capture.camera, captured - self._captured_counted)
        self._captured_counted = captured
        return frame

    def admit(self, frame: RawFrame, pause_seconds: float) -> bool:
        """Whether the detector shall run on this frame; if not, it is dropped and counted.

        ``pause_seconds`` is how long a live camera rests after each detection.
        """
        if self.live:
            if time.monotonic() - self.last_detection < pause_seconds:
                self.drop(frame, Reason.LOAD)
                return False
            if age_seconds(frame) > self._shared.config.privacy.max_frame_age_seconds:
                self.drop(frame, Reason.STALE)
                return False
        return True

    def plan(self, frame: RawFrame) -> Plan | None:
        """Which views of this frame to look at; None, and counted, when that fails. Then ``unplanned`` takes
        the frame, after all that came before it."""
        self._note_size(frame)
        try:
            return self.gate.plan(frame.pixels, frame.media_seconds)
        # As in detect: whatever went wrong, nothing can be detected on this frame.
        except Exception as error:
            self._failed(frame, error)
            self.gate.forget()
            return None

    def _note_size(self, frame: RawFrame) -> None:
        """A frame of another size than the one before it begins a new scene: nothing known of the old one
        holds. Hold returns what waits before it takes this frame, and zones are shares of any size."""
        size = (frame.width, frame.height)
        if self._size is not None and size != self._size:
            (before_width, before_height), (width, height) = self._size, size
            text = f"{width}x{height} now, {before_width}x{before_height} before: a new scene begins"
            self._shared.limited.warning(f"camera {frame.camera}", "other sizes", text)
            self.gate.forget()
            self.forget_motion()
        self._size = size

    def unplanned(self, frame: RawFrame) -> None:
        """Hold a frame for which no plan could be made, to cover it whole where the configuration says so."""
        if self._shared.covers_failed(frame):
            self._hold_frame(frame, None)
        self.give_back()

    def detect(self, frame: RawFrame, plan: Plan) -> Run:
        """Look at the views of a plan. A failure is counted. May run in any thread at ``LoadLevel.FULL``."""
        begin = time.monotonic()
        found: list[Detections] | None = None
        try:
            with self._shared.metrics.timed("detect"):
                if self._visible(frame):
                    found = self._shared.detector.look(frame.pixels, plan.views)
        # Whatever went wrong, nothing was detected on this frame; nothing more matters here.
        except Exception as error:
            self._failed(frame, error)
        return Run(found, time.monotonic() - begin)

    def _visible(self, frame: RawFrame) -> bool:
        """Whether a face could be seen in this frame; if not, that is counted."""
        problem = visibility.problem(frame.pixels) if self._shared.config.privacy.check_visibility else None
        if problem is not None:
            self._shared.count_failure(frame, problem)
        return problem is None

    def _failed(self, frame: RawFrame, error: Exception) -> None:
        """Count a frame on which detection failed."""
        known = isinstance(error, DetectionError)
        reason = error.reason if isinstance(error, DetectionError) else Reason.DETECTOR_ERROR
        what = reason.value if known else type(error).__name__
        self._shared.limited.warning(f"camera {frame.camera}", what, f"frame {frame.number}: {what}: {error}")
        self._shared.count_failure(frame, reason)

    def after_detection(self, frame: RawFrame, plan: Plan, level: LoadLevel, run: Run) -> None:
        """Hold a frame whose views were looked at, and finish the frames that are due."""
        begin = time.monotonic()
        found = self._everything(frame, plan, level, run)
        if found is not None or self._shared.covers_failed(frame):
            self._finisher.planned(frame, plan)
            self._hold_frame(frame, found)
        else:
            self._finisher.dropped(plan)
            self.give_back()
        self.last_detection = time.monotonic()
        self.seconds_per_frame = run.seconds + self.last_detection - begin

    def _everything(self, frame: RawFrame, plan: Plan, level: LoadLevel, run: Run) -> Detections | None:
        """What is to cover in a frame, views that were left out included; None, and counted, if unknown."""
        if run.found is None:
            self.gate.fail(plan)
            return None
        try:
            found = self.gate.settle(plan, run.found)
            whole = self._shared.detector.combine(found, frame.width, frame.height)
            self._shared.metrics.looked(frame.camera, plan.looked, plan.kept, plan.swept)
            return self._add_motion(frame, whole) if level == LoadLevel.MOTION_MASK else whole
        # As in detect: without all detections, nothing is known about this frame.
        except Exception as error:
            self.gate.fail(plan, error)
            self._failed(frame, error)
            return None

    def _add_motion(self, frame: RawFrame, found: Detections) -> Detections | None:
        """Add all that moves to what was found; None, and counted, without an earlier frame to compare."""
        moving = self._motion.boxes(frame.pixels)
        if moving is None:
            self._shared.count_failure(frame, Reason.LOAD)
            return None
        scores = np.concatenate([np.ones(len(moving), np.float32), found.scores])
        by = None if found.by is None else np.concatenate([np.zeros(len(moving), np.int64), found.by])
        return Detections(np.concatenate([moving, found.boxes]), scores, by)

    def _hold_frame(self, frame: RawFrame, found: Detections | None) -> None:
        """Hold a frame; ``found`` is None for one that must be covered whole."""
        try:
            with self._shared.metrics.timed("hold"):
                due = self._hold.push(frame, found)
        # The regions can no longer be trusted, so neither can the frames that wait with them.
        except Exception as error:
            text = f"hold: {type(error).__name__}: {error}"
            self._shared.limited.warning(f"camera {frame.camera}", "hold", text)
            self.drop_waiting(Reason.HOLD_ERROR)
            self.drop(frame, Reason.HOLD_ERROR)
            return
        self._finisher.finish(due)

    def give_back(self) -> bool:
        """Whether all that is on its way is to be read again, because an earlier frame is; then no frame
        waits in slot or hold any more."""
        if not self.reading.returning:
            return False
        frame = self.take()
        if frame is not None:
            self.drop(frame, Reason.RETRIED)
        self.drop_waiting(Reason.RETRIED)
        return True

    def finish_at_stop(self) -> None:
        """Finish what waits in hold, unless the next run reads it again, together with what follows."""
        if self.capture.source.ledger is None:
            self.finish_waiting()
        else:
            self.drop_waiting(Reason.RETRIED)

    def finish_waiting(self) -> None:
        """Finish all frames that wait in hold: no more will come."""
        self._finisher.finish(self._hold.flush())
        self._shared.limited.report(last=True)

    def drop_waiting(self, reason: Reason) -> None:
        """Drop all frames that wait in hold, and forget what was found so far."""
        for waiting in self._hold.flush():
            self.drop(waiting.frame, reason)
        self.gate.forget()
        self._finisher.forget()

    def drop(self, frame: RawFrame, reason: Reason) -> None:
        """Count a frame that will not be stored."""
        self._shared.drop(frame, reason)

    def forget_motion(self) -> None:
        """Forget what moved: the frames of another load level are too old to compare with."""
        self._motion.forget()
