"""The audit: chains of hashes, what counts as a search, and the owner that writes each down before it runs."""

import dataclasses
import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from owner_process import OwnerProcess

from store import Store, StoreError, StoreRejected, migrate, open_store
from store.audit import FIRST, AuditLog, Entry, Head, check, is_search, link, verify
from store.http import HttpStore

T0 = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def end(entry: Entry) -> Head:
    return Head(entry.number, entry.hash)


def chain_of(count: int) -> list[Entry]:
    made: list[Entry] = []
    for number in range(count):
        at = T0 + timedelta(seconds=number)
        made.append(link(end(made[-1]) if made else None, "c", at, "ann", "search", f"SELECT {number}", "case 7"))
    return made


def test_a_chain_that_nobody_touched_is_whole() -> None:
    made = chain_of(5)
    assert made[0].previous_hash == FIRST
    assert [one.number for one in made] == [1, 2, 3, 4, 5]
    verdict = check(made)
    assert (verdict.rows, verdict.head, verdict.fault) == (5, made[-1].hash, "")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"statement": "SELECT 0"}, "row 3 was changed"),
        ({"user": "bob"}, "row 3 was changed"),
        ({"reason": ""}, "row 3 was changed"),
        ({"at": T0}, "row 3 was changed"),
        ({"action": "forget"}, "row 3 was changed"),
        ({"previous_hash": FIRST}, "row 3 does not follow row 2"),
        ({"number": 4}, "row 3 is missing"),
        ({"number": 2}, "row 2 is there twice"),
    ],
)
def test_a_row_that_was_changed_is_named(change: dict[str, object], fault: str) -> None:
    made = chain_of(5)
    made[2] = dataclasses.replace(made[2], **change)  # type: ignore[arg-type]
    verdict = check(made)
    assert (verdict.rows, verdict.head, verdict.fault) == (2, made[1].hash, fault)


def test_a_changed_row_with_a_hash_to_match_breaks_the_next() -> None:
    made = chain_of(5)
    forged = dataclasses.replace(made[2], statement="SELECT 0")
    made[2] = dataclasses.replace(forged, hash=forged.digest())
    assert check(made).fault == "row 4 does not follow row 3"


def test_rows_left_out_and_put_in() -> None:
    made = chain_of(5)
    assert check([made[0], *made[2:]]).fault == "row 2 is missing"
    assert check(made[1:]).fault == "row 1 is missing"
    assert (
        check([*made[:3], link(end(made[1]), "c", T0, "eve", "search", "x", ""), *made[3:]]).fault
        == "row 3 is there twice"
    )


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT * FROM sightings", True),
        ("select plate from `sightings_raw`", True),
        ("WITH x AS (SELECT 1) SELECT * FROM x JOIN default.vehicles USING plate", True),
        ("FROM sightings SELECT plate", True),
        ("SELECT * FROM merge('default', '^sight')", True),
        ("(SELECT plate FROM reads) UNION ALL SELECT 'x'", True),
        ("CREATE VIEW mine AS SELECT * FROM sightings", False),
        ("SELECT 1", False),
        ("SELECT 'FROM sightings'", False),
        ("SELECT * FROM system.tables", False),
        ("SELECT number FROM numbers(3)", False),
        ("SELECT count() FROM (SELECT 1)", False),
        ("SELECT count() FROM (SELECT plate FROM reads)", True),
        ("SELECT count() FROM system.one, sightings", True),
        ("SELECT count() FROM numbers(1) AS n, sightings", True),
        ("SELECT count() FROM system.one AS o JOIN system.one AS p USING dummy", False),
        ("SELECT count() FROM (SELECT 1), sightings", True),
        ("SELECT count() FROM {t:Identifier}", True),
        ("SELECT * FROM SYSTEM", True),
        ("SELECT * FROM SYSTEM.one", True),
        ("SELECT * FROM numbers.one", True),
        ("SELECT * FROM numbers", True),
        ("SELECT * FROM system.one WHERE 'X' IN sightings", True),
        ("SELECT 'X' IN (sightings)", True),
        ("SELECT in('X', sightings)", True),
        ("SELECT 'X' IN (SELECT plate FROM sightings)", True),
        ("SELECT 1 IN (1, 2), 'a' IN ('a'), 2 IN [1], 3 IN {x:Array(UInt8)}", False),
        ("SELECT joinGet('copy', 'plate', 1)", True),
        (
            "SELECT name FROM system.tables WHERE name IN (SELECT name FROM system.columns) ORDER BY name, database",
            False,
        ),
        ("SELECT name, value FROM system.settings, numbers(3)", False),
        ("SELECT * FROM information_schema.tables, system.one", False),
        ("SELECT number FROM schema_migrations", False),
        ("SHOW TABLES", False),
        ("EXISTS TABLE sightings", False),
    ],
)
def test_what_counts_as_a_search(sql: str, answer: bool) -> None:
    assert is_search(sql) is answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path}/db")
    migrate(opened)
    yield opened
    opened.close()


def test_a_chain_goes_on_after_a_restart_and_two_chains_stand_side_by_side(store: Store) -> None:
    for _ in range(2):
        log = AuditLog(store, "one")
        log.write("ann", "search", "SELECT 'ä' -- \n\t'\\", "why not?")
        log.write("ann", "forget", "sha256:0", "")
    AuditLog(store, "two").write("bob", "search", "SELECT 2", "")
    assert [(one.chain, one.rows, one.fault) for one in verify(store)] == [("one", 4, ""), ("two", 1, "")]
    store.execute(
        "ALTER TABLE audit UPDATE user = 'eve' WHERE chain = 'one' AND number = 3 SETTINGS mutations_sync = 2"
    )
    assert [one.fault for one in verify(store)] == ["row 3 was changed", ""]
    store.execute("ALTER TABLE audit DELETE WHERE chain = 'one' AND number = 2 SETTINGS mutations_sync = 2")
    assert [one.fault for one in verify(store)] == ["row 2 is missing", ""]


def test_threads_share_a_chain(store: Store) -> None:
    log = AuditLog(store, "c")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(log.write, "ann", "search", f"SELECT {number}") for number in range(40)]:
            done.result()
    assert [(one.rows, one.fault) for one in verify(store)] == [(40, "")]


def test_the_same_search_within_a_minute_is_one_row_whatever_its_times(store: Store) -> None:
    now = [T0]
    log = AuditLog(store, "c", lambda: now[0])
    asked = [
        ("ann", {"since": "2026-03-01 12:00:00", "plate": "A"}),
        ("ann", {"since": "2026-03-01 12:00:30", "plate": "A"}),
    ]
    assert [log.search(user, "SELECT", given) is not None for user, given in asked] == [True, False]
    assert log.search("ann", "SELECT", {"since": "2026-03-01 12:00:00", "plate": "B"}) is not None
    assert log.search("bob", "SELECT", {"since": "2026-03-01 12:00:00", "plate": "A"}) is not None
    now[0] += timedelta(seconds=60)
    assert log.search(*asked[0][:1], "SELECT", asked[0][1]) is not None
    assert store.query("SELECT count() AS n FROM audit") == [{"n": 4}]


def test_a_store_without_tables_has_no_audit(tmp_path: Path) -> None:
    opened = open_store(f"chdb://{tmp_path}/bare")
    assert AuditLog(opened, "c").write("ann", "search", "SELECT 1") is None
    with pytest.raises(StoreRejected):
        verify(opened)
    opened.close()


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnerProcess]:
    process = OwnerProcess(tmp_path_factory.mktemp("audited") / "db")
    process.start()
    migrate(open_store(process.url))
    yield process
    assert process.stop() == 0


def test_the_owner_writes_a_search_down_with_user_and_reason(owner: OwnerProcess) -> None:
    asking = HttpStore(owner.url, asked_by="ann", reason="case 7")
    assert asking.keeps_audit()
    asking.query("SELECT count() AS n FROM sightings WHERE plate = {plate:String}", {"plate": "TEST001"})
    asking.query("SELECT name FROM system.tables LIMIT 1")
    connection = http.client.HTTPConnection("127.0.0.1", owner.port)
    connection.request("GET", "/?" + urlencode({"query": "SELECT plate FROM vehicles"}))
    assert connection.getresponse().read() == b""
    connection.request("POST", "/", b"SELECT plate FROM no_such_table")
    assert connection.getresponse().read()
    connection.close()
    rows = asking.query("SELECT user, reason, action, statement FROM audit ORDER BY number")
    said = [(row["user"], row["reason"], str(row["statement"]).split("\n")) for row in rows]
    assert said[0] == (
        "ann",
        "case 7",
        ["SELECT count() AS n FROM sightings WHERE plate = {plate:String}", '-- {"plate": "TEST001"}'],
    )
    assert said[1][0] == "default"
    assert [one[2][0] for one in said[1:]] == [
        "SELECT plate FROM vehicles",
        "SELECT plate FROM no_such_table",
        "SELECT user, reason, action, statement FROM audit ORDER BY number",
    ]
    assert {one.fault for one in verify(asking)} == {""}
    asking.close()


def test_a_search_that_cannot_be_written_down_does_not_run(store: Store) -> None:
    log = AuditLog(store, "c")
    log.search("ann", "SELECT plate FROM last_seen", {})
    store.execute("DROP TABLE audit")
    for _ in range(3):
        with pytest.raises(StoreError, match="audit"):
            log.search("ann", "SELECT plate FROM vehicles", {})
        with pytest.raises(StoreError, match="audit"):
            AuditLog(store, "c").search("ann", "SELECT plate FROM vehicles", {})


@pytest.mark.parametrize(
    "sql",
    [
        "TRUNCATE TABLE audit",
        "DROP TABLE audit",
        "DROP TABLE default.audit",
        "DETACH TABLE `audit`",
        "RENAME TABLE audit TO other",
        "ALTER TABLE audit DELETE WHERE 1",
        "DELETE FROM audit WHERE 1",
        "ALTER TABLE `a\\x75dit` DELETE WHERE 1",
        "ALTER TABLE audit UPDATE user = 'x' WHERE 1",
        "ALTER TABLE audit ADD COLUMN IF NOT EXISTS chain String, DELETE WHERE 1",
        "ALTER TABLE audit MODIFY TTL at + INTERVAL 1 SECOND",
        "CREATE OR REPLACE TABLE audit (a Int8) ENGINE = Memory",
        "CREATE OR REPLACE VIEW audit AS SELECT 1",
        "EXCHANGE TABLES audit AND dead_letters_raw",
        "TRUNCATE ALL TABLES FROM default",
        "TRUNCATE DATABASE default",
        "DROP DATABASE default",
        "CREATE TABLE other ENGINE = Alias('audit')",
    ],
)
def test_nobody_takes_away_from_the_audit_through_the_owner(owner: OwnerProcess, sql: str) -> None:
    asking = HttpStore(owner.url)
    with pytest.raises(Exception, match="Not enough privileges"):
        asking.execute(sql)
    assert asking.query("SELECT count() > 0 AS kept FROM audit") == [{"kept": 1}]
    asking.execute("CREATE OR REPLACE VIEW of_audit AS SELECT user FROM audit")
    AuditLog(asking, "desk").write("ann", "forget", "sha256:0", "who forgets adds a row")
    asking.close()


def test_what_was_noted_of_a_chain_shows_rows_cut_off() -> None:
    made = chain_of(5)
    noted = Head(4, made[3].hash)
    assert check(made, noted).fault == ""
    assert check(made[:4], noted).fault == ""
    assert check(made[:3], noted).fault == "rows 4 to 4 are cut off"
    assert check([], noted).fault == "rows 1 to 4 are cut off"
    assert check(made, Head(4, FIRST)).fault == "row 4 is another than the one that was noted"


def test_a_chain_that_is_gone_is_named(store: Store) -> None:
    AuditLog(store, "c").write("ann", "search", "SELECT 1")
    (whole,) = verify(store)
    store.execute("TRUNCATE TABLE audit")
    assert verify(store) == []
    (gone,) = verify(store, {"c": Head(whole.rows, whole.head)})
    assert (gone.chain, gone.fault) == ("c", "rows 1 to 1 are cut off")
