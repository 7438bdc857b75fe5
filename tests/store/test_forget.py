"""Forgetting a plate: everything of it goes, everything of others stays, and the report says what went."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from samples import T0, alert, dead, frame_reads, plate_read, sighting

from schemas.hotlist import HotlistEntry
from schemas.ids import alert_id
from schemas.read import Candidate
from schemas.sighting import Sighting
from store import Store, migrate, open_store, rows
from store.audit import AuditLog
from store.forget import forget

GONE, KEPT = "TEST007", "KEEP123"
TABLES = ("sightings_raw", "sightings_time_raw", "plates", "crops_raw", "reads_raw", "alerts_raw", "dead_letters_raw")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path}/db")
    migrate(opened)
    yield opened
    opened.close()


def put_sighting(store: Store, message: Sighting) -> None:
    token = f"{message.sighting_id}/{message.revision}/{message.plate}"
    store.insert(rows.SIGHTINGS, [rows.sighting_row(message)], token=token)
    crop = rows.crop_row(message)
    if crop is not None:
        store.insert(rows.CROPS, [crop], token=token)


def put_read(store: Store, plate: str, seconds: float, camera: str = "cam-1", **changes: object) -> None:
    at = round((T0 + timedelta(seconds=seconds)).timestamp() * 1000)
    message = frame_reads(camera_id=camera, seq=at, captured_at=at, reads=(plate_read(plate=plate, **changes),))
    store.insert(rows.READS, rows.read_rows(message), token=f"{plate}/{seconds}/{camera}")


def mentions(store: Store, text: str) -> dict[str, int]:
    """Rows of each table that say `text` in any column."""
    sql = "SELECT count() AS n FROM {0} WHERE position(formatRow('JSONEachRow', *), {{t:String}}) > 0"
    return {table: int(str(store.query(sql.format(table), {"t": text})[0]["n"])) for table in TABLES}


def fill(store: Store) -> None:
    put_sighting(store, sighting(1, plate="TE5T007", revision=1))
    put_sighting(store, sighting(1, plate=GONE, revision=3, former_plates=("TE5T007",)))
    put_sighting(store, sighting(1, plate="TE5T007", revision=2, status="withdrawn"))
    put_sighting(store, sighting(2, plate=GONE, revision=1))
    put_sighting(
        store, sighting(2, plate=KEPT, revision=3, former_plates=(GONE, "K33P"), candidates=(Candidate(KEPT, 0.9),))
    )
    put_sighting(store, sighting(2, plate=GONE, revision=2, status="withdrawn"))
    other = (Candidate("OTHER1", 0.6), Candidate(GONE, 0.4))
    put_sighting(store, sighting(3, plate="OTHER1", candidates=other))
    for plate, seconds in ((GONE, 1.1), ("TE5T0O7", 1.2), ("FARAWAY", 1.3), ("TE5T007", 30.0), ("", 1.4)):
        put_read(store, plate, seconds)
    put_read(store, "TE5T007", 1.2, camera="cam-2")
    put_read(store, "OTHER1", 99.0, candidates=other)
    raised = alert(1, plate=GONE, entry=GONE, alert_id=alert_id("stolen", GONE, sighting(1).sighting_id))
    for number, message in enumerate((raised, alert(9, plate=KEPT, entry="KEEP*"))):
        store.insert(rows.ALERTS, [rows.alert_row(message)], token=str(number))
    payloads = (b'{"plate": "TEST007"}', b'{"plate": "KEEP123"}')
    for number, payload in enumerate(payloads):
        letter = dead(origin_offset=number, dead_id=f"00000000-0000-5000-8000-00000000000{number}")
        store.insert(rows.DEAD_LETTERS, [rows.dead_row(letter, b"k", payload)], token=str(number))
    entry = HotlistEntry(hotlist_id="stolen", entry=GONE, added_at=T0)
    store.insert(rows.HOTLIST, [rows.hotlist_row(entry.key, entry, rows.Origin(0, 1))], token="h")
    AuditLog(store, "c").write("ann", "search", f"SELECT * FROM sightings WHERE plate = '{GONE}'", "")


def test_nothing_of_the_plate_is_left_and_all_of_the_others(store: Store) -> None:
    fill(store)
    before = mentions(store, KEPT)
    assert all(mentions(store, GONE).values()), "the test puts it everywhere"
    report = forget(store, GONE)
    assert mentions(store, GONE) == dict.fromkeys(TABLES, 0)
    assert mentions(store, KEPT) == before
    assert store.query("SELECT plate, former_plates FROM sightings ORDER BY plate") == [
        {"plate": KEPT, "former_plates": ["K33P"]},
        {"plate": "OTHER1", "former_plates": []},
    ]
    assert store.query("SELECT candidates FROM sightings_by_time WHERE plate = 'OTHER1'") == [
        {"candidates": [{"plate": "OTHER1", "confidence": pytest.approx(0.6)}]}
    ]
    texts = [row["plate"] for row in store.query("SELECT plate FROM reads ORDER BY captured_at, camera_id")]
    assert texts == ["TE5T007", "FARAWAY", "", "TE5T007"], "another camera's, another vehicle's, none, another time's"
    assert report.complete
    assert report.hotlist_entries == ("stolen/TEST007",)
    assert report.audit_rows == 1


def test_no_mutation_keeps_the_text(store: Store, tmp_path: Path) -> None:
    fill(store)
    assert forget(store, GONE, hotlist=True).complete
    assert store.query("SELECT count() > 5 AS several FROM system.mutations") == [{"several": 1}]
    for text in (GONE, "TE5T0O7"):
        sql = "SELECT command FROM system.mutations WHERE position(command, {t:String}) > 0"
        assert store.query(sql, {"t": text}) == []
        kept = [path for path in tmp_path.rglob("mutation_*.txt") if text.encode() in path.read_bytes()]
        assert kept == []
    assert list(tmp_path.rglob("mutation_*.txt")), "the test looks in the right place"


def test_the_report_counts_what_went(store: Store) -> None:
    fill(store)
    for table in TABLES:
        store.execute(f"OPTIMIZE TABLE {table} FINAL")
    counted = {(one.table, one.what): one.rows for one in forget(store, GONE).deleted}
    assert counted == {
        ("reads_raw", "reads"): 3,
        ("crops_raw", "crops"): 1,
        ("alerts_raw", "alerts"): 1,
        ("dead_letters_raw", "dead letters"): 1,
        ("sightings_raw", "mentions with other vehicles"): 2,
        ("sightings_raw", "sightings"): 3,
        ("sightings_time_raw", "mentions with other vehicles"): 2,
        ("sightings_time_raw", "sightings"): 3,
        ("plates", "plates"): 1,
    }


def test_a_second_time_there_is_nothing_to_do(store: Store) -> None:
    fill(store)
    forget(store, GONE)
    again = forget(store, GONE)
    assert sum(one.rows for one in again.deleted) == 0
    assert again.complete


def test_a_plate_with_quotes_deletes_nothing_else(store: Store) -> None:
    fill(store)
    report = forget(store, "X' OR '1'='1")
    assert sum(one.rows for one in report.deleted) == 0


def test_many_passes_are_deleted_in_several_statements(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.forget._SPANS", 2)
    for number in range(5):
        put_sighting(store, msgspec.structs.replace(sighting(10 * number, plate=GONE)))
        put_read(store, "TE5T0O7", 10.0 * number + 0.1)
    report = forget(store, GONE)
    assert report.deleted[0].rows == 5
    assert store.query("SELECT count() AS n FROM reads_raw") == [{"n": 0}]
