"""Hotlists: compacted state on `fleet.hotlist`. A record's key says what it is; a null value removes it.

hotlist_id/entry          HotlistEntry   a plate or a pattern on a list
hotlist_id/               HotlistRules   what holds for the whole list; a list without rules has the defaults
hotlist_id/entry/plate    WrongHit       a person said that this text, read, does not mean this entry
"""

import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from schemas.read import Probability
from schemas.sighting import Evidence

HOTLIST_SCHEMA = 1

MAX_ENTRY = 16
"""Most characters of an entry."""
_ENTRY = re.compile(rf"^[A-Z0-9?*]{{1,{MAX_ENTRY}}}$")
_SEPARATORS = re.compile(r"[\s\-.·•]+")
_STARS = re.compile(r"\*+")

Priority = Literal["low", "normal", "high"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
Position = tuple[float, float]
Count = Annotated[int, msgspec.Meta(ge=0, le=2)]


class HotlistEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`entry` is a plate, or a pattern where `?` is one character and `*` any number of them."""

    schema: int = HOTLIST_SCHEMA
    hotlist_id: str
    entry: str
    priority: Priority = "normal"
    """`normal`: as the list's rules say."""
    reason: str = ""
    """Empty, here and for the owner: as the list's rules say."""
    owner: str = ""
    region: str = ""
    """Only sightings of this region match; empty: any."""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    added_at: datetime
    added_by: str = ""

    @property
    def key(self) -> str:
        """Record key on `fleet.hotlist`."""
        return f"{self.hotlist_id}/{self.entry}"

    @property
    def is_pattern(self) -> bool:
        """True when the entry holds `?` or `*`."""
        return "?" in self.entry or "*" in self.entry


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the week. From a later to an earlier time of day: past midnight, as the day on which it begins."""

    days: tuple[Day, ...] = ()
    """Empty: every day."""
    begin: TimeOfDay = "00:00"
    end: TimeOfDay = "24:00"
    """Not included."""


class MultiPolygon(msgspec.Struct, frozen=True, kw_only=True):
    """A GeoJSON geometry (RFC 7946): polygons of rings, the first the outline, the others holes."""

    type: Literal["MultiPolygon"] = "MultiPolygon"
    coordinates: tuple[tuple[tuple[Position, ...], ...], ...]
    """Longitude and latitude, degrees, WGS 84."""


class HotlistRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all entries of a list. Everything that is not set is not asked for."""

    schema: int = HOTLIST_SCHEMA
    hotlist_id: str
    kind: Literal["alert", "ignore", "allow"] = "alert"
    """`alert`: what is on it. `ignore`: what is on it raises no alert of any list. `allow`: what is not on it."""
    priority: Priority = "normal"
    reason: str = ""
    owner: str = ""
    region: str = ""
    strict_region: bool = False
    """True: a sighting whose region is not known does not meet an entry or a list that names one."""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    schedule: tuple[Hours, ...] = ()
    """Any of them; empty: always."""
    time_zone: str = "UTC"
    """IANA name, of the schedule."""
    area: MultiPolygon | None = None
    """Only sightings inside; one without a position is not."""
    direction: Literal["", "approaching", "receding"] = ""
    """Of the vehicle towards the camera. Unknown is not this."""
    headings: tuple[float, float] | None = None
    """Of the camera, degrees clockwise from north, from the first to the second."""
    cool_down_s: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    """No second alert of the same entry and plate at the same place within so many seconds of event time."""
    cool_down_m: Annotated[float, msgspec.Meta(ge=0.0)] = 500.0
    """What the same place is, metres; without positions: the same camera."""
    ocr_equivalent: Count = 0
    """So many characters may be ones that a reader takes for each other, such as 0 and O."""
    differences: Count = 0
    """So many characters may differ, be missing, or be too many."""
    near_from: Annotated[int, msgspec.Meta(ge=0, le=16)] = 4
    """Both only for entries of so many characters at least: a short one is near to too many plates."""
    threshold: Probability | None = None
    """Least match probability of an alert. Not set: what the text itself meets always alerts, a candidate from
    PLATEFLEET_CANDIDATE_THRESHOLD on, what is missing on an allow list from 0.8 on."""
    updated_at: datetime
    updated_by: str = ""

    @property
    def key(self) -> str:
        """Record key on `fleet.hotlist`."""
        return f"{self.hotlist_id}/"


class WrongHit(msgspec.Struct, frozen=True, kw_only=True):
    """The text `plate` was read and met the entry, but a person saw another plate. Kept for training, too."""

    schema: int = HOTLIST_SCHEMA
    hotlist_id: str
    entry: str
    plate: str
    """The sighting's text."""
    truth: str = ""
    """What the plate says; empty: not told."""
    suppress: bool = True
    """The pair raises no alert any more."""
    alert_id: str = ""
    sighting_id: str = ""
    evidence: Evidence | None = None
    at: datetime
    by: str = ""

    @property
    def key(self) -> str:
        """Record key on `fleet.hotlist`."""
        return f"{self.hotlist_id}/{self.entry}/{self.plate}"


HotlistRecord = HotlistEntry | HotlistRules | WrongHit


def record_type(key: str) -> type[HotlistEntry] | type[HotlistRules] | type[WrongHit]:
    """What a record of `fleet.hotlist` is, by its key."""
    parts = key.split("/")
    if len(parts) == 2 and not parts[1]:
        return HotlistRules
    return WrongHit if len(parts) == 3 else HotlistEntry


def normalise_entry(text: str) -> str:
    """Upper-case `text`, take out spaces, dashes and dots, and make one `*` of several in a row.

    Raises:
        ValueError: when what is left is not 1..16 of A-Z, 0-9, `?`, `*`, or is `*` alone (it would match all).
    """
    entry = _STARS.sub("*", _SEPARATORS.sub("", text).upper())
    if not _ENTRY.match(entry) or not re.search(r"[A-Z0-9]", entry):
        raise ValueError(
            f"hotlist entry {text!r:.80}: want 1 to 16 of A-Z, 0-9, ? and *, with at least one letter or digit"
        )
    return entry
