"""The store's benchmark makes its rows once, however often it was ended."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import store as bench
from store import Store, migrate, open_store

TOTAL = 10_000


class Ended(Exception):
    """The run was ended."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(bench, "CHUNK", 2_000)
    opened = open_store(f"chdb://{tmp_path}/db")
    migrate(opened)
    yield opened
    opened.close()


def count(store: Store, table: str) -> int:
    return int(bench.number(store, f"SELECT count() FROM {table}"))


def test_a_filling_that_was_ended_goes_on_and_no_row_is_there_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = store.execute
    fills = 0

    def ended_after_three(sql: str) -> None:
        nonlocal fills
        execute(sql)
        fills += "INSERT INTO sightings_raw" in sql
        if fills == 3:
            # the chunk is in, and nobody has written down that it is
            raise Ended

    monkeypatch.setattr(store, "execute", ended_after_three)
    with pytest.raises(Ended):
        bench.Filling(store, TOTAL).run()
    assert 0 < count(store, "sightings_raw") < TOTAL
    monkeypatch.setattr(store, "execute", execute)
    bench.Filling(store, TOTAL).run()
    for table in ("sightings_raw", "sightings_time_raw", "plain"):
        assert count(store, table) == TOTAL, table
    assert bench.number(store, "SELECT uniqExact(sighting_id) FROM sightings") == TOTAL
    assert bench.number(store, "SELECT uniqExact(plate) = (SELECT count() FROM plates) FROM sightings") == 1
    parts = (
        "SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active AND table = '{}' GROUP BY partition)"
    )
    assert bench.number(store, parts.format("sightings_raw")) == 1

    steps: list[Any] = store.query("SELECT step FROM filled ORDER BY step")
    assert len(steps) == len({row["step"] for row in steps})
    bench.Filling(store, TOTAL).run()
    assert store.query("SELECT step FROM filled ORDER BY step") == steps


def test_rows_come_in_the_order_of_time(store: Store) -> None:
    bench.Filling(store, TOTAL).run()
    sql = "SELECT max(abs(date_diff('hour', at, toDateTime('2026-01-01', 'UTC')) * -1 - n * 2160 / {0})) FROM ({1})"
    rows = "SELECT opened_at AS at, toUInt64(reinterpret(sighting_id, 'UInt128')) - 1 AS n FROM sightings"
    assert bench.number(store, sql.format(TOTAL, rows)) <= 2
