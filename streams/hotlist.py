"""The hotlists in memory: entries by plate and by pattern, and which of them a sighting meets.

In: entries as they come and go. Out: hits with a probability. A look-up touches the entries of one text and those
few patterns that can fit it, never the whole list.

An entry with a region meets sightings of that region (`US` includes `US-CA`), and those whose region is not known:
a wanted car is not missed because the reader could not tell the country.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from sys import intern
from typing import Literal, NamedTuple

import msgspec

from schemas.codec import SchemaError, decode_json
from schemas.hotlist import HotlistEntry
from schemas.read import Candidate

Match = Literal["exact", "pattern", "candidate"]
_RUN = 3
_LITERALS = re.compile(rf"[^?*]{{1,{_RUN}}}")
_RANK: dict[Match, int] = {"exact": 0, "pattern": 1, "candidate": 2}


class Hit(NamedTuple):
    """An entry met a sighting."""

    entry: HotlistEntry
    match: Match
    probability: float


Shape = tuple[int, int, str]
"""(length of the text, or 0 for any; where a run of literals begins, from the end when below 0; the run)."""


def _shape(pattern: str) -> Shape:
    """The bucket of a pattern, by its first run of literals; a text looks into few buckets."""
    head, star, _ = pattern.partition("*")
    found = _LITERALS.search(head)
    if found:
        return 0 if star else len(pattern), found.start(), found.group()
    tail = pattern.rpartition("*")[2]
    found = _LITERALS.search(tail)
    if found:
        return 0, found.start() - len(tail), found.group()
    return 0, 0, ""


def _shapes(text: str) -> Iterator[Shape]:
    length = len(text)
    for place in range(length):
        for end in range(place + 1, min(place + _RUN, length) + 1):
            run = text[place:end]
            yield length, place, run
            yield 0, place, run
            yield 0, place - length, run
    yield 0, 0, ""


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join("." if c == "?" else ".*" if c == "*" else c for c in pattern))


def covers(entry: str, text: str) -> bool:
    """True when `entry` (a plate or a pattern) says `text`."""
    if "?" in entry or "*" in entry:
        return _compiled(entry).fullmatch(text) is not None
    return entry == text


class Hotlist:
    """All entries of all lists. One thread at a time."""

    def __init__(self) -> None:
        self._entries: dict[str, HotlistEntry] = {}
        self._exact: dict[str, HotlistEntry | tuple[HotlistEntry, ...]] = {}
        self._patterns: dict[Shape, dict[str, tuple[re.Pattern[str], HotlistEntry]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, hotlist_id: str, entry: str) -> HotlistEntry | None:
        """The entry, when it is on the list now."""
        return self._entries.get(f"{hotlist_id}/{entry}")

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Apply one record of fleet.hotlist.

        Raises:
            SchemaError: not an entry, or its key is not the entry's.
        """
        try:
            name = (key or b"").decode()
        except UnicodeDecodeError as error:
            raise SchemaError("bad_value", f"hotlist key: {error}") from error
        if not value:
            self.remove(name)
            return
        entry = decode_json(value, HotlistEntry)
        if entry.key != name:
            raise SchemaError("bad_value", f"hotlist key {name[:80]!r} is not its entry's {entry.key[:80]!r}")
        if not re.fullmatch(r"[A-Z0-9?*]{1,16}", entry.entry) or not entry.entry.strip("?*"):
            raise SchemaError("bad_value", f"hotlist entry {entry.entry[:80]!r} is not a plate or a pattern")
        self.put(entry)

    def put(self, entry: HotlistEntry) -> None:
        """Add an entry, or replace it."""
        self.remove(entry.key)
        # a list has few owners and reasons and a million entries: keep each such text once
        shared = ("hotlist_id", "reason", "owner", "region", "added_by")
        entry = msgspec.structs.replace(entry, **{name: intern(getattr(entry, name)) for name in shared})
        self._entries[entry.key] = entry
        if entry.is_pattern:
            self._patterns.setdefault(_shape(entry.entry), {})[entry.key] = (_compiled(entry.entry), entry)
            return
        known = self._exact.get(entry.entry)
        if known is None:
            self._exact[entry.entry] = entry
        else:
            self._exact[entry.entry] = (*(known if isinstance(known, tuple) else (known,)), entry)

    def remove(self, key: str) -> None:
        """Take an entry out; a key that is not there is passed over."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        if entry.is_pattern:
            shape = _shape(entry.entry)
            del self._patterns[shape][key]
            if not self._patterns[shape]:
                del self._patterns[shape]
            return
        rest = tuple(e for e in self._with(entry.entry) if e.key != key)
        if rest:
            self._exact[entry.entry] = rest if len(rest) > 1 else rest[0]
        else:
            del self._exact[entry.entry]

    def _with(self, text: str) -> tuple[HotlistEntry, ...]:
        known = self._exact.get(text)
        if known is None:
            return ()
        return known if isinstance(known, tuple) else (known,)

    def _fitting(self, text: str) -> Iterator[HotlistEntry]:
        for shape in _shapes(text) if self._patterns else ():
            for pattern, entry in self._patterns.get(shape, {}).values():
                if pattern.fullmatch(text):
                    yield entry

    def match(
        self,
        plate: str,
        confidence: float,
        candidates: Sequence[Candidate],
        region: str,
        at: datetime,
        candidate_threshold: float,
    ) -> list[Hit]:
        """The entries that a sighting meets at the time `at`, each once, by its strongest match.

        An exact match has the plate's probability; a pattern that of all candidates that fit it; a candidate match
        its candidate's, and only from `candidate_threshold` on.
        """
        hits: dict[str, Hit] = {}
        for entry in self._with(plate):
            hits[entry.key] = Hit(entry, "exact", confidence)
        chances = {c.plate: c.confidence for c in candidates} | {plate: confidence}
        fits: dict[str, tuple[HotlistEntry, bool, float]] = {}
        for text, p in chances.items():
            for entry in self._fitting(text):
                _, told, sum_ = fits.get(entry.key, (entry, False, 0.0))
                fits[entry.key] = (entry, told or text == plate, sum_ + p)
            if text != plate and candidate_threshold < 1.0:
                for entry in self._with(text):
                    fits[entry.key] = (entry, False, p)
        for key, (entry, told, p) in fits.items():
            if told:
                hits[key] = Hit(entry, "pattern", min(1.0, p))
            elif p >= candidate_threshold and candidate_threshold < 1.0:
                hits[key] = Hit(entry, "candidate", min(1.0, p))
        return sorted(_allowed(hits.values(), region, at), key=lambda h: (_RANK[h.match], -h.probability, h.entry.key))


def _allowed(hits: Iterable[Hit], region: str, at: datetime) -> Iterator[Hit]:
    for hit in hits:
        entry = hit.entry
        if entry.valid_from is not None and _aware(entry.valid_from, at) > at:
            continue
        if entry.valid_until is not None and _aware(entry.valid_until, at) <= at:
            continue
        if entry.region and region and region != entry.region and not region.startswith(entry.region + "-"):
            continue
        yield hit


def _aware(moment: datetime, like: datetime) -> datetime:
    """A time that came without an offset is UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=like.tzinfo)
