"""What the eyes cost: milliseconds per frame for decode, detect and read on one thread, runtime beside runtime.

    python -m bench.vision [--images DIR] [--frames N] [--batch N] [--device auto] [--json]

Without `--images` a short simulated drive (1280 x 720, JPEG) is rendered first. Every runtime that the models have sees
the same frames and the same crops, in turns, and reads them as frames of a video (no second look); a stage's figure is
the median over the frames of the best of three. On a processor it is time of this process on the processor, which a
busy machine hardly bends; on a GPU it is wall time. The ratio compares the runtime that `auto` takes in batches with
the same frame by frame.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from cameras.simulator import simulate
from vision.decode import decode_image
from vision.device import bf16_gain, choose_device
from vision.pipeline import PlatePipeline
from vision.rectify import rectify
from vision.registry import find_model
from vision.runtime_onnx import variants
from vision.types import Image

ROUNDS = 3
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
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted(_pictures(options.images), key=str)[: options.frames] if options.images else None
    if files == []:
        print(f"no .jpg or .png picture in {options.images}", file=sys.stderr)
        return 1
    data = [path.read_bytes() for path in files] if files else _drive(options.frames)
    result = measure(runtimes(options.device), data, options.batch, options.device)
    print(json.dumps(result) if options.json else table(result))
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
        ways += [(engine, engine, "auto") for engine in ("onnx", "onnx-int8") if engine in there]
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
