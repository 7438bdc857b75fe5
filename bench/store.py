"""The store: questions over millions of sightings, each beside a plain full scan of the same rows.

    python -m bench.store [--rows N ...] [--folder F] [--json]

The engine makes the sightings itself: 200 cameras that drive about for 90 days, twenty sightings a plate, some plates
far more often, one in a hundred followed by another. Questions go through the views and functions that users ask, with
other values each time and without the query condition cache; their yardstick is a copy of the rows without any order.
10,000,000 rows by default; give --rows more than once for a curve, 100000000 takes 20 GB and an hour on two cores.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from store import migrate, open_store
from store.interface import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
CAMERAS = 200
PER_PLATE = 20
REPEATS = 9
CHUNK = 1_000_000
UNCACHED = "SETTINGS use_query_condition_cache = 0"
TABLES = ("sightings_raw", "sightings_time_raw", "plates")

FILL = """
INSERT INTO sightings_raw
    (plate, opened_at, sighting_id, revision, is_deleted, status, camera_id, confidence, region, candidates, votes,
     frames, first_seen, last_seen, lat, lon, heading, speed, direction, evidence_captured_at, model_version,
     emitted_at)
WITH
    intDiv(n, 2) AS event, n % 2 AS second,
    toUInt64({plates} * pow(cityHash64(event, 1) % 1000000007 / 1000000007, 1.5)) AS leader,
    toUInt64({plates} * pow(cityHash64(n, 5) % 1000000007 / 1000000007, 1.5)) AS other,
    multiIf(second = 0, leader, leader % 50 = 0, leader + 1, other) AS vehicle,
    (vehicle * 7919 + 13) % 80000000 AS m, intDiv(m, 10000) AS l,
    concat(char(65 + l % 20, 65 + intDiv(l, 20) % 20, 65 + intDiv(l, 400)), leftPad(toString(m % 10000), 4, '0'))
        AS text,
    cityHash64(event, 3) % {cameras} AS camera,
    cityHash64(event, 2) % ({days} * 86400000) + second * 5000 AS ms
SELECT
    text, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(ms) AS at,
    toUUID(concat('00000000-0000-5000-8000-', leftPad(hex(n), 12, '0'))), 3, 0, 'final',
    concat('camera-', toString(camera)), 0.9, 'DE',
    [(text, toFloat32(0.9)), (reverse(text), toFloat32(0.05))], 5, 8, at, at + toIntervalSecond(2),
    50 + (camera % 20) / 20 + 0.03 * sin(ms / 2700000 + camera) AS lat,
    10 + intDiv(camera, 20) / 10 + 0.05 * cos(ms / 1900000 + camera) AS lon,
    cityHash64(event, 7) % 360, 5 + cityHash64(event, 8) % 30, 'approaching', at, 'model', at
FROM (SELECT number + {first} AS n FROM numbers({count}))
"""


def number(store: Store, sql: str) -> float:
    """The one number that a query answers."""
    return float(store.query_raw(sql, "TSV"))


def fill(store: Store, total: int) -> float | None:
    """Let the engine itself make rows up to `total`, then merge each month to one part, as it does by itself when
    the month is over; seconds that it took, without the copy for the yardstick, None when there were rows already."""
    have = int(number(store, "SELECT count() FROM sightings_raw"))
    empty = have == 0
    began = time.perf_counter()
    while have < total:
        count = min(CHUNK, total - have)
        plates = max(1000, total // PER_PLATE)
        store.execute(FILL.format(days=DAYS, first=have, count=count, plates=plates, cameras=CAMERAS))
        have += count
    for table in TABLES:
        store.execute(f"OPTIMIZE TABLE {table} FINAL SETTINGS optimize_skip_merged_partitions = 1")
    seconds = time.perf_counter() - began if empty else None
    if not number(store, "EXISTS TABLE plain"):
        store.execute("CREATE TABLE plain ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM sightings")
        view = str(store.query("SHOW CREATE TABLE co_travellers")[0]["statement"]).partition("\nAS ")[2]
        body = view.replace("default.sightings_by_time", "plain").replace("default.sightings", "plain")
        store.execute(f"CREATE VIEW plain_co_travellers AS {body}")
    return seconds


@dataclass(frozen=True)
class Question:
    """One question: `ask` and `scan` are SQL with `{}` for what `condition` gives."""

    name: str
    target_ms: int | None
    condition: Callable[[random.Random], str]
    ask: str
    scan: str


def _days(first: str, days: float) -> str:
    start = f"toDateTime('{first}', 'UTC')"
    return f"opened_at >= {start} AND opened_at < {start} + {round(days * 86_400)}"


def questions(plates: list[str]) -> list[Question]:
    """What people ask."""
    columns = "plate, camera_id, first_seen, last_seen, lat, lon, confidence"
    rows = f"SELECT {columns} FROM {{table}} WHERE {{{{}}}} ORDER BY first_seen"
    count = "SELECT count(), max(last_seen) FROM {table} WHERE {{}}"
    found = count.format(table="sightings").replace("{}", "plate IN (SELECT plate FROM plates WHERE {})")
    timed, scan = count.format(table="sightings_by_time"), count.format(table="plain")

    def moment(dice: random.Random, form: str, days: int) -> str:
        return (START + timedelta(hours=dice.randrange(24 * (DAYS - days)))).strftime(form)

    def pattern(dice: random.Random) -> str:
        plate = dice.choice(plates)
        return f"plateLike(plate, '{plate[0]}?{plate[2]}*{plate[-2:]}')"

    def camera_day(dice: random.Random) -> str:
        return f"camera_id = 'camera-{dice.randrange(CAMERAS)}' AND {_days(moment(dice, '%Y-%m-%d', 2), 1)}"

    def area(days: float) -> Callable[[random.Random], str]:
        def condition(dice: random.Random) -> str:
            lat, lon = 50 + dice.random() * 0.95, 10 + dice.random() * 0.95
            box = f"lat BETWEEN {lat} AND {lat + 0.05} AND lon BETWEEN {lon} AND {lon + 0.05}"
            return f"{_days(moment(dice, '%Y-%m-%d %H:00:00', 8), days)} AND {box}"

        return condition

    def month(dice: random.Random) -> str:
        return f"plate = '{dice.choice(plates)}', since = '2026-02-01', until = '2026-03-03'"

    mates = "SELECT plate, places, pairs FROM {table}({{}})"
    return [
        Question(
            "exact plate",
            20,
            lambda dice: f"plate = '{dice.choice(plates)}'",
            rows.format(table="sightings"),
            rows.format(table="plain"),
        ),
        Question("part, 3 letters", 100, lambda dice: f"plate LIKE '%{dice.choice(plates)[1:4]}%'", found, scan),
        Question("part, 5 letters", 100, lambda dice: f"plate LIKE '%{dice.choice(plates)[1:6]}%'", found, scan),
        Question("wildcard A?C*12", 100, pattern, found, scan),
        Question(
            "one letter off", None, lambda dice: f"plateDistance(plate, '{dice.choice(plates)}') <= 1", found, scan
        ),
        Question("camera and day", 50, camera_day, timed, scan),
        Question("area and hour", 100, area(1 / 24), timed, scan),
        Question("area and day", 100, area(1), timed, scan),
        Question("area and week", None, area(7), timed, scan),
        Question(
            "co-travellers, 30 days",
            500,
            month,
            mates.format(table="co_travellers"),
            mates.format(table="plain_co_travellers"),
        ),
    ]


@dataclass(frozen=True)
class Timed:
    """One answer, its lines sorted, and what it took."""

    answer: list[bytes]
    ms: float
    cpu_ms: float


def _time(store: Store, sql: str, where: str) -> Timed:
    began, cpu = time.perf_counter(), time.process_time()
    answer = store.query_raw(f"{sql.replace('{}', where)} {UNCACHED}", "TSV")
    taken, used = time.perf_counter() - began, time.process_time() - cpu
    return Timed(sorted(answer.splitlines()), taken * 1000, used * 1000)


def ask_all(store: Store) -> list[dict[str, Any]]:
    """Median milliseconds per question, asked with other values each time, and the same of the full scan.

    Raises:
        RuntimeError: the two answers differ.
    """
    plates = [str(row["plate"]) for row in store.query("SELECT plate FROM plates ORDER BY cityHash64(plate) LIMIT 500")]
    dice = random.Random(5)
    report = []
    for question in questions(plates):
        wheres = [question.condition(dice) for _ in range(REPEATS + 1)]
        # the first of each warms up; the scan takes long and hardly differs: three of them are enough
        asked = [_time(store, question.ask, where) for where in wheres]
        scanned = [_time(store, question.scan, where) for where in wheres[:4]]
        for where, one, other in zip(wheres, asked, scanned, strict=False):
            if one.answer != other.answer:
                raise RuntimeError(f"{question.name}: view and full scan disagree where {where}")
        ms = statistics.median(one.ms for one in asked[1:])
        scan = statistics.median(one.ms for one in scanned[1:])
        report.append(
            {
                "question": question.name,
                "target_ms": question.target_ms,
                "ms": round(ms, 1),
                "cpu_ms": round(statistics.median(one.cpu_ms for one in asked[1:]), 1),
                "scan_ms": round(scan, 1),
                "ratio": round(scan / ms, 1),
            }
        )
    return report


def measure(total: int, folder: Path) -> dict[str, Any]:
    """Everything, in one store."""
    with closing(open_store(f"chdb://{folder}")) as store:
        migrate(store)
        seconds = fill(store, total)
        parts = f"FROM system.parts WHERE active AND table IN {TABLES}"
        count = int(number(store, "SELECT count() FROM sightings_raw"))
        return {
            "rows": count,
            "fill_seconds": None if seconds is None else round(seconds, 1),
            "plates": int(number(store, "SELECT count() FROM plates")),
            "parts": int(number(store, f"SELECT count() {parts}")),
            "bytes_per_row": round(number(store, f"SELECT sum(bytes_on_disk) {parts}") / count, 1),
            "questions": ask_all(store),
        }


def show(result: dict[str, Any]) -> None:
    """The result as a table."""
    table = Table(
        "question", "target ms", "ms", "CPU ms", "full scan ms", "times faster", title=f"{result['rows']:,} sightings"
    )
    for one in result["questions"]:
        table.add_row(*("" if value is None else str(value) for value in one.values()))
    console = Console()
    console.print(table)
    if result["fill_seconds"] is not None:
        console.print(f"filled and merged in {result['fill_seconds']} s")
    console.print(
        f"{result['plates']:,} plates; {result['bytes_per_row']} bytes per sighting on disk in both orders, in "
        f"{result['parts']} parts"
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, action="append", help="sightings to ask about; more than once for a curve")
    parser.add_argument("--folder", type=Path, help="keep the data here, and use what is here already")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for total in options.rows or [10_000_000]:
        folder = (options.folder or Path(tempfile.mkdtemp())) / f"{total}"
        try:
            result = measure(total, folder)
        finally:
            if options.folder is None:
                shutil.rmtree(folder.parent)
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            show(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
