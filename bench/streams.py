"""What the tracker's Faust worker costs: reads/s from Kafka to Kafka, against the pure functions on the same messages.

    python -m bench.streams [--messages N] [--cameras N] [--json]

A message is one frame's reads, two plates on average, crops included. The pure loop decodes, steps, and encodes what
is told and, once per batch of 500, the changed states: all that the worker does but Kafka and Faust. The worker is
a process of its own, its topics filled beforehand; its rate is the messages between its first output and the
commit of its last one, over that time. Seconds of processor time are given beside, since other work may share the
machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from fleet.local_kafka import LocalKafka
from plumbing.kafka_admin import create_topics
from plumbing.kafka_bus import KafkaBusProducer
from schemas.codec import decode_reads, encode_json, encode_reads
from schemas.ids import sighting_id
from schemas.read import Candidate, FrameReads, PlateRead
from schemas.topics import READS, TOPICS
from streams.progress import Progress
from streams.track import CameraState, encode_crops, encode_state, new_state
from streams.tracker import step

T0 = 1_780_000_000_000
FPS = 10
PASS_FRAMES = 40
LANES = 2
BATCH = 500
CROP = bytes(range(256)) * 12


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


def pure(records: Sequence[tuple[bytes, bytes]]) -> dict[str, float]:
    """Seconds of processor time per part, and messages per second of all of them."""
    parts = {"decode": 0.0, "step": 0.0, "encode sightings": 0.0, "encode states": 0.0}
    states: dict[bytes, CameraState] = {}
    clock = time.process_time
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        t0 = clock()
        decoded = [decode_reads(value) for _, value in batch]
        t1 = clock()
        told = []
        for offset, message in enumerate(decoded, start=start):
            key = message.camera_id.encode()
            state = states.get(key) or new_state(message.camera_id)
            states[key], more = step(state, message, offset, T0)
            told += more
        t2 = clock()
        for sighting in told:
            encode_json(sighting)
        t3 = clock()
        for key in {key for key, _ in batch}:
            encode_state(states[key])
            for uid in states[key].dirty:
                encode_crops(states[key].crops.get(uid, {}))
            states[key].dirty.clear()
        t4 = clock()
        for name, spent in zip(parts, (t1 - t0, t2 - t1, t3 - t2, t4 - t3), strict=True):
            parts[name] += spent
    total = sum(parts.values())
    sizes = sum(len(encode_state(state)) for state in states.values()) / len(states)
    return {"messages_per_s": len(records) / total, "state_bytes": sizes} | {
        f"us_{name.replace(' ', '_')}": 1e6 * spent / len(records) for name, spent in parts.items()
    }


def worker(records: Sequence[tuple[bytes, bytes]], folder: Path) -> dict[str, float]:
    """The same messages through a tracker process on a Kafka of its own."""
    with LocalKafka(folder / "kafka") as kafka:
        create_topics(kafka.brokers, TOPICS)
        producer = KafkaBusProducer(kafka.brokers, "bench", max_unacknowledged=2000)
        for key, value in records:
            producer.send(READS.name, value, key=key)
        producer.flush(120)
        producer.close()
        settings = {"brokers": kafka.brokers, "data_dir": str(folder / "faust"), "roles": ["tracker"]}
        command = [sys.executable, "-m", "streams", json.dumps(settings)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            return _watch(child, kafka.brokers, len(records))
        finally:
            child.kill()
            child.wait()


def _watch(child: "subprocess.Popen[bytes]", brokers: str, total: int) -> dict[str, float]:
    process = psutil.Process(child.pid)
    assert child.stdout is not None
    child.stdout.readline()
    begin, spent = time.monotonic(), _seconds(process)
    with Progress(brokers, roles=("tracker",)) as progress:
        first = sum(progress.lag().values())
        begin, spent = time.monotonic(), _seconds(process)
        while sum(progress.lag().values()):
            time.sleep(0.1)
            if child.poll() is not None:
                raise RuntimeError("the streams process ended by itself")
    wall, cpu = time.monotonic() - begin, _seconds(process) - spent
    return {
        "messages": first,
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
    for section in ("pure", "worker"):
        lines.append(section)
        lines += [f"  {name:<24}{value:>14,.1f}" for name, value in result[section].items()]
    lines.append(
        f"ratio worker / pure, by processor time {result['ratio']:.2f} (target 0.10 or more, 5,000 messages/s)"
    )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sighting_id("warm", 0, 0)
    records = messages(options.messages, options.cameras)
    result: dict[str, Any] = {"pure": pure(records)}
    with tempfile.TemporaryDirectory() as folder:
        result["worker"] = worker(records, Path(folder))
    result["ratio"] = result["worker"]["messages_per_cpu_s"] / result["pure"]["messages_per_s"]
    print(json.dumps(result) if options.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
