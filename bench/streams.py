"""What the streams cost: reads/s of the pure functions, of the tracker's Faust worker, and of the sink's.

    python -m bench.streams [--messages N] [--cameras N] [--json]

A message is one frame's reads, two plates of one vehicle each, crops included. The pure functions are the books of
the tracker and of the vehicles over tables in memory, in turns as large as a worker's: all that the processes do but
Kafka and Faust, so that messages are decoded and encoded, and states written to their tables. `functions_alone` is what
of it decides: the tracker's step with its votes and the vehicles' apply, on messages that are decoded and states at
hand, no bytes read or made. Where the books' time goes is sampled in a second run, a function's calls into C counted as
its own. Beside them stand the floors: steps that cannot be left out, each alone in a bare loop over the same messages,
and their sum; a step for which the messages gave no work is left out.
The worker is a process of its own, its topics filled beforehand; its rate is the messages between its first output
and the commit of its last one, over that time. All rates of the pure functions are per second of processor time, and
the worker's is given so beside, since other work may share the machine. The sink is measured likewise, from Kafka to
rows in a store of its own process; `bench.sink` has what it does without Kafka.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from bench._verdict import parser as verdicts_parser
from bench._verdict import verdict
from bench.sink import owner
from fleet.local_kafka import LocalKafka
from plumbing.bus import Record
from plumbing.clock import ManualClock
from plumbing.kafka_admin import create_topics
from plumbing.kafka_bus import KafkaBusProducer
from schemas.codec import decode_json, decode_reads, encode_json, encode_reads
from schemas.hotlist import HotlistEntry
from schemas.read import Candidate, FrameReads, PlateRead
from schemas.sighting import Sighting
from schemas.topics import READS, SIGHTINGS, TOPICS
from store import migrate, open_store
from store.collector import collector_waiting
from streams import motion
from streams.books import CameraBook, Owned, PlateBook, Write
from streams.hotlist import Hotlist
from streams.looks import worth_of
from streams.progress import Progress
from streams.settings import StreamSettings
from streams.telling import vote_of
from streams.track import CameraState, add_read, begin, new_state
from streams.tracker import step
from streams.vehicle import Vehicle, apply

T0 = 1_780_000_000_000
FPS = 10
PASS_FRAMES = 40
LANES = 2
CROP = bytes(range(256)) * 12
LISTED = 1_000
"""Plates on the hotlist."""
SETTINGS = StreamSettings(brokers="none:0", data_dir=Path("unused"), roles=("tracker", "vehicles"))
OWNED = Owned(0, frozenset({0}))
SHOWN = 20
WORKER_TARGET = 5_000
"""Reads per second that the worker is to reach, from Kafka to Kafka."""
PURE_TARGET = 10 * WORKER_TARGET
"""... and the pure functions."""
RATIO_TARGET = 0.10
Tables = dict[str, MutableMapping[bytes, bytes]]


def plate(camera: int, lane: int, number: int) -> str:
    """An invented plate."""
    return f"{chr(65 + camera % 26)}{chr(65 + lane)}{number % 100_000:05d}"


def _read(text: str, frame: int, lane: int) -> PlateRead:
    grown = 50 + 2 * (frame % PASS_FRAMES)
    x, y = 250.0 + 600 * lane, 300.0 + 2 * (frame % PASS_FRAMES)
    # every fourth frame has one look-alike wrong, as a reader has
    said = text.replace("0", "O", 1) if frame % 4 == 3 else text
    return PlateRead(
        plate=said,
        confidence=0.5 if said != text else 0.8,
        detection_confidence=0.95,
        box=(x, y, grown, grown / 4),
        corners=((x, y), (x + grown, y), (x + grown, y + grown / 4), (x, y + grown / 4)),
        char_probs=tuple(((c, 0.95), ("8", 0.03), ("", 0.01)) for c in said),
        candidates=(Candidate(said, 0.8), Candidate(said[:-1] + "8", 0.1)),
        region="DE",
        region_confidence=0.8,
        legibility=0.9,
        sharpness=150.0 + frame % 7,
        crop_jpeg=CROP,
    )


def messages(count: int, cameras: int) -> list[tuple[bytes, bytes]]:
    """(key, value) of fleet.reads, the cameras taking turns."""
    out = []
    for i in range(count):
        frame, camera = divmod(i, cameras)
        reads = tuple(_read(plate(camera, lane, frame // PASS_FRAMES), frame, lane) for lane in range(LANES))
        at = T0 + frame * 1000 // FPS
        message = FrameReads(
            camera_id=f"cam-{camera:03d}",
            seq=frame,
            captured_at=at,
            published_at=at + 30,
            width=1280,
            height=720,
            model_version="bench",
            frame_partition=0,
            frame_offset=frame,
            frame_sha256="0" * 64,
            lat=52.0 + frame * 1e-5,
            lon=13.0,
            speed=14.0,
            heading=90.0,
            luma=100.0,
            reads=reads,
        )
        out.append((message.camera_id.encode(), encode_reads(message)))
    return out


@contextmanager
def sampled(every_s: float = 0.001) -> Iterator[Counter[str]]:
    """Counts which function runs, so often in processor time."""
    counts: Counter[str] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            counts[f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}"] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, every_s, every_s)
    try:
        yield counts
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _keep(tables: Tables, writes: Iterable[Write]) -> None:
    for write in writes:
        if write.value is None:
            tables[write.table].pop(write.key, None)
        else:
            tables[write.table][write.key] = write.value


def _hotlist() -> Hotlist:
    hotlist = Hotlist()
    for number in range(LISTED):
        entry = plate(number % 26, 0, number // 26)
        hotlist.put(HotlistEntry(hotlist_id="bench", entry=entry, added_at=datetime(2026, 1, 1, tzinfo=UTC)))
    return hotlist


def pure(messages: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Processor time of the books, per message and part, beside that of the functions alone; the functions' shares."""
    parts, tables, sightings = books(messages)
    total, alone = sum(parts.values()), functions(messages)
    floor = floors(messages, sightings)
    # apart: a timer that interrupts takes time, and makes the clock of the processor time a coarse one
    with sampled() as counts:
        books(messages)
    seen = counts.total() or 1
    return {
        "reads_per_s": LANES * len(messages) / total,
        "messages_per_s": len(messages) / total,
        "functions_alone_reads_per_s": LANES * len(messages) / alone,
        **{f"us_{name}": 1e6 * spent / len(messages) for name, spent in parts.items()},
        "us_functions_alone": 1e6 * alone / len(messages),
        **floor,
        "sightings_told": float(len(sightings)),
        "state_bytes": sum(map(len, tables["tracks"].values())) / len(tables["tracks"]),
        "shares": {name: count / seen for name, count in counts.most_common(SHOWN)},
    }


def books(messages: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, float], Tables, list[bytes]]:
    """Seconds of processor time of the books' parts, the tables at the end, and the sightings told."""
    records = [Record(READS.name, 0, i, 0, key, value, []) for i, (key, value) in enumerate(messages)]
    clock = ManualClock(T0)
    tables: Tables = {"tracks": {}, "crops": {}, "plates": {}}
    cameras = CameraBook(SETTINGS, tables["tracks"], tables["crops"], clock)
    plates = PlateBook(SETTINGS, tables["plates"], _hotlist(), clock)
    parts = dict.fromkeys(("tracker", "tracker_state", "vehicles"), 0.0)
    sightings: list[bytes] = []
    now = time.process_time
    for start in range(0, len(records), SETTINGS.batch):
        t0 = now()
        told = cameras.take(records[start : start + SETTINGS.batch])
        t1 = now()
        _keep(tables, cameras.writes(OWNED))
        t2 = now()
        revisions = [m for m in told if m.topic == SIGHTINGS.name]
        plates.take([Record(m.topic, 0, len(sightings) + i, 0, m.key, m.value, []) for i, m in enumerate(revisions)])
        _keep(tables, plates.writes(OWNED))
        t3 = now()
        for name, spent in zip(parts, (t1 - t0, t2 - t1, t3 - t2), strict=True):
            parts[name] += spent
        sightings += [m.value for m in revisions if m.value is not None]
        clock.advance(1.0)
    return parts, tables, sightings


def functions(messages: Sequence[tuple[bytes, bytes]]) -> float:
    """Seconds of processor time that step and apply take, in the books' order, where nothing is decoded or encoded."""
    states: dict[bytes, CameraState] = {}
    seen: dict[str, Vehicle] = {}
    hotlist, threshold = _hotlist(), SETTINGS.match.candidate_threshold
    spent, told = 0.0, 0
    for start in range(0, len(messages), SETTINGS.batch):
        turn: dict[bytes, list[tuple[int, bytes]]] = {}
        for offset, (key, value) in enumerate(messages[start : start + SETTINGS.batch], start):
            turn.setdefault(key, []).append((offset, value))
        for key, values in turn.items():
            state = states.get(key) or new_state(key.decode())
            # a camera at a time, as the books do: what is decoded is still at hand
            frames = [(offset, decode_reads(value)) for offset, value in values]
            begun = time.process_time()
            with collector_waiting():
                for offset, frame in frames:
                    state, sightings = step(state, frame, offset, T0, SETTINGS.tracker)
                    for sighting in sightings:
                        told += 1
                        seen[sighting.plate], _ = apply(
                            seen.get(sighting.plate), sighting, told, hotlist, T0, threshold
                        )
            spent += time.process_time() - begun
            states[key] = state
            state.dirty.clear()
    return spent


def floors(messages: Sequence[tuple[bytes, bytes]], told: Sequence[bytes]) -> dict[str, float]:
    """Reads per second of what must be done at least, with nothing around it.

    Decoding each message; per read one prediction, one cost and how good a look it is; per sighting told one vote, its
    encoding, and its decoding by the vehicles.
    """
    frames = [message for _, value in messages[: 12 * 100] if isinstance(message := decode_reads(value), FrameReads)]
    frames = [frame for frame in frames if frame.camera_id == frames[0].camera_id][:12]
    state = new_state(frames[0].camera_id)
    track = begin(state, frames[0], 0, frames[0].captured_at)
    for frame in frames:
        add_read(state, track, frame, 0, frame.reads[0].plate, frame.captured_at)
    read, t = frames[-1].reads[0], frames[-1].captured_at + 1000 // FPS
    offer = motion.Offer(*read.box, read.plate, read.confidence)
    sightings = [decode_json(value, Sighting) for value in told]

    def decode() -> None:
        for _, value in messages:
            decode_reads(value)

    def compare() -> None:
        for _ in range(LANES * len(messages)):
            motion.cost(track, motion.predict(track.seen, t), offer)
            worth_of(read)

    def vote() -> None:
        for _ in told:
            vote_of(track)

    def tell() -> None:
        for value, sighting in zip(told, sightings, strict=True):
            encode_json(sighting)
            decode_json(value, Sighting)

    spent = {}
    for work in (decode, compare, vote, tell) if told else (decode, compare):
        begun = time.process_time()
        work()
        spent[work.__name__] = time.process_time() - begun
    spent["floor"] = sum(spent.values())
    # a clock may be too coarse for a handful of messages
    return {f"{name}_alone_reads_per_s": LANES * len(messages) / seconds for name, seconds in spent.items() if seconds}


def worker(records: Sequence[tuple[bytes, bytes]], folder: Path, role: str, **more: str) -> dict[str, float]:
    """The same messages through a process of one role on a Kafka of its own; `more` are settings of it."""
    with LocalKafka(folder / "kafka") as kafka:
        create_topics(kafka.brokers, TOPICS)
        producer = KafkaBusProducer(kafka.brokers, "bench", max_unacknowledged=2000)
        for key, value in records:
            producer.send(READS.name, value, key=key)
        producer.flush(120)
        producer.close()
        settings = {"brokers": kafka.brokers, "data_dir": str(folder / "faust"), "roles": [role], **more}
        command = [sys.executable, "-m", "streams", json.dumps(settings)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            return _watch(child, kafka.brokers, role, len(records))
        finally:
            child.kill()
            child.wait()


def _watch(child: "subprocess.Popen[bytes]", brokers: str, role: str, total: int) -> dict[str, float]:
    process = psutil.Process(child.pid)
    assert child.stdout is not None
    child.stdout.readline()
    begin, spent = time.monotonic(), _seconds(process)
    with Progress(brokers, roles=(role,)) as progress:
        first = sum(progress.lag().values())
        begin, spent = time.monotonic(), _seconds(process)
        while sum(progress.lag().values()):
            time.sleep(0.1)
            if child.poll() is not None:
                raise RuntimeError("the streams process ended by itself")
    wall, cpu = time.monotonic() - begin, _seconds(process) - spent
    return {
        "messages": first,
        "reads_per_s": LANES * first / wall,
        "reads_per_cpu_s": LANES * first / cpu,
        "messages_per_s": first / wall,
        "messages_per_cpu_s": first / cpu,
        "us_cpu": 1e6 * cpu / first,
        "memory_mb": process.memory_info().rss / 1e6,
        "before_measuring": total - first,
    }


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def table(result: dict[str, Any]) -> str:
    """For people."""
    lines = []
    for section in ("pure", "worker", "sink"):
        lines.append(section)
        lines += [f"  {name:<28}{value:>14,.1f}" for name, value in result[section].items() if name != "shares"]
    lines.append("where the time of the pure functions goes")
    lines += [f"  {share:6.1%}  {name}" for name, share in result["pure"]["shares"].items()]
    return "\n".join([*lines, *verdicts(result)])


def verdicts(result: dict[str, Any]) -> list[str]:
    """A line for each target."""
    pure, by_clock, ratio = result["pure"], result["worker"]["reads_per_s"], result["ratio"]
    return [
        verdict(
            "worker, by the clock",
            f"{by_clock:,.0f} reads/s",
            f"{WORKER_TARGET:,}",
            by_clock >= WORKER_TARGET,
        ),
        verdict(
            "pure functions, bytes and states included",
            f"{pure['reads_per_s']:,.0f} reads/s",
            f"{PURE_TARGET:,}",
            pure["reads_per_s"] >= PURE_TARGET,
        ),
        verdict(
            "step and apply alone",
            f"{pure['functions_alone_reads_per_s']:,.0f} reads/s",
            f"{PURE_TARGET:,}",
            pure["functions_alone_reads_per_s"] >= PURE_TARGET,
        ),
        verdict(
            "worker over pure functions, by processor time",
            f"{ratio:.2f}",
            f"{RATIO_TARGET:.2f} or more",
            ratio >= RATIO_TARGET,
        ),
    ]


def main() -> int:
    """Measure, print, return the exit status: 0 also when a target is not reached."""
    parser = verdicts_parser(__doc__)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    records = messages(options.messages, options.cameras)
    result: dict[str, Any] = {"pure": pure(records)}
    with tempfile.TemporaryDirectory() as folder:
        result["worker"] = worker(records, Path(folder), "tracker")
    with tempfile.TemporaryDirectory() as folder, owner() as url:
        with closing(open_store(url)) as store:
            migrate(store)
        result["sink"] = worker(records, Path(folder), "sink", store_url=url)
    result["ratio"] = result["worker"]["reads_per_cpu_s"] / result["pure"]["reads_per_s"]
    print(json.dumps(result) if options.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
