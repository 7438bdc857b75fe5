"""platefleet query --reason, audit verify and forget, from outside, on a folder that no process holds."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fleet.running import STORE_FOLDER
from store import Store, migrate, open_store
from store.cookbook_data import fill

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with closing(opened(folder)) as store:
        migrate(store)
        fill(store)
    return folder


def opened(folder: Path) -> Store:
    return open_store(f"chdb://{folder / STORE_FOLDER}")


def run(data_dir: Path, *arguments: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATEFLEET_")}
    return subprocess.run(
        [sys.executable, "-m", "fleet", *arguments],
        cwd=ROOT,
        env=clean | {"PLATEFLEET_DATA_DIR": str(data_dir), "LOGNAME": "ann"} | extra,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_query_is_in_the_audit_and_a_change_of_the_audit_shows(data_dir: Path) -> None:
    done = run(data_dir, "query", "SELECT count() FROM sightings", "--reason", "case 7")
    assert done.returncode == 0, done.stderr
    assert run(data_dir, "query", "SELECT 1").returncode == 0
    verified = run(data_dir, "audit", "verify", "--json")
    assert verified.returncode == 0, verified.stderr
    said = json.loads(verified.stdout)
    assert (said["rows"], said["fault"], len(said["head"])) == (1, "", 64)
    with closing(opened(data_dir)) as store:
        (row,) = store.query("SELECT user, action, statement, reason FROM audit")
        assert row == {
            "user": "ann",
            "action": "search",
            "statement": "SELECT count() FROM sightings",
            "reason": "case 7",
        }
        store.execute("ALTER TABLE audit UPDATE reason = 'none' WHERE number = 1 SETTINGS mutations_sync = 2")
    verified = run(data_dir, "audit", "verify", COLUMNS="80")
    assert verified.returncode == 1
    assert "…" not in verified.stdout
    assert "row 1 was changed" in verified.stdout
    with closing(opened(data_dir)) as store:
        store.execute("ALTER TABLE audit UPDATE reason = 'case 7' WHERE number = 1 SETTINGS mutations_sync = 2")


def test_a_fresh_audit_is_whole_and_an_emptied_one_is_not(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        migrate(store)
    assert run(tmp_path, "audit", "verify").returncode == 0, "nothing to search for yet"
    with closing(opened(tmp_path)) as store:
        fill(store)
    assert run(tmp_path, "query", "SELECT count() FROM sightings").returncode == 0
    said = json.loads(run(tmp_path, "audit", "verify", "--json").stdout)
    noted = f"{said['chain']}={said['rows']}:{said['head']}"
    assert run(tmp_path, "audit", "verify", "--expect", noted).returncode == 0
    with closing(opened(tmp_path)) as store:
        store.execute("TRUNCATE TABLE audit")
    for arguments, words in (
        ((), "the audit is empty"),
        (("--expect", noted), "rows 1 to 1 are cut off"),
        (("--expect", "embedded"), "want CHAIN=ROWS:HASH"),
    ):
        done = run(tmp_path, "audit", "verify", *arguments)
        assert done.returncode == 1
        assert words in " ".join(done.stderr.split())


def test_forget_deletes_reports_and_is_in_the_audit(data_dir: Path) -> None:
    done = run(data_dir, "forget", "--plate", "muc-7788", "--reason", "the owner asked", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["plate"], report["complete"]) == ("MUC7788", True)
    assert {(one["table"], one["rows"]) for one in report["deleted"] if one["rows"]} == {
        ("alerts_raw", 1),
        ("sightings_raw", 3),
        ("sightings_time_raw", 3),
        ("plates", 1),
    }
    assert report["hotlist_entries"] == ["wanted/MUC7788"]
    assert report["kafka"] is None, "none runs on this folder"
    with closing(opened(data_dir)) as store:
        assert store.query("SELECT plate FROM sightings WHERE plate = 'MUC7788'") == []
        (row,) = store.query("SELECT * FROM audit WHERE action = 'forget'")
    assert (row["reason"], row["hash"]) == ("the owner asked", report["audit_hash"])
    assert "7788" not in str(row["statement"])
    assert run(data_dir, "audit", "verify").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--plate", "MUC*", "--reason", "x", "--yes"), "without ? and *"),
        (("--plate", "", "--reason", "x", "--yes"), "want 1 to 16"),
        (("--plate", "MUC7788", "--reason", " ", "--yes"), "--reason is empty"),
        (("--plate", "MUC7788", "--reason", "x", "--yes", "--purge-topics"), "no Kafka is known"),
    ],
)
def test_what_forget_refuses(data_dir: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(data_dir, "forget", *arguments)
    assert done.returncode == 1
    assert words in done.stderr


def test_forget_without_consent_does_nothing(data_dir: Path) -> None:
    done = run(data_dir, "forget", "--plate", "KEX4711", "--reason", "x")
    assert done.returncode == 130
    with closing(opened(data_dir)) as store:
        assert store.query("SELECT count() AS n FROM sightings WHERE plate = 'KEX4711'") == [{"n": 5}]


def test_the_settings_days_become_the_tables_ttls(data_dir: Path) -> None:
    done = run(data_dir, "migrate", PLATEFLEET_KEEP_READS_DAYS="7", PLATEFLEET_KEEP_SIGHTINGS_DAYS="30")
    assert done.returncode == 0, done.stderr
    with closing(opened(data_dir)) as store:
        rows = store.query("SELECT name, engine_full FROM system.tables WHERE name IN ('reads_raw', 'sightings_raw')")
    engines = {row["name"]: str(row["engine_full"]) for row in rows}
    assert "TTL toDateTime(captured_at) + toIntervalDay(7)" in engines["reads_raw"]
    assert "toIntervalDay(30) WHERE sighting_id NOT IN" in engines["sightings_raw"]
    done = run(data_dir, "migrate", PLATEFLEET_KEEP_HITS_DAYS="3")
    assert done.returncode == 1
    assert "retention of hits: 3 days is shorter than that of sightings (forever)" in done.stderr
