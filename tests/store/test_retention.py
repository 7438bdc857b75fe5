"""Days kept become TTLs, and rows out of time go: those with a hit by days of their own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from samples import alert, sighting

from store import Store, StoreRejected, migrate, open_store, rows
from store.retention import Retention, apply

NOW = datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path}/db")
    migrate(opened)
    yield opened
    opened.close()


def test_it_is_set_changed_and_taken_off_again(store: Store) -> None:
    assert apply(store, Retention()) == []
    both = Retention(sightings=30, hits=30, crops=7, hit_crops=7)
    assert len(apply(store, both)) == 4
    assert apply(store, both) == []
    assert apply(store, Retention(sightings=30, hits=30, crops=8, hit_crops=8)) == [
        "ALTER TABLE crops_raw MODIFY TTL toDateTime(opened_at) + toIntervalDay(8)"
    ]
    hits = Retention(sightings=30, hits=365, crops=7, hit_crops=0)
    assert len(apply(store, hits)) == 4
    assert apply(store, hits) == [], "what the store says of a TTL with a condition is known again"
    assert len(apply(store, Retention())) == 4
    assert apply(store, Retention()) == []


def put(store: Store) -> None:
    """Sightings 2, 40, 41 and 400 days old; the third and fourth have a hit, the second a withdrawn one."""
    ages = (2, 40, 41, 400)
    made = [sighting(number, at=NOW - timedelta(days=days)) for number, days in enumerate(ages)]
    store.insert(rows.SIGHTINGS, [rows.sighting_row(one) for one in made], token="s")
    store.insert(rows.CROPS, [row for one in made if (row := rows.crop_row(one))], token="c")
    hits = [alert(1), alert(1, status="withdrawn", revision=2), alert(2), alert(3)]
    for number, one in enumerate(hits):
        store.insert(rows.ALERTS, [rows.alert_row(one)], token=f"a{number}")


def left(store: Store, table: str) -> list[object]:
    store.execute(f"OPTIMIZE TABLE {table} FINAL")
    return [row["plate"] for row in store.query(f"SELECT plate FROM {table} ORDER BY plate")]


@pytest.mark.parametrize(
    ("retention", "plates"),
    [
        (Retention(sightings=30, hits=30), ["TEST000"]),
        (Retention(sightings=30, hits=365), ["TEST000", "TEST002"]),
        (Retention(sightings=30), ["TEST000", "TEST002", "TEST003"]),
        (Retention(sightings=500, hits=500), ["TEST000", "TEST001", "TEST002", "TEST003"]),
    ],
)
def test_sightings_out_of_time_go_and_hits_have_days_of_their_own(
    store: Store, retention: Retention, plates: list[str]
) -> None:
    put(store)
    apply(store, retention)
    for table in ("sightings_raw", "sightings_time_raw"):
        assert left(store, table) == plates
    assert left(store, "plates") == plates, "a plate stays as long as a sighting of it, and no longer"


def test_crops_of_hits_are_kept_while_the_others_go(store: Store) -> None:
    put(store)
    apply(store, Retention(crops=30))
    assert left(store, "crops_raw") == ["TEST000", "TEST002", "TEST003"]
    assert left(store, "sightings_raw") == ["TEST000", "TEST001", "TEST002", "TEST003"]


@pytest.mark.parametrize(
    ("retention", "words"),
    [
        (Retention(crops=-1), "retention of crops: -1 days"),
        (Retention(hits=30), r"retention of hits: 30 days is shorter than that of sightings \(forever\)"),
        (Retention(sightings=60, hits=30), r"retention of hits: 30 days is shorter than that of sightings \(60\)"),
        (Retention(crops=60, hit_crops=30), "retention of hit_crops"),
        (Retention(sightings=30, hits=90, alerts=60), "retention of alerts: 60 days is shorter than that of hits"),
        (Retention(sightings=30, alerts=60), r"retention of alerts: 60 days is shorter than that of hits \(forever\)"),
    ],
)
def test_days_that_contradict_each_other(store: Store, retention: Retention, words: str) -> None:
    with pytest.raises(StoreRejected, match=words):
        apply(store, retention)


def test_alerts_may_go_early_where_hits_are_kept_no_longer(store: Store) -> None:
    assert len(apply(store, Retention(sightings=30, hits=30, alerts=10))) == 4
