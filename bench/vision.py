"""What the eyes cost: milliseconds per frame for decode, detect and read on one thread, runtime beside runtime.

    python -m bench.vision [--images DIR] [--frames N] [--batch N] [--device auto] [--gpu] [--json]

Without `--images` a short simulated drive (1280 x 720, JPEG) is rendered first. Every runtime that the models have sees
the same frames and the same crops, in turns, and reads them as frames of a video (no second look); a stage's figure is
the median over the frames of the best of three. On a processor it is time of this process on the processor, which a
busy machine hardly bends; on a GPU it is wall time. The ratio compares the runtime that `auto` takes in batches with
the same frame by frame.

With `--gpu` the figure is frames a second instead: JPEGs decoded on all cores while the batches before are found and
read on the device, and the share of the time that the GPU had nothing to do, by its own record of kernels and copies.
The same runs on a processor, where it says how the code path holds and nothing of a GPU.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

from cameras.simulator import simulate
from vision.decode import decode_image
from vision.device import bf16_gain, choose_device
from vision.pipeline import PlatePipeline
from vision.rectify import rectify
from vision.registry import find_model
from vision.runtime_onnx import ONNX_ENGINES, variants
from vision.types import Image

ROUNDS = 3
DEEPSTREAM_FPS = 447.0
"""Published: frames a second of NVIDIA's DeepStream licence plate sample (three networks, 1080p video) on a T4."""
AHEAD = 3
"""Batches that are decoded before they are asked for."""
Clock = Callable[[], float]
Works = Mapping[str, list[Callable[[], object]]]
"""Name -> what is to be done per frame."""


def main() -> int:
    """Measure, print, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of JPEG or PNG pictures instead of a simulated drive")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpu", action="store_true", help="frames a second, decoding included")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted(_pictures(options.images), key=str)[: options.frames] if options.images else None
    if files == []:
        print(f"no .jpg or .png picture in {options.images}", file=sys.stderr)
        return 1
    # a long run sees the same drive again: decoding and reading it anew costs what new frames cost
    data = [path.read_bytes() for path in files] if files else _drive(min(options.frames, 64))
    if options.gpu:
        result = throughput(
            list(itertools.islice(itertools.cycle(data), options.frames)), options.batch, options.device
        )
    else:
        result = measure(runtimes(options.device), data, options.batch, options.device)
    print(json.dumps(result) if options.json else (speed if options.gpu else table)(result))
    return 0


def runtimes(device: str) -> dict[str, PlatePipeline]:
    """Every way to run the installed models on the device, the most exact first."""
    if choose_device(device).type == "cuda":
        ways = [("torch fp32", "torch", "fp32"), ("torch bf16", "torch", "bf16"), ("torch fp16", "torch", "fp16")]
    else:
        ways = [("torch fp32", "torch", "fp32")]
        # without the instructions bf16 is emulated, many times slower
        ways += [("torch bf16", "torch", "bf16")] if bf16_gain() else []
        there = variants(find_model("detector")).keys() & variants(find_model("reader")).keys()
        ways += [(engine, engine, "auto") for engine in ONNX_ENGINES if engine in there]
    return {name: PlatePipeline.load(device, precision, threads=1, engine=engine) for name, engine, precision in ways}


def measure(pipelines: Mapping[str, PlatePipeline], data: list[bytes], batch: int, device: str) -> dict[str, Any]:
    """Milliseconds per frame and stage of each runtime, and the pipeline in batches and frame by frame."""
    clock = time.perf_counter if choose_device(device).type == "cuda" else time.process_time
    images = [decode_image(item) for item in data]
    exact = next(iter(pipelines.values()))
    crops: list[list[Image]] = []
    for image, plates in zip(images, exact.detector.detect(images), strict=True):
        crops.append([rectify(image, plate.corners, exact.reader.crop_size) for plate in plates])
    for pipeline in pipelines.values():
        pipeline.read(images[:batch], [False] * len(images[:batch]))  # the first calls prepare kernels
    detect: Works = {
        name: [partial(one.detector.detect, [image]) for image in images] for name, one in pipelines.items()
    }
    read: Works = {
        name: [partial(one.reader.read, part, [False] * len(part)) for part in crops] for name, one in pipelines.items()
    }
    detect_ms, read_ms = _in_turns(detect, clock), _in_turns(read, clock)
    decode_ms = _in_turns({"": [partial(decode_image, item) for item in data]}, clock)[""]
    return {
        "frames": len(images),
        "plates_per_frame": round(sum(map(len, crops)) / len(images), 2),
        "ms_decode": round(statistics.median(decode_ms), 2),
        "runtimes": {
            name: {
                "model": one.model_version,
                "ms_detect": round(statistics.median(detect_ms[name]), 2),
                "ms_read": round(statistics.mean(read_ms[name]), 2),
            }
            for name, one in pipelines.items()
        },
    } | batched(images, batch, device)


def batched(images: list[Image], batch: int, device: str) -> dict[str, Any]:
    """What batches bring with the runtime that `auto` takes."""
    pipeline = PlatePipeline.load(device, threads=1)
    assert pipeline.choice is not None
    single, together = [], []
    for _ in range(ROUNDS):
        single.append(_seconds(lambda: [pipeline.read([image], [False]) for image in images]))
        together.append(_seconds(lambda: [pipeline.read(part, [False] * len(part)) for part in _parts(images, batch)]))
    return {
        "auto": pipeline.choice.name,
        "ms_pipeline": round(1000 * min(single) / len(images), 2),
        "ms_pipeline_batched": round(1000 * min(together) / len(images), 2),
        "batch": batch,
        "batched_by_single": round(min(single) / min(together), 3),
    }


def throughput(data: Sequence[bytes], batch: int, device: str) -> dict[str, Any]:
    """Frames a second from JPEG bytes to texts, and how idle the GPU was (None on a processor)."""
    pipeline = PlatePipeline.load(device, threads=1)
    assert pipeline.choice is not None
    _read_all(pipeline, data[:batch], batch)  # the first calls prepare kernels and graphs
    plates = 0

    def work() -> None:
        nonlocal plates
        plates = _read_all(pipeline, data, batch)

    seconds = min(_seconds(work) for _ in range(ROUNDS))
    busy = gpu_seconds(work) if choose_device(device).type == "cuda" else None
    return {
        "frames": len(data),
        "plates_per_frame": round(plates / len(data), 2),
        "batch": batch,
        "cores": os.cpu_count(),
        "auto": pipeline.choice.name,
        "frames_per_second": round(len(data) / seconds, 1),
        "gpu_idle": None if busy is None else round(max(0.0, 1.0 - busy / seconds), 3),
        "by_deepstream_t4": round(len(data) / seconds / DEEPSTREAM_FPS, 3),
    }


def _read_all(pipeline: PlatePipeline, data: Sequence[bytes], batch: int) -> int:
    """Decode and read everything as frames of a video; the number of plates."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [pipeline.read(part, [False] * len(part)) for part in decoded(pool, data, batch)]
    return sum(len(plates) for part in found for plates in part)


def decoded(pool: ThreadPoolExecutor, data: Sequence[bytes], batch: int) -> Iterator[list[Image]]:
    """The pictures in their order, in batches, some of which are decoded ahead."""
    waiting: deque[list[Future[Image]]] = deque()
    for begin in range(0, len(data), batch):
        waiting.append([pool.submit(decode_image, item) for item in data[begin : begin + batch]])
        if len(waiting) > AHEAD:
            yield [one.result() for one in waiting.popleft()]
    while waiting:
        yield [one.result() for one in waiting.popleft()]


def gpu_seconds(work: Callable[[], object]) -> float:
    """How long the GPU's kernels and copies ran; they run one after the other, on one stream."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6


def speed(result: dict[str, Any]) -> str:
    """`throughput` for a person."""
    idle = "not on a GPU" if result["gpu_idle"] is None else f"{100 * result['gpu_idle']:.1f} % idle"
    return "\n".join(
        [
            f"{result['frames']} frames, {result['plates_per_frame']} plates a frame, batches of {result['batch']}",
            f"auto: {result['auto']}; decoding on {result['cores']} cores",
            f"{result['frames_per_second']:.1f} frames a second, {idle}",
            f"{result['by_deepstream_t4']:.3f} times DeepStream's published {DEEPSTREAM_FPS:.0f} (sample, T4, 1080p)",
        ]
    )


def table(result: dict[str, Any]) -> str:
    """For a person."""
    decode = result["ms_decode"]
    lines = [
        f"{result['frames']} frames, {result['plates_per_frame']} plates a frame, one thread, ms a frame",
        f"{'':12} {'decode':>7} {'detect':>7} {'read':>7} {'sum':>7}",
    ]
    for name, row in result["runtimes"].items():
        total = decode + row["ms_detect"] + row["ms_read"]
        lines.append(f"{name:12} {decode:7.2f} {row['ms_detect']:7.2f} {row['ms_read']:7.2f} {total:7.2f}")
    return "\n".join(
        [
            *lines,
            f"auto: {result['auto']}",
            f"pipeline, one by one{result['ms_pipeline']:8.2f} ms a frame (wall, without decoding)",
            f"pipeline, batches   {result['ms_pipeline_batched']:8.2f} ms a frame, batches of {result['batch']}",
            f"batched : one by one{result['batched_by_single']:8.3f} times as fast",
        ]
    )


def _in_turns(works: Works, clock: Clock) -> dict[str, list[float]]:
    """Name -> the best of some rounds per frame, in milliseconds; the names take turns at every frame."""
    best = {name: [float("inf")] * len(frames) for name, frames in works.items()}
    for _ in range(ROUNDS):
        for number in range(len(next(iter(works.values())))):
            for name, frames in works.items():
                begin = clock()
                frames[number]()
                best[name][number] = min(best[name][number], 1000 * (clock() - begin))
    return best


def _drive(frames: int) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "drive"
        simulate(out, seed=11, cameras=2, seconds=frames / 2, fps=1)
        return [path.read_bytes() for path in sorted(out.glob("*/*.jpg"))][:frames]


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def _parts(images: list[Image], size: int) -> Iterator[list[Image]]:
    return (images[begin : begin + size] for begin in range(0, len(images), size))


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
