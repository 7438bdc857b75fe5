"""What a question to the owner reaches: the store, and nothing else of the machine."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.embedded import Engine
from store.guard import _HARMLESS
from store.owner_request import HttpQuery, RequestError
from store.owner_run import Run, Sessions

SECRET = "nobody may read this"
REFUSED = ("47 Unknown", "60 ", "390 ", "497 ", "636 ")
"""There is no such name or table, or it is not allowed."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "secret.csv").write_text(f"{SECRET}\n")
    opened = Engine(tmp_path / "db", threads=1)
    yield opened
    opened.close()


def ask(engine: Engine, sql: str, **given: str) -> str:
    """The owner's answer, or its words of refusal."""
    run = Run(engine, Sessions(engine), HttpQuery(sql, parameters=given), io.BytesIO(), 0)
    try:
        return b"".join([run.start(), *iter(run.next, b"")]).decode()
    except RequestError as error:
        return f"{error.code} {error.words}"
    finally:
        run.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{0}'",
        "SELECT * FROM `{0}`",
        "SELECT * FROM default.`{0}`",
        'SELECT * FROM "{0}"',
        "SELECT * FROM {{f:Identifier}}",
        "SELECT * FROM default.{{f:Identifier}}",
        "SELECT * FROM merge('default', '{0}')",
        "SELECT * FROM loop('default', '{0}')",
        "SELECT 'x' IN `{0}`",
        "DESCRIBE TABLE '{0}'",
        "SHOW CREATE TABLE `{0}`",
        "INSERT INTO kept FROM INFILE '{0}' FORMAT LineAsString",
        "SELECT 1 FORMAT Template SETTINGS format_template_row = '{0}'",
        "CREATE DATABASE files ENGINE = Filesystem",
        "DETACH DATABASE default",
        "ATTACH DATABASE default",
    ],
)
def test_no_file_is_a_table(engine: Engine, tmp_path: Path, sql: str) -> None:
    path = f"{tmp_path}/secret.csv"
    ask(engine, "CREATE TABLE kept (s String) ENGINE = MergeTree ORDER BY s")
    answer = ask(engine, sql.format(path), f=path)
    assert answer.startswith(REFUSED), answer
    assert SECRET not in answer
    assert ask(engine, "SELECT count() FROM kept") == "0\n"


def test_no_file_is_written(engine: Engine, tmp_path: Path) -> None:
    ask(engine, f"INSERT INTO `{tmp_path}/made.csv` SELECT 1")
    assert not (tmp_path / "made.csv").exists()


def test_what_the_engine_has_beyond_the_harmless_is_refused(engine: Engine) -> None:
    """After an upgrade of the engine: look at each new name, and allow it where it reaches nothing."""
    known = ask(engine, "SELECT name FROM system.table_functions").split()
    refused = {name for name in known if ask(engine, f"SELECT * FROM {name}('x')").startswith("497")}
    assert {name.upper() for name in known} - {name.upper() for name in refused} <= _HARMLESS
    assert {"file", "paimonLocal", "icebergLocalCluster", "deltaLakeCluster", "hudiCluster", "eval"} <= refused
    assert len(known) == 94, "the engine has other table functions: are they in the right list?"


def test_a_store_of_an_earlier_version_keeps_its_tables(tmp_path: Path) -> None:
    from chdb import _chdb

    earlier = _chdb.connect(f"{tmp_path}/db/chdb")  # type: ignore[attr-defined]
    for sql in (
        "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE seen (a Int8) ENGINE = MergeTree ORDER BY a",
        "CREATE MATERIALIZED VIEW mv TO seen AS SELECT a FROM t",
        "INSERT INTO t VALUES (7)",
    ):
        earlier.query(sql, "Null")
    earlier.close()
    for rows in ("7\n", "7\n8\n"):
        engine = Engine(tmp_path / "db", threads=1)
        assert ask(engine, "SELECT a FROM seen ORDER BY a") == rows
        ask(engine, "INSERT INTO t SELECT 8")
        engine.close()
    again = _chdb.connect(f"{tmp_path}/db/chdb")  # type: ignore[attr-defined]
    assert again.query("SELECT count() FROM seen", "TSV").bytes() == b"3\n", "and chDB itself opens it as before"
    again.close()
