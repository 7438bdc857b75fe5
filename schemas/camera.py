"""What is known of one camera: compacted state on `fleet.cameras`, keyed by camera_id."""

from datetime import datetime
from typing import Literal

import msgspec

CAMERA_SCHEMA = 1


class CameraState(msgspec.Struct, frozen=True, kw_only=True):
    """Sent by the tracker at most once a second per camera, and when the camera falls silent."""

    schema: int = CAMERA_SCHEMA
    camera_id: str
    status: Literal["live", "silent"]
    last_seq: int
    last_seen: datetime
    """Capture time of its newest frame."""
    frames: int
    """Frames seen since the camera was first known."""
    missing: int
    """Sequence numbers that never came, as far as is known now."""
    reads: int
    clock_skew_ms: int
    """Camera clock minus broker clock, smoothed."""
    luma: float
    """Mean grey level 0..255, smoothed."""
    lat: float | None
    lon: float | None
    heading: float | None
    speed: float | None
    width: int
    height: int
    model_version: str
    emitted_at: datetime
