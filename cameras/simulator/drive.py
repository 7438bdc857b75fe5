"""A whole drive to a folder: `simulate` is the simulator's one entrance.

Layout of the folder:

    camera-01/frames.jsonl    one line a frame: file, seq, captured_at (epoch ms), lat, lon, heading, speed (m/s),
                              width, height
    camera-01/000000.jpg ...  or video.mp4, then each line also has `index`, the picture's number in the film
    truth.jsonl               one line a pass (`cameras.simulator.truth` defines a pass)
    truth_frames.jsonl        one line per frame and plate: corners, visible, height_px, occluded
    drive.json                what the drive was made of
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from cameras.simulator.encoder import Codec, recorder
from cameras.simulator.light import CONDITIONS, Conditions, conditions_of
from cameras.simulator.picture import CameraView
from cameras.simulator.truth import Observation, passes
from cameras.simulator.world import World, build_world, frame_count

_ORDER = (*CONDITIONS, "plate_dirt", "plate_tinted", "plate_cover")


@dataclass(frozen=True, slots=True)
class DriveSummary:
    """What was written."""

    out: Path
    cameras: tuple[str, ...]
    frames: int
    """Of all cameras together."""
    passes: int
    legible_passes: int
    """Passes with at least one legible frame."""
    region: str
    start_ms: int


def simulate(
    out: Path,
    *,
    seed: int,
    cameras: int,
    seconds: float,
    fps: float,
    width: int = 1280,
    height: int = 720,
    codec: Codec = "jpeg",
    quality: int | None = None,
    conditions: Sequence[str] | None = None,
    start_ms: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DriveSummary:
    """Render a drive with its truth into the folder `out`; the same arguments give the same bytes.

    Args:
        out: made by this call; may exist when it is empty.
        seed: chooses route, traffic, plates, weather and start time.
        cameras: vehicles of the fleet, 1..99, on the same roads at the same time.
        seconds: length of the drive.
        fps: frames a second and camera.
        codec: `jpeg`, or `h264` (groups of ten pictures).
        quality: JPEG quality 1..100 (80), or H.264 kbit/s (4000).
        conditions: such as `["sun+shadows", "night+rain"]`, given to the cameras in turn; None: a mix.
        start_ms: epoch milliseconds of the first frame; None: derived from the seed.
        progress: called with (frames done, frames in all).

    Raises:
        ValueError: for arguments out of range.
        FileExistsError: when `out` is a file or holds something already.
        OSError: when the disk refuses; nothing is left behind then.
    """
    _check(out, seed, cameras, seconds, fps, width, height)
    weathers = [conditions_of(k, conditions) for k in range(cameras)]
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        world = build_world(seed, cameras, seconds, fps, start_ms)
        total = frame_count(seconds, fps) * cameras
        observations: list[Observation] = []
        for number, weather in enumerate(weathers):
            done = number * frame_count(seconds, fps)
            tick = (lambda k, base=done: progress(base + k, total)) if progress else None
            observations += _film(scratch, world, number, weather, (width, height), codec, quality, tick)
        rows = passes(observations, _ORDER)
        _write_lines(scratch / "truth.jsonl", rows)
        _write_lines(scratch / "truth_frames.jsonl", [o.row() for o in observations])
        names = [f"camera-{k + 1:02d}" for k in range(cameras)]
        about: dict[str, Any] = {
            "seed": seed, "seconds": seconds, "fps": fps, "width": width, "height": height, "codec": codec,
            "quality": quality, "start_ms": world.start_ms, "region": world.home,
            "cameras": [{"camera_id": n, "conditions": w.names} for n, w in zip(names, weathers, strict=True)],
            "frames": total, "passes": len(rows),
        }  # fmt: skip
        (scratch / "drive.json").write_text(json.dumps(about, indent=2) + "\n")
        scratch.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.replace(scratch, out)
    except BaseException:
        # also Ctrl-C: half a drive is worse than none
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    legible = sum(r["legible_frames"] > 0 for r in rows)
    return DriveSummary(out, tuple(names), total, len(rows), legible, world.home, world.start_ms)


def _check(out: Path, seed: int, cameras: int, seconds: float, fps: float, width: int, height: int) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not an empty folder: name another one or remove it")
    if seed < 0:
        raise ValueError(f"seed {seed}: want 0 or more")
    if not 1 <= cameras <= 99:
        raise ValueError(f"{cameras} cameras: want 1 to 99")
    if not 0 < seconds <= 36_000 or not 0 < fps <= 120:
        raise ValueError(f"{seconds} s at {fps} frames/s: want up to 36000 s and up to 120 frames/s, both above 0")
    if not (160 <= width <= 3840 and 120 <= height <= 2160) or width % 2 or height % 2:
        raise ValueError(f"picture of {width}x{height}: want even numbers, 160x120 to 3840x2160")


def _film(
    folder: Path,
    world: World,
    number: int,
    weather: Conditions,
    size: tuple[int, int],
    codec: Codec,
    quality: int | None,
    tick: Callable[[int], None] | None,
) -> list[Observation]:
    """Render and record all frames of one camera."""
    cv2.setNumThreads(1)
    view = CameraView(world, number, weather, size)
    home = folder / view.camera_id
    home.mkdir()
    files = recorder(codec, home, quality, world.fps, size)
    lines: list[dict[str, Any]] = []
    observations: list[Observation] = []
    try:
        for frame in range(len(world.traffic.s)):
            image, seen = view.render(frame)
            observations += seen
            at = view.info(frame)
            lines.append(
                {
                    **files.add(image),
                    "seq": at.seq,
                    "captured_at": at.captured_at,
                    "lat": at.pose.lat,
                    "lon": at.pose.lon,
                    "heading": at.pose.heading,
                    "speed": at.speed,
                    "width": size[0],
                    "height": size[1],
                }
            )
            if tick:
                tick(frame + 1)
    finally:
        files.close()
    _write_lines(home / "frames.jsonl", lines)
    return observations


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
