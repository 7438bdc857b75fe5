"""Functions for plates, and the views that bring sightings together: encounters, convoys, hotlists and so on."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from samples import T0, camera, sighting

from schemas.codec import decode_json
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit
from schemas.sighting import Sighting
from store import Store, migrate, open_store, rows

METRES = 1 / 111_195
"""Degrees of latitude in a metre."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path}/db")
    migrate(opened)
    yield opened
    opened.close()


def seen(number: int, plate: str, seconds: float, metres: float = 0.0, **changes: Any) -> Sighting:
    """A sighting `seconds` after T0, `metres` north of the first place; its winning read is its first."""
    at = T0 + timedelta(seconds=seconds)
    made = sighting(number, plate=plate, at=at, lat=52.5 + metres * METRES, **changes)
    trail = tuple(msgspec.structs.replace(point, lat=52.5 + metres * METRES) for point in made.trail)
    return msgspec.structs.replace(made, trail=trail, evidence=msgspec.structs.replace(made.evidence, captured_at=at))


def put(store: Store, *messages: Sighting) -> None:
    store.insert(rows.SIGHTINGS, [rows.sighting_row(one) for one in messages], token=str(messages[0].sighting_id))


def period(begin: datetime = T0, days: float = 1.0) -> str:
    end = begin + timedelta(days=days)
    return f"since = '{begin:%Y-%m-%d %H:%M:%S}', until = '{end:%Y-%m-%d %H:%M:%S}'"


@pytest.mark.parametrize(
    ("plate", "pattern", "matches"),
    [
        ("ABX12", "AB?12*", True),
        ("ABX1299", "ab-? 12 *", True),
        ("AB12", "AB?12*", False),
        ("XABX12", "AB?12*", False),
        ("XABX12", "*AB?12", True),
        ("AB12", "AB12", True),
        ("AB123", "AB12", False),
        ("AB%2", "AB%2", True),
        ("ABX2", "AB%2", False),
        ("AB_2", "AB_2", True),
        ("ABX2", "AB_2", False),
        ("AB\\2", "AB\\2", True),
        ("", "*", True),
        ("abx12", "AB?12", False),
        ("AB X12", "AB?12", False),
    ],
)
def test_plate_like(store: Store, plate: str, pattern: str, matches: bool) -> None:
    sql = "SELECT plateLike({plate:String}, {pattern:String}) AS m"
    assert bool(store.query(sql, {"plate": plate, "pattern": pattern})[0]["m"]) is matches


def test_plate_skeletons_are_the_same_for_characters_that_look_alike(store: Store) -> None:
    groups = ("0OQD", "1IL", "2Z", "5S", "6G", "8B")
    for group in groups:
        found = store.query("SELECT arrayMap(c -> plateSkeleton(c), {all:Array(String)}) AS s", {"all": list(group)})
        assert found == [{"s": [group[0]] * len(group)}]
    kept = "ACEFHJKMNPRTUVWXY3479"
    assert store.query("SELECT plateSkeleton({p:String}) AS s", {"p": kept}) == [{"s": kept}]
    assert store.query("SELECT plateSkeleton('ab-o 1') AS s") == [{"s": "A801"}]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("ABC1", "ABC1", 0), ("ABC1", "abc-1", 0), ("ABC1", "ABCI", 0.5), ("ABC1", "ABC7", 1), ("ABC1", "ABC", 1)],
)
def test_plate_distance(store: Store, one: str, other: str, distance: float) -> None:
    sql = "SELECT plateDistance({a:String}, {b:String}) AS ab, plateDistance({b:String}, {a:String}) AS ba"
    assert store.query(sql, {"a": one, "b": other}) == [{"ab": distance, "ba": distance}]


def test_functions_are_there_after_the_store_was_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        store = open_store(f"chdb://{tmp_path}/again")
        migrate(store)
        assert store.query("SELECT plateDistance('B', '8') AS d") == [{"d": 0.5}]
        store.close()


def test_a_pattern_that_begins_with_letters_reads_a_part_of_the_plates(store: Store) -> None:
    store.execute(
        "INSERT INTO sightings_raw (plate, opened_at, sighting_id) SELECT concat('P', leftPad(toString(number), 6, "
        "'0')), toDateTime64('2026-03-01 00:00:00', 3, 'UTC'), generateUUIDv4() FROM numbers(100000)"
    )
    plan = store.query("EXPLAIN indexes = 1 SELECT plate FROM plates WHERE plateLike(plate, 'P0001?5*')")
    assert "Granules: 1/12" in "\n".join(str(row["explain"]) for row in plan)


def test_former_plates_are_in_both_orders(store: Store) -> None:
    put(store, seen(1, "RIGHT", 0, former_plates=("WR0NG", "WRONG")))
    for view in ("sightings", "sightings_by_time"):
        assert store.query(f"SELECT plate FROM {view} WHERE has(former_plates, 'WR0NG')") == [{"plate": "RIGHT"}]


def encounters(store: Store) -> list[dict[str, object]]:
    """Of both views, which must agree."""
    columns = "plate, cameras, sightings, first_seen, last_seen"
    whole = store.query(f"SELECT {columns} FROM encounters ORDER BY plate, first_seen")
    assert store.query(f"SELECT {columns} FROM encounters_between({period()}) ORDER BY plate, first_seen") == whole
    return whole


def test_cameras_that_follow_a_vehicle_for_minutes_meet_whenever_their_best_reads_are(store: Store) -> None:
    def followed(number: int, camera: str, begins: float, best: float, metres: float) -> Sighting:
        made = seen(number, "LONG1", begins, metres, camera_id=camera)
        points = tuple(
            msgspec.structs.replace(
                made.trail[0], at=T0 + timedelta(seconds=begins + second), lat=52.5 + (metres + 10 * second) * METRES
            )
            for second in (0, 60, 120)
        )
        return msgspec.structs.replace(
            made,
            first_seen=made.first_seen,
            last_seen=made.first_seen + timedelta(seconds=120),
            trail=points,
            evidence=msgspec.structs.replace(made.evidence, captured_at=T0 + timedelta(seconds=best)),
        )

    put(store, followed(1, "cam-1", 0, 20, 0), followed(2, "cam-2", 1, 80, 50))
    put(store, followed(3, "cam-3", 2, 100, 30_000))
    assert [(one["cameras"], one["sightings"]) for one in encounters(store)] == [(["cam-1", "cam-2"], 2)]


def test_a_vehicle_that_several_cameras_see_within_seconds_is_one_encounter(store: Store) -> None:
    put(
        store,
        seen(1, "CAR1", 0, camera_id="cam-1"),
        seen(2, "CAR1", 8, 120, camera_id="cam-2"),
        seen(3, "CAR1", 20, 300, camera_id="cam-3"),
        seen(4, "CAR1", 600, 310, camera_id="cam-1"),
        seen(5, "CAR2", 4, camera_id="cam-1"),
    )
    (one,) = encounters(store)
    assert (one["plate"], one["cameras"], one["sightings"]) == ("CAR1", ["cam-1", "cam-2", "cam-3"], 3)
    assert (one["first_seen"], one["last_seen"]) == (T0, seen(3, "", 20).last_seen)


def test_one_camera_alone_makes_no_encounter(store: Store) -> None:
    put(store, seen(1, "CAR1", 0), seen(2, "CAR1", 10, 50))
    assert encounters(store) == []


@pytest.mark.parametrize(("metres", "speed", "joined"), [(390, 12.5, 1), (440, 12.5, 0), (440, 20.0, 1)])
def test_the_place_must_be_within_what_the_vehicle_can_drive(
    store: Store, metres: float, speed: float, joined: int
) -> None:
    """100 m and ten seconds at 15 m/s + 1.5 times the cameras' speed: 437 m at 12.5 m/s, 550 m at 20 m/s."""
    put(store, seen(1, "CAR1", 0, camera_id="cam-1"), seen(2, "CAR1", 10, metres, camera_id="cam-2", speed=speed))
    assert len(encounters(store)) == joined


def test_no_encounter_after_a_minute_or_without_a_place(store: Store) -> None:
    put(
        store,
        seen(1, "CAR1", 0, camera_id="cam-1"),
        seen(2, "CAR1", 60, camera_id="cam-2"),
        msgspec.structs.replace(seen(3, "CAR1", 61, camera_id="cam-3"), lat=None, lon=None),
    )
    assert encounters(store) == []


def drive(store: Store, leader: str, follower: str, behind: float, stops: int, first: int = 100) -> None:
    """Two plates pass `stops` places 2 km and 5 minutes apart, each time by another camera."""
    for stop in range(stops):
        put(store, seen(first + stop, leader, stop * 300, stop * 2000, camera_id=f"cam-{stop}"))
        put(store, seen(first + 50 + stop, follower, stop * 300 + behind, stop * 2000 + 60, camera_id=f"cam-{stop}"))


def test_plates_that_travel_together_are_a_convoy(store: Store) -> None:
    drive(store, "LEAD", "TAIL", 9, 4)
    put(store, seen(1, "BYST", 5, 20), seen(2, "BYST", 305, 2010))
    (one,) = store.query(f"SELECT * FROM convoys({period()})")
    assert (one["plate_a"], one["plate_b"], one["pairs"], one["places"]) == ("LEAD", "TAIL", 4, 4)
    assert (one["mean_seconds_apart"], one["cameras"], one["occasions"]) == (9.0, 4, 2)
    assert one["mean_metres"] == pytest.approx(60, abs=1)
    assert store.query(f"SELECT * FROM convoys({period(T0 + timedelta(days=2))})") == []


def test_a_place_counts_once_however_long_the_jam(store: Store) -> None:
    for number in range(20):
        put(store, seen(number, "LEAD", number * 10), seen(100 + number, "TAIL", number * 10 + 5))
    assert store.query(f"SELECT * FROM convoys({period()})") == []


def test_co_travellers_of_one_plate(store: Store) -> None:
    drive(store, "LEAD", "TAIL", -9, 4)
    put(store, seen(1, "BYST", 5, 20), seen(2, "BYST", 305, 2010), seen(3, "ONCE", 4))
    put(store, seen(4, "LATE", 70), seen(5, "LATE", 370, 2000), seen(6, "FAR", 0, 600), seen(7, "FAR", 300, 2700))
    found = store.query(
        f"SELECT plate, places, pairs, mean_seconds_behind FROM co_travellers(plate = 'LEAD', {period(T0, 30)})"
    )
    assert found == [
        {"plate": "TAIL", "places": 4, "pairs": 4, "mean_seconds_behind": -9.0},
        {"plate": "BYST", "places": 2, "pairs": 2, "mean_seconds_behind": 5.0},
    ]


def test_last_seen_is_the_newest_sighting_though_it_has_no_place(store: Store) -> None:
    put(store, seen(1, "CAR1", 0), msgspec.structs.replace(seen(2, "CAR1", 50, camera_id="cam-9"), lat=None, lon=None))
    (one,) = store.query("SELECT * FROM last_seen WHERE plate = 'CAR1'")
    assert (one["camera_id"], one["lat"], one["last_seen"]) == ("cam-9", None, seen(2, "", 50).last_seen)


def test_camera_health_says_what_is_wrong(store: Store) -> None:
    states = [
        camera(camera_id="good"),
        camera(camera_id="bad", status="silent", frames=80, missing=20, clock_skew_ms=-9000, luma=3.0),
    ]
    store.insert(rows.CAMERA_STATES, [rows.camera_row(one) for one in states], token="t")
    found = {row["camera_id"]: row for row in store.query("SELECT * FROM camera_health")}
    assert found["good"]["problems"] == ["no state for 5 minutes"], "T0 is long ago"
    assert found["bad"]["problems"] == [
        "silent",
        "no state for 5 minutes",
        "loses frames",
        "wrong clock",
        "dark or covered",
    ]
    assert found["bad"]["missing_share"] == 0.2


def test_a_hotlist_s_entry_is_changed_and_taken_off(store: Store) -> None:
    entry = HotlistEntry(hotlist_id="stolen", entry="TEST001", priority="high", reason="theft", added_at=T0)
    late = msgspec.structs.replace(entry, reason="found?", valid_until=T0 + timedelta(days=1))
    pattern = msgspec.structs.replace(entry, hotlist_id="watch", entry="AB?1*")
    said = [(entry.key, entry, 5), (late.key, late, 9), (pattern.key, pattern, 6)]
    for key, message, offset in (*said, said[0]):
        row = rows.hotlist_row(key, message, rows.Origin(0, offset))
        store.insert(rows.HOTLIST, [row], token=f"{key}/{offset}")
    found = store.query("SELECT entry, reason, is_pattern, in_force, message FROM hotlist ORDER BY entry")
    assert [(row["entry"], row["reason"], row["is_pattern"], row["in_force"]) for row in found] == [
        ("AB?1*", "theft", 1, 1),
        ("TEST001", "found?", 0, 0),
    ]
    assert decode_json(str(found[1]["message"]).encode(), HotlistEntry) == late
    store.insert(rows.HOTLIST, [rows.hotlist_row(late.key, None, rows.Origin(0, 11))], token="off")
    assert store.query("SELECT hotlist_id FROM hotlist") == [{"hotlist_id": "watch"}]


def test_a_list_s_rules_and_wrong_hits_are_no_entries(store: Store) -> None:
    rules = HotlistRules(hotlist_id="stolen", kind="ignore", updated_at=T0, updated_by="ann")
    hit = WrongHit(hotlist_id="stolen", entry="TEST001", plate="TESTOO1", truth="TEST007", at=T0, by="ann")
    block = [rows.hotlist_row(one.key, one, rows.Origin(0, number)) for number, one in enumerate((rules, hit))]
    store.insert(rows.HOTLIST, block, token="t")
    assert store.query("SELECT * FROM hotlist") == []
    assert store.query("SELECT hotlist_id, kind, updated_by FROM hotlist_rules") == [
        {"hotlist_id": "stolen", "kind": "ignore", "updated_by": "ann"}
    ]
    assert store.query("SELECT entry, plate, truth, suppress, by FROM wrong_hits") == [
        {"entry": "TEST001", "plate": "TESTOO1", "truth": "TEST007", "suppress": 1, "by": "ann"}
    ]
    store.insert(rows.HOTLIST, [rows.hotlist_row(hit.key, None, rows.Origin(0, 7))], token="off")
    assert store.query("SELECT * FROM wrong_hits") == []
