"""The demo drive is rendered once, and anew after the simulator has changed."""

from pathlib import Path

from fleet.drive import demo_drive, demo_hotlist
from fleet.settings import load_settings


def test_a_drive_of_another_simulator_gives_way(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, demo_seconds=2, demo_fps=2)
    told: list[tuple[int, int]] = []
    folder = demo_drive(settings, 1, lambda done, of: told.append((done, of)))
    assert told
    assert (folder / "truth.jsonl").is_file()
    told.clear()
    assert demo_drive(settings, 1, lambda done, of: told.append((done, of))) == folder
    assert told == [], "it was there"
    stale = folder.with_name(folder.name[:-8] + "00000000")
    folder.rename(stale)
    assert demo_drive(settings, 1, lambda *_: None) == folder
    assert (folder / "truth.jsonl").is_file()
    assert not stale.exists()
    assert all(entry.hotlist_id == "demo" for entry in demo_hotlist(folder))
