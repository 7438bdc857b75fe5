"""The store: questions over millions of sightings, each beside a plain full scan of the same rows.

    python -m bench.store [--rows N ...] [--folder F] [--json]

The engine makes the sightings itself, in the order of time: 200 cameras that drive about for 90 days, twenty sightings
a plate, some plates far more often, one in a hundred followed by another. With --folder a run that was ended goes on
where it was, and one that is complete only asks. Questions go through the views and functions that users ask, with
other values each time and without the query condition cache; their yardstick is a copy of the rows without any order.
10,000,000 rows by default; give --rows more than once for a curve. 100000000 takes 15 GB and half an hour on two quiet
cores.
"""

import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench._verdict import parser as verdicts_parser
from bench._verdict import verdict
from store import migrate, open_store
from store.interface import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
CAMERAS = 200
PER_PLATE = 20
REPEATS = 9
CHUNK = 1_000_000
UNCACHED = "SETTINGS use_query_condition_cache = 0"
BIG = ("sightings_raw", "sightings_time_raw")
TABLES = (*BIG, "plates")
PLAIN = "plate, camera_id, opened_at, first_seen, last_seen, evidence_captured_at, lat, lon, h3, confidence"
WRITERS = 2
"""Chunks made, and months merged, at a time: 4 GB of memory."""
MANY = 30_000_000
"""From here on one answer of each full scan is enough."""

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
    toInt64(2 * event * {window} + cityHash64(event, 2) % 3600000 + second * 5000) AS ms
SELECT
    text, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(ms) AS at,
    reinterpret(toUInt128(n + 1), 'UUID'), 3, 0, 'final',
    concat('camera-', toString(camera)), 0.9, 'DE',
    [(text, toFloat32(0.9)), (reverse(text), toFloat32(0.05))], 5, 8, at, at + toIntervalSecond(2),
    50 + (camera % 20) / 20 + 0.03 * sin(ms / 2700000 + camera) AS lat,
    10 + intDiv(camera, 20) / 10 + 0.05 * cos(ms / 1900000 + camera) AS lon,
    cityHash64(event, 7) % 360, 5 + cityHash64(event, 8) % 30, 'approaching', at, 'model', at
FROM (SELECT number + {first} AS n FROM numbers({count}))
SETTINGS max_threads = 1, max_insert_threads = 1, max_block_size = {count}, min_insert_block_size_rows = {count},
    min_insert_block_size_bytes = 0, insert_deduplication_token = 'fill {first}',
    deduplicate_blocks_in_dependent_materialized_views = 1
"""


def number(store: Store, sql: str) -> float:
    """The one number that a query answers."""
    return float(store.query_raw(sql, "TSV"))


class Filling:
    """Makes the rows, in steps that are written down: a run that was ended goes on where it was.

    A chunk is one block under a token, in the order of time as sightings come: ended in its midst, it is made again
    and goes in once. Merges wait until all chunks are in, so that each row is written twice and not five times.
    """

    def __init__(self, store: Store, total: int) -> None:
        self._store, self._total = store, total
        store.execute("CREATE TABLE IF NOT EXISTS filled (step String, seconds Float64, cpu Float64) ENGINE = Log")
        self._done = {str(row["step"]) for row in store.query("SELECT step FROM filled")}

    def run(self) -> None:
        """Do what is left to do."""
        for table in BIG:
            self._store.execute(f"SYSTEM STOP MERGES {table}")
        self._all([(f"rows {first}", self._chunk(first)) for first in range(0, self._total, CHUNK)])
        for table in BIG:
            self._store.execute(f"SYSTEM START MERGES {table}")
        # as it happens by itself when a month is over
        merges = [
            (f"merge {table} {row['partition']}", self._merge(table, str(row["partition"])))
            for table in TABLES
            for row in self._store.query(
                f"SELECT DISTINCT partition FROM system.parts WHERE active AND table = '{table}'"
            )
        ]
        self._all(merges)
        self._all([("yardstick", self._yardstick)])

    def took(self) -> tuple[float, float]:
        """Seconds for rows and merges, in all runs together; and of the processor."""
        row = self._store.query(
            "SELECT sum(seconds) AS seconds, sum(cpu) AS cpu FROM filled WHERE step != 'yardstick'"
        )[0]
        return float(str(row["seconds"])), float(str(row["cpu"]))

    def _all(self, steps: list[tuple[str, Callable[[], None]]]) -> None:
        left = [(name, work) for name, work in steps if name not in self._done]
        with ThreadPoolExecutor(WRITERS) as pool:
            for start in range(0, len(left), WRITERS):
                part = left[start : start + WRITERS]
                began, cpu = time.perf_counter(), time.process_time()
                for future in [pool.submit(work) for _, work in part]:
                    future.result()
                each = (time.perf_counter() - began) / len(part), (time.process_time() - cpu) / len(part)
                for name, _ in part:
                    self._store.execute(f"INSERT INTO filled VALUES ('{name}', {each[0]}, {each[1]})")
                    print(f"{name}: {each[0]:.1f} s, {each[1]:.1f} s CPU", file=sys.stderr, flush=True)

    def _chunk(self, first: int) -> Callable[[], None]:
        count = min(CHUNK, self._total - first)
        sql = FILL.format(
            window=DAYS * 86_400_000 / self._total,
            first=first,
            count=count,
            plates=max(1000, self._total // PER_PLATE),
            cameras=CAMERAS,
        )
        return lambda: self._store.execute(sql)

    def _merge(self, table: str, partition: str) -> Callable[[], None]:
        name = "tuple()" if partition == "tuple()" else f"'{partition}'"
        sql = f"OPTIMIZE TABLE {table} PARTITION {name} FINAL SETTINGS optimize_skip_merged_partitions = 1"
        return lambda: self._store.execute(sql)

    def _yardstick(self) -> None:
        """A copy without any order, of the columns for which questions ask."""
        for sql in ("DROP VIEW IF EXISTS plain_co_travellers", "DROP TABLE IF EXISTS plain"):
            self._store.execute(sql)
        self._store.execute(
            f"CREATE TABLE plain ENGINE = MergeTree ORDER BY tuple() AS SELECT {PLAIN} FROM sightings_raw"
        )
        view = str(self._store.query("SHOW CREATE TABLE co_travellers")[0]["statement"]).partition("\nAS ")[2]
        body = view.replace("default.sightings_by_time", "plain").replace("default.sightings", "plain")
        self._store.execute(f"CREATE VIEW plain_co_travellers AS {body}")


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


def ask_all(store: Store, many: bool) -> list[dict[str, Any]]:
    """Median milliseconds per question, asked with other values each time, and the same of the full scan; `many`: fewer
    full scans.

    Raises:
        RuntimeError: the two answers differ.
    """
    plates = [str(row["plate"]) for row in store.query("SELECT plate FROM plates ORDER BY cityHash64(plate) LIMIT 500")]
    dice = random.Random(5)
    report = []
    for question in questions(plates):
        wheres = [question.condition(dice) for _ in range(REPEATS + 1)]
        # the first of each warms up; the scan takes long and hardly differs: one to three of them are enough
        asked = [_time(store, question.ask, where) for where in wheres]
        scanned = [_time(store, question.scan, where) for where in wheres[: 2 if many else 4]]
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
        filling = Filling(store, total)
        filling.run()
        seconds, cpu = filling.took()
        parts = f"FROM system.parts WHERE active AND table IN {TABLES}"
        count = int(number(store, "SELECT count() FROM sightings_raw"))
        return {
            "rows": count,
            "fill_seconds": round(seconds, 1),
            "fill_cpu_seconds": round(cpu, 1),
            "plates": int(number(store, "SELECT count() FROM plates")),
            "parts": int(number(store, f"SELECT count() {parts}")),
            "bytes_per_row": round(number(store, f"SELECT sum(bytes_on_disk) {parts}") / count, 1),
            "questions": ask_all(store, total >= MANY),
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
    console.print(f"filled and merged in {result['fill_seconds']} s, {result['fill_cpu_seconds']} s CPU")
    console.print(
        f"{result['plates']:,} plates; {result['bytes_per_row']} bytes per sighting on disk in both orders, in "
        f"{result['parts']} parts"
    )
    for line in verdicts(result):
        console.print(line, highlight=False)


def verdicts(result: dict[str, Any]) -> list[str]:
    """A line for each question that has a target."""
    return [
        verdict(one["question"], f"{one['ms']} ms", f"under {one['target_ms']} ms", one["ms"] < one["target_ms"])
        for one in result["questions"]
        if one["target_ms"] is not None
    ]


def main() -> int:
    """Measure and print; 0 also when a target is not reached."""
    parser = verdicts_parser(__doc__)
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
