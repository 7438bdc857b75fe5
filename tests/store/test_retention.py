"""Days kept become TTLs, and rows out of time go."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from samples import sighting

from store import Store, StoreRejected, migrate, open_store, rows
from store.retention import Retention, apply


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path}/db")
    migrate(opened)
    yield opened
    opened.close()


def test_it_is_set_changed_and_taken_off_again(store: Store) -> None:
    assert apply(store, Retention()) == []
    assert len(apply(store, Retention(sightings=30, crops=7))) == 4
    assert apply(store, Retention(sightings=30, crops=7)) == []
    assert apply(store, Retention(sightings=30, crops=8)) == [
        "ALTER TABLE crops_raw MODIFY TTL toDateTime(opened_at) + toIntervalDay(8)"
    ]
    assert len(apply(store, Retention())) == 4
    assert apply(store, Retention()) == []


def test_rows_out_of_time_go(store: Store) -> None:
    now = datetime.now(UTC)
    old, new = sighting(1, at=now - timedelta(days=40)), sighting(2, at=now - timedelta(days=2))
    store.insert(rows.SIGHTINGS, [rows.sighting_row(one) for one in (old, new)], token="t")
    apply(store, Retention(sightings=30))
    for table in ("sightings_raw", "sightings_time_raw", "plates"):
        store.execute(f"OPTIMIZE TABLE {table} FINAL")
    for view in ("sightings", "sightings_by_time", "plates"):
        assert store.query(f"SELECT plate FROM {view}") == [{"plate": new.plate}]


def test_days_below_none(store: Store) -> None:
    with pytest.raises(StoreRejected, match="retention of crops: -1 days"):
        apply(store, Retention(crops=-1))
