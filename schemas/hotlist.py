"""An entry of a hotlist: compacted state on `fleet.hotlist`, keyed by `hotlist_id/entry`; a null value removes it."""

import re
from datetime import datetime
from typing import Literal

import msgspec

HOTLIST_SCHEMA = 1

_ENTRY = re.compile(r"^[A-Z0-9?*]{1,16}$")
_SEPARATORS = re.compile(r"[\s\-.·•]+")


class HotlistEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`entry` is a plate, or a pattern where `?` is one character and `*` any number of them."""

    schema: int = HOTLIST_SCHEMA
    hotlist_id: str
    entry: str
    priority: Literal["low", "normal", "high"] = "normal"
    reason: str = ""
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


def normalise_entry(text: str) -> str:
    """Upper-case `text` and take out spaces, dashes and dots.

    Raises:
        ValueError: when what is left is not 1..16 of A-Z, 0-9, `?`, `*`, or is `*` alone (it would match all).
    """
    entry = _SEPARATORS.sub("", text).upper()
    if not _ENTRY.match(entry) or not re.search(r"[A-Z0-9]", entry):
        raise ValueError(
            f"hotlist entry {text!r}: want 1 to 16 of A-Z, 0-9, ? and *, with at least one letter or digit"
        )
    return entry
