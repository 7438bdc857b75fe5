"""Workers against a bare loop: frames/s through Kafka, feeder, Ray readers and emitter, as a ratio of the same run.

    python -m bench.workers [--frames N] [--images DIR] [--readers N] [--threads N] [--batch N] [--json]

The bare loop (decode, detect, read; no Kafka, no Ray) runs before and after the workers: as one process with all
threads, and as as many processes of one thread as there are readers. The ratio is taken against the faster of the
two. Below it stands which process used the processor for how long, and how long a frame spent in each stage.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import cycle, islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psutil

from cameras.simulator import simulate
from fleet.local_kafka import LocalKafka
from plumbing import metrics
from plumbing.kafka_bus import KafkaBusProducer, create_topics
from schemas.codec import encode_frame_header
from schemas.frame import FrameHeader
from schemas.topics import TOPICS
from vision.decode import picture_size
from workers.service import run
from workers.settings import ReaderSettings, WorkerSettings, readers_for

CAMERAS = 4
WARM_UP = 64
STALL_S = 900.0


def main() -> int:
    """Measure, print, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0))
    readers, threads = readers_for(cores, realtime=False)
    parser.add_argument("--images", type=Path, help="folder of JPEG pictures instead of a simulated drive")
    parser.add_argument("--frames", type=int, default=300, help="frames per measurement (pictures repeat)")
    parser.add_argument("--readers", type=int, default=readers)
    parser.add_argument("--threads", type=int, default=threads, help="threads per reader")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pictures = _pictures(options.images)
    if not pictures:
        print(f"no .jpg picture in {options.images}", file=sys.stderr)
        return 1
    data = list(islice(cycle(pictures), options.frames))
    reader = ReaderSettings(device=options.device, threads=options.threads)
    result = measure(data, options.readers, reader, options.batch, cores)
    print(json.dumps(result) if options.json else table(result))
    return 0


def measure(data: Sequence[bytes], readers: int, reader: ReaderSettings, batch: int, cores: int) -> dict[str, Any]:
    """Bare loops and the workers in turns, over the same frames."""
    bare: dict[str, list[float]] = {}
    shapes = {f"1 x {cores} threads": (1, cores), f"{readers} x 1 thread": (readers, 1)}
    result: dict[str, Any] = {"frames": len(data), "readers": readers, "threads": reader.threads, "batch": batch}
    for turn in range(2):
        for name, (processes, threads) in shapes.items():
            bare.setdefault(name, []).append(bare_loop(data, processes, threads, batch, reader.device))
        if turn == 0:
            result |= through_workers(data, readers, reader, batch)
    result["bare"] = {name: round(sum(values) / len(values), 2) for name, values in bare.items()}
    result["bare_turns"] = {name: [round(value, 2) for value in values] for name, values in bare.items()}
    result["ratio"] = round(result["workers"] / max(result["bare"].values()), 3)
    return result


def bare_loop(data: Sequence[bytes], processes: int, threads: int, batch: int, device: str) -> float:
    """Frames/s of decode + detect + read alone."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes + 1)
    end = context.Barrier(processes + 1)
    loops = [
        context.Process(target=_loop, args=(list(data[n::processes]), threads, batch, device, start, end))
        for n in range(processes)
    ]
    for loop in loops:
        loop.start()
    start.wait(STALL_S)
    begin = time.perf_counter()
    end.wait(STALL_S)
    seconds = time.perf_counter() - begin
    for loop in loops:
        loop.join()
    return len(data) / seconds


def _loop(data: list[bytes], threads: int, batch: int, device: str, start: Barrier, end: Barrier) -> None:
    from vision.decode import decode_image
    from vision.pipeline import PlatePipeline

    pipeline = PlatePipeline.load(device, threads=threads)
    pipeline.read([decode_image(item) for item in data[:batch]])
    start.wait(STALL_S)
    for begin in range(0, len(data), batch):
        part = [decode_image(item) for item in data[begin : begin + batch]]
        pipeline.read(part, [False] * len(part))
    end.wait(STALL_S)


def through_workers(data: Sequence[bytes], readers: int, reader: ReaderSettings, batch: int) -> dict[str, Any]:
    """Frames/s from the first frame published to the last read acknowledged, and where the processor went."""
    stop, ready = threading.Event(), threading.Event()
    with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder)) as kafka:
        create_topics(kafka.brokers, TOPICS)
        settings = WorkerSettings(kafka.brokers, readers=readers, reader=reader, batch_frames=batch)
        worker = threading.Thread(target=run, args=(settings, stop, ready.set))
        worker.start()
        producer = KafkaBusProducer(kafka.brokers, "bench")
        try:
            if not ready.wait(STALL_S):
                raise TimeoutError(f"the readers were not ready within {STALL_S:g} s")
            _publish(producer, data[:WARM_UP], 0)
            _await_reads(WARM_UP)
            busy, stages = _cpu_seconds(), _stage_seconds()
            begin = time.perf_counter()
            _publish(producer, data, WARM_UP)
            _await_reads(len(data))
            seconds = time.perf_counter() - begin
            used = {name: value - busy.get(name, 0.0) for name, value in _cpu_seconds().items()}
            spent = {name: value - stages[name] for name, value in _stage_seconds().items()}
            memory = _memory_mb()
        finally:
            stop.set()
            worker.join()
            producer.close()
    per_frame = 1000 / len(data)
    return {
        "workers": round(len(data) / seconds, 2),
        "cpu_ms_per_frame": {name: round(value * per_frame, 2) for name, value in used.items()},
        "stage_ms_per_frame": {name: round(value * per_frame, 2) for name, value in spent.items()},
        "memory_mb": memory,
    }


def _publish(producer: KafkaBusProducer, data: Sequence[bytes], first: int) -> None:
    for seq, value in enumerate(data, start=first):
        camera = f"bench-{seq % CAMERAS}"
        width, height = picture_size(value)
        header = FrameHeader(
            camera_id=camera,
            seq=seq,
            captured_at=time.time_ns() // 1_000_000,
            codec="jpeg",
            width=width,
            height=height,
            sha256=hashlib.sha256(value).hexdigest(),
        )
        producer.send("fleet.frames", value, key=camera.encode(), headers=encode_frame_header(header))
    producer.flush(STALL_S)


def _read_so_far() -> float:
    return float(metrics.REGISTRY.get_sample_value("platefleet_worker_pictures_read_total") or 0.0)


_before = 0.0


def _await_reads(count: int) -> None:
    global _before
    deadline = time.monotonic() + STALL_S
    while _read_so_far() < _before + count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{_read_so_far() - _before:g} of {count} frames were read within {STALL_S:g} s")
        time.sleep(0.01)
    _before += count


def _stage_seconds() -> dict[str, float]:
    name = "platefleet_worker_stage_seconds_sum"
    return {
        stage: float(metrics.REGISTRY.get_sample_value(name, {"stage": stage}) or 0.0)
        for stage in ("decode", "vision", "encode")
    }


def _family() -> dict[str, list[psutil.Process]]:
    groups: dict[str, list[psutil.Process]] = {"feeder and emitter": [psutil.Process()]}
    for process in psutil.Process().children(recursive=True):
        command = " ".join(process.cmdline()[:60])
        if "ReaderActor" in command:
            groups.setdefault("readers", []).append(process)
        elif "kafka.Kafka" in command:
            groups.setdefault("Kafka", []).append(process)
        elif "ray" in command:
            groups.setdefault("Ray itself", []).append(process)
    return groups


def _cpu_seconds() -> dict[str, float]:
    return {name: sum(sum(process.cpu_times()[:2]) for process in processes) for name, processes in _family().items()}


def _memory_mb() -> dict[str, int]:
    """Unique memory: what would come back if the process ended."""
    return {
        name: round(sum(process.memory_full_info().uss for process in processes) / 1e6)
        for name, processes in _family().items()
    }


def table(result: dict[str, Any]) -> str:
    """For a person."""
    lines = [
        f"{result['frames']} frames, {result['readers']} reader(s) of {result['threads']} thread(s), "
        f"batches of {result['batch']}",
        *(
            f"bare loop, {name:<16}{value:8.1f} frames/s   {result['bare_turns'][name]}"
            for name, value in result["bare"].items()
        ),
        f"workers                    {result['workers']:8.1f} frames/s",
        f"workers : faster bare loop {result['ratio']:8.3f}",
        "processor, ms a frame      "
        + ", ".join(f"{name} {value}" for name, value in result["cpu_ms_per_frame"].items()),
        "in the readers, ms a frame "
        + ", ".join(f"{name} {value}" for name, value in result["stage_ms_per_frame"].items()),
        "memory, MB                 " + ", ".join(f"{name} {value}" for name, value in result["memory_mb"].items()),
    ]
    return "\n".join(lines)


def _pictures(folder: Path | None) -> list[bytes]:
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "drive"
        simulate(out, seed=11, cameras=CAMERAS, seconds=15, fps=1)
        return [path.read_bytes() for path in sorted(out.glob("*/*.jpg"))]


if __name__ == "__main__":
    sys.exit(main())
