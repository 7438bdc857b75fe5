"""What every store promises, on three legs: embedded, HTTP to the owner process, and a real ClickHouse server.

The real server is Debian's 18.16.1, the newest that a package gives without a registry of ClickHouse's own. The
product asks for 24.3 or newer. So on that leg the native protocol, types, errors, reconnection, kill -9 and the
folding of repeated rows are proved; not proved on it are what 18.16 lacks: deduplication tokens, parameters
in `{name:Type}`, DateTime64, named tuples and the project's own tables. Those are proved on the two other legs,
whose engine is ClickHouse 26.
"""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from clickhouse_server import PASSWORD, ClickHouseServer, install
from owner_process import OwnerProcess

from store import (
    MigrationError,
    Store,
    StoreError,
    StoreMisconfigured,
    StoreRejected,
    StoreUnavailable,
    migrate,
    open_store,
    status,
)
from store.columns import Column, Columns, Ragged
from store.http import HttpStore
from store.server import ServerStore

TABLE = """
    CREATE TABLE {name} (
        id UInt64, plate String, at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)), kind LowCardinality(String),
        candidates Array(String), key UUID, lat Nullable(Float64), crop String, revision UInt32
    ) ENGINE = ReplacingMergeTree(revision) ORDER BY id SETTINGS non_replicated_deduplication_window = 1000
"""


def for_old_server(sql: str) -> str:
    """DDL without what ClickHouse 18.16 does not know."""
    sql = re.sub(r"DateTime64\(3, 'UTC'\)", "DateTime('UTC')", sql)
    sql = re.sub(r" CODEC\((?:[^()]|\([^()]*\))*\)", "", sql)
    return re.sub(r" SETTINGS .*", "", sql)


@dataclass
class Leg:
    """One kind of store and how to crash what is behind it."""

    name: str
    store: Store
    ddl: Callable[[str], str]
    exact: bool
    """A repeated token leaves no second copy, even before folding."""
    parameters: bool
    subsecond: bool
    crash: Callable[[], None] | None = None
    recover: Callable[[], None] | None = None

    def table(self) -> str:
        """A new table of TABLE's columns."""
        name = f"t_{uuid4().hex}"
        self.store.execute(self.ddl(TABLE.format(name=name)))
        return name


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"), install())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnerProcess]:
    process = OwnerProcess(tmp_path_factory.mktemp("owner") / "db")
    process.start()
    yield process
    assert process.stop() == 0


# of this module alone: chDB opens one folder per process at a time, and other modules have their own
@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"chdb://{tmp_path_factory.mktemp('embedded')}/db")
    yield store
    store.close()


@pytest.fixture(params=["embedded", "owner", "server"])
def leg(request: pytest.FixtureRequest) -> Iterator[Leg]:
    kind = request.param
    if kind == "embedded":
        store = request.getfixturevalue("embedded")
        yield Leg(kind, store, str, exact=True, parameters=True, subsecond=True)
        return
    if kind == "owner":
        process: OwnerProcess = request.getfixturevalue("owner")
        http = open_store(process.url)
        yield Leg(kind, http, str, True, True, True, process.kill, process.start)
        http.close()
        return
    server: ClickHouseServer = request.getfixturevalue("clickhouse")
    native = ServerStore(server.url, insert_settings={}, minimum_version=(18, 16))
    yield Leg(kind, native, for_old_server, False, False, False, server.kill, server.start)
    native.close()


def row(number: int, **changes: object) -> dict[str, object]:
    return {
        "id": number,
        "plate": f"AB{number}",
        "at": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        "kind": "final",
        "candidates": ["AB1", "A81"],
        "key": UUID(int=number),
        "lat": None,
        "crop": b"",
        "revision": 1,
    } | changes


def count(leg: Leg, table: str, final: bool = True) -> int:
    return int(str(leg.store.query(f"SELECT count() AS n FROM {table}{' FINAL' if final else ''}")[0]["n"]))


def test_what_goes_in_comes_out(leg: Leg) -> None:
    table = leg.table()
    at = datetime(2026, 3, 4, 5, 6, 7, 123_000 if leg.subsecond else 0, tzinfo=UTC)
    first = row(2**64 - 1, plate="Ä 'x'\n\t\\", at=at, lat=-33.75, crop=b"\xff\xd8\x00\x01", candidates=[])
    second = row(0, plate="", kind="", lat=None, key=str(UUID(int=5)))
    leg.store.insert(table, [first, second], token="one")
    found = leg.store.query(f"SELECT * FROM {table} ORDER BY id DESC")
    assert found[0] == first | {"key": str(UUID(int=2**64 - 1)), "candidates": []}
    assert found[0]["at"] == at
    assert found[0]["at"].utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert found[1] == second | {"crop": ""}


def test_a_block_by_column_comes_out_as_rows_do(leg: Leg) -> None:
    table = leg.table()
    at = datetime(2026, 3, 4, 5, 6, 7, 123_000 if leg.subsecond else 0, tzinfo=UTC)
    columns: dict[str, Column] = {
        "id": np.array([7, 8, 9], "<u8"),
        "plate": ["AB1", "Ä", ""],
        "kind": ["final", "final", "open"],
        "candidates": Ragged(np.array([2, 2, 3]), ["AB1", "A81", "Ä"]),
        "key": np.array([[1, 2], [0, 3], [2**63, 4]], "<u8"),
        "lat": np.array([50.5, np.nan, -1.0]),
        "crop": [b"\xff\xd8\x00", b"", b"x" * 300],
        "revision": np.array([1, 2, 3], "<u4"),
    }
    if leg.subsecond:
        # milliseconds are what a DateTime64(3) counts; the old server has seconds alone
        columns["at"] = np.array([round(at.timestamp() * 1000)] * 3, "<i8")
    block = Columns(columns)
    for part, token in ((block[:1], "one"), (block[1:], "two"), (block[1:], "two")):
        leg.store.insert(table, part, token=token)
    found = leg.store.query(f"SELECT * FROM {table} FINAL ORDER BY id")
    assert [row["plate"] for row in found] == ["AB1", "Ä", ""]
    assert [row["kind"] for row in found] == ["final", "final", "open"]
    assert [row["candidates"] for row in found] == [["AB1", "A81"], [], ["Ä"]]
    assert [row["key"] for row in found] == [str(UUID(int=n)) for n in (1 << 64 | 2, 3, 1 << 127 | 4)]
    assert [row["lat"] for row in found] == [50.5, None, -1.0]
    assert [row["revision"] for row in found] == [1, 2, 3]
    assert (found[2]["crop"], found[1]["crop"]) == ("x" * 300, "")
    if leg.subsecond:
        assert {row["at"] for row in found} == {at}


def test_named_tuples_are_dicts(leg: Leg) -> None:
    if not leg.exact:
        return  # 18.16 knows tuples without names alone, and takes an array of them apart
    table = f"t_{uuid4().hex}"
    leg.store.execute(f"CREATE TABLE {table} (c Array(Tuple(plate String, p Float32))) ENGINE = MergeTree ORDER BY ()")
    leg.store.insert(table, [{"c": [("AB1", 0.5)]}, {"c": [{"p": 0.25, "plate": "A"}, ("B", 1.0)]}], token="x")
    assert leg.store.query(f"SELECT c FROM {table} ORDER BY length(c)") == [
        {"c": [{"plate": "AB1", "p": 0.5}]},
        {"c": [{"plate": "A", "p": 0.25}, {"plate": "B", "p": 1.0}]},
    ]


def test_no_rows_is_nothing(leg: Leg) -> None:
    leg.store.insert("no_such_table", [], token="nothing")


def test_a_token_goes_in_once(leg: Leg) -> None:
    table = leg.table()
    for _ in range(3):
        leg.store.insert(table, [row(number) for number in range(50)], token="topic-3-100-149")
    assert count(leg, table) == 50
    if leg.exact:
        assert count(leg, table, final=False) == 50
    leg.store.insert(table, [row(number) for number in range(50, 60)], token="topic-3-150-159")
    assert count(leg, table) == 60


def test_equal_rows_under_two_tokens_are_folded(leg: Leg) -> None:
    table = leg.table()
    leg.store.insert(table, [row(1, revision=2, plate="NEW")], token="b")
    leg.store.insert(table, [row(1, revision=1, plate="OLD")], token="a")
    assert leg.store.query(f"SELECT plate FROM {table} FINAL") == [{"plate": "NEW"}]


@pytest.mark.parametrize(
    ("changes", "column"),
    [({"id": -1}, "id"), ({"at": "yesterday"}, "at"), ({"key": "no uuid"}, "key"), ({"plate": None}, "plate")],
)
def test_a_bad_row_is_named_and_its_neighbours_can_go_in(leg: Leg, changes: dict[str, object], column: str) -> None:
    table = leg.table()
    rows = [row(0), row(1), row(2, **changes), row(3)]
    with pytest.raises(StoreRejected) as caught:
        leg.store.insert(table, rows, token="all")
    assert (caught.value.column, caught.value.row) == (column, 2)
    assert f"{table}.{column}" in str(caught.value)
    assert count(leg, table) == 0
    del rows[2]
    leg.store.insert(table, rows, token="all/0")
    assert count(leg, table) == 3


def test_rows_must_have_the_same_columns(leg: Leg) -> None:
    odd = row(1)
    del odd["lat"]
    with pytest.raises(StoreRejected, match=r"row 1 .* differs in lat"):
        leg.store.insert(leg.table(), [row(0), odd], token="x")


def test_a_table_that_is_not_there_loses_no_rows(leg: Leg) -> None:
    """The rows are good: whoever inserts must keep them until the migrations have run."""
    with pytest.raises(StoreMisconfigured, match="platefleet migrate"):
        leg.store.insert("no_such_table", [row(0)], token="x")
    with pytest.raises(StoreMisconfigured, match="has no column shade"):
        leg.store.insert(leg.table(), [row(0, shade="red")], token="x")


def test_a_column_added_later_is_found(leg: Leg) -> None:
    table = leg.table()
    leg.store.insert(table, [row(0)], token="0")
    leg.store.execute(f"ALTER TABLE {table} ADD COLUMN shade String")
    leg.store.insert(table, [row(1, shade="red")], token="1")
    assert leg.store.query(f"SELECT shade FROM {table} WHERE id = 1") == [{"shade": "red"}]


def test_errors_speak_clickhouse(leg: Leg) -> None:
    with pytest.raises(StoreRejected, match="Syntax error") as syntax:
        leg.store.query("SELECT 1 +")
    assert syntax.value.code == 62
    with pytest.raises(StoreRejected) as unknown:
        leg.store.query("SELECT * FROM no_such_table")
    assert unknown.value.code == 60
    with pytest.raises(StoreRejected) as executing:
        leg.store.execute("DROP TABLE no_such_table")
    assert executing.value.code == 60


def test_an_empty_answer_is_an_empty_list(leg: Leg) -> None:
    assert leg.store.query("SELECT 1 AS one WHERE 0") == []


def test_parameters(leg: Leg) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    given = {"text": "o'ne\n\\t\"ä", "many": ["a'b", "c\\d"], "whole": -5, "at": moment, "none": None, "flag": True}
    sql = (
        "SELECT {text:String} AS text, {many:Array(String)} AS many, {whole:Int32} AS whole, "
        "{at:DateTime64(3, 'UTC')} AS at, {none:Nullable(String)} AS none, {flag:Bool} AS flag"
    )
    if not leg.parameters:
        with pytest.raises(StoreRejected):
            leg.store.query(sql, given)
        return
    assert leg.store.query(sql, given) == [given]
    with pytest.raises(StoreRejected, match=r"missing|not set"):
        leg.store.query("SELECT {missing:String}")


def test_formats(leg: Leg) -> None:
    if leg.name == "server":
        with pytest.raises(StoreRejected, match="http://"):
            leg.store.query_raw("SELECT 1 AS one", "JSONEachRow")
        return
    assert leg.store.query_raw("SELECT 1 AS one", "JSONEachRow") == b'{"one":1}\n'
    assert leg.store.query_raw("SELECT {x:UInt8} AS one FORMAT TSVWithNames", "CSV", {"x": 7}) == b"one\n7\n"
    assert leg.store.query_raw("SELECT 1", "Parquet")[:4] == b"PAR1"


def test_many_threads(leg: Leg) -> None:
    table = leg.table()
    failures: list[Exception] = []

    def work(name: int) -> None:
        try:
            for block in range(5):
                start = (name * 5 + block) * 100
                rows = [row(number) for number in range(start, start + 100)]
                leg.store.insert(table, rows, token=f"{name}/{block}")
                assert count(leg, table) >= 100
        except Exception as error:  # noqa: BLE001 - the thread hands it over
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert count(leg, table) == 2_000


def test_ping(leg: Leg) -> None:
    leg.store.ping()


def test_nothing_doubled_nothing_lost_when_the_other_side_is_killed(leg: Leg) -> None:
    if leg.crash is None or leg.recover is None:
        return  # the embedded store dies with its process: tests/store/test_embedded.py kills one
    table = leg.table()
    acknowledged = 0
    crashed = threading.Event()

    def crash_soon() -> None:
        while acknowledged < 5:
            crashed.wait(0.005)
        leg.crash()  # type: ignore[misc]
        crashed.set()

    killer = threading.Thread(target=crash_soon)
    killer.start()
    failures = 0
    for block in range(40):
        rows = [row(number) for number in range(block * 500, block * 500 + 500)]
        while True:
            try:
                leg.store.insert(table, rows, token=f"block-{block}")
                break
            except StoreUnavailable:
                failures += 1
                crashed.wait(10)
                killer.join()
                if failures == 1:
                    leg.recover()
        acknowledged += 1
        if block == 20 and not crashed.is_set():
            crashed.wait(10)
    killer.join()
    assert failures > 0, "the kill came too late to be felt"
    assert count(leg, table) == 20_000
    if leg.exact:
        assert count(leg, table, final=False) == 20_000


def test_a_restart_between_two_calls_is_not_felt(leg: Leg) -> None:
    """Connections that lay idle are broken afterwards; the call takes a new one by itself."""
    if leg.crash is None or leg.recover is None:
        return
    leg.store.ping()
    leg.crash()
    leg.recover()
    leg.store.ping()


def test_migrations_run_once_and_say_where_they_fail(leg: Leg, tmp_path: Path) -> None:
    """The runner, with files that every leg understands. Each leg starts without a record of its own."""
    leg.store.execute("DROP TABLE IF EXISTS schema_migrations")
    one = f"m_{uuid4().hex}"
    (tmp_path / "0001_first.sql").write_text(
        f"-- what it is for; even with a semicolon\nCREATE TABLE {one} (a String) ENGINE = TinyLog;\n"
    )
    (tmp_path / "0001_first.down.sql").write_text(f"DROP TABLE {one};\n")
    assert [(step.name, step.state) for step in migrate(leg.store, folder=tmp_path, dry_run=True)] == [
        ("first", "pending")
    ]
    assert [step.state for step in status(leg.store, folder=tmp_path)] == ["pending"]
    assert [step.state for step in migrate(leg.store, folder=tmp_path)] == ["applied"]
    assert migrate(leg.store, folder=tmp_path) == []
    assert leg.store.query(f"SELECT count() AS n FROM {one}") == [{"n": 0}]

    two = tmp_path / "0002_second.sql"
    two.write_text(f"CREATE TABLE {one}_b (a String) ENGINE = TinyLog;\n\nCREATE NONSENSE;\n")
    with pytest.raises(MigrationError, match=r"0002_second.sql: statement 2 of 2 \(line 3\)"):
        migrate(leg.store, folder=tmp_path)
    assert [step.state for step in status(leg.store, folder=tmp_path)] == ["applied", "broken off"]
    two.write_text(f"CREATE TABLE IF NOT EXISTS {one}_b (a String) ENGINE = TinyLog")
    (tmp_path / "0003_roles.sql").write_text("-- needs: access_control\nCREATE ROLE r;\n")
    states = [step.state for step in migrate(leg.store, folder=tmp_path)]
    assert states == ["applied", "skipped"]
    assert [step.state for step in status(leg.store, folder=tmp_path)] == ["applied", "applied", "skipped"]

    two.write_text("CREATE TABLE other (a String) ENGINE = TinyLog")
    with pytest.raises(MigrationError, match=r"0002_second\.sql: the file was changed"):
        migrate(leg.store, folder=tmp_path)


def test_a_wrong_password_is_a_matter_of_setting_up(clickhouse: ClickHouseServer) -> None:
    store = open_store(clickhouse.url.replace(PASSWORD, "quite-secret"))
    with pytest.raises(StoreMisconfigured) as caught:
        store.ping()
    assert "quite-secret" not in str(caught.value)


def test_a_server_that_is_too_old_is_refused(clickhouse: ClickHouseServer) -> None:
    with pytest.raises(StoreMisconfigured, match=r"ClickHouse 18\.16\.1; platefleet needs 24\.3"):
        open_store(clickhouse.url).ping()


@pytest.mark.parametrize("scheme", ["http", "clickhouse"])
def test_nobody_there(scheme: str) -> None:
    store = open_store(f"{scheme}://who:quite-secret@127.0.0.1:1/default")
    with pytest.raises(StoreUnavailable, match=r"who:\*\*\*@127.0.0.1:1.* does not answer") as caught:
        store.ping()
    assert "quite-secret" not in str(caught.value)


def test_blocks_may_be_compressed_on_their_way(owner: OwnerProcess) -> None:
    store = HttpStore(owner.url, compress=True)
    store.execute(TABLE.format(name="packed"))
    rows = [row(number, crop=b"\xff\xd8" * 40) for number in range(2_000)]
    for _ in range(2):
        store.insert("packed", rows, token="packed")
    found = store.query("SELECT count() AS n, uniqExact(plate) AS plates, max(length(crop)) AS most FROM packed")
    assert found == [{"n": 2_000, "plates": 2_000, "most": 80}]
    store.close()


def test_closed_is_closed(clickhouse: ClickHouseServer, owner: OwnerProcess) -> None:
    for store in (open_store(owner.url), ServerStore(clickhouse.url, minimum_version=(18, 16))):
        store.ping()
        store.close()
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.ping()


@pytest.mark.parametrize("url", ["", "mysql://x", "chdb://", "http://", "clickhouse:///x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(StoreError):
        open_store(url)
