"""The pure parts: cutting SQL, finding where data begin, the guard, encodings, formats, Native, settings of errors."""

import gc
import gzip
import io
import random
import zlib
from datetime import UTC, datetime
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import native
from store.encodings import ENCODINGS, choose, chunks, compressor, shrunk
from store.guard import outward, refusal
from store.interface import StoreMisconfigured, StoreRejected, StoreUnavailable, as_store_error, error_code, redact
from store.owner_formats import content_type, http_status
from store.owner_request import Access, RequestError, check_access, parse
from store.sqltext import insert_head, output_format, split_statements
from store.values import parameter_text

SOURCES = outward(["file", "URL", "python", "Kafka", "Filesystem", "numbers", "MergeTree"])


def test_statements_are_cut_at_semicolons_that_are_ones() -> None:
    script = "-- a; b\nSELECT ';', \"a;b\", `c;d` /* ; */;\n\n# ! x;y\nSELECT 'it''s; \\'fine';  ;\n-- end;\n"
    assert [(one.text, one.line) for one in split_statements(script)] == [
        ("SELECT ';', \"a;b\", `c;d`", 2),
        ("SELECT 'it''s; \\'fine'", 5),
    ]


@pytest.mark.parametrize(
    ("sql", "head", "format", "data"),
    [
        ("INSERT INTO t FORMAT TSV\n1\t2", "INSERT INTO t", "TSV", "1\t2"),
        ("insert into t(a, `b format`) format Native\r\n\0\1", "insert into t(a, `b format`)", "Native", "\0\1"),
        ("INSERT INTO t SETTINGS a = 1 FORMAT JSONEachRow {}", "INSERT INTO t SETTINGS a = 1", "JSONEachRow", "{}"),
        ("/* x */ INSERT INTO t VALUES (1, 'FORMAT')", "/* x */ INSERT INTO t", "Values", " (1, 'FORMAT')"),
        ("INSERT INTO t FORMAT CSV", "INSERT INTO t", "CSV", ""),
        ("INSERT INTO t FORMAT TSV;\n\nx", "INSERT INTO t", "TSV", "\nx"),
    ],
)
def test_an_insert_s_data_begin_after_its_format(sql: str, head: str, format: str, data: str) -> None:
    found = insert_head(sql)
    assert found is not None
    assert (found.head, found.format, sql[found.data_start :]) == (head, format, data)


@pytest.mark.parametrize("sql", ["", "SELECT 1", "INSERT INTO t SELECT 1 FORMAT TSV", "INSERT INTO t", "(("])
def test_what_is_no_insert_with_data(sql: str) -> None:
    assert insert_head(sql) is None


@given(st.text(max_size=200))
def test_any_text_can_be_looked_at(sql: str) -> None:
    insert_head(sql)
    output_format(sql)
    split_statements(sql)
    refusal(sql, "UNKNOWN", read_only=False, sources=SOURCES)


@pytest.mark.parametrize(
    ("sql", "format"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 FORMAT `CSV` ;", "CSV"),
        ("SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON"),
        ("SELECT 1 AS format", None),
        ("SELECT format FROM t", None),
        ("SELECT 'FORMAT JSON'", None),
        ("SELECT * FROM (SELECT 1 FORMAT TSV)", None),
    ],
)
def test_the_format_that_is_asked_for(sql: str, format: str | None) -> None:
    assert output_format(sql) == format


@pytest.mark.parametrize(
    ("sql", "query_class", "code"),
    [
        ("SELECT domain(url) FROM t", "READ_ONLY", None),
        ("SELECT file FROM t", "READ_ONLY", None),
        ("SELECT 'file(1)'", "READ_ONLY", None),
        ("SELECT * FROM File('/x')", "READ_ONLY", 497),
        ("SELECT * FROM \"url\" ('x')", "READ_ONLY", 497),
        ("SELECT * FROM Python(x)", "READ_ONLY", 497),
        ("SELECT * FROM numbers(3)", "READ_ONLY", None),
        ("SELECT * FROM `fi\\x6ce`('/x')", "READ_ONLY", 497),
        ("SELECT * FROM \u201cfile\u201d('/x')", "READ_ONLY", 497),
        ("SELECT $$'$$, * FROM file('/x') WHERE 'a' = 'a'", "READ_ONLY", 497),
        ("SELECT $a$ file('/x') $$ $a$", "READ_ONLY", None),
        ("SELECT * FROM {f:Identifier}('/x')", "READ_ONLY", 497),
        ("SELECT 'format_schema', name FROM system.settings", "READ_ONLY", None),
        ("SELECT 1 FORMAT Template SETTINGS format_template_row = '/x'", "READ_ONLY", 497),
        ("SELECT engine FROM system.tables WHERE engine = 'Kafka'", "READ_ONLY", None),
        ("CREATE TABLE t (a Int8) ENGINE = Kafka SETTINGS kafka_format = 'CSV'", "MUTATING", 497),
        ("CREATE TABLE t (a Int8) ENGINE {e:Identifier}", "MUTATING", 497),
        ("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a", "MUTATING", None),
        ("CREATE DATABASE d ENGINE = Filesystem", "MUTATING", 497),
        ("INSERT INTO t FROM INFILE '/x' FORMAT CSV", "MUTATING", 497),
        ("CREATE DICTIONARY d (a Int8) SOURCE(EXECUTABLE(COMMAND 'id'))", "MUTATING", 497),
        ("CREATE FUNCTION f AS (a) -> a + 1", "MUTATING_GLOBAL", None),
        ("CREATE OR REPLACE FUNCTION f AS (a) -> a + 1", "MUTATING_GLOBAL", None),
        ("CREATE FUNCTION f ENGINE = x AS 1", "MUTATING_GLOBAL", 497),
        ("CREATE NAMED COLLECTION c AS a = 1", "MUTATING_GLOBAL", 497),
        ("SYSTEM FLUSH LOGS", "CONTROL", None),
        ("SYSTEM KILL", "CONTROL", 497),
        ("SYSTEM", "CONTROL", 497),
        ("ATTACH TABLE t FROM '/x'", "CONTROL", 497),
        ("KILL QUERY WHERE 1", "CONTROL", None),
        ("SELECT 1 INTO OUTFILE 'x'", "CONTROL", 358),
    ],
)
def test_the_guard(sql: str, query_class: str, code: int | None) -> None:
    found = refusal(sql, query_class, read_only=False, sources=SOURCES)
    assert (found[0] if found else None) == code


def test_the_guard_for_readers() -> None:
    assert refusal("DROP TABLE t", "MUTATING", read_only=True, sources=SOURCES) == (
        164,
        "Cannot execute query in readonly mode. (READONLY)",
    )
    assert refusal("SELECT 1", "READ_ONLY", read_only=True, sources=SOURCES) is None


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_encodings_go_both_ways(encoding: str, size: int) -> None:
    plain = bytes(range(256)) * (size // 256 + 1)
    plain = plain[:size]
    packer = compressor(encoding)
    packed = b"".join(packer.feed(plain[at : at + 100_000]) for at in range(0, size, 100_000)) + packer.finish()
    assert b"".join(chunks(io.BytesIO(packed), encoding)) == plain


def test_raw_deflate_is_read_too() -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"hello" * 100) + packer.flush()
    assert b"".join(chunks(io.BytesIO(packed), "deflate")) == b"hello" * 100


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4", "br", "snappy-framed"])
def test_content_that_is_not_of_its_encoding(encoding: str) -> None:
    with pytest.raises(ValueError, match=r"compress"):
        list(chunks(io.BytesIO(b"plain text, no more"), encoding))


def test_cut_off_content() -> None:
    with pytest.raises(ValueError, match="cannot decompress"):
        list(chunks(io.BytesIO(gzip.compress(b"x" * 1000)[:-9]), "gzip"))


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", None),
        ("identity", None),
        ("br;q=0, GZIP", "gzip"),
        ("zstd, gzip", "zstd"),
        ("snappy, deflate;q=0.5", "deflate"),
    ],
)
def test_the_encoding_that_is_chosen(accept: str, chosen: str | None) -> None:
    assert choose(accept) == chosen


@pytest.mark.parametrize(
    ("format", "type"),
    [
        ("TSV", "text/tab-separated-values; charset=UTF-8"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("JSONCompact", "application/json; charset=UTF-8"),
        ("RowBinary", "application/octet-stream"),
        ("PrettyCompact", "text/plain; charset=UTF-8"),
    ],
)
def test_content_types(format: str, type: str) -> None:
    assert content_type(format) == type


def test_http_statuses() -> None:
    assert [http_status(code) for code in (62, 60, 516, 497, 194, 159, 241)] == [400, 404, 403, 403, 401, 408, 500]


def test_requests_are_parsed() -> None:
    pairs = [("query", "SELECT "), ("param_a", "1"), ("max_threads", "2"), ("client_protocol_version", "54405")]
    found = parse("POST", pairs, {"X-ClickHouse-Database": "d", "Accept-Encoding": "gzip"})
    assert (found.query, found.parameters, found.settings) == ("SELECT ", {"a": "1"}, {"max_threads": "2"})
    assert (found.database, found.accept, found.read_only) == ("d", "", False)
    with pytest.raises(RequestError):
        parse("POST", [("role", "r")], {})


def test_access_without_a_password_is_for_this_machine() -> None:
    for host in ("127.0.0.1:8123", "localhost", "[::1]:8123", ""):
        check_access(Access(), {}, {"Host": host})
    with pytest.raises(RequestError, match="not this machine"):
        check_access(Access(), {}, {"Host": "rebound.example:8123"})
    check_access(Access("u", "p"), {"user": "u", "password": "p"}, {"Host": "store.example"})


def test_passwords_are_not_shown() -> None:
    assert redact("http://u:p%40s@h:1/d") == "http://u:***@h:1/d"
    assert redact("http://:p@h/d") == "http://:***@h/d"
    assert redact("http://h:1/d") == "http://h:1/d"


@pytest.mark.parametrize(
    ("code", "inserting", "kind"),
    [
        (62, False, StoreRejected),
        (60, False, StoreRejected),
        (60, True, StoreMisconfigured),
        (241, True, StoreUnavailable),
        (252, True, StoreUnavailable),
        (516, False, StoreMisconfigured),
        (53, True, StoreRejected),
    ],
)
def test_which_error_a_code_is(code: int, inserting: bool, kind: type) -> None:
    error = as_store_error(f"Code: {code}. DB::Exception: words\nmore", inserting=inserting)
    assert type(error) is kind
    assert error.code == code
    assert "\n" not in str(error)
    assert error_code("no code") == 0


def test_parameters_as_text() -> None:
    assert parameter_text("a'b\t\\") == "a\\'b\\t\\\\"
    assert parameter_text(["a'b", None, 1, True]) == "['a\\'b', NULL, 1, true]"
    assert parameter_text({"k": [1.5]}) == "{'k': [1.5]}"
    with pytest.raises(StoreRejected, match="bytes"):
        parameter_text(b"x")


@pytest.mark.parametrize("before", [True, False])
def test_encoding_leaves_the_collector_as_it_was(before: bool) -> None:
    (gc.enable if before else gc.disable)()
    try:
        native.encode("t", [("a", "UInt64")], [{"a": 1}])
        assert gc.isenabled() is before
        with pytest.raises(StoreRejected):
            native.encode("t", [("a", "UInt64")], [{"a": "x"}])
        assert gc.isenabled() is before
    finally:
        gc.enable()


def test_native_that_is_cut_off() -> None:
    whole = b"".join(native.encode("t", [("a", "UInt64")], [{"a": 1}]))
    assert native.decode(b"") == []
    assert native.decode(whole + whole) == [{"a": 1}, {"a": 1}]
    with pytest.raises(StoreUnavailable, match="cut off"):
        native.decode(whole[:-3])


def test_native_of_types_that_the_driver_lacks() -> None:
    with pytest.raises(StoreRejected, match="query_raw"):
        native.decode(b"\x01\x01\x01a\x0bVariant(A)" + b"\0" * 40)


def test_blocks_are_compressed_where_it_pays() -> None:
    rows = [b"camera-1camera-2" * 9_000, b"\0" * 10]
    packed = shrunk(rows)
    assert packed is not None
    assert len(packed) < len(rows[0]) / 10
    assert b"".join(chunks(io.BytesIO(packed), "zstd")) == b"".join(rows)
    assert shrunk([random.Random(1).randbytes(100_000), rows[0][:50_000]]) is None
    assert shrunk([]) is None


def test_arrow_is_there() -> None:
    assert pa.Codec.is_available("zstd")
    assert pa.Codec.is_available("lz4")
    assert pa.Codec.is_available("brotli")


AWARE = datetime(2026, 3, 1, 12, 0, 0, 123_999, tzinfo=UTC)
OLD = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
ID = UUID(int=2**127 + 5)
PAIRS = "Array(Tuple(a String, b Float64))"


@pytest.mark.parametrize(
    ("spec", "values", "found"),
    [
        # what goes as a whole column, and the same by value, since one is of another kind
        ("DateTime64(3, 'UTC')", [AWARE, OLD], [AWARE.replace(microsecond=123_000), OLD.replace(microsecond=999_000)]),
        ("DateTime64(3, 'UTC')", [AWARE.replace(tzinfo=None), AWARE], [AWARE.replace(microsecond=123_000)] * 2),
        ("DateTime64(3, 'UTC')", [1500, AWARE], [datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC), None]),
        ("UUID", [ID, UUID(int=1)], [str(ID), str(UUID(int=1))]),
        ("UUID", [str(ID), str(UUID(int=1))], [str(ID), str(UUID(int=1))]),
        ("UUID", [str(ID), ID], [str(ID)] * 2),
        ("UUID", [ID.hex, "{" + str(ID) + "}"], [str(ID)] * 2),
        (PAIRS, [[("x", 1.0), ("y", 2.0)], []], [[{"a": "x", "b": 1.0}, {"a": "y", "b": 2.0}], []]),
        (PAIRS, [[{"b": 1.0, "a": "x"}], [("y", 2.0)]], [[{"a": "x", "b": 1.0}], None]),
        (PAIRS, [[], []], [[], []]),
        ("Array(Tuple(a DateTime64(3, 'UTC')))", [[(AWARE,)]], [[{"a": AWARE.replace(microsecond=123_000)}]]),
        ("Tuple(a Float32, b Nullable(Float32))", [(1.0, None), (2.0, 3.0)], [{"a": 1.0, "b": None}, None]),
    ],
)
def test_values_of_every_kind_go_to_native_and_back(spec: str, values: list[object], found: list[object]) -> None:
    block = b"".join(native.encode("t", [("c", spec)], [{"c": value} for value in values]))
    for row, wanted in zip(native.decode(block), found, strict=True):
        if wanted is not None:
            assert row["c"] == wanted


@pytest.mark.parametrize(
    ("spec", "values", "row"),
    [
        ("UUID", [str(ID), "x" * 36], 1),
        ("DateTime64(3, 'UTC')", [AWARE, "now"], 1),
        (PAIRS, [[("x", 1.0)], [("x", 1.0, 2.0)]], 1),
        (PAIRS, [[("x", 1.0)], [("x", "y")]], 1),
        ("Tuple(a Float32, b Float32)", [(1.0, 2.0), (1.0, None)], 1),
    ],
)
def test_a_value_that_does_not_fit_is_named(spec: str, values: list[object], row: int) -> None:
    with pytest.raises(StoreRejected, match=r"t\.c: ") as caught:
        native.encode("t", [("c", spec)], [{"c": value} for value in values])
    assert (caught.value.column, caught.value.row) == ("c", row)
