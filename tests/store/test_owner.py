"""The owner process, asked as a ClickHouse server is asked: by clickhouse-connect and by plain HTTP."""

import gzip
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from owner_process import OwnerProcess

from store import StoreMisconfigured, StoreUnavailable, open_store
from store.owner import serve


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnerProcess]:
    process = OwnerProcess(tmp_path_factory.mktemp("owner") / "db")
    process.start()
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def client(owner: OwnerProcess) -> Iterator[Client]:
    connected = clickhouse_connect.get_client(host="127.0.0.1", port=owner.port)
    connected.command(
        "CREATE TABLE reads (id UInt64, plate LowCardinality(String), at DateTime64(3, 'UTC'), p Nullable(Float32), "
        "c Array(String)) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100"
    )
    yield connected
    connected.close()


def ask(
    owner: OwnerProcess,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    method: str = "POST",
    path: str = "/",
    **options: Any,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request as curl would make it: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", owner.port, timeout=60)
    try:
        connection.request(method, f"{path}?{urlencode(options)}", body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


# --- clickhouse-connect


def test_connect_queries_with_parameters(client: Client) -> None:
    result = client.query("SELECT {n:UInt8} + 1 AS n, {s:String} AS s", parameters={"n": 4, "s": "o'ne\n\t\\"})
    assert result.column_names == ("n", "s")
    assert result.result_rows == [(5, "o'ne\n\t\\")]


@pytest.mark.parametrize("compress", [True, False, "gzip", "zstd", "lz4"])
def test_connect_inserts_and_reads_back(owner: OwnerProcess, client: Client, compress: bool | str) -> None:
    other = clickhouse_connect.get_client(host="127.0.0.1", port=owner.port, compress=compress)
    client.command("TRUNCATE TABLE reads")
    at = datetime(2026, 3, 4, 5, 6, 7, 123000, tzinfo=UTC)
    data = [[n, f"AB{n % 7}", at, None if n % 2 else 0.5, ["x"] * (n % 3)] for n in range(5000)]
    summary = other.insert("reads", data, column_names=["id", "plate", "at", "p", "c"])
    assert summary.written_rows == 5000
    rows = other.query("SELECT * FROM reads ORDER BY id").result_rows
    assert len(rows) == 5000
    assert [list(row) for row in rows[:3]] == [
        [r[0], r[1], r[2].replace(tzinfo=rows[0][2].tzinfo), *r[3:]] for r in data[:3]
    ]
    other.close()


def test_connect_inserts_a_token_once(client: Client) -> None:
    client.command("TRUNCATE TABLE reads")
    for _ in range(2):
        client.insert("reads", [[1, "AB1"]], ["id", "plate"], settings={"insert_deduplication_token": "t-1"})
    assert client.command("SELECT count() FROM reads") == 1


def test_connect_frames_and_arrow(client: Client) -> None:
    frame = client.query_df("SELECT number AS n, toString(number) AS s FROM numbers(1000)")
    assert list(frame.columns) == ["n", "s"]
    assert int(frame["n"].sum()) == 499_500
    table = client.query_arrow("SELECT number AS n FROM numbers(10)")
    assert table.column("n").to_pylist() == list(range(10))
    client.command("CREATE TABLE IF NOT EXISTS frames (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    client.insert_df("frames", frame)
    client.insert_arrow("frames", pa.table({"n": pa.array([7], pa.uint64()), "s": ["x"]}))
    assert client.command("SELECT count() FROM frames") == 1001


def test_connect_streams(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(500000)") as stream:
        blocks = [len(block) for block in stream]
    assert sum(blocks) == 500_000
    assert len(blocks) > 1


def test_connect_has_settings_and_sessions(client: Client) -> None:
    value = client.command("SELECT getSetting('max_threads')", settings={"max_threads": 1})
    assert value == 1
    client.command("CREATE TEMPORARY TABLE mine (a Int8)")
    client.command("INSERT INTO mine VALUES (5)")
    assert client.command("SELECT a FROM mine") == 5
    client.command("SET max_block_size = 1234")
    assert client.command("SELECT getSetting('max_block_size')", settings={"max_block_size": 99}) == 99
    assert client.command("SELECT getSetting('max_block_size')") == 1234


@pytest.mark.parametrize(
    ("sql", "code"),
    [("SELECT 1 1", 62), ("SELECT * FROM nowhere", 60), ("SELECT nothing", 47), ("SELECT throwIf(1)", 395)],
)
def test_connect_raises_clickhouse_s_own_errors(client: Client, sql: str, code: int) -> None:
    with pytest.raises(DatabaseError, match=f"Code: {code}. DB::Exception: ") as caught:
        client.query(sql)
    assert caught.value.code == code


def test_connect_notices_an_error_in_the_middle_of_an_answer(owner: OwnerProcess) -> None:
    other = clickhouse_connect.get_client(host="127.0.0.1", port=owner.port, compress=False)
    sql = "SELECT throwIf(number = 3000000) FROM numbers(4000000) SETTINGS max_threads = 1, max_block_size = 10000"
    with pytest.raises(Exception, match=r"(?i)throwIf|395|Stream"), other.query_row_block_stream(sql) as stream:
        for _ in stream:
            pass
    other.close()


# --- plain HTTP


def test_health(owner: OwnerProcess) -> None:
    for path in ("/", "/ping", "/replicas_status"):
        status, headers, body = ask(owner, method="GET", path=path)
        assert (status, body) == (200, b"Ok.\n")
        assert headers["X-ClickHouse-Server-Display-Name"]
    status, _, body = ask(owner, method="GET", path="/nowhere")
    assert status == 404
    assert body.startswith(b"There is no handle /nowhere")


def test_query_and_body_are_one_text(owner: OwnerProcess) -> None:
    assert ask(owner, b"SELECT 1")[2] == b"1\n"
    assert ask(owner, b"1 AS x", query="SELECT", default_format="JSONEachRow")[2] == b'{"x":1}\n'
    assert ask(owner, method="GET", query="SELECT 1 FORMAT CSV")[2] == b"1\n"
    assert ask(owner, b"SELECT {a:UInt8} * 2, {b:String}", param_a="21", param_b="x\\ty")[2] == b"42\tx\\ty\n"


def test_headers_tell_what_the_answer_is(owner: OwnerProcess) -> None:
    status, headers, body = ask(owner, b"SELECT 1 AS x FORMAT JSON", query_id="my-own")
    assert status == 200
    assert json.loads(body)["data"] == [{"x": 1}]
    assert headers["Content-Type"] == "application/json; charset=UTF-8"
    assert headers["X-ClickHouse-Format"] == "JSON"
    assert headers["X-ClickHouse-Query-Id"] == "my-own"
    assert headers["X-ClickHouse-Timezone"]
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "1"
    assert ask(owner, b"SELECT 1", {"X-ClickHouse-Format": "TSVWithNames"})[1]["X-ClickHouse-Format"] == "TSVWithNames"


@pytest.mark.parametrize(
    ("format", "body"),
    [
        ("JSONEachRow", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}'),
        ("TSV", b"1\tx\n2\ty\n"),
        ("CSVWithNames", b"b,a\nx,1\ny,2\n"),
        ("Values", b"(1,'x'),(2,'y')"),
    ],
)
def test_inserts_of_text(owner: OwnerProcess, format: str, body: bytes) -> None:
    ask(owner, b"CREATE OR REPLACE TABLE texts (a UInt8, b String) ENGINE = MergeTree ORDER BY a")
    status, headers, said = ask(owner, body, query=f"INSERT INTO texts FORMAT {format}")
    assert (status, said) == (200, b"")
    assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert ask(owner, b"SELECT * FROM texts ORDER BY a")[2] == b"1\tx\n2\ty\n"
    status, _, _ = ask(owner, f"INSERT INTO texts FORMAT {format}\n".encode() + body)
    assert status == 200
    assert ask(owner, b"SELECT count() FROM texts")[2] == b"4\n"


@pytest.mark.parametrize(
    "format", ["Native", "RowBinary", "RowBinaryWithNamesAndTypes", "Arrow", "ArrowStream", "Parquet"]
)
def test_binary_formats_both_ways(owner: OwnerProcess, format: str) -> None:
    ask(owner, b"CREATE OR REPLACE TABLE binaries (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    sql = f"SELECT number AS a, char(0, 10, 255, number) AS b FROM numbers(300) FORMAT {format}"
    status, _, data = ask(owner, sql.encode())
    assert status == 200
    assert ask(owner, data, query=f"INSERT INTO binaries FORMAT {format}")[0] == 200
    assert ask(owner, f"INSERT INTO binaries (a, b) FORMAT {format}\n".encode() + data)[0] == 200
    assert ask(owner, b"SELECT count(), uniqExact(b), min(length(b)) FROM binaries")[2] == b"600\t256\t4\n"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4", "br"])
def test_encodings_both_ways(owner: OwnerProcess, encoding: str) -> None:
    ask(owner, b"CREATE OR REPLACE TABLE packed (a UInt32) ENGINE = MergeTree ORDER BY a")
    plain = b"".join(b"%d\n" % number for number in range(50_000))
    if encoding == "gzip":
        packed = gzip.compress(plain)
    elif encoding == "deflate":
        packed = zlib.compress(plain)
    else:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, {"br": "brotli"}.get(encoding, encoding)) as stream:
            stream.write(plain)
        packed = sink.getvalue().to_pybytes()
    assert ask(owner, packed, {"Content-Encoding": encoding}, query="INSERT INTO packed FORMAT TSV")[0] == 200
    sql = b"SELECT a FROM packed ORDER BY a"
    headers = {"Accept-Encoding": encoding}
    assert ask(owner, sql, headers)[1]["Content-Encoding"] is None, "only when the setting asks for it"
    _, answered, data = ask(owner, sql, headers, enable_http_compression=1)
    assert answered["Content-Encoding"] == encoding
    assert len(data) < len(plain)
    if encoding in ("gzip", "deflate"):
        assert zlib.decompress(data, 47) == plain
    else:
        assert pa.CompressedInputStream(pa.BufferReader(data), {"br": "brotli"}.get(encoding, encoding)).read() == plain


def test_a_body_cut_off_inserts_nothing(owner: OwnerProcess) -> None:
    ask(owner, b"CREATE OR REPLACE TABLE cut (a UInt32) ENGINE = MergeTree ORDER BY a")
    packed = gzip.compress(b"1\n" * 1000)[:-12]
    status, _, body = ask(owner, packed, {"Content-Encoding": "gzip"}, query="INSERT INTO cut FORMAT TSV")
    assert status == 500
    assert b"Code: 354" in body
    with socket.create_connection(("127.0.0.1", owner.port)) as broken:
        broken.sendall(
            b"POST /?query=INSERT+INTO+cut+FORMAT+TSV HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n1\n2\n"
        )
    assert ask(owner, b"SELECT count() FROM cut")[2] == b"0\n"


@pytest.mark.parametrize(
    ("sql", "options", "status", "code"),
    [
        (b"SELECT 1 1", {}, 400, 62),
        (b"", {"database": "x"}, 400, 62),
        (b"SELECT 1; SELECT 2", {}, 400, 62),
        (b"SELECT * FROM nowhere", {}, 404, 60),
        (b"SELECT 1", {"no_such_setting": "1"}, 404, 115),
        (b"SELECT 1", {"database": "nowhere"}, 404, 81),
        (b"SELECT 1 FORMAT Nonsense", {}, 404, 73),
        (b"SELECT sleep(3)", {"max_execution_time": "0.2"}, 408, 159),
        (b"CREATE TABLE z (a Int8) ENGINE = Memory", {"readonly": "1"}, 500, 164),
        (b"SELECT * FROM file('/etc/passwd', LineAsString)", {}, 403, 497),
        (b"SELECT * FROM `file`('/etc/passwd', LineAsString)", {}, 403, 497),
        (b"SELECT * FROM /* */ uRl ('http://127.0.0.1/')", {}, 403, 497),
        (b"CREATE TABLE z (a String) ENGINE = File(CSV, '/etc/passwd')", {}, 403, 497),
        (b"INSERT INTO FUNCTION file('x', CSV) SELECT 1", {}, 403, 497),
        (b"SELECT 1 INTO OUTFILE 'x'", {}, 500, 358),
        (b"SYSTEM SHUTDOWN", {}, 403, 497),
        (b"CREATE USER x", {}, 403, 497),
        (b"SELECT 1", {"session_id": "never-made", "session_check": "1"}, 500, 372),
        (b"SELECT 1", {"session_id": "s", "session_timeout": "x"}, 500, 374),
        (b"SELECT 1", {"compress": "1"}, 501, 48),
    ],
)
def test_errors_as_clickhouse_words_them(
    owner: OwnerProcess, sql: bytes, options: dict[str, str], status: int, code: int
) -> None:
    found, headers, body = ask(owner, sql, **options)
    assert (found, headers["X-ClickHouse-Exception-Code"]) == (status, str(code)), body
    assert body.startswith(b"Code: %d. DB::Exception: " % code)
    assert b"(version 26." in body


def test_get_changes_nothing(owner: OwnerProcess) -> None:
    status, headers, body = ask(owner, method="GET", query="CREATE TABLE g (a Int8) ENGINE = Memory")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert b"method GET implies readonly" in body


@pytest.mark.parametrize("headers", [{"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}])
def test_pages_of_other_sites_are_refused(owner: OwnerProcess, headers: dict[str, str]) -> None:
    assert ask(owner, b"SELECT 1", headers)[0] == 403


def test_a_query_in_a_form(owner: OwnerProcess) -> None:
    fields = {"query": "SELECT {a:String} AS a", "param_a": "b" * 20_000}
    part = '--xyz\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = "".join(part.format(name, value) for name, value in fields.items())
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    assert ask(owner, (body + "--xyz--\r\n").encode(), headers)[2] == b"b" * 20_000 + b"\n"


def test_a_session_is_for_one_request_at_a_time(owner: OwnerProcess) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, owner, b"SELECT sleep(1.5)", session_id="one")
        while ask(owner, b"SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(1.5%'")[2] == b"0\n":
            pass
        assert ask(owner, b"SELECT 1", session_id="one")[1]["X-ClickHouse-Exception-Code"] == "373"
        assert slow.result()[0] == 200
    assert ask(owner, b"SELECT 1", session_id="one")[0] == 200


def test_a_slow_question_holds_up_no_insert(owner: OwnerProcess) -> None:
    ask(owner, b"CREATE OR REPLACE TABLE quick (a UInt32) ENGINE = MergeTree ORDER BY a")
    with ThreadPoolExecutor(20) as pool:
        slow = [pool.submit(ask, owner, b"SELECT sleep(2)") for _ in range(18)]
        while ask(owner, b"SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(2%'")[2] == b"0\n":
            pass
        assert ask(owner, b"1\n", query="INSERT INTO quick FORMAT TSV")[0] == 200
        assert not all(one.done() for one in slow)
        assert {one.result()[0] for one in slow} == {200}


def test_a_question_ends_when_its_client_goes_away(owner: OwnerProcess) -> None:
    def running() -> bytes:
        return ask(owner, b"SELECT count() FROM system.processes WHERE query LIKE 'SELECT max(sleepEachRow%'")[2]

    connection = http.client.HTTPConnection("127.0.0.1", owner.port, timeout=60)
    sql = "SELECT max(sleepEachRow(0.05)) FROM numbers(1200) SETTINGS max_block_size = 1"
    connection.request("POST", "/", sql)
    while running() == b"0\n":
        pass
    connection.close()
    deadline = time.monotonic() + 20
    while running() != b"0\n":
        assert time.monotonic() < deadline, "the question runs on though nobody waits for its answer"


# --- who may ask, and life and death


def test_a_password(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p:ä ss\n", encoding="utf-8")
    process = OwnerProcess(tmp_path / "db", "--user", "fleet", "--password-file", str(secret))
    process.start()
    try:
        for headers, options in (
            ({}, {}),
            ({"X-ClickHouse-User": "fleet", "X-ClickHouse-Key": "wrong"}, {}),
            ({"Authorization": "Basic not-base64"}, {}),
            ({}, {"user": "default", "password": "p:ä ss"}),
        ):
            status, answered, _ = ask(process, b"SELECT 1", headers, **options)
            assert (status, answered["X-ClickHouse-Exception-Code"]) == (403, "516")
        assert ask(process, b"SELECT 1", user="fleet", password="p:ä ss")[0] == 200
        assert ask(process, method="GET", path="/ping")[0] == 200
        other = clickhouse_connect.get_client(host="127.0.0.1", port=process.port, username="fleet", password="p:ä ss")
        assert other.command("SELECT 1") == 1
        other.close()
        store = open_store(f"http://fleet:p%3A%C3%A4%20ss@127.0.0.1:{process.port}/")
        store.ping()
        wrong = open_store(f"http://fleet:other@127.0.0.1:{process.port}/")
        with pytest.raises(StoreMisconfigured, match="Authentication failed"):
            wrong.ping()
    finally:
        assert process.stop() == 0


def test_no_password_beyond_this_machine(tmp_path: Path) -> None:
    with pytest.raises(StoreMisconfigured, match="without a password"):
        serve(tmp_path / "db", "0.0.0.0", 0, stop=threading.Event())


def test_a_second_owner_is_told_in_one_line(owner: OwnerProcess) -> None:
    with pytest.raises(StoreUnavailable, match=r"already open in process \d+") as caught:
        serve(owner.folder, "127.0.0.1", 0, stop=threading.Event())
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_told_and_the_folder_is_free_again(owner: OwnerProcess, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=f"cannot listen on 127.0.0.1:{owner.port}: Address already in use"):
            serve(tmp_path / "db", "127.0.0.1", owner.port, stop=threading.Event())


def test_it_stops_within_seconds_under_load(tmp_path: Path) -> None:
    process = OwnerProcess(tmp_path / "db")
    process.start()
    with ThreadPoolExecutor(4) as pool:
        sql = b"SELECT max(sleepEachRow(0.05)) FROM numbers(1200) SETTINGS max_block_size = 1"
        slow = [pool.submit(ask, process, sql) for _ in range(4)]
        while ask(process, b"SELECT count() FROM system.processes WHERE query LIKE 'SELECT max%'")[2] != b"4\n":
            pass
        began = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began < 15
        for one in slow:
            assert one.exception() is not None or one.result()[0] == 500


def test_serve_in_a_thread_of_this_process(tmp_path: Path) -> None:
    """As the launcher may do; chDB holds one folder per process, so this one has a process of its own."""
    script = f"""
import threading, urllib.request
from pathlib import Path
from store.owner import serve
stop, ports, ready = threading.Event(), [], threading.Event()
def on_ready(port):
    ports.append(port)
    ready.set()
thread = threading.Thread(target=serve, args=(Path({str(tmp_path / "db")!r}), "127.0.0.1", 0),
                          kwargs=dict(threads=1, on_ready=on_ready, stop=stop))
thread.start()
assert ready.wait(30)
url = f"http://127.0.0.1:{{ports[0]}}/?query=SELECT+getSetting('max_threads')"
assert urllib.request.urlopen(url).read() == b"1\\n"
stop.set()
thread.join(20)
assert not thread.is_alive()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
