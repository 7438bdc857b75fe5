"""The store: rows/s into it through its owner, and questions beside a plain full scan of the same rows.

    python -m bench.store [--rows N] [--insert-rows N] [--block N] [--json]

Inserts go the sink's way: dicts -> Native -> HTTP -> the tables with their dependent ones. The yardstick is the
engine alone: the same blocks, made before, sent without any work of ours. Questions go through the views that
users ask; their yardstick is a copy of the rows without any order. Target: 50,000 rows/s.
"""

import argparse
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from rich.console import Console
from rich.table import Table

from store import migrate, open_store, rows
from store.embedded import INSERT_SETTINGS
from store.interface import Row, Store
from store.native import encode

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
REPEATS = 7
UNCACHED = "SETTINGS use_query_condition_cache = 0"

FILL = """
INSERT INTO sightings_raw
    (plate, opened_at, sighting_id, revision, is_deleted, status, camera_id, confidence, region, candidates, votes,
     frames, first_seen, last_seen, lat, lon, heading, speed, direction, model_version, emitted_at)
SELECT
    concat(char(65 + h % 20, 65 + intDiv(h, 20) % 20, 65 + intDiv(h, 400) % 20), leftPad(toString(h % 9973), 4, '0')),
    toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(cityHash64(n, 2) % ({days} * 86400000)) AS at,
    toUUID(concat('00000000-0000-5000-8000-', leftPad(hex(n), 12, '0'))), 3, 0, 'final',
    concat('camera-', toString(cityHash64(n, 3) % 200)), 0.9, 'DE',
    [('TEST001', toFloat32(0.9))], 5, 8, at, at + toIntervalSecond(2),
    50 + (cityHash64(n, 4) % 1000000) / 1e6, 10 + (cityHash64(n, 5) % 1000000) / 1e6, 90, 12, 'approaching', 'model', at
FROM (SELECT number + {first} AS n, cityHash64(number + {first}, 1) % {plates} AS h FROM numbers({count}))
"""


def make_rows(count: int, seed: int) -> list[Row]:
    """Rows of `sightings_raw`, invented; about four sightings per plate."""
    dice = random.Random(seed)
    return [_row(dice) for _ in range(count)]


def _row(dice: random.Random) -> Row:
    plate = "".join(dice.choices(LETTERS, k=3)) + f"{dice.randrange(40):04d}"
    at = START + timedelta(milliseconds=dice.randrange(DAYS * 86_400_000))
    lat, lon = 50 + dice.random(), 10 + dice.random()
    return {
        "plate": plate,
        "opened_at": at,
        "sighting_id": UUID(int=dice.getrandbits(128)),
        "revision": 3,
        "is_deleted": 0,
        "status": "final",
        "camera_id": f"camera-{dice.randrange(200)}",
        "confidence": 0.9,
        "region": "DE",
        "region_confidence": 0.8,
        "candidates": [(plate, 0.9), (plate[::-1], 0.1)],
        "votes": 5,
        "frames": 8,
        "first_seen": at,
        "last_seen": at + timedelta(seconds=2),
        "lat": lat,
        "lon": lon,
        "heading": 90.0,
        "speed": 12.5,
        "direction": "approaching",
        "trail": [(at, lat, lon)] * 4,
        "evidence_seq": 17,
        "evidence_captured_at": at,
        "evidence_corners": [(1.0, 2.0), (3.0, 2.0), (3.0, 4.0), (1.0, 4.0)],
        "evidence_topic": "fleet.frames",
        "evidence_partition": 3,
        "evidence_offset": dice.randrange(1 << 40),
        "evidence_frame_index": 0,
        "frame_sha256": f"{dice.getrandbits(256):064x}",
        "crop_sha256": f"{dice.getrandbits(256):064x}",
        "model_version": "model",
        "emitted_at": at,
        "origin_partition": 0,
        "origin_offset": 0,
    }


@contextmanager
def owner() -> Iterator[str]:
    """A store of its own, empty but for its tables; its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "store.owner", str(Path(folder) / "db"), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = process.stdout.readline().split()[1]
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(30)


def insert_speed(store: Store, url: str, total: int, block: int, threads: int) -> dict[str, Any]:
    """rows/s by the sink's way, and of the engine alone, in turns of one block each."""
    types = {str(one["name"]): str(one["type"]) for one in store.query("DESCRIBE TABLE sightings_raw")}
    ours = bare = 0.0
    pairs = max(1, total // (2 * block * threads))
    with ThreadPoolExecutor(threads) as pool:
        for turn in range(pairs):
            blocks = [make_rows(block, seed=hash((block, threads, turn, n))) for n in range(2 * threads)]
            columns = [(name, types[name]) for name in blocks[0][0]]
            packed = [encode("sightings_raw", columns, one) for one in blocks[threads:]]
            began = time.perf_counter()
            sent = [
                pool.submit(store.insert, rows.SIGHTINGS, one, token=f"ours/{block}/{threads}/{turn}/{n}")
                for n, one in enumerate(blocks[:threads])
            ]
            for one in sent:
                one.result()
            ours += time.perf_counter() - began
            names = ", ".join(blocks[0][0])
            began = time.perf_counter()
            raw = [
                pool.submit(_post, url, names, one, f"bare/{block}/{threads}/{turn}/{n}")
                for n, one in enumerate(packed)
            ]
            for one in raw:
                one.result()
            bare += time.perf_counter() - began
    count = pairs * threads * block
    return {
        "block": block,
        "threads": threads,
        "rows": count,
        "rows_per_second": round(count / ours),
        "engine_alone_rows_per_second": round(count / bare),
        "ratio": round(bare / ours, 3),
    }


def _post(url: str, names: str, data: bytes, token: str) -> None:
    sql = f"INSERT INTO sightings_raw ({names}) FORMAT Native"
    settings = {**INSERT_SETTINGS, "insert_deduplication_token": token, "query": sql}
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"))
    connection.request("POST", f"/?{urlencode(settings)}", data)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(text.decode())


def fill(store: Store, total: int) -> float:
    """Let the engine itself make rows up to `total`; seconds that it took."""
    have = int(str(store.query("SELECT count() AS n FROM sightings_raw")[0]["n"]))
    began = time.perf_counter()
    while have < total:
        count = min(500_000, total - have)
        store.execute(FILL.format(days=DAYS, first=have, count=count, plates=max(1000, total // 4)))
        have += count
    store.execute("CREATE TABLE plain ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM sightings")
    return time.perf_counter() - began


Question = tuple[str, Callable[[random.Random], str], str, str]


def _days(first: str, days: int) -> str:
    start = f"toDateTime('{first}', 'UTC')"
    return f"opened_at >= {start} AND opened_at < {start} + toIntervalDay({days})"


def questions(plates: list[str]) -> list[Question]:
    """Name, condition with new values each time, how the views are asked, how the plain copy is."""
    ask = "SELECT count(), max(last_seen) FROM {table} WHERE {where}"
    found = "plate IN (SELECT plate FROM plates WHERE {where})"

    def wildcard(dice: random.Random) -> str:
        plate = dice.choice(plates)
        return f"plate LIKE '{plate[0]}_{plate[2]}%{plate[-1]}'"

    def day(dice: random.Random) -> str:
        return (START + timedelta(days=dice.randrange(DAYS - 8))).strftime("%Y-%m-%d")

    def camera_day(dice: random.Random) -> str:
        first = day(dice)
        camera = f"camera_id = 'camera-{dice.randrange(200)}'"
        return f"{camera} AND {_days(first, 1)}"

    def area_week(dice: random.Random) -> str:
        first, lat, lon = day(dice), 50 + dice.random() * 0.9, 10 + dice.random() * 0.9
        area = f"lat BETWEEN {lat} AND {lat + 0.05} AND lon BETWEEN {lon} AND {lon + 0.05}"
        return f"{_days(first, 7)} AND {area}"

    by_plate = ask.format(table="sightings", where="{where}")
    by_parts = ask.format(table="sightings", where=found)
    by_time = ask.format(table="sightings_by_time", where="{where}")
    scan = ask.format(table="plain", where="{where}")
    return [
        ("exact plate", lambda dice: f"plate = '{dice.choice(plates)}'", by_plate, scan),
        ("part of a plate", lambda dice: f"plate LIKE '%{dice.choice(plates)[1:6]}%'", by_parts, scan),
        ("wildcard", wildcard, by_parts, scan),
        ("one letter off", lambda dice: f"editDistance(plate, '{dice.choice(plates)}') <= 1", by_parts, scan),
        ("camera and day", camera_day, by_time, scan),
        ("area and week", area_week, by_time, scan),
    ]


def ask_all(store: Store) -> list[dict[str, Any]]:
    """Median milliseconds per question, asked with other values each time, and the same of the full scan."""
    plates = [str(row["plate"]) for row in store.query("SELECT plate FROM plates ORDER BY cityHash64(plate) LIMIT 500")]
    dice = random.Random(5)
    report = []
    for name, condition, view, plain in questions(plates):
        times: dict[str, list[float]] = {view: [], plain: []}
        for repeat in range(REPEATS + 1):
            where = condition(dice)
            answers = []
            for sql, taken in times.items():
                began = time.perf_counter()
                answers.append(store.query_raw(f"{sql.format(where=where)} {UNCACHED}", "TSV"))
                if repeat:  # the first of each warms up
                    taken.append((time.perf_counter() - began) * 1000)
            if answers[0] != answers[1]:
                raise RuntimeError(f"{name}: the view and the full scan disagree where {where}: {answers}")
        milliseconds, scan = statistics.median(times[view]), statistics.median(times[plain])
        report.append(
            {
                "question": name,
                "ms": round(milliseconds, 1),
                "scan_ms": round(scan, 1),
                "ratio": round(scan / milliseconds, 1),
            }
        )
    return report


def measure(total: int, insert_rows: int, blocks: list[int]) -> dict[str, Any]:
    """Everything, in one store."""
    with owner() as url:
        store = open_store(url)
        migrate(store)
        inserts = [insert_speed(store, url, insert_rows, block, threads) for block in blocks for threads in (1, 2)]
        seconds = fill(store, total)
        tables = "('sightings_raw', 'sightings_time_raw', 'plates')"
        size = f"SELECT sum(bytes_on_disk) AS b FROM system.parts WHERE active AND table IN {tables}"
        count = int(str(store.query("SELECT count() AS n FROM sightings_raw")[0]["n"]))
        bytes_per_row = int(str(store.query(size)[0]["b"])) / count
        return {
            "inserts": inserts,
            "rows": count,
            "fill_seconds": round(seconds, 1),
            "bytes_per_row_all_orders": round(bytes_per_row, 1),
            "questions": ask_all(store),
        }


def show(result: dict[str, Any]) -> None:
    """The result as two tables."""
    console = Console()
    table = Table("block", "threads", "rows", "rows/s", "engine alone", "ratio", title="Inserts through the owner")
    for one in result["inserts"]:
        table.add_row(
            *(f"{one[key]:,}" for key in ("block", "threads", "rows", "rows_per_second")),
            f"{one['engine_alone_rows_per_second']:,}",
            str(one["ratio"]),
        )
    console.print(table)
    table = Table(
        "question", "ms", "full scan ms", "times faster", title=f"Questions over {result['rows']:,} sightings"
    )
    for one in result["questions"]:
        table.add_row(one["question"], str(one["ms"]), str(one["scan_ms"]), str(one["ratio"]))
    console.print(table)
    console.print(f"{result['bytes_per_row_all_orders']} bytes per sighting on disk, in both orders")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="sightings to ask about")
    parser.add_argument("--insert-rows", type=int, default=200_000, help="rows to insert per block size")
    parser.add_argument("--block", type=int, action="append", help="rows per block; more than once for several")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.rows, options.insert_rows, options.block or [10_000, 50_000])
    if options.json:
        print(json.dumps(result))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
