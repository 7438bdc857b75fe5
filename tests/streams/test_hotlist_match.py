"""Which entries a sighting meets: exact, pattern, candidate; valid when, valid where."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbing.clock import from_ms
from schemas.codec import SchemaError, encode_json
from schemas.hotlist import HotlistEntry
from schemas.read import Candidate
from streams.hotlist import Hit, Hotlist, covers

NOW = from_ms(1_780_000_000_000)


def entry(text: str, hotlist_id: str = "stolen", **more: object) -> HotlistEntry:
    return HotlistEntry(hotlist_id=hotlist_id, entry=text, added_at=NOW, **more)  # type: ignore[arg-type]


def hotlist(*entries: HotlistEntry) -> Hotlist:
    made = Hotlist()
    for one in entries:
        made.apply(one.key.encode(), encode_json(one))
    return made


def match(on: Hotlist, plate: str = "ABC123", candidates: tuple[Candidate, ...] = (), **more: object) -> list[Hit]:
    values: dict[str, object] = {"confidence": 0.7, "region": "", "at": NOW, "candidate_threshold": 0.2}
    return on.match(plate=plate, candidates=candidates, **(values | more))  # type: ignore[arg-type]


def test_exact_has_the_plates_own_probability() -> None:
    (hit,) = match(hotlist(entry("ABC123"), entry("ABC124")))
    assert (hit.entry.entry, hit.match, hit.probability) == ("ABC123", "exact", 0.7)


@pytest.mark.parametrize("pattern", ["ABC???", "A*3", "*123", "AB*", "*B?1*", "?BC123", "A*B*C*1*2*3"])
def test_patterns(pattern: str) -> None:
    (hit,) = match(hotlist(entry(pattern)))
    assert hit.match == "pattern"
    assert match(hotlist(entry(pattern)), plate="ZZZ999") == []


def test_a_pattern_gathers_the_candidates_that_fit_it() -> None:
    others = (Candidate("ABC123", 0.5), Candidate("ABC128", 0.3), Candidate("XBC123", 0.1))
    (hit,) = match(hotlist(entry("ABC12?")), candidates=others, confidence=0.5)
    assert hit.probability == pytest.approx(0.8)


def test_a_candidate_matches_above_its_threshold_only() -> None:
    others = (Candidate("ABC123", 0.6), Candidate("A8C123", 0.3))
    (hit,) = match(hotlist(entry("A8C123")), candidates=others)
    assert (hit.match, hit.probability) == ("candidate", 0.3)
    assert match(hotlist(entry("A8C123")), candidates=others, candidate_threshold=0.31) == []
    assert match(hotlist(entry("A8C123")), candidates=others, candidate_threshold=1.0) == []
    (hit,) = match(hotlist(entry("A8*")), candidates=others)
    assert hit.match == "candidate"


def test_several_lists_each_make_a_hit_the_strongest_first() -> None:
    hits = match(hotlist(entry("A?C123"), entry("ABC123", "wanted"), entry("ABC123"), entry("ABC123", "owed")))
    assert [h.match for h in hits] == ["exact", "exact", "exact", "pattern"]
    assert len({h.entry.key for h in hits}) == 4


def test_validity_in_time() -> None:
    early = entry("ABC123", valid_from=NOW, valid_until=NOW + timedelta(hours=1))
    assert match(hotlist(early))
    assert not match(hotlist(early), at=NOW - timedelta(seconds=1))
    assert not match(hotlist(early), at=NOW + timedelta(hours=1))


def test_regions() -> None:
    listed = hotlist(entry("ABC123", region="US"))
    assert match(listed, region="US-CA")
    assert match(listed, region="")
    assert not match(listed, region="DE")


def test_entries_change_and_go() -> None:
    listed = hotlist(entry("ABC123", reason="a"), entry("ABC123", reason="b"), entry("AB*"), entry("ABC123", "wanted"))
    assert len(listed) == 3
    assert next(h.entry.reason for h in match(listed) if h.entry.hotlist_id == "stolen") == "b"
    for key in ("stolen/ABC123", "stolen/AB*", "wanted/ABC123", "never/THERE"):
        listed.apply(key.encode(), None)
    assert len(listed) == 0
    assert match(listed) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"stolen/ABC123", b"{"),
        (b"stolen/OTHER", encode_json(entry("ABC123"))),
        (b"stolen/*", encode_json(entry("*"))),
        (b"stolen/abc", encode_json(entry("abc"))),
        (b"\xff", None),
    ],
)
def test_what_is_no_entry_is_refused(key: bytes, value: bytes | None) -> None:
    with pytest.raises(SchemaError):
        Hotlist().apply(key, value)


@given(st.text("AB1?*", min_size=1, max_size=6), st.text("AB1", min_size=1, max_size=7))
def test_the_index_finds_what_a_regular_expression_finds(pattern: str, text: str) -> None:
    if not pattern.strip("?*"):
        return
    meets = re.fullmatch(pattern.replace("?", ".").replace("*", ".*"), text) is not None
    assert bool(match(hotlist(entry(pattern)), plate=text)) == meets
    assert covers(pattern, text) == meets
