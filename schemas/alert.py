"""A sighting met a hotlist entry: the public message of `fleet.alerts`, one `alert_id` per (entry, sighting)."""

from datetime import datetime
from typing import Literal

import msgspec

from schemas.read import Candidate, Probability
from schemas.sighting import Evidence

ALERT_SCHEMA = 1

Match = Literal["exact", "pattern", "equivalent", "differences", "candidate", "unlisted"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Sent when raised; with the same `alert_id` and a higher `revision`, when it is withdrawn, or corrected: raised
    under another plate that the entry means, too.

    The highest revision counts, whatever the order of arrival; of one revision, `withdrawn`. A crash may repeat a
    message to the letter: subscribers that must act once key on (alert_id, revision, status).
    """

    schema: int = ALERT_SCHEMA
    alert_id: str
    """UUIDv5 of (hotlist_id, entry, sighting_id)."""
    status: Literal["raised", "withdrawn"]
    hotlist_id: str
    entry: str
    """The hotlist entry's plate or pattern, as it was entered (upper case, no spaces); empty for `unlisted`."""
    plate: str
    """The sighting's plate."""
    match: Match
    """How the entry met the sighting: same text, `?`/`*` pattern, same but for characters that readers take for each
    other, same but for a few characters, or one of the sighting's candidates; or the plate is not on an allow list."""
    match_probability: Probability
    """That the plate says what the entry says (`unlisted`: that it says nothing on the list)."""
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
    owner: str = ""
    """Of the entry or its list."""
    look_back: bool = False
    """Raised for a past sighting, when the entry was added."""
    region: str = ""
    """Of the sighting, as all that follows."""
    region_confidence: Probability = 0.0
    candidates: tuple[Candidate, ...] = ()
    direction: Literal["approaching", "receding", "unknown"] = "unknown"
    first_seen: datetime | None = None
    evidence: Evidence | None = None
    """The winning read with its crop."""
