"""A sighting met a hotlist entry: the public message of `fleet.alerts`, one `alert_id` per (entry, sighting)."""

from datetime import datetime
from typing import Literal

import msgspec

from schemas.read import Probability

ALERT_SCHEMA = 1


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Sent once when raised; sent again with the same `alert_id` only to say that it is withdrawn.

    A crash may repeat a message to the letter: subscribers that must act once key on (alert_id, status).
    """

    schema: int = ALERT_SCHEMA
    alert_id: str
    """UUIDv5 of (hotlist_id, entry, sighting_id)."""
    status: Literal["raised", "withdrawn"]
    hotlist_id: str
    entry: str
    """The hotlist entry's plate or pattern, as it was entered (upper case, no spaces)."""
    plate: str
    """The sighting's plate."""
    match: Literal["exact", "pattern", "candidate"]
    """How the entry met the sighting: same text, `?`/`*` pattern, or one of the sighting's candidates."""
    match_probability: Probability
    camera_id: str
    seen_at: datetime
    """Capture time of the frame whose read raised the alert."""
    confidence: Probability
    """Of the sighting's plate."""
    lat: float | None
    lon: float | None
    heading: float | None
    speed: float | None
    sighting_id: str
    revision: int
    """Of the sighting, when the alert was raised or withdrawn."""
    priority: Literal["low", "normal", "high"]
    reason: str
    emitted_at: datetime
