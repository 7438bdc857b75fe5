"""The hotlists in memory: entries, rules and wrong hits, and which entries a sighting meets.

In: records of fleet.hotlist as they come and go. Out: hits with a probability. A look-up touches the entries of one
text and those few that can be near it, never the whole list.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from sys import intern
from typing import NamedTuple

import msgspec

from schemas.alert import Match
from schemas.codec import SchemaError, decode_hotlist_key, decode_json
from schemas.hotlist import MAX_ENTRY, HotlistEntry, HotlistRules, WrongHit, normalise_entry, record_type
from schemas.sighting import Sighting
from streams.likeness import chance, skeleton, within
from streams.neighbours import Neighbours
from streams.patterns import Patterns, covers
from streams.rules import allowed, list_allows, problems

__all__ = ["UNLISTED", "Hit", "Hotlist", "covers"]

UNLISTED = ""
"""The entry of a hit of an allow list: there is none."""
UNLISTED_THRESHOLD = 0.8
"""A misread plate is on no list: without a threshold of its own, an allow list wants to be this sure."""
_RANK: dict[Match, int] = {
    "exact": 0, "pattern": 1, "equivalent": 2, "differences": 3, "candidate": 4, "unlisted": 5
}  # fmt: skip
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 4_096
_DEAD = 4_096


class Hit(NamedTuple):
    """An entry met a sighting; of an allow list, none did."""

    entry: HotlistEntry
    match: Match
    probability: float
    rules: HotlistRules

    @property
    def priority(self) -> str:
        """The entry's own, or its list's."""
        return self.entry.priority if self.entry.priority != "normal" else self.rules.priority

    @property
    def reason(self) -> str:
        """The entry's own, or its list's."""
        return self.entry.reason or self.rules.reason

    @property
    def owner(self) -> str:
        """The entry's own, or its list's."""
        return self.entry.owner or self.rules.owner


Shelf = tuple[int, bool]
"""Which lists share an index: (differences, are look-alikes folded)."""
_SHELVES: tuple[Shelf, ...] = ((0, True), (1, False), (1, True), (2, False), (2, True))


class _Nearly:
    """Entries of lists that allow the same differences, by their texts or by the skeletons of these."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.index = Neighbours(shelf[0])
        self._slots: list[HotlistEntry | None] = []
        self._slot: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._slot)

    def _folded(self, text: str) -> str:
        return skeleton(text) if self.shelf[1] else text

    def put(self, entry: HotlistEntry) -> None:
        slot = self._slot.get(entry.key)
        if slot is not None:
            # the key fixes the text: the index stays
            self._slots[slot] = entry
            return
        self._slot[entry.key] = len(self._slots)
        self.index.add(self._folded(entry.entry), len(self._slots))
        self._slots.append(entry)

    def remove(self, key: str) -> None:
        slot = self._slot.pop(key, None)
        if slot is None:
            return
        self._slots[slot] = None
        if len(self._slots) > 2 * len(self._slot) + _DEAD:
            living = [entry for entry in self._slots if entry is not None]
            self.__init__(self.shelf)  # type: ignore[misc]
            for entry in living:
                self.put(entry)

    def near(self, text: str) -> Iterator[HotlistEntry]:
        # the index takes time and memory with a text's length to the power of its depth
        if self._slot and len(text) <= MAX_ENTRY + self.shelf[0]:
            for number in sorted(self.index.find(self._folded(text))):
                entry = self._slots[number]
                if entry is not None:
                    yield entry


class Hotlist:
    """All entries of all lists. One thread at a time."""

    def __init__(self) -> None:
        self._entries: dict[str, HotlistEntry] = {}
        self._rules: dict[str, HotlistRules] = {}
        self._defaults: dict[str, HotlistRules] = {}
        self._wrong: set[str] = set()
        self._exact: dict[str, HotlistEntry | tuple[HotlistEntry, ...]] = {}
        self._patterns = Patterns()
        self._nearly = {shelf: _Nearly(shelf) for shelf in _SHELVES}
        self._sizes: Counter[str] = Counter()
        self._moving: list[Iterator[None]] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def index_bytes(self) -> int:
        """Bytes of the index of look-alikes and differences."""
        return sum(one.index.nbytes for one in self._nearly.values())

    def get(self, hotlist_id: str, entry: str) -> HotlistEntry | None:
        """The entry, when it is on the list now."""
        return self._entries.get(f"{hotlist_id}/{entry}")

    def rules(self, hotlist_id: str) -> HotlistRules:
        """The list's rules, or the default ones."""
        known = self._rules.get(hotlist_id) or self._defaults.get(hotlist_id)
        if known is None:
            known = self._defaults[hotlist_id] = HotlistRules(hotlist_id=hotlist_id, updated_at=_NEVER)
        return known

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Apply one record of fleet.hotlist.

        Raises:
            SchemaError: not a record of this topic, its key is not its own, or it asks for what cannot be.
        """
        name = decode_hotlist_key(key)
        kind = record_type(name)
        if not value:
            self._remove(name, kind)
            return
        record = decode_json(value, kind)
        if record.key != name:
            raise SchemaError("bad_value", f"hotlist key {name[:80]!r} is not its record's {record.key[:80]!r}")
        if isinstance(record, HotlistRules):
            _check_rules(record)
            self.put_rules(record)
        elif isinstance(record, WrongHit):
            self.put_wrong(record)
        else:
            _check_entry(record)
            self.put(record)

    def _remove(self, name: str, kind: type) -> None:
        if kind is HotlistRules:
            known = self._rules.pop(name.rstrip("/"), None)
            if known is not None:
                self._move(known, self.rules(known.hotlist_id))
        elif kind is WrongHit:
            self._wrong.discard(name)
        else:
            self.remove(name)

    def put(self, entry: HotlistEntry) -> None:
        """Add an entry, or replace it."""
        self._take_out(entry.key)
        # a list has few owners and reasons and a million entries: keep each such text once
        shared = ("hotlist_id", "reason", "owner", "region", "added_by")
        entry = msgspec.structs.replace(entry, **{name: intern(getattr(entry, name)) for name in shared})
        self._entries[entry.key] = entry
        self._sizes[entry.hotlist_id] += 1
        if entry.is_pattern:
            self._patterns.add(entry)
            return
        known = self._exact.get(entry.entry)
        if known is None:
            self._exact[entry.entry] = entry
        else:
            self._exact[entry.entry] = (*(known if isinstance(known, tuple) else (known,)), entry)
        shelf = _shelf(self.rules(entry.hotlist_id), entry)
        if shelf is not None:
            self._nearly[shelf].put(entry)

    def remove(self, key: str) -> None:
        """Take an entry out; a key that is not there is passed over."""
        self._take_out(key)
        for nearly in self._nearly.values():
            nearly.remove(key)

    def _take_out(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._sizes[entry.hotlist_id] -= 1
        if entry.is_pattern:
            self._patterns.remove(entry)
            return
        rest = tuple(e for e in self._with(entry.entry) if e.key != key)
        if rest:
            self._exact[entry.entry] = rest if len(rest) > 1 else rest[0]
        else:
            del self._exact[entry.entry]

    def put_rules(self, rules: HotlistRules) -> None:
        """Set the rules of a list. A long list's index follows by `catch_up`."""
        before = self.rules(rules.hotlist_id)
        self._rules[rules.hotlist_id] = rules
        self._move(before, rules)

    def put_wrong(self, wrong: WrongHit) -> None:
        """Note a wrong hit."""
        if wrong.suppress:
            self._wrong.add(wrong.key)
        else:
            self._wrong.discard(wrong.key)

    def _move(self, before: HotlistRules, after: HotlistRules) -> None:
        """The list's entries go from one index to another."""
        if any(
            getattr(before, name) != getattr(after, name) for name in ("differences", "ocr_equivalent", "near_from")
        ):
            self._moving.append(self._moves(after.hotlist_id))
            if len(self._entries) <= _AT_ONCE:
                self.catch_up()

    def _moves(self, hotlist_id: str) -> Iterator[None]:
        keys = [key for key, entry in self._entries.items() if entry.hotlist_id == hotlist_id]
        for count, key in enumerate(keys, start=1):
            entry = self._entries.get(key)
            shelf = _shelf(self.rules(hotlist_id), entry) if entry is not None else None
            for nearly in self._nearly.values():
                if nearly.shelf != shelf:
                    nearly.remove(key)
            if entry is not None and shelf is not None:
                self._nearly[shelf].put(entry)
            if count % _AT_ONCE == 0:
                yield

    def catch_up(self, steps: int | None = None) -> bool:
        """Bring the indexes of lists whose rules have changed up to date, `steps` of 4,096 entries; True when done."""
        while self._moving and (steps is None or steps > 0):
            if next(self._moving[0], self) is self:
                self._moving.pop(0)
            if steps is not None:
                steps -= 1
        return not self._moving

    def _with(self, text: str) -> tuple[HotlistEntry, ...]:
        known = self._exact.get(text)
        if known is None:
            return ()
        return known if isinstance(known, tuple) else (known,)

    def _met_by(self, text: str) -> Iterator[tuple[HotlistEntry, Match]]:
        """Entries that this text meets, by their lists' rules; one may come twice, its strongest match first."""
        for entry in self._with(text):
            yield entry, "exact"
        for entry in self._patterns.fitting(text):
            yield entry, "pattern"
        for nearly in self._nearly.values():
            for entry in nearly.near(text):
                rules = self.rules(entry.hotlist_id)
                if entry.entry == text or _shelf(rules, entry) != nearly.shelf:
                    continue
                if within(entry.entry, text, rules.ocr_equivalent, 0):
                    yield entry, "equivalent"
                elif within(entry.entry, text, rules.ocr_equivalent, rules.differences):
                    yield entry, "differences"

    def match(self, sighting: Sighting, candidate_threshold: float) -> list[Hit]:
        """The entries that raise an alert of this sighting, each once, the strongest match first.

        Args:
            sighting: a revision that is not withdrawn.
            candidate_threshold: least probability of a candidate that makes an alert, where its list sets none;
                1.0 switches candidates off.
        """
        texts = _texts(sighting)
        plate = sighting.plate
        met: dict[str, tuple[HotlistEntry, Match]] = {}
        for entry, how in self._met_by(plate):
            met.setdefault(entry.key, (entry, how))
        for text in texts:
            if text != plate:
                for entry in (*self._with(text), *self._patterns.fitting(text)):
                    met.setdefault(entry.key, (entry, "candidate"))
        hits = []
        for key, (entry, how) in met.items():
            rules = self.rules(entry.hotlist_id)
            if rules.kind == "allow" or f"{key}/{plate}" in self._wrong:
                continue
            if not allowed(entry, rules, sighting):
                continue
            if rules.kind == "ignore":
                if how != "candidate":
                    return []
                continue
            hit = Hit(entry, how, _probability(entry.entry, plate, texts), rules)
            if _probable(hit, candidate_threshold):
                hits.append(hit)
        hits += self._unlisted(sighting, texts)
        return sorted(hits, key=lambda h: (_RANK[h.match], -h.probability, h.entry.key))

    def _unlisted(self, sighting: Sighting, texts: Mapping[str, float]) -> Iterator[Hit]:
        for rules in self._rules.values():
            if rules.kind != "allow" or not self._sizes[rules.hotlist_id] or not list_allows(rules, sighting):
                continue
            p = self._not_on(rules, sighting, texts)
            threshold = UNLISTED_THRESHOLD if rules.threshold is None else rules.threshold
            if p >= threshold and f"{rules.hotlist_id}/{UNLISTED}/{sighting.plate}" not in self._wrong:
                entry = HotlistEntry(hotlist_id=rules.hotlist_id, entry=UNLISTED, added_at=rules.updated_at)
                yield Hit(entry, "unlisted", p, rules)

    def _not_on(self, rules: HotlistRules, sighting: Sighting, texts: Mapping[str, float]) -> float:
        """Probability that the plate says nothing that is on an allow list."""
        listed = sum(
            p
            for text, p in texts.items()
            if any(
                entry.hotlist_id == rules.hotlist_id and allowed(entry, rules, sighting)
                for entry, _ in self._met_by(text)
            )
        )
        return min(1.0, max(0.0, sum(texts.values()) - listed))

    def chance(self, hotlist_id: str, entry: str, sighting: Sighting) -> float | None:
        """How probable it is now that the sighting meets the entry; None when the entry is not on the list now."""
        texts = _texts(sighting)
        if entry == UNLISTED:
            rules = self.rules(hotlist_id)
            return self._not_on(rules, sighting, texts) if rules.kind == "allow" else None
        if self.get(hotlist_id, entry) is None:
            return None
        return _probability(entry, sighting.plate, texts)


def _shelf(rules: HotlistRules, entry: HotlistEntry) -> Shelf | None:
    """The index that an entry needs; None: it is met to the letter."""
    if not rules.differences and not rules.ocr_equivalent:
        return None
    if entry.is_pattern or len(entry.entry) < rules.near_from:
        return None
    return rules.differences, rules.ocr_equivalent > 0


def _texts(sighting: Sighting) -> dict[str, float]:
    """Text -> probability, the plate's own first."""
    texts = {sighting.plate: sighting.confidence}
    for one in sighting.candidates:
        texts.setdefault(one.plate, one.confidence)
    return texts


def _probability(entry: str, plate: str, texts: Mapping[str, float]) -> float:
    """That the plate says what the entry says, 0..1: the sum over the candidates that a pattern fits."""
    if "?" in entry or "*" in entry:
        return min(1.0, sum(p for text, p in texts.items() if covers(entry, text)))
    return min(1.0, chance(entry, plate, texts))


def _probable(hit: Hit, candidate_threshold: float) -> bool:
    threshold = hit.rules.threshold
    if threshold is not None:
        return hit.probability >= threshold
    return hit.match != "candidate" or (candidate_threshold < 1.0 and hit.probability >= candidate_threshold)


def _check_entry(entry: HotlistEntry) -> None:
    try:
        same = normalise_entry(entry.entry) == entry.entry
    except ValueError as error:
        raise SchemaError("bad_value", str(error)) from error
    if not same or not entry.hotlist_id:
        raise SchemaError("bad_value", f"hotlist entry {entry.key[:80]!r} is not a plate or a pattern of a list")


def _check_rules(rules: HotlistRules) -> None:
    for problem in problems(rules):
        raise SchemaError("bad_value", f"rules of hotlist {rules.hotlist_id[:80]!r}: {problem}")
