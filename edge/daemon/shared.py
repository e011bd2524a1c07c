"""What the lanes of all cameras share."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from edge.config import Config
from edge.daemon.ledgers import Ledgers
from edge.daemon.load import LoadControl
from edge.daemon.writer import Writer
from edge.detection.joint import AnyDetector
from edge.frames import RawFrame
from edge.logs import Limited
from edge.reasons import Reason
from edge.status.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """One configuration, detector (or several), store thread and load level for all cameras; ``limited`` logs
    what may go wrong with every frame."""

    config: Config
    detector: AnyDetector
    metrics: Metrics
    writer: Writer
    load: LoadControl
    ledgers: Ledgers
    limited: Limited = field(default_factory=lambda: Limited(log))

    def drop(self, frame: RawFrame, reason: Reason) -> None:
        """Count a frame that will not be stored, or not this time."""
        self.metrics.dropped(frame.camera, self.ledgers.drop(frame, reason))

    def covers_failed(self, frame: RawFrame) -> bool:
        """Whether a frame that could not be checked is to be stored covered whole."""
        return self.config.privacy.on_failure == "cover" and not self.ledgers.is_over(frame)

    def count_failure(self, frame: RawFrame, reason: Reason) -> None:
        """Count a frame that could not be checked for faces: as dropped, or as covered whole where
        ``privacy.on_failure`` asks for that and it is not to be read again."""
        if self.config.privacy.on_failure == "drop":
            self.drop(frame, reason)
        elif self.ledgers.give_back(frame, reason):
            self.metrics.dropped(frame.camera, Reason.RETRIED)
        else:
            self.metrics.covered_whole(frame.camera, reason)
