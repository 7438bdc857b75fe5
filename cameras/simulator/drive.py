"""A whole drive to a folder: `simulate` is the simulator's one entrance.

Layout of the folder:

    camera-01/frames.jsonl    one line a frame: file, seq, captured_at (epoch ms), lat, lon, heading, speed (m/s),
                              width, height
    camera-01/000000.jpg ...  or video.mp4, then each line also has `index`, the picture's number in the film
    truth.jsonl               one line a pass (`cameras.simulator.truth` defines a pass)
    truth_frames.jsonl        one line per frame and plate: corners, in_view, visible, height_px, occluded
    drive.json                what the drive was made of
"""

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import cv2

from cameras.simulator.encoder import Codec, Recorder, recorder
from cameras.simulator.light import CONDITIONS, Conditions, conditions_of
from cameras.simulator.picture import CameraView, FrameInfo
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
    jobs: int = 1,
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
        jobs: processes that render, a camera each at a time; the result is the same with any number.
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
        reels = [_Reel(scratch, world, k, w, (width, height), codec, quality) for k, w in enumerate(weathers)]
        report = partial(_report, progress, total) if progress else None
        rows = _film_all(reels, min(jobs, cameras), report)
        _write_lines(scratch / "truth.jsonl", rows)
        _join([reel.part for reel in reels], scratch / "truth_frames.jsonl")
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


@dataclass(frozen=True)
class _Reel:
    """What one camera is to record."""

    folder: Path
    world: World
    number: int
    conditions: Conditions
    size: tuple[int, int]
    codec: Codec
    quality: int | None

    @property
    def part(self) -> Path:
        """Where its lines of `truth_frames.jsonl` gather."""
        return self.folder / f"truth_frames-{self.number:02d}.part"


def _report(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, total)


def _film_all(reels: Sequence[_Reel], jobs: int, report: Callable[[int], None] | None) -> list[dict[str, Any]]:
    """Record every camera; their passes. `report` gets the number of frames done so far."""
    if jobs > 1:
        return _film_parallel(reels, jobs, report)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if report:
            report(done)

    return [row for reel in reels for row in _film(reel, count)]


def _film_parallel(reels: Sequence[_Reel], jobs: int, report: Callable[[int], None] | None) -> list[dict[str, Any]]:
    # spawned, not forked: the caller may hold threads and broker connections
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    # leaving the block, also by Ctrl-C, ends the processes
    with context.Pool(jobs, initializer=_begin_job, initargs=(counter,)) as pool:
        pending = [pool.apply_async(_film_job, (reel,)) for reel in reels]
        for result in pending:
            while not result.ready():
                result.wait(0.2)
                if report:
                    report(counter.value)
        return [row for result in pending for row in result.get()]


_counter: Any = None


def _begin_job(counter: Any) -> None:
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _film_job(reel: _Reel) -> list[dict[str, Any]]:
    def count() -> None:
        with _counter.get_lock():
            _counter.value += 1

    return _film(reel, count)


def _film(reel: _Reel, count: Callable[[], None]) -> list[dict[str, Any]]:
    """Render and record all frames of one camera; its passes."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    view = CameraView(reel.world, reel.number, reel.conditions, reel.size)
    home = reel.folder / view.camera_id
    home.mkdir()
    files = recorder(reel.codec, home, reel.quality, reel.world.fps, reel.size)
    try:
        with (home / "frames.jsonl").open("w") as frames, reel.part.open("w") as truth:
            return passes(_shoot(reel, view, files, frames, truth, count), _ORDER)
    finally:
        files.close()
        cv2.setNumThreads(threads)


def _shoot(
    reel: _Reel, view: CameraView, files: Recorder, frames: TextIO, truth: TextIO, count: Callable[[], None]
) -> Iterator[Observation]:
    """Record frame by frame and hand on what was seen, so that a long drive needs no more memory than a short one."""
    for frame in range(len(reel.world.traffic.s)):
        image, seen = view.render(frame)
        frames.write(_line({**files.add(image), **_frame_line(view.info(frame), reel.size)}))
        for observation in seen:
            truth.write(_line(observation.row()))
            yield observation
        count()


def _frame_line(at: FrameInfo, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "seq": at.seq,
        "captured_at": at.captured_at,
        "lat": at.pose.lat,
        "lon": at.pose.lon,
        "heading": at.pose.heading,
        "speed": at.speed,
        "width": size[0],
        "height": size[1],
    }


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w") as file:
        file.writelines(map(_line, rows))


def _join(parts: Sequence[Path], whole: Path) -> None:
    """One file of several, which go."""
    with whole.open("wb") as out:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, out)
            part.unlink()
