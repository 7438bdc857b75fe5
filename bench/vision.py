"""What the eyes cost: milliseconds per frame for decode, detect and read on one thread, and what batching brings.

    python -m bench.vision [--images DIR] [--frames N] [--batch N] [--device auto] [--precision auto] [--json]

Without `--images` a short simulated drive (1280 x 720, JPEG) is rendered first. Every figure is the median over the
frames of one run; the ratio compares the pipeline in batches with the same pipeline frame by frame, in turns.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

from cameras.simulator import simulate
from vision.decode import decode_image
from vision.detector import TorchDetector
from vision.pipeline import PlatePipeline
from vision.rectify import rectify
from vision.types import Image

ROUNDS = 3


def main() -> int:
    """Measure, print, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of JPEG or PNG pictures instead of a simulated drive")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted(_pictures(options.images), key=str)[: options.frames] if options.images else None
    if files == []:
        print(f"no .jpg or .png picture in {options.images}", file=sys.stderr)
        return 1
    data = [path.read_bytes() for path in files] if files else _drive(options.frames)
    pipeline = PlatePipeline.load(options.device, options.precision, threads=1)
    result = measure(pipeline, data, options.batch)
    print(json.dumps(result) if options.json else table(result))
    return 0


def measure(pipeline: PlatePipeline, data: list[bytes], batch: int) -> dict[str, Any]:
    """Milliseconds per frame of each stage, and frames/s of both ways of calling the pipeline."""
    images = [decode_image(item) for item in data]
    pipeline.read(images[:batch])  # the first calls prepare kernels
    crops: list[list[Image]] = []
    for image, plates in zip(images, pipeline.detector.detect(images), strict=True):
        crops.append([rectify(image, plate.corners, pipeline.reader.crop_size) for plate in plates])
    single, batched = [], []
    for _ in range(ROUNDS):
        single.append(_seconds(lambda: [pipeline.read([image]) for image in images]))
        batched.append(_seconds(lambda: [pipeline.read(part) for part in _parts(images, batch)]))
    detector = pipeline.detector
    assert isinstance(detector, TorchDetector)
    return {
        "model": pipeline.model_version,
        "placement": detector.placement.name,
        "threads": torch.get_num_threads(),
        "frames": len(images),
        "plates_per_frame": round(sum(map(len, crops)) / len(images), 2),
        "ms_decode": _median_ms([partial(decode_image, item) for item in data]),
        "ms_detect": _median_ms([partial(detector.detect, [image]) for image in images]),
        "ms_read_per_frame": _mean_ms([partial(pipeline.reader.read, part) for part in crops if part], len(images)),
        "ms_pipeline": round(1000 * min(single) / len(images), 2),
        "ms_pipeline_batched": round(1000 * min(batched) / len(images), 2),
        "batch": batch,
        "batched_by_single": round(min(single) / min(batched), 3),
    }


def table(result: dict[str, Any]) -> str:
    """For a person."""
    return "\n".join(
        [
            f"{result['model']} on {result['placement']}, {result['threads']} thread(s), {result['frames']} frames, "
            f"{result['plates_per_frame']} plates a frame",
            f"decode              {result['ms_decode']:8.2f} ms a frame",
            f"detect              {result['ms_detect']:8.2f} ms a frame",
            f"read                {result['ms_read_per_frame']:8.2f} ms a frame",
            f"pipeline, one by one{result['ms_pipeline']:8.2f} ms a frame (without decoding)",
            f"pipeline, batches   {result['ms_pipeline_batched']:8.2f} ms a frame, batches of {result['batch']}",
            f"batched : one by one{result['batched_by_single']:8.3f} times as fast",
        ]
    )


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


def _median_ms(works: list[Callable[[], object]]) -> float:
    return round(1000 * statistics.median(min(_seconds(work) for _ in range(ROUNDS)) for work in works), 2)


def _mean_ms(works: list[Callable[[], object]], frames: int) -> float:
    return round(1000 * sum(min(_seconds(work) for _ in range(ROUNDS)) for work in works) / frames, 2)


if __name__ == "__main__":
    sys.exit(main())
