"""The sink: rows/s from messages into the store through its owner, in blocks, and where the time goes.

    python -m bench.sink [--rows N] [--block N] [--json]

Messages become columns and go in block by block, by the sink's own code, one block made while the one before goes in:
sightings with their crops (two rows each, 3 kB a picture), and reads. The yardstick is the engine alone: the same
blocks, made before, sent without any work of ours. Target: 50,000 rows/s in blocks of 10,000 to 100,000, no more than
one insert a second and table.
"""

import http.client
import itertools
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

from bench._verdict import parser as verdicts_parser
from bench._verdict import verdict
from plumbing.bus import Record
from plumbing.clock import SystemClock
from schemas.codec import encode_json, encode_reads
from schemas.ids import sighting_id
from schemas.read import Candidate, FrameReads, PlateRead
from schemas.sighting import Evidence, Sighting, TrailPoint
from store import migrate, open_store, rows
from store.embedded import INSERT_SETTINGS
from store.interface import Store
from store.native import encode
from streams.settings import StreamSettings, Topics
from streams.sink import Made, Sink

START = datetime(2026, 1, 1, tzinfo=UTC)
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
CORNERS = ((1.0, 2.0), (90.0, 2.0), (90.0, 24.0), (1.0, 24.0))
CROP_BYTES = 3_000
TOPICS = Topics()
TARGET = 50_000
"""Rows per second."""


def sighting_message(dice: random.Random, number: int) -> bytes:
    """A final sighting with eight positions and a crop, as it lies on fleet.sightings."""
    plate = "".join(dice.choices(LETTERS, k=3)) + f"{dice.randrange(10_000):04d}"
    at = START + timedelta(milliseconds=dice.randrange(90 * 86_400_000))
    lat, lon = 50 + dice.random(), 10 + dice.random()
    camera = f"camera-{dice.randrange(200)}"
    evidence = Evidence(
        seq=number,
        captured_at=at,
        corners=CORNERS,
        crop_jpeg=dice.randbytes(CROP_BYTES),
        crop_sha256=f"{dice.getrandbits(256):064x}",
        frame_sha256=f"{dice.getrandbits(256):064x}",
        topic="fleet.frames",
        partition=3,
        offset=number,
    )
    message = Sighting(
        sighting_id=sighting_id(camera, number, dice.randrange(1 << 30)),
        revision=3,
        status="final",
        camera_id=camera,
        plate=plate,
        confidence=0.93,
        region="DE",
        region_confidence=0.8,
        candidates=(Candidate(plate, 0.93), Candidate(plate[::-1], 0.04)),
        votes=6,
        frames=8,
        opened_at=at,
        first_seen=at,
        last_seen=at + timedelta(seconds=2),
        lat=lat,
        lon=lon,
        heading=90.0,
        speed=12.5,
        direction="approaching",
        trail=tuple(TrailPoint(at=at + timedelta(milliseconds=200 * n), lat=lat, lon=lon) for n in range(8)),
        evidence=evidence,
        model_version="reader-1",
        emitted_at=at + timedelta(seconds=3),
    )
    return encode_json(message)


def reads_message(dice: random.Random, number: int) -> bytes:
    """A frame with one plate, its characters' probabilities and its crop, as it lies on fleet.reads."""
    plate = "".join(dice.choices(LETTERS, k=3)) + f"{dice.randrange(10_000):04d}"
    read = PlateRead(
        plate=plate,
        confidence=0.9,
        detection_confidence=0.9,
        box=(1.0, 2.0, 90.0, 22.0),
        corners=CORNERS,
        char_probs=tuple(((one, 0.9), ("8", 0.05), ("B", 0.03)) for one in plate),
        candidates=(Candidate(plate, 0.9), Candidate(plate[::-1], 0.05)),
        region="DE",
        crop_jpeg=dice.randbytes(CROP_BYTES),
    )
    at = round(START.timestamp() * 1000) + number * 20
    return encode_reads(
        FrameReads(
            camera_id=f"camera-{dice.randrange(200)}",
            seq=number,
            captured_at=at,
            published_at=at + 80,
            width=1280,
            height=720,
            model_version="reader-1",
            frame_partition=3,
            frame_offset=number,
            frame_sha256=f"{dice.getrandbits(256):064x}",
            lat=50.0,
            lon=10.0,
            reads=(read,),
        )
    )


@dataclass(frozen=True)
class Kind:
    """One kind of messages: who makes them, and the topic by which the sink knows them."""

    make: Callable[[random.Random, int], bytes]
    topic: str
    rows: int
    """Rows of a message."""

    def records(self, dice: random.Random, first: int, count: int) -> list[Record]:
        """`count` messages as they come from Kafka."""
        offsets = range(first, first + count)
        return [Record(self.topic, 0, offset, 0, None, self.make(dice, offset), []) for offset in offsets]


KINDS = {
    "sightings and crops": Kind(sighting_message, TOPICS.sightings, 2),
    "reads": Kind(reads_message, TOPICS.reads, 1),
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


def measure(store: Store, url: str, kind: str, total: int, block: int, first: int) -> dict[str, Any]:
    """One kind in batches of `block` messages, from offset `first` on, beside the engine alone."""
    settings = StreamSettings(brokers="none:0", data_dir=Path("unused"), roles=("sink",), store_url=url)
    sink = Sink(settings, store, SystemClock(), threading.Event())
    known = {table: _types(store, table) for table in (rows.SIGHTINGS, rows.CROPS, rows.READS)}
    dice = random.Random(first)
    batches: list[list[Record]] = []
    while sum(map(len, batches)) * KINDS[kind].rows < total:
        batches.append(KINDS[kind].records(dice, first + len(batches) * block, block))
    spent = {"made": 0.0, "insert": 0.0}

    def insert(made: Made) -> int:
        cpu = time.thread_time()
        sink.insert(made)
        spent["insert"] += time.thread_time() - cpu
        return sum(len(one.rows) for _, one in made.blocks)

    count = 0
    with ThreadPoolExecutor(1) as pool:
        began = time.perf_counter()
        before: Future[int] | None = None
        for batch in batches:
            cpu = time.thread_time()
            made = sink.make(batch)
            spent["made"] += time.thread_time() - cpu
            count += before.result() if before is not None else 0
            before = pool.submit(insert, made)
        count += before.result() if before is not None else 0
        ours = time.perf_counter() - began
    alone = 0.0
    for batch in batches:
        for token, one in sink.make(batch).blocks:
            names = list(one.rows[0])
            data = encode(one.table, [(name, known[one.table][name]) for name in names], one.rows)
            began = time.perf_counter()
            _post(url, one.table, names, data, f"bare/{token}")
            alone += time.perf_counter() - began
    return {
        "kind": kind,
        "block": block,
        "rows": count,
        "rows_per_second": round(count / ours),
        "engine_alone_rows_per_second": round(count / alone),
        "ratio": round(alone / ours, 3),
        "cpu_us_messages_to_rows": round(spent["made"] / count * 1e6, 1),
        "cpu_us_insert": round(spent["insert"] / count * 1e6, 1),
    }


def _types(store: Store, table: str) -> dict[str, str]:
    return {str(one["name"]): str(one["type"]) for one in store.query(f"DESCRIBE TABLE {table}")}


def _post(url: str, table: str, names: list[str], data: list[bytes], token: str) -> None:
    sql = f"INSERT INTO {table} ({', '.join(names)}) FORMAT Native"
    settings = {**INSERT_SETTINGS, "insert_deduplication_token": token, "query": sql}
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"))
    connection.request("POST", f"/?{urlencode(settings)}", data, {"Content-Length": str(sum(map(len, data)))})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(text.decode())


def measure_all(total: int, blocks: list[int]) -> dict[str, Any]:
    """Every kind and block size, in one store; and the bytes that a row takes."""
    with owner() as url:
        store = open_store(url)
        migrate(store)
        inserts = [
            measure(store, url, kind, total, block, number << 32)
            for number, (kind, block) in enumerate(itertools.product(KINDS, blocks))
        ]
        for table in ("sightings_raw", "sightings_time_raw", "reads_raw"):
            store.execute(f"OPTIMIZE TABLE {table} FINAL")
        sizes = store.query(
            "SELECT table, round(sum(bytes_on_disk) / sum(rows), 1) AS bytes FROM system.parts WHERE active "
            "AND database = currentDatabase() AND rows > 1000 GROUP BY table ORDER BY table"
        )
        store.close()
        return {"inserts": inserts, "bytes_per_row": {str(row["table"]): row["bytes"] for row in sizes}}


def verdicts(result: dict[str, Any]) -> list[str]:
    """A line for each kind and block size."""
    return [
        verdict(
            f"{one['kind']}, blocks of {one['block']:,} messages",
            f"{one['rows_per_second']:,} rows/s",
            f"{TARGET:,}",
            one["rows_per_second"] >= TARGET,
        )
        for one in result["inserts"]
    ]


def main() -> int:
    """Measure and print; 0 also when a target is not reached."""
    parser = verdicts_parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows to insert per kind and block size")
    parser.add_argument("--block", type=int, action="append", help="messages per batch; more than once for several")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure_all(options.rows, options.block or [10_000, 50_000])
    if options.json:
        print(json.dumps(result))
        return 0
    console = Console()
    table = Table("messages", "block", "rows", "rows/s", "engine alone", "ratio", "CPU us: rows", "insert")
    for one in result["inserts"]:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in one.values()))
    console.width = max(console.width, 110)
    console.print(table)
    console.print("CPU us: of this process for one row, message to row and insert; the engine's own come on top.")
    console.print("bytes per row on disk:", result["bytes_per_row"])
    for line in verdicts(result):
        console.print(line, highlight=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
