"""The demo drive. In: settings. Out: a folder with a rendered drive, kept for the next time, and a hotlist for it."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from cameras import simulator
from fleet.hotlists import make_entry
from fleet.rooms import cores
from fleet.score import Pass, read_truth
from fleet.settings import Settings
from schemas.hotlist import HotlistEntry
from vision import plates

DEMO_LIST = "demo"
_WIDTH, _HEIGHT = 1280, 720


def demo_drive(settings: Settings, cameras: int, progress: Callable[[int, int], None]) -> Path:
    """Folder of the demo drive, rendered when it is not there yet, or was drawn by another simulator.

    Raises:
        OSError: the disk refuses; nothing is left behind then.
    """
    name = f"seed{settings.demo_seed}-{cameras}x{settings.demo_seconds}s-{settings.demo_fps}fps-{_WIDTH}x{_HEIGHT}"
    folder = settings.data_dir / "drives" / f"{name}-{_simulator()}"
    if not (folder / "truth.jsonl").is_file():
        for stale in folder.parent.glob(f"{name}-*"):
            shutil.rmtree(stale)
        simulator.simulate(
            folder,
            seed=settings.demo_seed,
            cameras=cameras,
            seconds=settings.demo_seconds,
            fps=settings.demo_fps,
            width=_WIDTH,
            height=_HEIGHT,
            jobs=cores(settings),
            progress=progress,
        )
    return folder


def _simulator() -> str:
    """A mark of the code that draws: what it drew before a change shows other vehicles than it would now."""
    digest = hashlib.sha256()
    for package in (simulator, plates):
        assert package.__file__ is not None
        for path in sorted(Path(package.__file__).parent.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def demo_hotlist(folder: Path) -> list[HotlistEntry]:
    """Five plates of the drive, spread over its time, and one pattern that fits a sixth."""
    known: dict[str, Pass] = {}
    for one in sorted(read_truth(folder / "truth.jsonl"), key=lambda one: one.first_seen):
        if one.legible_frames >= 3:
            known.setdefault(one.plate, one)
    plates = list(known)
    chosen = plates[:: max(1, len(plates) // 6)][:6]
    entries = [
        make_entry(DEMO_LIST, plate, priority="high" if number % 2 else "normal", reason="demo", added_by="platefleet")
        for number, plate in enumerate(chosen[:5])
    ]
    for plate in chosen[5:]:
        # the first half as it is, one character open, the rest as it comes
        half = len(plate) // 2
        entries.append(make_entry(DEMO_LIST, f"{plate[:half]}?*", priority="low", reason="demo pattern"))
    return entries
