"""The spool: what was appended comes out again, whatever moment the process died at."""

import errno
import multiprocessing
import shutil
import threading
from io import FileIO
from pathlib import Path

import pytest

from cameras.spool import Spool, SpoolEntry, SpoolError, SpoolSettings
from plumbing.clock import ManualClock
from schemas.frame import FrameHeader, FramePosition


def header(seq: int) -> FrameHeader:
    return FrameHeader(
        camera_id="cam-01",
        seq=seq,
        captured_at=1_700_000_000_000 + seq,
        codec="jpeg",
        width=4,
        height=3,
        sha256="0" * 64,
        lat=1.5,
        positions=(FramePosition(dt_ms=3),),
    )


def fill(spool: Spool, first: int, last: int, size: int = 50) -> None:
    for seq in range(first, last):
        spool.append(header(seq), bytes([seq % 251]) * size)


def drain(spool: Spool, ack: bool = True) -> list[int]:
    found = []
    while entry := spool.take():
        found.append(entry.header.seq)
        assert entry.value == bytes([entry.header.seq % 251]) * len(entry.value)
        if ack:
            spool.ack(entry)
    return found


def test_first_in_first_out_across_restarts(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    fill(spool, 0, 5)
    entry = spool.take()
    assert entry
    assert entry.header == header(0)
    spool.ack(entry)
    assert spool.pending == 4
    spool.close()
    again = Spool(tmp_path)
    assert again.pending == 4
    fill(again, 5, 7)
    assert drain(again) == [1, 2, 3, 4, 5, 6]
    again.close()
    assert list(tmp_path.glob("*.seg")) == []
    assert drain(Spool(tmp_path)) == []


def test_only_what_is_acknowledged_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolSettings(segment_bytes=400))
    fill(spool, 0, 10)
    entries = [spool.take() for _ in range(6)]
    for place in (1, 2, 4):  # out of order: 0 is still open
        spool.ack(entries[place])
    assert spool.pending == 10
    spool.close()
    again = Spool(tmp_path)
    assert drain(again) == list(range(10))
    assert again.pending == 0


def test_cut_at_any_byte_keeps_what_was_whole(tmp_path: Path) -> None:
    original = tmp_path / "original"
    spool = Spool(original)
    fill(spool, 0, 4, size=20)
    spool.sync()
    (segment,) = original.glob("*.seg")
    data = segment.read_bytes()
    whole = len(data) // 4
    assert len(data) == whole * 4
    for cut in range(len(data) + 1):
        crashed = tmp_path / "crashed"
        shutil.copytree(original, crashed)
        (crashed / segment.name).write_bytes(data[:cut])
        again = Spool(crashed, SpoolSettings(fsync="never"))
        fill(again, 100, 101)
        assert drain(again) == [*range(cut // whole), 100], cut
        again.close()
        shutil.rmtree(crashed)


@pytest.mark.parametrize("live", [False, True])
def test_damage_in_the_middle_costs_one_frame(tmp_path: Path, live: bool) -> None:
    spool = Spool(tmp_path)
    fill(spool, 0, 5)
    spool.sync()
    if not live:
        spool.close()
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[len(data) * 2 // 5 + 60] ^= 0xFF
    with segment.open("r+b") as file:
        file.write(data)
    again = spool if live else Spool(tmp_path)
    assert drain(again) == [0, 1, 3, 4]
    assert again.damaged == 1
    again.close()


def test_a_full_spool_gives_up_its_oldest_frames_and_counts_them(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolSettings(max_bytes=4000, segment_bytes=1000))
    fill(spool, 0, 100)
    assert spool.size <= 4000
    kept = drain(spool)
    assert kept == list(range(100 - len(kept), 100))
    assert spool.dropped + len(kept) == 100


def test_a_dropped_frame_that_arrives_all_the_same_is_no_loss(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolSettings(max_bytes=4000, segment_bytes=1000))
    fill(spool, 0, 2)
    entry = spool.take()
    assert entry
    fill(spool, 2, 60)
    before = spool.dropped
    spool.ack(entry)
    assert spool.dropped == before - 1
    assert drain(spool)[-1] == 59


class Disk:
    """Stands for `FileIO` in the spool: after `fail`, so many calls find the disk full, having written a little."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opening = self.writing = 0
        disk = self

        class File(FileIO):
            def __init__(self, path: Path, mode: str) -> None:
                disk.opening -= 1
                if disk.opening >= 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                super().__init__(path, mode)

            def write(self, data: memoryview) -> int:  # type: ignore[override]
                disk.writing -= 1
                if disk.writing >= 0:
                    super().write(data[:7])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(data)

        monkeypatch.setattr("cameras.spool.FileIO", File)


@pytest.mark.parametrize("size", [50, 450], ids=["in a segment", "at the start of one"])
def test_a_full_disk_drops_the_oldest_and_else_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    disk = Disk(monkeypatch)
    spool = Spool(tmp_path, SpoolSettings(segment_bytes=500))
    fill(spool, 0, 10)
    disk.writing = 1
    fill(spool, 10, 11, size)
    assert 0 < spool.dropped < 10
    disk.writing = 99
    with pytest.raises(SpoolError, match="cannot be kept: No space left"):
        fill(spool, 11, 12, size)
    disk.writing = 0
    fill(spool, 12, 13, size)
    kept = drain(spool)
    assert kept[-1] == 12
    assert 11 not in kept


def test_a_disk_too_full_for_a_new_segment_drops_the_oldest_and_else_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    spool = Spool(tmp_path, SpoolSettings(segment_bytes=500))
    fill(spool, 0, 10)
    disk.opening = 1
    fill(spool, 10, 11, 450)
    assert 0 < spool.dropped < 10
    disk.opening = 99
    with pytest.raises(SpoolError, match="cannot be kept: No space left"):
        fill(spool, 11, 12, 450)
    disk.opening = 0
    fill(spool, 12, 14, 450)
    assert drain(spool)[-3:] == [10, 12, 13]
    spool.close()


def test_what_the_disk_refuses_is_one_line_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, SpoolSettings(fsync="always"))
    fill(spool, 0, 1)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("cameras.spool.os.fsync", broken)
        with pytest.raises(SpoolError, match="cannot be made safe on the disk: Input/output error"):
            fill(spool, 1, 2)
    assert drain(spool) == [0, 1]
    (tmp_path / "acked.json.new").mkdir()
    with pytest.raises(SpoolError, match="what is acknowledged cannot be written down: Is a directory"):
        spool.save()
    (tmp_path / "acked.json.new").rmdir()
    spool.save()
    assert (tmp_path / "acked.json").is_file()


def test_a_segment_that_cannot_be_read_costs_its_own_frames_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolSettings(segment_bytes=500))
    fill(spool, 0, 10)
    first = min(tmp_path.glob("*.seg"))
    first.unlink()
    first.mkdir()  # can be neither read nor removed as a file
    found = drain(spool)
    assert found
    assert found == list(range(10 - len(found), 10))
    assert spool.damaged == 1


def test_acknowledgements_survive_a_crash_once_saved(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a")
    fill(spool, 0, 6)
    for _ in range(3):
        entry = spool.take()
        assert entry
        spool.ack(entry)
    spool.save()
    spool.sync()
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # what a crash leaves
    assert drain(Spool(tmp_path / "b")) == [3, 4, 5]
    (tmp_path / "c").mkdir()
    shutil.copytree(tmp_path / "a", tmp_path / "c", dirs_exist_ok=True)
    (tmp_path / "c" / "acked.json").write_text("{")
    assert drain(Spool(tmp_path / "c")) == [0, 1, 2, 3, 4, 5], "sent twice is safe, lost is not"


def test_fsync_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr("cameras.spool.os.fsync", calls.append)
    clock = ManualClock()
    for policy, expected in (("always", 4), ("interval", 1), ("never", 0)):
        calls.clear()
        spool = Spool(tmp_path / policy, SpoolSettings(fsync=policy, fsync_s=1.0), clock=clock)
        fill(spool, 0, 3)
        clock.advance(1.5)
        fill(spool, 3, 4)
        assert len(calls) == expected, policy


def test_one_process_has_a_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert (
            pool.apply(_try_open, (tmp_path,))
            == f"{tmp_path}: another process has this spool; give each publisher its own"
        )
    spool.close()
    with pytest.raises(SpoolError, match="is closed"):
        fill(spool, 0, 1)
    spool.close()
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="no spool can be kept here"):
        Spool(tmp_path / "file")


def _try_open(folder: Path) -> str:
    try:
        Spool(folder)
    except SpoolError as error:
        return str(error)
    return "opened"


def test_appending_and_taking_on_different_threads(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolSettings(segment_bytes=5000, fsync="never"))
    writer = threading.Thread(target=fill, args=(spool, 0, 500))
    writer.start()
    found: list[SpoolEntry] = []
    while len(found) < 500:
        entry = spool.take(5.0)
        assert entry
        found.append(entry)
        spool.ack(entry)
    writer.join()
    assert [entry.header.seq for entry in found] == list(range(500))
    assert len(list(tmp_path.glob("*.seg"))) <= 2
