"""The whole pipeline at full speed against its own arithmetic: `up --speed max --exit` against bare loops, same frames.

    python -m bench.pipeline [--cameras N] [--seconds S] [--fps F] [--seed N] [--json]

The yardstick is decode + detect + read alone, no Kafka, no Ray, no Faust, no SQL; it runs before and after, as one
process with all cores (`ratio`) and as one process per core (`ratio_to_the_faster`: no loop could do more). The
pipeline's time goes from its first frame to the last row in SQL, closing of every sighting included. Target: 0.7.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.workers import bare_loop
from cameras.simulator import simulate

BATCH = 16


def main() -> int:
    """Measure, print, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        drive = Path(scratch) / "drive"
        simulate(drive, seed=options.seed, cameras=options.cameras, seconds=options.seconds, fps=options.fps)
        result = measure(drive, Path(scratch) / "data", options.cameras)
    print(json.dumps(result) if options.json else table(result))
    return 0


def measure(drive: Path, data_dir: Path, cameras: int) -> dict[str, Any]:
    """Bare loops, the pipeline, bare loops again."""
    frames = [path.read_bytes() for path in sorted(drive.glob("camera-*/*.jpg"))]
    before = _bare(frames)
    report = _up(drive, data_dir, cameras)
    after = _bare(frames)
    bare = {name: (before[name] + after[name]) / 2 for name in before}
    single, *_ = bare.values()
    return {
        "frames": len(frames),
        "bare_frames_per_second": {name: round(value, 2) for name, value in bare.items()},
        "pipeline_frames_per_second": report["frames_per_second"],
        "ratio": round(report["frames_per_second"] / single, 3),
        "ratio_to_the_faster": round(report["frames_per_second"] / max(bare.values()), 3),
        "memory_bytes": report["memory_bytes"],
        "start_to_first_sighting_seconds": report["start_to_first_sighting_seconds"],
        "truth": report.get("truth"),
    }


def _bare(frames: list[bytes]) -> dict[str, float]:
    cores = len(os.sched_getaffinity(0))
    return {
        f"1 x {cores} threads": bare_loop(frames, 1, cores, BATCH, "auto"),
        f"{cores} x 1 thread": bare_loop(frames, cores, 1, BATCH, "auto"),
    }


def _up(drive: Path, data_dir: Path, cameras: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "fleet", "up", "--source", str(drive), "--cameras", str(cameras)]
    done = subprocess.run(
        [*command, "--speed", "max", "--exit", "--json"],
        env={**os.environ, "PLATEFLEET_DATA_DIR": str(data_dir)},
        stdout=subprocess.PIPE,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def table(result: dict[str, Any]) -> str:
    """For a person."""
    bare = "\n".join(
        f"bare loop, {name:<16}{value:8.1f} frames/s" for name, value in result["bare_frames_per_second"].items()
    )
    return (
        f"{result['frames']} frames\n{bare}\n"
        f"whole pipeline             {result['pipeline_frames_per_second']:8.1f} frames/s\n"
        f"pipeline : bare loop       {result['ratio']:8.3f}\n"
        f"           : the faster one  {result['ratio_to_the_faster']:8.3f}\n"
        f"start to first sighting    {result['start_to_first_sighting_seconds']:8.1f} s\n"
        f"memory of all processes    {result['memory_bytes'] / 2**30:8.2f} GiB\n"
        f"truth against result       {result['truth']}"
    )


if __name__ == "__main__":
    sys.exit(main())
