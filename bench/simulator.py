"""How fast the drive simulator renders on one core, against bare JPEG encoding of the same frames in the same run.

    python -m bench.simulator [--seconds S] [--rounds N] [--conditions A B ...] [--json]

Each kind of weather is one camera at 1280 x 720. Rendering and encoding are timed in turns, frame by frame, in
processor time (what a core that does nothing else would need) and by the wall clock. `set-up` is what one camera costs
before its first frame: world, road, houses.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass

import cv2

from cameras.simulator.encoder import DEFAULT_JPEG_QUALITY
from cameras.simulator.light import DEFAULT_ROUND, parse_conditions
from cameras.simulator.picture import CameraView
from cameras.simulator.world import build_world

SIZE = (1280, 720)
FPS = 5.0


@dataclass
class Result:
    """Of one camera."""

    conditions: str
    frames: int
    setup_s: float
    frames_per_s: float
    """Render and encode, processor time."""
    frames_per_s_wall: float
    encode_frames_per_s: float
    """Encode alone, processor time."""
    ratio: float
    """Render and encode over encode alone."""
    kilobytes: float
    """Mean JPEG size."""


def measure(number: int, conditions: str, seconds: float, rounds: int) -> Result:
    """Time one camera's drive."""
    begin = time.process_time()
    world = build_world(seed=11, cameras=4, seconds=seconds, fps=FPS, start_ms=None)
    view = CameraView(world, number % 4, parse_conditions(conditions), SIZE)
    view.render(0)
    setup = time.process_time() - begin
    options = [cv2.IMWRITE_JPEG_QUALITY, DEFAULT_JPEG_QUALITY]
    both = encode = wall = 0.0
    size = frames = 0
    for _ in range(rounds):
        for frame in range(len(world.traffic.s)):
            start, start_wall = time.process_time(), time.perf_counter()
            image, _ = view.render(frame)
            middle = time.process_time()
            data = cv2.imencode(".jpg", image, options)[1]
            end = time.process_time()
            both, encode, wall = both + end - start, encode + end - middle, wall + time.perf_counter() - start_wall
            size, frames = size + len(data), frames + 1
    return Result(
        conditions=conditions,
        frames=frames,
        setup_s=round(setup, 2),
        frames_per_s=round(frames / both, 1),
        frames_per_s_wall=round(frames / wall, 1),
        encode_frames_per_s=round(frames / encode, 1),
        ratio=round(encode / both, 3),
        kilobytes=round(size / frames / 1000, 1),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=16.0, help="length of the drive, at 5 frames/s")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--conditions", nargs="+", default=list(DEFAULT_ROUND))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    results = [measure(k, c, options.seconds, options.rounds) for k, c in enumerate(options.conditions)]
    if options.json:
        print(json.dumps([asdict(r) for r in results]))
        return
    print("conditions                    frames  set-up s  frames/s  (wall)  JPEG alone  ratio  kB")
    for r in results:
        print(
            f"{r.conditions:28s} {r.frames:7d} {r.setup_s:9.2f} {r.frames_per_s:9.1f} {r.frames_per_s_wall:7.1f}"
            f" {r.encode_frames_per_s:11.1f} {r.ratio:6.3f} {r.kilobytes:5.0f}"
        )
    frames = sum(r.frames for r in results)
    seconds = sum(r.frames / r.frames_per_s for r in results)
    encode = sum(r.frames / r.encode_frames_per_s for r in results)
    with_setup = seconds + sum(r.setup_s for r in results)
    print(
        f"all: {frames / seconds:.1f} frames/s on one core ({frames / with_setup:.1f} with set-up),"
        f" {encode / seconds:.3f} of bare JPEG encoding"
    )


if __name__ == "__main__":
    main()
