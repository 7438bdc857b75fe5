"""Which entries a sighting meets: exact, pattern, nearly, candidate; and how probable that is."""

import random
import re
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbing.clock import from_ms
from schemas.codec import SchemaError, encode_json
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit, normalise_entry
from schemas.read import Candidate
from streams.hotlist import Hit, Hotlist, covers
from streams.likeness import chance, equivalent, skeleton, within
from streams.neighbours import Neighbours
from streams.text import LOOKALIKES
from tests.streams.test_vehicle_alerts import sighting

NOW = from_ms(1_780_000_000_000)


def entry(text: str, hotlist_id: str = "stolen", **more: object) -> HotlistEntry:
    return HotlistEntry(hotlist_id=hotlist_id, entry=text, added_at=NOW, **more)  # type: ignore[arg-type]


def rules(hotlist_id: str = "stolen", **more: object) -> HotlistRules:
    return HotlistRules(hotlist_id=hotlist_id, updated_at=NOW, **more)  # type: ignore[arg-type]


def hotlist(*records: HotlistEntry | HotlistRules | WrongHit) -> Hotlist:
    made = Hotlist()
    for one in records:
        made.apply(one.key.encode(), encode_json(one))
    return made


def match(on: Hotlist, plate: str = "ABC123", candidates: tuple[Candidate, ...] = (), **more: object) -> list[Hit]:
    threshold = more.pop("candidate_threshold", 0.2)
    values: dict[str, object] = {"confidence": 0.7, "last_seen": more.pop("at", NOW), "candidates": candidates}
    return on.match(sighting(plate, 1, **(values | more)), threshold)  # type: ignore[arg-type]


def test_exact_has_the_plates_own_probability() -> None:
    (hit,) = match(hotlist(entry("ABC123"), entry("ABC124")))
    assert (hit.entry.entry, hit.match, hit.probability) == ("ABC123", "exact", 0.7)


@pytest.mark.parametrize(
    "pattern", ["ABC???", "A*3", "*123", "AB*", "*B?1*", "*BC1*", "*C*2*", "?BC123", "A*B*C*1*2*3"]
)
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
        (b"stolen/", encode_json(entry("ABC123"))),
        (b"stolen/", encode_json(rules(time_zone="Mars/Olympus"))),
        (b"stolen/", encode_json(rules()).replace(b'"differences":0', b'"differences":9')),
        (b"stolen/abc", encode_json(entry("abc"))),
        (b"stolen/A**B", encode_json(entry("A**B"))),
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
    assert bool(match(hotlist(entry(normalise_entry(pattern))), plate=text)) == meets
    assert covers(pattern, text) == meets


@pytest.mark.parametrize("pattern", ["A" + "*" * 14 + "B", "*A" * 7 + "*B", "*?" * 7 + "B"])
def test_no_pattern_takes_long(pattern: str) -> None:
    begin = time.process_time()
    assert not covers(pattern, "A" * 2_000)
    assert covers(pattern, "A" * 2_000 + "B")
    assert time.process_time() - begin < 1.0


def test_a_text_that_is_longer_than_any_entry_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry("A" * 16)]
    assert [h.match for h in match(hotlist(rules(differences=2), *entries), "A" * 18)] == ["differences"]

    def find(self: Neighbours, text: str) -> set[int]:
        raise AssertionError(f"{len(text)} characters took minutes")

    monkeypatch.setattr(Neighbours, "find", find)
    assert match(hotlist(rules(differences=2), *entries), "A" * 10_200) == []
    assert match(hotlist(rules(differences=1), *entries), "A" * 18) == []
    assert match(hotlist(rules(ocr_equivalent=1), *entries), "A" * 17) == []


def test_look_alikes_up_to_the_lists_number() -> None:
    listed = hotlist(rules(ocr_equivalent=1), entry("A8C0D3"))
    assert [h.match for h in match(listed, "A8C0D3")] == ["exact"]
    assert [h.match for h in match(listed, "ABC0D3")] == ["equivalent"]
    assert match(listed, "ABCOD3") == []
    assert [h.match for h in match(hotlist(rules(ocr_equivalent=2), entry("A8C0D3")), "ABCOD3")] == ["equivalent"]
    assert match(hotlist(entry("A8C0D3")), "ABC0D3") == [], "not without a rule"


@pytest.mark.parametrize("text", ["ABC124", "AB123", "ABXC123", "BC123", "ABC12"])
def test_differences_are_characters_changed_missing_or_too_many(text: str) -> None:
    assert [h.match for h in match(hotlist(rules(differences=1), entry("ABC123")), text)] == ["differences"]
    assert match(hotlist(rules(ocr_equivalent=1), entry("ABC123")), text) == []


def test_look_alikes_and_differences_add_up() -> None:
    listed = hotlist(rules(ocr_equivalent=1, differences=1), entry("A8C123"))
    assert [h.match for h in match(listed, "ABC124")] == ["differences"]
    assert match(listed, "ABCI24") == [], "two look-alikes and a difference"


def test_short_entries_are_met_to_the_letter() -> None:
    listed = hotlist(rules(differences=1, near_from=6), entry("ABC12"), entry("ABC123"))
    assert [h.entry.entry for h in match(listed, "ABC12X")] == ["ABC123"]
    listed.apply(b"stolen/", encode_json(rules(differences=1, near_from=0)))
    assert [h.entry.entry for h in match(listed, "ABC12X")] == ["ABC12", "ABC123"]


def test_rules_that_come_after_the_entries_hold_and_those_that_go_do_not() -> None:
    listed = hotlist(entry("A8C123"), entry("A8C123", "other"))
    assert match(listed) == []
    listed.apply(b"stolen/", encode_json(rules(differences=2)))
    assert [h.entry.hotlist_id for h in match(listed)] == ["stolen"]
    listed.apply(b"stolen/", encode_json(rules(ocr_equivalent=1)))
    assert [h.match for h in match(listed)] == ["equivalent"]
    listed.apply(b"stolen/", None)
    assert match(listed) == []


def test_a_long_lists_rules_take_hold_step_by_step() -> None:
    listed = Hotlist()
    for number in range(10_000):
        listed.put(entry(f"X{number:05d}"))
    listed.put(entry("A8C123"))
    listed.put_rules(rules(ocr_equivalent=1))
    steps = 1
    while not listed.catch_up(1):
        steps += 1
    assert steps > 1
    assert len(match(listed)) == 1
    for number in range(10_000):
        listed.remove(f"stolen/X{number:05d}")
    assert len(match(listed)) == 1
    assert match(listed, "X00100") == []


def test_the_probability_of_a_near_match_is_what_the_candidates_leave() -> None:
    texts = {"A8C123": 0.6, "ABC123": 0.3}
    assert chance("ABC123", "A8C123", texts) == 0.3
    doubted, other = chance("AQC123", "A8C123", texts), chance("A8C124", "A8C123", texts)
    assert 0.0 < other < doubted < 0.1, "where the candidates disagree, and no more than they leave"
    assert chance("A8CI23", "A8C123", texts) > chance("A8CX23", "A8C123", texts), "look-alikes are likelier"
    assert 0.0 < chance("A8C12", "A8C123", texts) < 0.1
    assert chance("XYZ999", "A8C123", texts) < 1e-6


def test_a_lists_own_threshold_holds_for_every_match() -> None:
    others = (Candidate("ABC123", 0.6), Candidate("A8C123", 0.3))
    for threshold, wanted in ((0.1, {"ABC123", "A8C123"}), (0.5, {"ABC123"}), (0.7, set())):
        listed = hotlist(rules(threshold=threshold), entry("ABC123"), entry("A8C123"))
        found = match(listed, candidates=others, confidence=0.6, candidate_threshold=1.0)
        assert {h.entry.entry for h in found} == wanted
    near = hotlist(rules(ocr_equivalent=1, threshold=0.05), entry("A8C123"))
    assert match(near, confidence=0.99, candidates=(Candidate("ABC123", 0.99),)) == []


def test_a_wrong_hit_ends_this_pair_alone() -> None:
    wrong = WrongHit(hotlist_id="stolen", entry="AB*", plate="ABC123", at=NOW)
    listed = hotlist(entry("AB*"), entry("ABC123"), wrong)
    assert [h.entry.entry for h in match(listed)] == ["ABC123"]
    assert [h.entry.entry for h in match(listed, "ABC124")] == ["AB*"]
    listed.apply(wrong.key.encode(), None)
    assert len(match(listed)) == 2
    kept = WrongHit(hotlist_id="stolen", entry="ABC123", plate="ABC123", suppress=False, at=NOW)
    listed.apply(kept.key.encode(), encode_json(kept))
    assert len(match(listed)) == 2


def test_an_ignore_list_silences_all_others() -> None:
    own = rules("own", kind="ignore", ocr_equivalent=1)
    listed = hotlist(own, entry("ABC123"), entry("AB*"), entry("ABC123", "own"))
    assert match(listed) == []
    assert match(listed, "A8C123", confidence=0.9) == [], "by its own rules"
    assert [h.entry.entry for h in match(listed, "ABX999")] == ["AB*"]
    unsure = (Candidate("ABX999", 0.6), Candidate("ABC123", 0.4))
    assert match(listed, "ABX999", unsure), "a candidate ignores nothing"


def test_an_allow_list_tells_what_is_not_on_it() -> None:
    allow = rules("staff", kind="allow", ocr_equivalent=1, reason="stranger")
    listed = hotlist(allow, entry("ABC123", "staff"), entry("XY*", "staff"))
    (hit,) = match(listed, "KLM471", confidence=0.9)
    assert (hit.match, hit.entry.entry, hit.probability, hit.reason) == ("unlisted", "", 0.9, "stranger")
    for plate in ("ABC123", "A8C123", "XY1"):
        assert match(listed, plate, confidence=0.9) == []
    assert match(listed, "KLM471", confidence=0.7) == [], "too unsure: 0.8 where the list sets nothing"
    unsure = (Candidate("ABG123", 0.85), Candidate("ABC123", 0.15))
    assert match(listed, "ABG123", unsure, confidence=0.85)
    strict = hotlist(rules("staff", kind="allow", threshold=0.95), entry("ABC123", "staff"))
    assert match(strict, "ABG123", unsure, confidence=0.85) == []
    assert match(hotlist(allow), "KLM471", confidence=0.9) == [], "an empty list says nothing yet"


def test_what_an_entry_leaves_open_its_list_says() -> None:
    listed = hotlist(
        rules(priority="high", reason="theft", owner="desk 7"),
        entry("ABC123"),
        entry("ABC1*", priority="low", reason="r", owner="o"),
    )
    exact, pattern = match(listed)
    assert (exact.priority, exact.reason, exact.owner) == ("high", "theft", "desk 7")
    assert (pattern.priority, pattern.reason, pattern.owner) == ("low", "r", "o")


def test_a_skeleton_is_equal_for_all_look_alikes() -> None:
    for group in LOOKALIKES:
        assert len({skeleton(c) for c in group}) == 1
    assert skeleton("A8C0D3") == skeleton("4BCOQ3")
    assert equivalent("0", "O")
    assert not equivalent("0", "0")
    assert not equivalent("C", "G")


def _edits(a: str, b: str, equivalents: int) -> int:
    """Least differences between two texts, by brute force over who is matched with whom."""
    if not a or not b:
        return len(a) + len(b)
    ways = [1 + _edits(a[1:], b, equivalents), 1 + _edits(a, b[1:], equivalents)]
    ways.append((a[0] != b[0]) + _edits(a[1:], b[1:], equivalents))
    if equivalents and equivalent(a[0], b[0]):
        ways.append(_edits(a[1:], b[1:], equivalents - 1))
    return min(ways)


_SHORT = st.text("A4O0B8", min_size=1, max_size=5)


@given(_SHORT, _SHORT, st.integers(0, 2), st.integers(0, 2))
def test_within_counts_as_the_definition_does(a: str, b: str, equivalents: int, differences: int) -> None:
    assert within(a, b, equivalents, differences) == (_edits(a, b, equivalents) <= differences)


@given(st.lists(_SHORT, min_size=1, max_size=30), _SHORT, st.integers(0, 2))
def test_the_index_of_near_texts_misses_none(texts: list[str], wanted: str, depth: int) -> None:
    index = Neighbours(depth)
    for number, text in enumerate(texts):
        index.add(text, number)
        if number % 7 == 0:
            index.find(text)
    near = {number for number, text in enumerate(texts) if _edits(text, wanted, 0) <= depth}
    assert near <= index.find(wanted)


def test_a_long_index_finds_few_besides() -> None:
    rng = random.Random(3)
    texts = ["".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=7)) for _ in range(40_000)]
    index = Neighbours(1)
    for number, text in enumerate(texts):
        index.add(text, number)
    for number in rng.sample(range(len(texts)), 50):
        found = index.find(texts[number][:-1] + "0")
        assert number in found
        assert len(found) < 20
    assert index.nbytes >= 32_000 * 8 * 12
