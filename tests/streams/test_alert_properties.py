"""What must hold of alerts whatever is read: one sighting changes its plate as it likes, keys are taken in any order.

A script is a sequence of plates that a sighting is known under; the tracker's way of telling it is a withdrawing
revision for the old plate before each change. Each plate has its own state, as each has its own key on the topic.
"""

from collections import defaultdict
from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from schemas.alert import Alert
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit
from schemas.read import Candidate
from schemas.sighting import Sighting
from streams.hotlist import Hotlist, covers
from tests.streams.test_vehicle_alerts import Plate, sighting

PLATES = ("ABC123", "A8C123", "ABC128", "KLM471")
ENTRIES = ("ABC123", "A?C123", "A*", "KLM471", "*C12*")
_steps = st.lists(
    st.tuples(st.sampled_from(PLATES), st.sampled_from(PLATES), st.floats(0.3, 1.0)), min_size=1, max_size=8
)
_entries = st.sets(st.sampled_from(ENTRIES), min_size=1)
_rules = st.fixed_dictionaries(
    {
        "ocr_equivalent": st.integers(0, 1),
        "differences": st.integers(0, 1),
        "threshold": st.sampled_from([None, 0.1, 0.5]),
        "cool_down_s": st.sampled_from([0.0, 3600.0]),
        "kind": st.sampled_from(["alert", "allow"]),
    }
)


def told(steps: Sequence[tuple[str, str, float]], number: int) -> list[Sighting]:
    """The revisions of one sighting."""
    out: list[Sighting] = []
    before = ""
    former: tuple[str, ...] = ()
    for plate, other, p in steps:
        others = (Candidate(plate, p),) + ((Candidate(other, (1 - p) * 0.9),) if other != plate else ())
        if before and plate != before:
            out.append(sighting(before, len(out) + 1, "withdrawn", number, candidates=others))
            former = (*(one for one in former if one not in (before, plate)), before)
        more = {"confidence": p, "candidates": others, "former_plates": former}
        out.append(sighting(plate, len(out) + 1, number=number, **more))
        before = plate
    return out


def listed(entries: set[str], rules: dict[str, object]) -> Hotlist:
    made = Hotlist()
    at = sighting("X", 1).last_seen
    made.put_rules(HotlistRules(hotlist_id="stolen", updated_at=at, **rules))  # type: ignore[arg-type]
    for entry in entries:
        made.put(HotlistEntry(hotlist_id="stolen", entry=entry, added_at=at))
    return made


def run(on: Hotlist, sightings: Sequence[Sighting]) -> dict[str, list[Alert]]:
    """Alerts by the plate whose key carries them."""
    plates: dict[str, Plate] = {}
    out = defaultdict(list)
    for one in sightings:
        out[one.plate] += plates.setdefault(one.plate, Plate(on)).take(one)
    return out


def flat(alerts: dict[str, list[Alert]]) -> list[Alert]:
    return [alert for plate in sorted(alerts) for alert in alerts[plate]]


@given(st.lists(_steps, min_size=1, max_size=3), _entries, _rules)
def test_no_alert_is_sent_twice(scripts: list[list[tuple[str, str, float]]], entries: set[str], rules: dict) -> None:
    seen = [one for number, steps in enumerate(scripts, start=1) for one in told(steps, number)]
    alerts = flat(run(listed(entries, rules), seen))
    assert len({(a.alert_id, a.revision, a.status) for a in alerts}) == len(alerts)
    assert len({(a.alert_id, a.revision) for a in alerts}) == len(alerts), "nor taken back by what raised it"


@given(_steps, _entries, _rules)
def test_what_is_withdrawn_stays_so_until_a_later_revision(
    steps: list[tuple[str, str, float]], entries: set[str], rules: dict
) -> None:
    for alerts in run(listed(entries, rules), told(steps, 1)).values():
        state: dict[str, Alert] = {}
        for alert in alerts:
            before = state.get(alert.alert_id)
            if alert.status == "withdrawn":
                assert before is not None, "never withdrawn before it was raised under this plate"
                assert before.status == "raised"
            assert before is None or alert.revision > before.revision
            state[alert.alert_id] = alert


@given(_steps, _entries, _rules, st.sets(st.sampled_from(PLATES), max_size=2), st.booleans(), st.randoms())
def test_in_the_end_the_highest_revision_says_what_holds(
    steps: list[tuple[str, str, float]], entries: set[str], rules: dict, ignored: set[str], wrong: bool, chance: Random
) -> None:
    """What stands is what the last revision meets, though plates on the way met other entries or were let off."""
    on = listed(entries, rules)
    at = sighting("X", 1).last_seen
    on.put_rules(HotlistRules(hotlist_id="own", kind="ignore", updated_at=at))
    for plate in ignored:
        on.put(HotlistEntry(hotlist_id="own", entry=plate, added_at=at))
    final = steps[-1][0]
    if wrong:
        for entry in entries:
            on.put_wrong(WrongHit(hotlist_id="stolen", entry=entry, plate=final, at=at))
    seen = told(steps, 1)
    alerts = flat(run(on, seen))
    # plates are different keys: their messages come in any order
    chance.shuffle(alerts)
    last = {a.alert_id: a for a in sorted(alerts, key=lambda a: a.revision)}
    raised = {a.entry for a in last.values() if a.status == "raised"}
    assert all(a.plate == final for a in last.values() if a.status == "raised"), "no plate that was corrected away"
    met = {hit.entry.entry for hit in on.match(seen[-1], 0.2)}
    assert met <= raised
    # the last plate itself may have met more before: a match that fades stays until a quarter of it is left
    own = [one for one in seen if one.plate == final and one.status != "withdrawn"]
    assert raised <= {hit.entry.entry for one in own for hit in on.match(one, 0.2)}


@given(st.lists(_steps, min_size=1, max_size=2), _entries, _rules, st.data())
def test_a_replay_tells_the_same_ids(
    scripts: list[list[tuple[str, str, float]]], entries: set[str], rules: dict, data: st.DataObject
) -> None:
    on = listed(entries, rules)
    seen = [one for number, steps in enumerate(scripts, start=1) for one in told(steps, number)]
    once = flat(run(on, seen))
    assert flat(run(on, seen)) == once
    # each message again, at its own offset and at a later one, as after a crash before and behind the topic
    repeated = [one for one in seen for _ in range(data.draw(st.integers(1, 3)))]
    assert flat(run(on, repeated)) == once


@given(_steps, _entries)
def test_a_cool_down_changes_when_but_never_whether(steps: list[tuple[str, str, float]], entries: set[str]) -> None:
    """Of one sighting there is nothing to hold back."""
    with_, without = ({"cool_down_s": 3600.0}, {})
    seen = told(steps, 1)
    assert flat(run(listed(entries, with_), seen)) == flat(run(listed(entries, without), seen))


@given(st.lists(_steps, min_size=2, max_size=4), _entries)
def test_a_cool_down_never_loses_the_first(scripts: list[list[tuple[str, str, float]]], entries: set[str]) -> None:
    """Of each plate and entry that stand without it, one stands with it."""
    seen = [one for number, steps in enumerate(scripts, start=1) for one in told(steps, number)]
    seen = [sighting_at_one_place(one) for one in seen]

    def standing(rules: dict[str, object]) -> set[tuple[str, str]]:
        found = set()
        for plate, alerts in run(listed(entries, rules), seen).items():
            last = {a.alert_id: a for a in alerts}
            found |= {(plate, a.entry) for a in last.values() if a.status == "raised"}
        return found

    final = {steps[-1][0] for steps in scripts}
    without = standing({})
    assert {plate for plate, _ in without} <= final, "no plate that was corrected away"
    wanted = {(plate, entry) for plate, entry in without if covers(entry, plate)}
    assert wanted <= standing({"cool_down_s": 3600.0})


def sighting_at_one_place(one: Sighting) -> Sighting:
    return sighting(
        one.plate, one.revision, one.status, int(one.sighting_id[-4:]), confidence=one.confidence,
        candidates=one.candidates, former_plates=one.former_plates, lat=52.0, lon=13.0,
    )  # fmt: skip
