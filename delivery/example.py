"""An invented alert, to try a target. Out: the same every time but for its moment."""

from datetime import UTC, datetime

from schemas.alert import Alert
from schemas.ids import alert_id, sighting_id
from schemas.read import Candidate

PLATE = "TEST001"


def invented_alert() -> Alert:
    """An alert of this moment that no camera has seen; it says so in its reason."""
    now = datetime.now(UTC)
    seen = sighting_id("test", 1, 0)
    return Alert(
        alert_id=alert_id("test", PLATE, seen),
        status="raised",
        hotlist_id="test",
        entry=PLATE,
        plate=PLATE,
        match="exact",
        match_probability=1.0,
        camera_id="test",
        seen_at=now,
        confidence=1.0,
        lat=None,
        lon=None,
        heading=None,
        speed=None,
        sighting_id=seen,
        revision=1,
        priority="low",
        reason="a test of this target: nothing was seen",
        emitted_at=now,
        candidates=(Candidate(PLATE, 1.0),),
    )
