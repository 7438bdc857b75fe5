"""The embedded store: one owner per folder, killed in the middle of its work, and what folders can do wrong."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from store import StoreUnavailable, open_store

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from store import open_store
store = open_store(sys.argv[1])
store.execute("CREATE TABLE IF NOT EXISTS t (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id "
              "SETTINGS non_replicated_deduplication_window = 1000")
for block in range(int(sys.argv[2]), 10_000):
    store.insert("t", [{"id": block * 1000 + n} for n in range(1000)], token=f"block-{block}")
    print(block, flush=True)
"""


SECOND = """
import sys
from store import StoreUnavailable, open_store
try:
    open_store(sys.argv[1])
except StoreUnavailable as error:
    print(error)
"""


def write(url: str, first: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(first)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_killed_in_the_middle_of_inserts(tmp_path: Path) -> None:
    """Three lives; each next one begins with the last block that was acknowledged, so that one is sent twice."""
    url = f"chdb://{tmp_path}/db"
    acknowledged = 0
    for life in range(3):
        writer = write(url, acknowledged)
        assert writer.stdout is not None
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged >= 8 * (life + 1):
                break
        writer.kill()
        for line in writer.stdout:
            acknowledged = int(line)
        assert writer.wait() == -signal.SIGKILL
    store = open_store(url)
    found = store.query("SELECT count() AS n, uniqExact(id) AS different, max(id) AS last FROM t")[0]
    whole = store.query(
        "SELECT max(n) AS most, min(n) AS least FROM (SELECT count() AS n FROM t GROUP BY intDiv(id, 1000))"
    )
    store.close()
    assert int(str(found["last"])) >= acknowledged * 1000 + 999
    assert found["n"] == found["different"] == int(str(found["last"])) + 1
    assert whole == [{"most": 1000, "least": 1000}], "a block is whole or not there"


def test_a_second_process_is_told_in_one_line(tmp_path: Path) -> None:
    store = open_store(f"chdb://{tmp_path}/db")
    said = subprocess.run(
        [sys.executable, "-c", SECOND, f"chdb://{tmp_path}/db"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    store.close()
    assert "already open in process" in said
    assert said.count("\n") == 1


def test_the_same_folder_can_be_opened_again(tmp_path: Path) -> None:
    for life in range(2):
        store = open_store(f"chdb://{tmp_path}/db")
        store.execute("CREATE TABLE IF NOT EXISTS lives (n UInt8) ENGINE = MergeTree ORDER BY n")
        store.insert("lives", [{"n": life}], token=str(life))
        assert store.query("SELECT count() AS n FROM lives") == [{"n": life + 1}]
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.ping()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"cannot use .*/file/db as the store's folder: Not a directory"):
        open_store(f"chdb://{tmp_path}/file/db")
